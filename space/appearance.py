"""What the face takes from another one, drawn or photographed: colours of all of it or of single parts, shape, or the shape of parts.

Colours of parts are those of the generator's own classes: then latents say all (`Latents.appearance [B,K,L,D]`), whatever layout the face
is painted in, and what is taken is an entry of the Edit tab's history like any other.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr
import torch
from PIL import Image
from torch import Tensor

from fface_hub import render
from fface_hub.doors import read_image, to_image
from fface_hub.editing.edit import EditResult
from fface_hub.editing.transfer import transfer, transfer_geometry
from fface_hub.errors import CancelledError, FFaceError
from fface_hub.hub.card_facts import escape
from fface_hub.inversion.objective import InvertSettings
from fface_hub.latents import Latents
from fface_hub.progress import Callback, Step, between
from space import examples, handlers
from space.handlers import agreed, need, settle
from space.jobs import running, stop
from space.lent import lent
from space.models import find_encoder, generator, latents_of
from space.painting import SIDE
from space.state import Session
from space.toasts import plainly, plainly_streaming

FIRST_SEED = 32
"""The other face that the tab opens with."""
QUICK = 64
"""Pixels of a first picture of a face with colours of its own for single parts, which takes several times as long to draw as others."""


@dataclass(frozen=True)
class Other:
    """The face that lends: its `latents`, and what it is called."""

    latents: Latents
    name: str


@dataclass(frozen=True)
class Blend:
    """The face that the tab shows: `latents`, made from the face `of`, and what was `done`, in words."""

    latents: Latents
    of: Latents
    done: str


def enlarged(image: Tensor) -> Image.Image:
    """A picture `[3,H,W]` in [-1, 1] as the tab shows it."""
    return to_image(image).resize((SIDE, SIDE), Image.Resampling.BICUBIC)


# ── both faces ────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────


@plainly
def opened(session: Session | None, other: Other | None, colored: list[str], shaped: list[str]) -> tuple[Any, ...]:
    """When the tab is shown: (own picture, other face, its picture, both choices of classes, status)."""
    if session is None or session.rendering is None:
        nothing = gr.skip()
        return nothing, nothing, nothing, nothing, nothing, "There is no face yet: draw one on the Edit tab, or make one from a photo."
    known = other or drawn(FIRST_SEED)
    colors, shapes = generator().layout.names[1:], session.layout.names[1:]  # what is behind the face cannot be lent
    choices = [
        gr.CheckboxGroup(names, value=[name for name in ticked if name in names]) for names, ticked in ((colors, colored), (shapes, shaped))
    ]
    picture = gr.skip() if other is known else look(known)
    return enlarged(session.rendering.image[0]), known, picture, *choices, f"The other face is {known.name}."


@plainly
def draw_other(seed: float | None) -> tuple[Other, Image.Image, str]:
    """The other face from a seed: (other face, its picture, status)."""
    other = drawn(handlers.checked_seed(seed))
    return other, look(other), f"The other face is {other.name}."


@plainly_streaming
def invert_other(
    photo: Image.Image | None, consent: bool, square: Any, request: gr.Request, progress=gr.Progress()
) -> Iterator[tuple[Any, ...]]:
    """The other face from a photo; yields as `draw_other` returns. Only its latents are looked for: they are all that it lends.

    `square` is what was chosen of the photo (`handlers.chosen_box`).
    """
    photo, box = agreed(photo, consent), handlers.chosen_box(square)
    settings = InvertSettings.starting(find_encoder()[0], tuning_steps=0, backdrop=False)
    try:
        with running(request, lambda report: handlers.inverted(photo, settings, box, report), "other") as job:
            for step in job:
                progress((step.index, step.total), desc="Looking for this face in the generator")
            inversion = job.result()
    except CancelledError:
        yield gr.skip(), gr.skip(), "Stopped. The other face is as it was."
        return
    other = Other(inversion.latents, "the one in the photo")
    yield other, look(other), f"Found in {inversion.seconds:.0f} s. The other face is {other.name}."


@plainly_streaming
def invert_example(request: gr.Request, progress=gr.Progress()) -> Iterator[tuple[Any, ...]]:
    """`invert_other` of the photograph that is shown with the page."""
    yield from invert_other(read_image(examples.PHOTO), True, None, request, progress)


def drawn(seed: int) -> Other:
    """The face that the Edit tab shows for `seed`."""
    return Other(latents_of(seed), f"that of seed {seed}")


def look(other: Other) -> Image.Image:
    """The other face from the front."""
    model = generator()
    with torch.no_grad():
        return enlarged(render(model.scene(other.latents), model.default_camera, handlers.RESOLUTION, handlers.SAMPLING).image[0])


# ── colours and shape ─────────────────────────────────────────────────────────────────────────────────────────────────────────────────


@plainly_streaming
def blend(
    session: Session | None, other: Other | None, classes: list[str], colors: float, shape: float, request: gr.Request
) -> Iterator[tuple[Any, Any, Any]]:
    """The face with `colors` % of the other's colours (of `classes` only, or if there are none, of all) and `shape` % of its shape; yields
    (blend, picture, what it is). A newer wish stops it."""
    nothing = gr.skip(), gr.skip(), gr.skip()  # what never yields would empty its outputs
    if session is None or session.rendering is None or other is None:
        yield nothing
        return
    latents = transfer(session.generator, session.face(), other.latents, colors / 100, shape / 100, classes or None)
    made = Blend(latents, session.latents, told(other, classes, colors, shape))
    try:
        with running(request, lambda report: pictures(session, latents, report), "blend") as job:
            for step in job:
                if step.preview is not None:
                    yield made, enlarged(step.preview), f"{made.done} A first look…"
            picture = job.result()
    except CancelledError:
        yield nothing
        return
    yield made, enlarged(picture), made.done


def pictures(session: Session, latents: Latents, report: Callback) -> Tensor:
    """The picture `[3,H,W]` of `latents` as the Edit tab would show them; a small one is reported first if that takes long."""
    scene, camera = session.face(latents).scene(), session.camera
    with torch.no_grad():
        if latents.appearance.shape[1] > 1:
            first = render(scene, camera, QUICK, handlers.SAMPLING, callback=between(report, 0, 2))
            report(Step(1, 2, {}, preview=first.image[0]))
        return render(scene, camera, handlers.RESOLUTION, handlers.SAMPLING, callback=between(report, 1, 2)).image[0]


def told(other: Other, classes: Sequence[str], colors: float, shape: float) -> str:
    """What a blend does, as a sentence in Markdown."""
    parts = f" of {', '.join(map(escape, classes))}" if classes else ""
    taken = [f"{colors:.0f} % of the colours{parts}"] * (colors > 0) + [f"{shape:.0f} % of the shape"] * (shape > 0)
    return f"{' and '.join(taken) or 'Nothing'} {'come' if taken else 'comes'} from the other face, {other.name}."


@plainly
def use(session: Session | None, made: Blend | None, request: gr.Request) -> tuple[Any, ...]:
    """The face that is shown becomes the newest edit of the Edit tab; returns what `handlers.shown` gives."""
    session = need(session)
    if made is None or not same(made.of, session.latents):
        raise FFaceError("The face has changed since this was drawn: move a slider, look at it, and press Use this face again.")
    if same(made.latents, session.latents):
        raise FFaceError("Nothing comes from the other face yet: move a slider first.")
    settle(request)
    session.add(made.latents)
    return handlers.shown(session, f"{made.done} Undo edit brings back the face from before.")


def same(one: Latents, two: Latents) -> bool:
    """Whether both are the same face, with one appearance for all of it or equal ones for each class."""
    return torch.equal(one.geometry, two.geometry) and torch.equal(*torch.broadcast_tensors(one.appearance, two.appearance))


# ── the shape of parts ────────────────────────────────────────────────────────────────────────────────────────────────────────────────


@plainly_streaming
def take_shape(
    session: Session | None, other: Other | None, classes: list[str], request: gr.Request, progress=gr.Progress()
) -> Iterator[tuple[Any, ...]]:
    """An edit that gives `classes` of the face the outline that they have in the other; yields what `handlers.shown` gives, and after it
    (own picture, status)."""
    session = need(session)
    if other is None:
        raise FFaceError("There is no other face yet: draw one from a seed, or upload a portrait.")
    face, camera, settings = session.face(), session.camera, handlers.edit_settings(overlap=True)
    stop(request, "preview")

    def work(report: Callback) -> EditResult:
        seconds = handlers.edit_seconds(settings)
        return lent(seconds, report, transfer_geometry, session.generator, face, other.latents, classes, session.adapter, camera, settings)

    def only(picture: Any, message: str) -> tuple[Any, ...]:
        return *handlers.only(), picture, message

    assert session.rendering is not None
    before = enlarged(session.rendering.image[0])
    try:
        with running(request, work) as job:
            for step in job:
                progress((step.index, step.total), desc="Moving the face towards the outline")
                if step.preview is not None:
                    yield only(enlarged(step.preview), f"Step {step.index} of {step.total}")
            result = job.result()
    except Exception as error:  # the last preview makes way for the face as it was
        stopped = isinstance(error, CancelledError)
        yield only(before, str(error) if stopped else "No shape was taken; the face is as it was.")
        if stopped:
            return
        raise
    session.add(result.latents)
    whose = f"Shape of {', '.join(map(escape, classes))} from the other face, {other.name}"
    message = f"{whose}: {result.matched:.0%} of the pixels that differ have their label."
    after = handlers.shown(session, message)
    yield *after, enlarged(session.rendering.image[0]), f"{message} It is the newest edit on the Edit tab."
