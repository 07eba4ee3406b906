"""Where a face comes from and how it is edited. Every handler takes and returns plain values; all memory is in the visitor's `Session`."""

from __future__ import annotations

import dataclasses
import html
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import gradio as gr
import torch
from PIL import Image
from torch import Tensor

from fface_hub import invert, render
from fface_hub.doors import read_image, save_label_map, to_image
from fface_hub.editing.edit import EditResult, EditSettings
from fface_hub.errors import CancelledError, FFaceError, LayoutError
from fface_hub.hub.card_facts import escape
from fface_hub.inversion.align import Box, find_face, unit_of
from fface_hub.inversion.inversion import Inversion
from fface_hub.inversion.objective import InvertSettings
from fface_hub.progress import Callback
from fface_hub.rendering.export import save_png
from fface_hub.rendering.sampling import Sampling
from space import limits
from space.jobs import is_running, running, stop
from space.lent import lent
from space.models import OWN_LAYOUT, find_adapter, find_editor, find_encoder, find_parser, generator, latents_of
from space.painting import SIDE, data_url, outcome, read_painted, sheet
from space.state import Edit, Session
from space.strips import chosen_number, earlier, history
from space.toasts import plainly, plainly_streaming

RESOLUTION = 128
SAMPLING = Sampling(coarse=24, fine=24)
THUMBNAIL = 64
FILMED = ("video", "mesh", "video_file", "mesh_file")
BACK = ("undo", "reset")
SHOWN = ("session", "canvas", "history", "slider", "picture_file", "labels_file", "viewer", "strength", "faces", *FILMED, *BACK, "status")
"""What the page shows of a face: the controls that `shown` fills, in its order."""
KEEP_BACKGROUND, KEEP_IDENTITY = LOCKS = "Keep the background", "Keep the identity"
BACKGROUND_WEIGHT = 10.0
REACH = 0.4
"""What the locks set in `EditSettings`."""
quick_settings = EditSettings.preview

# ── showing ───────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────


def show(session: Session, keep: int | None = None, painted: Tensor | None = None) -> dict[str, Any]:
    """Render the current view; the sheet for the canvas (`painting.sheet` says what `keep` and `painted` are)."""
    session.rendering, session.unapplied = render(session.scene(), session.camera, RESOLUTION, SAMPLING, session.adapter), painted
    image = session.rendering.image[0]
    if session.first_image is None:
        session.first_image = image
    entry = session.edits[session.now]
    entry.thumbnail = entry.thumbnail or data_url(to_image(image).resize((THUMBNAIL, THUMBNAIL), Image.Resampling.LANCZOS))
    return sheet(image, session.labels, session.layout, keep, painted)


def before_after(session: Session, now: Tensor | None = None) -> tuple[Image.Image, Image.Image]:
    """The first and the current picture (or another one, `now [3,H,W]`), enlarged for the slider."""
    assert session.rendering is not None and session.first_image is not None
    pictures = session.first_image, session.rendering.image[0] if now is None else now
    first, second = (to_image(x).resize((SIDE, SIDE), Image.Resampling.BICUBIC) for x in pictures)
    return first, second


def picture_files(session: Session) -> tuple[str, str]:
    """Downloads that need no further rendering: the picture and the label map."""
    assert session.rendering is not None
    picture, labels = session.path(".png"), session.path("-labels.png")
    save_png(session.rendering.image[0], picture)
    save_label_map(session.labels, session.layout, labels)
    return str(picture), str(labels)


def shown(session: Session, message: str, keep: int | None = None, painted: Tensor | None = None) -> tuple[Any, ...]:
    """Everything the page shows of a face (`SHOWN`), rendered anew."""
    return with_sheet(session, message, show(session, keep, painted))


def with_sheet(session: Session, message: str, value: dict[str, Any]) -> tuple[Any, ...]:
    """Everything the page shows of a face (`SHOWN`) that was just rendered for this sheet, the `value` of the canvas."""
    entry = session.edits[session.now]
    strength = {"strength": round(100 * entry.strength), "can": entry.before is not None}
    viewer = {"anew": True}  # it asks for the view it wants
    views = before_after(session), *picture_files(session), viewer, strength, earlier(session)
    # The film and the mesh of another face, or of another state of this one, must not be taken for its own.
    filmed = (
        [gr.skip()] * 4 if session.filmed is session.latents else [None, None, *(gr.DownloadButton(value=None, interactive=False),) * 2]
    )
    back = gr.Button(interactive=entry.parent is not None), gr.Button(interactive=session.now != 0)
    return session, value, history(session), *views, *filmed, *back, message


def only(**values: Any) -> tuple[Any, ...]:
    """These `values` for controls of `SHOWN`; the others stay as they are."""
    return tuple(values.get(name, gr.skip()) for name in SHOWN)


# ── sources ───────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────


@plainly
def draw_face(seed: float | None, layout_id: str, before: Session | None, request: gr.Request) -> tuple[Any, ...]:
    """A face from a seed; the one `before` it is an earlier one from now on."""
    number = checked_seed(seed)
    model, adapter = generator(), find_adapter(layout_id, str(request.session_hash))
    settle(request)
    name, layout = f"seed-{number}", layout_name(layout_id)
    session = Session(model, model.default_camera, [Edit(latents_of(number))], adapter=adapter, name=name, layout_id=layout)
    session.follow(before)
    return shown(session, f"Face of seed {number}. Choose a class, paint, and press Apply.")


def checked_seed(seed: float | None) -> int:
    """The seed of a number field, or a plain sentence that it is none."""
    if seed is None or not 0 <= seed < 2**31:
        raise FFaceError("The seed must be a whole number from 0 to 2147483647.")
    return int(seed)


@plainly
def photo_chosen(path: str | None) -> tuple[Any, Any, str]:
    """Find the face in an uploaded photo and show the square that will be used, which can be moved."""
    if path is None:
        return None, None, "The photo was taken away. The face that is shown stays."
    try:
        photo = read_image(Path(path))
        face = find_face(photo, unit_of(generator()))
    except FFaceError as error:
        gr.Warning(html.escape(str(error), quote=False))  # no error: the square of an earlier photo must go
        return None, None, escape(str(error))
    small = photo.copy()
    small.thumbnail((SIDE, SIDE))
    smallest, largest = face.sizes
    box = [face.box.left, face.box.top, face.box.size]
    square = {"picture": data_url(small), "width": photo.width, "height": photo.height}
    square |= {"box": box, "smallest": smallest, "largest": largest}
    return square, photo, f"{face.note} Drag the square if it is not right, then press Make it 3-D.".strip()


def chosen_box(square: Any) -> Box | None:
    """The square that a browser says is to be cut from the photo; None where nothing was said."""
    if square is None:
        return None
    numbers = square.get("box") if isinstance(square, dict) else None
    if not isinstance(numbers, list) or len(numbers) != 3 or not all(type(n) is int and abs(n) < 2**20 for n in numbers):
        raise FFaceError("There is no such square: choose the photo again.")
    return Box(*numbers)


def invert_settings(parse: bool) -> InvertSettings:
    """How the page inverts: as suits its encoder, held to the labels of the bundled parser if `parse`."""
    return InvertSettings.starting(find_encoder()[0], parser=find_parser() if parse else None)


def inverted(photo: Image.Image, settings: InvertSettings, box: Box | None, report: Callback) -> Inversion:
    """The face in a photo, by a GPU that is lent for as long as the steps take, where the page has such."""
    seconds = limits.GPU_START + limits.GPU_STEP * settings.total
    return lent(seconds, report, _inverted, photo, settings, box)


def _inverted(photo: Image.Image, settings: InvertSettings, box: Box | None, report: Callback) -> Inversion:
    return invert(generator(), photo, settings=settings, callback=report, encoder=find_encoder()[0], box=box)


def agreed(photo: Image.Image | None, consent: bool) -> Image.Image:
    """The photo, or a plain sentence that there is none, or that nobody has said that it may be used."""
    if photo is None:
        raise FFaceError("There is no photo yet: upload a portrait first.")
    if not consent:
        raise FFaceError("Tick the box that says that the person in the photo has agreed, then press Make it 3-D again.")
    return photo


@plainly_streaming
def invert_photo(
    photo: Image.Image | None,
    consent: bool,
    parse: bool,
    layout_id: str,
    square: Any,
    before: Session | None,
    request: gr.Request,
    progress=gr.Progress(),
) -> Iterator[tuple[Any, ...]]:
    """Photo → latents, with progress and a preview, held to the labels of the bundled parser if `parse`; yields what `shown` gives.

    `square` is what was chosen of the photo (`chosen_box`); the face `before` is an earlier one from now on.
    """
    photo = agreed(photo, consent)
    adapter, box = find_adapter(layout_id, str(request.session_hash)), chosen_box(square)
    settings = invert_settings(parse)
    try:
        with running(request, lambda report: inverted(photo, settings, box, report)) as job:
            for step in job:
                progress((step.index, step.total), desc="Looking for this face in the generator")
            inversion = job.result()
    except CancelledError:
        yield only(status="Stopped. There is no new face.")
        return
    session = Session(inversion.generator, inversion.camera, [Edit(inversion.latents)], inversion, adapter, name="photo")
    session.layout_id = layout_name(layout_id)
    session.follow(before)
    yield shown(session, f"Reconstructed in {inversion.seconds:.0f} s. {find_encoder()[1]} Choose a class, paint, and press Apply.")


def layout_name(layout_id: str | None) -> str:
    """What the list of layouts calls this choice."""
    return (layout_id or "").strip() or OWN_LAYOUT


def settle(request: gr.Request) -> None:
    """Stop what this visitor's edits and previews would still bring: another face or another state of it is asked for."""
    for kind in ("preview", "face", "strength"):
        stop(request, kind)


# ── painting and editing ──────────────────────────────────────────────────────────────────────────────────────────────────────────────


def need(session: Session | None) -> Session:
    """The session, or a plain sentence that there is no face yet."""
    if session is None or session.rendering is None:
        raise FFaceError("There is no face yet: draw one from a seed, or upload a portrait.")
    return session


@plainly
def layout_chosen(session: Session | None, layout_id: str, request: gr.Request) -> tuple[Any, ...]:
    """Show the same face with the labels of another layout; strokes stay where that has their classes."""
    if session is None or session.layout_id == layout_name(layout_id):  # which came with the face: an earlier one, or one from a file
        return only()
    # Another object: what is still at work on the face, such as its five views, keeps the layout of the labels that it has.
    adapter = find_adapter(layout_id, str(request.session_hash))
    session = dataclasses.replace(session, adapter=adapter, layout_id=layout_name(layout_id))
    settle(request)
    return shown(session, f"Labels in the layout {escape(session.layout.name)}: {len(session.layout)} classes.", keep=0)


def edit_settings(overlap: bool, quick: bool = False, locks: Sequence[str] = ()) -> EditSettings:
    """How the page edits, with those `LOCKS`; `quick` for the preview after a stroke."""
    settings = quick_settings() if quick else EditSettings()
    return dataclasses.replace(
        settings,
        overlap_weight=settings.overlap_weight if overlap else 0.0,
        background_weight=BACKGROUND_WEIGHT if KEEP_BACKGROUND in locks else 0.0,
        reach=REACH if KEEP_IDENTITY in locks else None,
    )


def edit_job(session: Session, target: Tensor, settings: EditSettings, report: Callback) -> EditResult:
    """The edit of the face as it is now towards `target [h,h]`, in its layout."""
    return session.editing(find_editor()).apply(target, settings, report, original_labels=session.labels)


def edited(session: Session, target: Tensor, settings: EditSettings, report: Callback) -> EditResult:
    """`edit_job` by a GPU that is lent for as long as the steps take, where the page has such."""
    return lent(edit_seconds(settings), report, edit_job, session, target, settings)


def edit_seconds(settings: EditSettings) -> float:
    """Seconds of a lent GPU that an edit asks for."""
    return limits.GPU_START + limits.GPU_STEP * settings.steps


@plainly
def preview(
    session: Session | None, painted: Any, overlap: bool, live: bool, request: gr.Request, locks: Sequence[str] = ()
) -> tuple[Any, Any]:
    """A few steps of the edit after a stroke, (before/after, status); a newer stroke, or Apply, stops it."""
    nothing = gr.skip(), gr.skip()
    if session is None or session.rendering is None:
        return nothing
    try:
        target, _ = read_painted(painted, session.labels, session.layout)
    except LayoutError:  # painted over a face that has changed in the meantime
        return nothing
    session.unapplied = target
    if not live or is_running(request):
        return nothing
    if torch.equal(target, session.labels.cpu()):
        stop(request, "preview")
        return before_after(session), "Nothing is painted."

    def work(report: Callback) -> Tensor:
        return edit_job(session, target, edit_settings(overlap, quick=True, locks=locks), report).after.image[0]

    try:
        with running(request, work, "preview") as job:
            picture = job.result()
    except CancelledError:
        return nothing
    except LayoutError as error:  # a stroke too small to be seen is no reason for an alarm while somebody paints
        return gr.skip(), escape(str(error))
    return before_after(session, picture), "A quick preview of your strokes. Press Apply for the whole edit."


@plainly_streaming
def apply(
    session: Session | None,
    painted: Any,
    overlap: bool,
    request: gr.Request,
    progress=gr.Progress(),
    locks: Sequence[str] = (),
) -> Iterator[tuple[Any, ...]]:
    """Move the latents until the labels match what was painted; yields what `shown` gives."""
    session = need(session)
    if is_running(request):
        gr.Info("A face is still being made: wait until it is done, or press Cancel first.")
        yield only()
        return
    target, revision = read_painted(painted, session.labels, session.layout)
    changed = int((target != session.labels.cpu()).sum())
    if changed == 0:
        raise FFaceError("Nothing is painted yet: choose a class and paint over the face, then press Apply.")
    stop(request, "preview")
    settings = edit_settings(overlap, locks=locks)

    try:
        with running(request, lambda report: edited(session, target, settings, report)) as job:
            for step in job:
                progress((step.index, step.total), desc="Moving the face towards the paint")
                if step.preview is not None:
                    yield only(slider=before_after(session, step.preview), status=f"Step {step.index} of {step.total}")
            result = job.result()
    except Exception as error:  # the last preview makes way for the face as it was; strokes stay
        stopped = isinstance(error, CancelledError)
        said = str(error) if stopped else "The edit was not made; the face and your strokes are as they were."
        yield only(slider=before_after(session), status=said)
        if stopped:
            return
        raise
    session.add(result.latents, target)
    yield shown(session, outcome(changed, result.matched), keep=revision)  # what was painted while the edit ran is painted on the new face


# ── going back ────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────


@plainly
def undo(session: Session | None, request: gr.Request) -> tuple[Any, ...]:
    """Back to the face that the current edit was made from, with the strokes that it was made with, and those on the canvas over them."""
    session = need(session)
    entry = session.edits[session.now]
    if entry.parent is None:
        raise FFaceError("There is no edit to undo.")
    settle(request)
    session.now = entry.parent
    strokes = entry.painted if entry.layout == session.layout else None
    return shown(session, _where(session) + (" Your strokes are back, too." if strokes is not None else ""), keep=0, painted=strokes)


@plainly
def go_back(session: Session | None, chosen: Any, request: gr.Request) -> tuple[Any, ...]:
    """To any edit of the strip: `chosen` is `{now: its number}`. Edits after it stay in the strip, and strokes on the canvas."""
    session = need(session)
    number = chosen_number(chosen, len(session.edits), "edit")
    settle(request)
    session.now = number
    return shown(session, _where(session), keep=0)


def reset(session: Session | None, request: gr.Request) -> tuple[Any, ...]:
    """Back to the face before any edit."""
    return go_back(session, {"now": 0}, request)


def _where(session: Session) -> str:
    return f"This is edit {session.now}." if session.now else "This is the face before any edit."
