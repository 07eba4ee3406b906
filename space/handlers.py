"""What each control of the page does. Every handler takes and returns plain values; all memory is in the visitor's `Session`."""

from __future__ import annotations

import dataclasses
import functools
import html
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

import gradio as gr
import spaces
import torch
import torch.nn.functional as F
from PIL import Image

from fface_hub import Adapter, Generator, edit, invert, render
from fface_hub.cameras import FIVE_VIEWS
from fface_hub.doors import read_image, save_label_map, to_image
from fface_hub.editing.edit import EditResult, EditSettings
from fface_hub.errors import CancelledError, FFaceError, ModelError
from fface_hub.hub.cards import escape
from fface_hub.inversion.align import crop, find_face
from fface_hub.progress import Callback, between
from fface_hub.rendering.export import save_glb, save_mp4, save_png
from fface_hub.rendering.mesh import extract_mesh
from fface_hub.rendering.sampling import Sampling
from fface_hub.rendering.views import five_views, orbit_frames
from fface_hub.sources import bundled_names, is_hub_id
from space.jobs import running, stop_all
from space.painting import editor_value, hex_color, overlay, painted_labels, palette_css
from space.state import Session
from space.toasts import plainly, plainly_streaming

GENERATOR_ID = "heads-triplane"
FIRST_LAYOUT = "heads-nasal-wing-17"
"""The layout that the page opens with."""
OWN_LAYOUT = "base-15 (the generator's own)"
RESOLUTION = 128
SAMPLING = Sampling(coarse=24, fine=24)
ORBIT_FRAMES = 24

Value = TypeVar("Value")


@functools.cache
def generator() -> Generator:
    """The bundled generator, loaded once for all visitors; it is never written to, and never asks for gradients."""
    return _read_only(Generator.from_pretrained(GENERATOR_ID))


@functools.cache
def bundled_adapter(name: str) -> Adapter:
    """A bundled adapter, loaded once for all visitors; read-only like the generator."""
    return _read_only(Adapter.from_pretrained(name))


def _read_only(model: Value) -> Value:
    """`model` with frozen weights: work on them, such as tuning, happens on copies."""
    return model.requires_grad_(False) if isinstance(model, torch.nn.Module) else model


def layout_choices() -> list[str]:
    """Layouts that can be painted in at once."""
    return [OWN_LAYOUT, *bundled_names("Adapter")]


# ── showing ───────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────


def show(session: Session, opacity: float) -> dict[str, Any]:
    """Render the current view and put it on an empty canvas."""
    with torch.no_grad():
        session.rendering = render(session.scene(), session.camera, RESOLUTION, SAMPLING, session.adapter)
    if session.first_image is None:
        session.first_image = session.rendering.image[0]
    return canvas(session, opacity)


def canvas(session: Session, opacity: float, layers: list[Image.Image] | None = None) -> dict[str, Any]:
    """The editor's value for the current view, with strokes that stay."""
    assert session.rendering is not None
    return editor_value(overlay(session.rendering.image[0], session.labels, session.layout, opacity), layers)


def before_after(session: Session) -> tuple[Image.Image, Image.Image]:
    """The first and the current picture, enlarged for the slider."""
    assert session.rendering is not None and session.first_image is not None
    first, now = (to_image(x).resize((512, 512), Image.Resampling.BICUBIC) for x in (session.first_image, session.rendering.image[0]))
    return first, now


def picture_files(session: Session) -> tuple[str, str]:
    """Downloads that need no further rendering: the picture and the label map."""
    assert session.rendering is not None
    picture, labels = session.path(".png"), session.path("-labels.png")
    save_png(session.rendering.image[0], picture)
    save_label_map(session.labels, session.layout, labels)
    return str(picture), str(labels)


def palette(session: Session, chosen: str | None = None) -> tuple[Any, str, Any]:
    """Class list, its colour chips, and the brush in the chosen class's colour."""
    names = session.layout.names
    name = chosen if chosen in names else ("nose" if "nose" in names else names[-1])
    return gr.Radio(choices=names, value=name), palette_css(session.layout), brush(session, name)


@plainly
def brush(session: Session | None, name: str | None, size: int = 14) -> Any:
    """The editor with a brush of the class's colour; strokes already made stay."""
    if session is None or name not in session.layout.names:
        return gr.skip()
    color = hex_color(session.layout, session.layout.index(name))
    return gr.ImageEditor(brush=gr.Brush(default_size=size, colors=[color], default_color=color, color_mode="fixed"))


def started(session: Session, opacity: float, message: str) -> tuple[Any, ...]:
    """Everything the page shows once there is a new face (see `page.FACE_OUTPUTS`)."""
    value = show(session, opacity)
    radio, style, editor = palette(session)
    editor.constructor_args["value"] = value
    return session, editor, radio, style, before_after(session), *picture_files(session), message


# ── sources ───────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────


@plainly
@spaces.GPU(duration=30)
def draw_face(seed: float | None, layout_id: str, opacity: float) -> tuple[Any, ...]:
    """A face from a seed."""
    if seed is None or not 0 <= seed < 2**31:
        raise FFaceError("The seed must be a whole number from 0 to 2147483647.")
    model, adapter = generator(), find_adapter(layout_id)
    latents = model.sample(1, int(seed), truncation=0.9)
    session = Session(model, model.default_camera, [latents], adapter=adapter, name=f"seed-{int(seed)}")
    return started(session, opacity, f"Face of seed {int(seed)}. Choose a class, paint, and press Apply.")


def find_adapter(layout_id: str | None) -> Adapter | None:
    """The adapter of a layout choice: None for the generator's own layout; a bundled name, or `org/name` from the Hub.

    Never a folder: a visitor has no business in the server's. `ModelError` if there is none, or it is for another generator.
    """
    layout_id = (layout_id or "").strip()
    if layout_id in ("", OWN_LAYOUT):
        return None
    bundled = bundled_names("Adapter")
    if layout_id not in bundled and not is_hub_id(layout_id):
        raise ModelError(f"There is no layout '{layout_id[:60]}': choose one of the list, or write org/name for one on the Hub.")
    adapter = bundled_adapter(layout_id) if layout_id in bundled else Adapter.from_pretrained(layout_id)
    adapter.check(generator())
    return adapter


@plainly
def photo_chosen(path: str | None) -> tuple[Any, Any, str]:
    """Find the face in an uploaded photo and show the square that will be used."""
    if path is None:
        return None, None, "Upload a portrait, or draw a face from a seed."
    try:
        photo = read_image(Path(path))
        face = find_face(photo)
    except FFaceError as error:
        gr.Warning(html.escape(str(error), quote=False))  # no error: the square of an earlier photo must go
        return None, None, escape(str(error))
    return crop(photo, face.box, 512), photo, f"{face.note} Press Make it 3-D.".strip()


@plainly_streaming
@spaces.GPU(duration=120)
def invert_photo(
    photo: Image.Image | None, consent: bool, layout_id: str, opacity: float, request: gr.Request, progress=gr.Progress()
) -> Iterator[tuple[Any, ...]]:
    """Photo → latents, with progress and a preview; yields `FACE_OUTPUTS`."""
    if photo is None:
        raise FFaceError("There is no photo yet: upload a portrait first.")
    if not consent:
        raise FFaceError("Tick the box that says that the person in the photo has agreed, then press Make it 3-D again.")
    model, adapter = generator(), find_adapter(layout_id)
    with running(request, lambda report: invert(model, photo, callback=report)) as job:
        for step in job:
            progress((step.index, step.total), desc="Looking for this face in the generator")
        inversion = job.result()
    session = Session(inversion.generator, inversion.camera, [inversion.latents], inversion, adapter, name="photo")
    yield started(session, opacity, f"Reconstructed in {inversion.seconds:.0f} s. Choose a class, paint, and press Apply.")


def cancel(request: gr.Request) -> str:
    """Stop this visitor's running work."""
    return "Stopping…" if stop_all(request) else "Nothing is running."


# ── painting and editing ──────────────────────────────────────────────────────────────────────────────────────────────────────────────


def need(session: Session | None) -> Session:
    """The session, or a plain sentence that there is no face yet."""
    if session is None or session.rendering is None:
        raise FFaceError("There is no face yet: draw one from a seed, or upload a portrait.")
    return session


@plainly
@spaces.GPU(duration=30)
def layout_chosen(session: Session | None, layout_id: str, opacity: float) -> tuple[Any, ...]:
    """Show the same face with the labels of another layout."""
    if session is None:
        return (gr.skip(),) * 8
    # Another object: what is still at work on the face, such as its five views, keeps the layout of the labels that it has.
    session = dataclasses.replace(session, adapter=find_adapter(layout_id))
    return started(session, opacity, f"Labels in the layout {escape(session.layout.name)}: {len(session.layout)} classes.")


@plainly
def opacity_chosen(session: Session | None, editor: dict[str, Any] | None, opacity: float) -> Any:
    """Blend the labels anew; strokes stay."""
    if session is None or session.rendering is None:
        return gr.skip()
    return canvas(session, opacity, (editor or {}).get("layers"))


@plainly
def clear_strokes(session: Session | None, opacity: float) -> Any:
    """An empty canvas over the same face."""
    return canvas(need(session), opacity)


@plainly_streaming
@spaces.GPU(duration=120)
def apply(
    session: Session | None, editor: dict[str, Any] | None, opacity: float, overlap: bool, request: gr.Request, progress=gr.Progress()
) -> Iterator[tuple[Any, ...]]:
    """Move the latents until the labels match the strokes; yields (session, editor, before/after, picture, labels, status)."""
    session = need(session)
    target = painted_labels((editor or {}).get("layers") or [], session.labels, session.layout)
    changed = int((target != session.labels.cpu()).sum())
    if changed == 0:
        raise FFaceError("Nothing is painted yet: choose a class and paint over the face, then press Apply.")
    settings = EditSettings() if overlap else EditSettings(overlap_weight=0.0)
    source = session.latents if session.inversion is None else dataclasses.replace(session.inversion, latents=session.latents)
    first, _ = before_after(session)

    def work(report: Callback) -> EditResult:
        return edit(session.generator, source, target, session.adapter, session.camera, settings, report, original_labels=session.labels)

    try:
        with running(request, work) as job:
            for step in job:
                progress((step.index, step.total), desc="Moving the face towards the paint")
                if step.preview is not None:
                    preview = to_image(step.preview).resize((512, 512), Image.Resampling.BICUBIC)
                    yield session, gr.skip(), (first, preview), gr.skip(), gr.skip(), f"Step {step.index} of {step.total}"
            result = job.result()
    except Exception as error:  # the last preview makes way for the face as it was; strokes stay
        said = "The edit was not made; the face and your strokes are as they were."
        yield session, gr.skip(), before_after(session), gr.skip(), gr.skip(), str(error) if isinstance(error, CancelledError) else said
        if isinstance(error, CancelledError):
            return
        raise
    session.history.append(result.latents)
    value = show(session, opacity)
    region = result.region.bool()
    reached = float((result.after.labels[0] == result.target)[region].float().mean())
    message = f"Done: {changed} label pixels painted, {reached:.0%} of the edited region has the label you asked for."
    yield session, value, before_after(session), *picture_files(session), message


@plainly
def undo(session: Session | None, opacity: float) -> tuple[Any, ...]:
    """One edit back."""
    session = need(session)
    if len(session.history) == 1:
        raise FFaceError("There is no edit to undo.")
    session.history.pop()
    return session, show(session, opacity), before_after(session), *picture_files(session), f"{len(session.history) - 1} edits left."


@plainly
def reset(session: Session | None, opacity: float) -> tuple[Any, ...]:
    """Back to the face before any edit."""
    session = need(session)
    del session.history[1:]
    return session, show(session, opacity), before_after(session), *picture_files(session), "Back to the face before any edit."


# ── views ─────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────


@plainly
@spaces.GPU(duration=60)
def show_five_views(session: Session | None, show_labels: bool, request: gr.Request, progress=gr.Progress()) -> Any:
    """The current face from yaw −30° to 30°, or its labels: pictures with captions for the gallery."""
    session = need(session)
    scene, adapter = session.scene(), session.adapter
    try:
        with running(request, lambda report: five_views(scene, RESOLUTION, adapter, SAMPLING, report), "views") as job:
            for step in job:
                progress((step.index, step.total), desc="Rendering five views")
            views = job.result()
    except CancelledError:  # they are asked for anew, or nobody is there any more
        return gr.skip()
    opacity = 0.75 if show_labels else 0.0
    pictures = [overlay(image, labels, session.layout, opacity) for image, labels in zip(views.image, views.labels, strict=True)]
    return [(picture, f"{yaw:.0f}°") for picture, yaw in zip(pictures, FIVE_VIEWS, strict=True)]


@plainly
@spaces.GPU(duration=120)
def make_video_and_mesh(session: Session | None, request: gr.Request, progress=gr.Progress()) -> tuple[Any, Any, Any, Any, str]:
    """Orbit video and coloured mesh of the current face, to look at and to download."""
    session = need(session)
    scene, video, mesh = session.scene(), str(session.path(".mp4")), str(session.path(".glb"))

    def work(report: Callback) -> str | None:
        """Write the files; what is wrong if there is no mesh."""
        frames = orbit_frames(scene, ORBIT_FRAMES, RESOLUTION, None, SAMPLING, report)
        save_mp4(F.interpolate(frames.image, size=(384, 384), mode="bicubic", antialias=True), video, fps=12)
        try:
            save_glb(extract_mesh(scene, callback=between(report, ORBIT_FRAMES, ORBIT_FRAMES)), mesh)
        except ModelError as error:  # a face may have no closed surface; the video is kept
            return str(error)

    try:
        with running(request, work, "turn") as job:
            for step in job:
                progress((step.index, step.total), desc="Building the mesh" if step.index == step.total else "Rendering the orbit")
            problem = job.result()
    except CancelledError:
        return gr.skip(), gr.skip(), gr.skip(), gr.skip(), "Stopped. There is no new video."
    video_button = gr.DownloadButton(value=video, interactive=True)
    if problem is not None:
        return video, None, video_button, gr.DownloadButton(value=None, interactive=False), f"The orbit video is ready. {problem}"
    mesh_button = gr.DownloadButton(value=mesh, interactive=True)
    return video, mesh, video_button, mesh_button, "The orbit video and the mesh are ready."
