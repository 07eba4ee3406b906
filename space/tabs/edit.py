"""The Edit tab, read from top to bottom: a face, its labels to paint on and what comes of it, and every side of it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import gradio as gr

from space import examples, handlers, jobs, keeping, layout_results, limits, models, strength, turning, views
from space.canvas import history_strip, painting_canvas, photo_crop, strength_slider, turning_viewer
from space.wiring import LONG, SHORT, Wiring, click

NOT_OPENED = "The file was not opened. The face that is shown stays."
IN_SIGHT = """() => {
  if (innerWidth <= 640) document.querySelector("#status").scrollIntoView({ block: "center", behavior: "smooth" });
}"""
CONSENT = "I am the person in the photo, or that person has agreed to this edit."


def build() -> SimpleNamespace:
    """All controls of the tab."""
    with gr.Row(equal_height=True):
        with gr.Column(scale=8, min_width=320, elem_classes="card"):
            face = _face_controls()
        with gr.Column(scale=5, min_width=300, elem_classes="card"):
            layout = _layout_controls()
    with gr.Row(equal_height=False):
        with gr.Column(scale=8, min_width=320, elem_classes="card"):
            paint = _paint_controls()
        with gr.Column(scale=5, min_width=300, elem_classes="card"):
            result = _result_controls()
    with gr.Column(elem_classes="card"):
        sides = _view_controls()
    return SimpleNamespace(**vars(face), **vars(layout), **vars(paint), **vars(result), **vars(sides))


def wiring(page: gr.Blocks, session: gr.State, on: SimpleNamespace) -> Wiring:
    """What the other tabs need to show a face here."""
    outputs = [session, *(getattr(on, name) for name in handlers.SHOWN[1:])]
    sides = {"fn": views.show_five_views, "inputs": [session, on.show], "outputs": on.strip, "show_progress": "minimal", **SHORT}

    def cancels(button: gr.Button, status: gr.Markdown, *kinds: str) -> None:
        """Let `button` stop work of these kinds."""

        async def cancel(request: gr.Request) -> str | dict[str, Any]:
            """Stop what this visitor has running or waiting."""
            return jobs.cancel(request, kinds, await jobs.take_back(page, request))

        # Said by the browser: the answer may come after the last word of the work that it stopped, and would stay there in its place.
        button.click(None, None, status, js="() => 'Stopping…'")
        button.click(cancel, None, status, queue=False)

    return Wiring(page, session, on.layout, outputs, sides, on.status, cancels)


def photo_upload(elem_id: str, min_width: int) -> gr.Image:
    """Where a visitor puts a portrait; its value is the path of the file, or None.

    What a visitor sends is judged by our reader, which says what is wrong with it, and not by gradio's.
    """
    upload = gr.Image(type="filepath", sources=["upload", "clipboard"], label="Portrait", height=190, elem_id=elem_id, min_width=min_width)
    upload.preprocess = _unopened  # pyright: ignore[reportAttributeAccessIssue]
    return upload


def _unopened(payload: Any) -> str | None:
    """The path of an uploaded file (which gradio has checked to be one), or None; the file itself is not looked at."""
    return None if payload is None else payload.path


def _face_controls() -> SimpleNamespace:
    """Where the face comes from."""
    gr.Markdown("### 1 · A face")
    with gr.Tabs(elem_id="sources"):
        with gr.Tab("From a seed"), gr.Row(elem_classes="with-button"):
            seed = gr.Number(7, label="Seed", precision=0, elem_id="seed", min_width=120)
            draw = gr.Button("Draw a face", variant="primary", elem_id="draw")
        with gr.Tab("From a photo", elem_id="photo-tab"), gr.Row():
            upload = photo_upload("photo", 150)
            square = photo_crop("square")
            with gr.Column(min_width=220):
                consent = gr.Checkbox(False, label=CONSENT, elem_id="consent")
                parse = gr.Checkbox(False, label="Hold the face to the parts that a parser sees in the photo", elem_id="parse")
                make = gr.Button("Make it 3-D", variant="primary", elem_id="make")
        with gr.Tab("Session", elem_id="session-tab"):
            gr.Markdown("A file that this page has saved: it reopens exactly as it was, with every edit.")
            opening = gr.UploadButton("Open a session file", variant="primary", elem_id="open-session")
        with gr.Tab("Earlier", elem_id="earlier-tab"):
            gr.Markdown(f"The last {limits.EARLIER} faces of this visit, each with its edits.")
            faces = history_strip("earlier")
    samples = examples.build()
    return SimpleNamespace(
        samples=samples,
        seed=seed,
        draw=draw,
        upload=upload,
        square=square,
        consent=consent,
        parse=parse,
        make=make,
        opening=opening,
        faces=faces,
    )


def _layout_controls() -> SimpleNamespace:
    """Which classes it is painted in."""
    gr.Markdown("### 2 · Its classes")
    layout = gr.Dropdown(
        models.layout_choices(),
        value=models.first_layout(),
        allow_custom_value=True,
        label="Layout of classes",
        info="A bundled layout, one of your own, or org/name from the Hub",
        elem_id="layout",
    )
    layout_file = gr.UploadButton("Open a layout's ZIP", file_types=[".zip"], size="sm", elem_id="open-layout")
    gr.Markdown(models.about_the_generator(), elem_id="generator")
    return SimpleNamespace(layout=layout, layout_file=layout_file)


def _paint_controls() -> SimpleNamespace:
    """The canvas, and what is done with what is painted."""
    gr.Markdown("### 3 · Paint")
    canvas = painting_canvas()
    with gr.Row(elem_id="actions"):
        apply = gr.Button("Apply", variant="primary", elem_id="apply", scale=3)
        stop = gr.Button("Cancel", elem_id="cancel", scale=1)
    with gr.Row():
        live = gr.Checkbox(True, label="Preview after each stroke", elem_id="live", min_width=180)
        overlap = gr.Checkbox(True, label="Count small regions fully (overlap loss)", elem_id="overlap", min_width=180)
    locks = gr.CheckboxGroup(list(handlers.LOCKS), show_label=False, container=False, elem_id="locks")
    return SimpleNamespace(canvas=canvas, apply=apply, stop=stop, live=live, overlap=overlap, locks=locks)


def _result_controls() -> SimpleNamespace:
    """What came of it, the way back, and the downloads."""
    gr.Markdown("### 4 · Result")
    status = gr.Markdown("Draw a face from a seed, or upload a portrait.", elem_id="status")
    slider = gr.ImageSlider(label="Before · after", format="png", interactive=False, elem_id="slider")
    strength = strength_slider()
    history = history_strip()
    with gr.Row():
        undo = gr.Button("Undo edit", size="sm", interactive=False, elem_id="undo")
        reset = gr.Button("Back to start", size="sm", interactive=False, elem_id="reset")
    with gr.Row():
        picture_file = gr.DownloadButton("Picture PNG", size="sm", elem_id="get-picture")
        labels_file = gr.DownloadButton("Labels PNG", size="sm", elem_id="get-labels")
        video_file = gr.DownloadButton("Orbit MP4", size="sm", elem_id="get-video", interactive=False)
        mesh_file = gr.DownloadButton("Mesh GLB", size="sm", elem_id="get-mesh", interactive=False)
        keep = gr.Button("Save session", size="sm", elem_id="save-session")
        session_file = gr.DownloadButton("Session file", size="sm", elem_id="get-session", elem_classes="unseen")
    gr.Markdown("A session file holds no photo, but it still encodes the likeness of the person.", elem_id="likeness")
    return SimpleNamespace(**locals())


def _view_controls() -> SimpleNamespace:
    """The face from every side."""
    with gr.Row(elem_id="sides"):
        gr.Markdown("### 5 · From every side")
        show = gr.Radio(list(turning.CHOICES), value="Picture", show_label=False, container=False, elem_id="show")
    with gr.Row(equal_height=False):
        with gr.Column(scale=5, min_width=300):
            viewer = turning_viewer()
        with gr.Column(scale=8, min_width=300):
            strip = gr.Gallery(
                columns=5, height=160, format="png", show_label=False, object_fit="contain", interactive=False, elem_id="strip"
            )
            turn = gr.Button("Make the orbit video and the mesh", elem_id="turn")
            with gr.Row():
                video = gr.Video(label="Orbit", autoplay=True, loop=True, height=230, elem_id="video")
                mesh = gr.Model3D(label="Mesh", height=230, elem_id="mesh", clear_color=(0.93, 0.93, 0.95, 1.0))
    return SimpleNamespace(show=show, viewer=viewer, strip=strip, turn=turn, video=video, mesh=mesh)


def connect(on: SimpleNamespace, wires: Wiring) -> None:
    """Which control calls which handler."""
    session, outputs, sides = wires.session, wires.outputs, wires.sides
    photo = gr.State(None, time_to_live=limits.STATE_LIFETIME)
    # Progress and faults show in one place, the status; gradio would lay them over every output and hide the face.
    here = {"show_progress_on": on.status}
    drawing = (handlers.draw_face, [on.seed, on.layout, session], outputs)
    wires.page.load(*drawing, **here, **SHORT).success(**sides)
    on.draw.click(*drawing, **here, **SHORT).success(**sides)
    examples.connect(on.samples, on.seed, wires)
    on.upload.change(handlers.photo_chosen, on.upload, [on.square, photo, on.status], **here, **SHORT)
    inverting = [photo, on.consent, on.parse, on.layout, on.square, session]
    on.make.click(handlers.invert_photo, inverting, outputs, **here, **LONG).success(**sides)
    opened = on.opening.upload(keeping.open_session, [on.opening, session], [*outputs, on.layout], **here, **SHORT)
    opened.success(**sides)
    opened.failure(None, None, on.status, js=f"() => '{NOT_OPENED}'")
    on.faces.select(keeping.back_to_face, [session, on.faces], [*outputs, on.layout], **here, **SHORT).success(**sides)
    on.layout.change(handlers.layout_chosen, [session, on.layout], outputs, **here, **SHORT).success(**sides)
    # A newer stroke stops the preview of the one before, so it must not wait for it.
    previewing = {"trigger_mode": "multiple", "show_progress": "hidden", "concurrency_id": "preview"}
    on.canvas.input(handlers.preview, [session, on.canvas, on.overlap, on.live, on.locks], [on.slider, on.status], **previewing)
    # On a phone what comes of it is a screen below. After Cancel, a new edit does not wait until the old one has stopped.
    on.apply.click(None, js=IN_SIGHT)
    applying = {"trigger_mode": "multiple", **here, **LONG}
    on.apply.click(handlers.apply, [session, on.canvas, on.overlap, on.locks], outputs, **applying).success(**sides)
    wires.cancel(on.stop, on.status, "face", "preview", "strength", "viewer", "views", "turn")
    on.history.select(handlers.go_back, [session, on.history], outputs, **here, **SHORT).success(**sides)
    on.undo.click(handlers.undo, session, outputs, **here, **SHORT).success(**sides)
    on.reset.click(handlers.reset, session, outputs, **here, **SHORT).success(**sides)
    sliding = {"trigger_mode": "always_last", "show_progress": "hidden", "concurrency_id": "viewer"}
    on.strength.input(strength.look_at_strength, [session, on.strength], on.slider, **sliding)
    weighing = {"trigger_mode": "always_last", **here, **SHORT}
    on.strength.release(strength.weigh, [session, on.strength], outputs, **weighing).success(**sides)
    keeping_it = on.keep.click(keeping.save_session, [session, on.canvas], [on.session_file, on.status], **here, **SHORT)
    keeping_it.success(None, js=click("get-session"))
    # One view is stopped by the next, so that must not wait for it.
    looking = {"trigger_mode": "multiple", "show_progress": "hidden", "concurrency_id": "viewer"}
    on.viewer.input(turning.turn, [session, on.viewer, on.show], on.viewer, **looking)
    on.show.change(turning.turn, [session, on.viewer, on.show], on.viewer, **looking, api_name=False)
    on.show.change(**sides)
    making = [on.video, on.mesh, on.video_file, on.mesh_file, on.status]
    on.turn.click(views.make_video_and_mesh, session, making, **here, **LONG)


def connect_layouts(on: SimpleNamespace, wires: Wiring, own: gr.State, start: gr.Dropdown) -> None:
    """The picker takes a visitor's file as well; then the New layout tab can `start` from it, too."""
    opening = [own, on.layout, start, on.status]
    on.layout_file.upload(layout_results.open_layout, [own, on.layout_file], opening, show_progress_on=on.status, **SHORT)
