"""Opens the page: `python app.py`, then the address it prints."""

from __future__ import annotations

import os

# Before gradio is imported: the page makes no request to anywhere but this server.
os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")

from gradio.themes import Soft

from space.page import CSS_FILE, build

page = build()

if __name__ == "__main__":
    # System fonts only: a font service would be an outside request.
    theme = Soft(font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"])
    page.queue(default_concurrency_limit=2, max_size=32).launch(
        theme=theme, css_paths=CSS_FILE, show_error=False, run_history=False, max_file_size="25mb", footer_links=[]
    )
