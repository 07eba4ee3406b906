"""The Gradio page: one screen from a portrait or a seed to an edited 3-D face."""
