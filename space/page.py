"""The page: one screen, read from left to right — source, painting, result."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gradio as gr

from space import handlers
from space.painting import CANVAS
from space.state import forget_unless_back

CSS_FILE = Path(__file__).parent / "style.css"
TITLE = "Edit a face in 3-D, in any layout of classes"
INTRO = (
    "# Edit a face in 3-D\n"
    "Upload a portrait or draw a face, paint on its labels, press **Apply**: the 3-D face follows the paint. See it from every side."
)
CONSENT = "I am the person in the photo, or that person has agreed to this edit."
NOTE = (
    "Photos go to the computer that runs this page and to nobody else, and are deleted there within about two hours of your last click. "
    "Downloads of the face carry a note that it is computer-made. Do not use edited faces of real people to deceive anyone."
)


def build() -> gr.Blocks:
    """All controls and what they call; `launch` arguments are in `app.py`."""
    with gr.Blocks(title=TITLE, fill_width=True, delete_cache=(600, 3600)) as page:
        gr.Markdown(INTRO)
        with gr.Row(equal_height=False):
            with gr.Column(scale=3, min_width=260):
                face = _face_controls()
            with gr.Column(scale=5, min_width=420):
                paint = _paint_controls()
            with gr.Column(scale=4, min_width=340):
                result = _result_controls()
        views = _view_controls()
        gr.Markdown(NOTE)
        _connect(page, face, paint, result, views)
    return page


def unopened(payload: Any) -> str | None:
    """The path of an uploaded file (which gradio has checked to be one), or None; the file itself is not looked at."""
    return None if payload is None else payload.path


def _face_controls() -> SimpleNamespace:
    """Where the face comes from, and the classes it is painted in."""
    gr.Markdown("### 1 · Face")
    with gr.Tabs():
        with gr.Tab("From a seed"):
            seed = gr.Number(7, label="Seed", precision=0, elem_id="seed")
            draw = gr.Button("Draw a face", variant="primary", elem_id="draw")
        with gr.Tab("From a photo", elem_id="photo-tab"):
            upload = gr.Image(type="filepath", sources=["upload", "clipboard"], label="Portrait", height=200, elem_id="photo")
            # What a visitor sends is judged by our reader, which says what is wrong with it, and not by gradio's.
            upload.preprocess = unopened  # pyright: ignore[reportAttributeAccessIssue]
            square = gr.Image(label="The square that will be used", interactive=False, height=170, elem_id="square")
            consent = gr.Checkbox(False, label=CONSENT, elem_id="consent")
            make = gr.Button("Make it 3-D", variant="primary", elem_id="make")
    layout = gr.Dropdown(
        handlers.layout_choices(),
        value=handlers.FIRST_LAYOUT,
        allow_custom_value=True,
        label="Layout of classes",
        info="A bundled layout, or org/name from the Hub",
        elem_id="layout",
    )
    chips = gr.HTML("", padding=False, elem_id="chips")
    classes = gr.Radio([], label="Paint with", elem_id="classes", interactive=True)
    return SimpleNamespace(**locals())


def _paint_controls() -> SimpleNamespace:
    """The canvas and what can be done with its strokes."""
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
        clear = gr.Button("Clear", elem_id="clear")
        undo = gr.Button("Undo", elem_id="undo")
        reset = gr.Button("Reset", elem_id="reset")
    overlap = gr.Checkbox(True, label="Count small regions fully (overlap loss)", elem_id="overlap")
    return SimpleNamespace(**locals())


def _result_controls() -> SimpleNamespace:
    """What came of it, and the downloads."""
    gr.Markdown("### 3 · Result")
    status = gr.Markdown("Draw a face from a seed, or upload a portrait.", elem_id="status")
    slider = gr.ImageSlider(label="Before · after", format="png", interactive=False, elem_id="slider")
    with gr.Row():
        picture_file = gr.DownloadButton("Picture PNG", size="sm", elem_id="get-picture")
        labels_file = gr.DownloadButton("Labels PNG", size="sm", elem_id="get-labels")
        video_file = gr.DownloadButton("Orbit MP4", size="sm", elem_id="get-video", interactive=False)
        mesh_file = gr.DownloadButton("Mesh GLB", size="sm", elem_id="get-mesh", interactive=False)
    return SimpleNamespace(**locals())


def _view_controls() -> SimpleNamespace:
    """The face from every side."""
    gr.Markdown("### 4 · From every side")
    show_labels = gr.Checkbox(False, label="Show labels", container=False, elem_id="show-labels")
    strip = gr.Gallery(columns=5, height=310, format="png", show_label=False, object_fit="contain", interactive=False, elem_id="strip")
    turn = gr.Button("Make the orbit video and the mesh", elem_id="turn")
    with gr.Row():
        video = gr.Video(label="Orbit", autoplay=True, loop=True, height=384, elem_id="video")
        mesh = gr.Model3D(label="Mesh", height=384, elem_id="mesh", clear_color=(0.93, 0.93, 0.95, 1.0))
    return SimpleNamespace(**locals())


def _connect(page: gr.Blocks, face: SimpleNamespace, paint: SimpleNamespace, result: SimpleNamespace, views: SimpleNamespace) -> None:
    """Which control calls which handler."""
    session = gr.State(None, time_to_live=3600)
    photo = gr.State(None, time_to_live=3600)
    common = [result.slider, result.picture_file, result.labels_file, result.status]
    face_outputs = [session, paint.editor, face.classes, face.chips, *common]
    edit_outputs = [session, paint.editor, *common]
    # However many visitors there are, two long works run at a time, and two short ones beside them; the others are told their place.
    short: dict[str, Any] = {"concurrency_id": "short"}
    long: dict[str, Any] = {"concurrency_id": "long"}
    views_event = {
        "fn": handlers.show_five_views,
        "inputs": [session, views.show_labels],
        "outputs": views.strip,
        "show_progress": "minimal",
        **short,
    }
    # Progress and faults show in one place, the status; gradio would lay them over every output and hide the face.
    here = {"show_progress_on": result.status}
    drawing = (handlers.draw_face, [face.seed, face.layout, paint.opacity], face_outputs)

    async def leave(request: gr.Request) -> None:
        """The visitor has closed the page: stop what would run for nobody, and forget them."""
        handlers.cancel(request)
        forget_unless_back(page.state_holder, str(request.session_hash))

    page.load(*drawing, **here, **short).success(**views_event)
    page.unload(leave)
    face.draw.click(*drawing, **here, **short).success(**views_event)
    face.upload.change(handlers.photo_chosen, face.upload, [face.square, photo, result.status], **here, **short)
    inverting = [photo, face.consent, face.layout, paint.opacity]
    face.make.click(handlers.invert_photo, inverting, face_outputs, **here, **long).success(**views_event)
    face.layout.change(handlers.layout_chosen, [session, face.layout, paint.opacity], face_outputs, **here, **short)
    face.classes.input(handlers.brush, [session, face.classes], paint.editor, show_progress="hidden")
    paint.opacity.release(handlers.opacity_chosen, [session, paint.editor, paint.opacity], paint.editor, show_progress="hidden")
    paint.clear.click(handlers.clear_strokes, [session, paint.opacity], paint.editor, **here)
    editing = [session, paint.editor, paint.opacity, paint.overlap]
    paint.apply.click(handlers.apply, editing, edit_outputs, **here, **long).success(**views_event)
    paint.stop.click(handlers.cancel, None, result.status, queue=False)
    paint.undo.click(handlers.undo, [session, paint.opacity], edit_outputs, **here, **short).success(**views_event)
    paint.reset.click(handlers.reset, [session, paint.opacity], edit_outputs, **here, **short).success(**views_event)
    views.show_labels.change(**views_event)
    making = [views.video, views.mesh, result.video_file, result.mesh_file, result.status]
    views.turn.click(handlers.make_video_and_mesh, session, making, **here, **long)
