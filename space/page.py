"""The page: one screen, read from left to right — source, painting, result."""

from __future__ import annotations

from pathlib import Path

import gradio as gr

from space import handlers
from space.painting import CANVAS

TITLE = "Edit a face in 3-D, in any layout of classes"
INTRO = (
    "# Edit a face in 3-D\n"
    "Upload a portrait or draw a face, paint on its labels, press **Apply**: the 3-D face follows the paint. See it from every side."
)
CONSENT = "I am the person in the photo, or that person has agreed to this edit."
NOTE = (
    "Photos stay in this visit's memory and are never stored. Downloads carry a note that they are computer-made. "
    "Do not use edited faces of real people to deceive anyone."
)


def build() -> gr.Blocks:
    """All controls and what they call; `launch` arguments are in `app.py`."""
    with gr.Blocks(title=TITLE, fill_width=True, delete_cache=(600, 3600)) as page:
        session = gr.State(None, time_to_live=3600)
        photo_square = gr.State(None, time_to_live=3600)
        gr.Markdown(INTRO)
        with gr.Row(equal_height=False):
            with gr.Column(scale=3, min_width=260):
                gr.Markdown("### 1 · Face")
                with gr.Tabs():
                    with gr.Tab("From a seed"):
                        seed = gr.Number(7, label="Seed", precision=0, minimum=0, elem_id="seed")
                        draw = gr.Button("Draw a face", variant="primary", elem_id="draw")
                    with gr.Tab("From a photo", elem_id="photo-tab"):
                        upload = gr.Image(type="filepath", sources=["upload", "clipboard"], label="Portrait", height=200, elem_id="photo")
                        square = gr.Image(label="The square that will be used", interactive=False, height=170, elem_id="square")
                        consent = gr.Checkbox(False, label=CONSENT, elem_id="consent")
                        make = gr.Button("Make it 3-D", variant="primary", elem_id="make")
                layout = gr.Dropdown(
                    handlers.layout_choices(),
                    value=handlers.layout_choices()[-1],
                    allow_custom_value=True,
                    label="Layout of classes",
                    info="A bundled layout, or org/name from the Hub",
                    elem_id="layout",
                )
                chips = gr.HTML("", padding=False, elem_id="chips")
                classes = gr.Radio([], label="Paint with", elem_id="classes", interactive=True)
            with gr.Column(scale=5, min_width=420):
                gr.Markdown("### 2 · Paint")
                editor = gr.ImageEditor(
                    type="pil",
                    format="png",
                    sources=[],
                    transforms=[],
                    layers=gr.LayerOptions(allow_additional_layers=False),
                    canvas_size=(CANVAS, CANVAS),
                    fixed_canvas=True,
                    brush=gr.Brush(default_size=14, colors=["#f06e8c"], color_mode="fixed"),
                    eraser=gr.Eraser(default_size=20),
                    show_label=False,
                    height=600,
                    elem_id="canvas",
                )
                opacity = gr.Slider(0, 1, 0.45, step=0.05, label="Opacity of the labels", elem_id="opacity")
                with gr.Row(elem_id="actions"):
                    apply = gr.Button("Apply", variant="primary", elem_id="apply")
                    stop = gr.Button("Cancel", variant="stop", elem_id="cancel")
                    clear = gr.Button("Clear strokes", elem_id="clear")
                    undo = gr.Button("Undo edit", elem_id="undo")
                    reset = gr.Button("Reset", elem_id="reset")
                overlap = gr.Checkbox(True, label="Count small regions fully (overlap loss)", elem_id="overlap")
            with gr.Column(scale=4, min_width=340):
                gr.Markdown("### 3 · Result")
                status = gr.Markdown("Draw a face from a seed, or upload a portrait.", elem_id="status")
                slider = gr.ImageSlider(label="Before · after", format="png", interactive=False, elem_id="slider")
                with gr.Row():
                    picture_file = gr.DownloadButton("Picture PNG", size="sm", elem_id="get-picture")
                    labels_file = gr.DownloadButton("Labels PNG", size="sm", elem_id="get-labels")
                    video_file = gr.DownloadButton("Orbit MP4", size="sm", elem_id="get-video", interactive=False)
                    mesh_file = gr.DownloadButton("Mesh GLB", size="sm", elem_id="get-mesh", interactive=False)
        gr.Markdown("### 4 · From every side")
        show_labels = gr.Checkbox(False, label="Show labels", container=False, elem_id="show-labels")
        strip = gr.Gallery(columns=5, height=230, format="png", show_label=False, object_fit="contain", interactive=False, elem_id="strip")
        turn = gr.Button("Make the orbit video and the mesh", elem_id="turn")
        with gr.Row():
            video = gr.Video(label="Orbit", autoplay=True, loop=True, height=384, elem_id="video")
            mesh = gr.Model3D(label="Mesh", height=384, elem_id="mesh", clear_color=(0.93, 0.93, 0.95, 1.0))
        gr.Markdown(NOTE)

        face_outputs = [session, editor, classes, chips, slider, picture_file, labels_file, status]
        edit_outputs = [session, editor, slider, picture_file, labels_file, status]
        strip_event = {"fn": handlers.show_five_views, "inputs": [session, show_labels], "outputs": strip, "show_progress": "minimal"}
        draw.click(handlers.draw_face, [seed, layout, opacity], face_outputs).success(**strip_event)
        upload.change(handlers.photo_chosen, upload, [square, photo_square, status])
        make.click(handlers.invert_photo, [photo_square, consent, layout, opacity], face_outputs).success(**strip_event)
        layout.change(handlers.layout_chosen, [session, layout, opacity], face_outputs)
        classes.input(handlers.brush, [session, classes], editor)
        opacity.release(handlers.opacity_chosen, [session, editor, opacity], editor)
        clear.click(handlers.clear_strokes, [session, opacity], editor)
        apply.click(handlers.apply, [session, editor, opacity, overlap], edit_outputs).success(**strip_event)
        stop.click(handlers.cancel, None, status, queue=False)
        undo.click(handlers.undo, [session, opacity], edit_outputs).success(**strip_event)
        reset.click(handlers.reset, [session, opacity], edit_outputs).success(**strip_event)
        show_labels.change(**strip_event)
        turn.click(handlers.make_video_and_mesh, session, [video, mesh, video_file, mesh_file, status])
        page.load(handlers.draw_face, [seed, layout, opacity], face_outputs).success(**strip_event)
    return page


CSS_FILE = Path(__file__).parent / "style.css"
