"""How a visitor makes a layout: its classes, faces to paint, and suggestions; what comes of them, such as the fit, is in `layout_results`.
All memory is in the visitor's own state (`Own`)."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import gradio as gr
import torch
from torch import Tensor

from fface_hub.adapters.adapter import Adapter
from fface_hub.adapters.samples import SampleSet
from fface_hub.adapters.samples_new import propose as propose_faces
from fface_hub.errors import CancelledError, FFaceError
from fface_hub.hub.card_facts import escape
from fface_hub.layouts import Layout
from fface_hub.progress import Callback, Step
from fface_hub.rendering.renderer import render
from fface_hub.schema import check_arguments
from space import handlers, limits
from space.drafts import Adviser, Draft, Own, class_list, read_classes
from space.fitting import suggest
from space.jobs import running, stop
from space.lent import lent
from space.models import find_adapter, generator, layout_of
from space.strips import chosen_number
from space.toasts import plainly, plainly_streaming

SCRATCH = "Nothing: name all classes yourself"
"""The choice to start from no layout."""
FEWEST_PAINTED = 2
"""Faces that a fit needs."""

# ── classes ───────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────


def known_layout(start: str, request: gr.Request) -> tuple[Adapter | None, Layout]:
    """What labels faces to start with: an adapter (None: the generator itself), and its layout."""
    adapter = None if start == SCRATCH else find_adapter(start, str(request.session_hash))
    return adapter, layout_of(adapter)


@plainly
def start_chosen(start: str, request: gr.Request) -> dict[str, Any]:
    """The classes of another layout to start from, for the list."""
    known = known_layout(start, request)[1]
    return class_list(known, known.names[:1] if start == SCRATCH else known.names)


@plainly
def tab_opened(start: str, rows: Any, request: gr.Request) -> Any:
    """The list of classes for who comes the first time; what somebody has named stays."""
    return gr.skip() if isinstance(rows, dict) else start_chosen(start, request)


def need(own: Own | None) -> Draft:
    """The layout in the making, or a plain sentence that there is none yet."""
    if own is None or own.draft is None or not own.draft.faces:
        raise FFaceError("There are no faces to paint yet: name the classes, then press Propose faces.")
    return own.draft


# ── faces ─────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────


@plainly_streaming
def propose(
    own: Own | None, rows: Any, name: str, start: str, count: float | None, painted: Any, request: gr.Request, progress=gr.Progress()
) -> Iterator[tuple[Any, ...]]:
    """Take over the classes, and draw the faces that are missing one by one; yields (state, strip, sheet, status)."""
    model, own = generator(), own or Own()
    adapter, known = known_layout(start, request)
    classes = read_classes(rows, name, known, model.layout)
    # What a file or the Hub would refuse later is refused before hours of painting.
    check_arguments(Adapter, {"layout": classes.layout.to_dict(), "generator_id": "", "generator_fingerprint": model.fingerprint})
    if count is None or not limits.FEWEST_FACES <= count <= limits.MOST_FACES:
        raise FFaceError(f"Choose from {limits.FEWEST_FACES} to {limits.MOST_FACES} faces.")
    for kind in ("fit", "suggestion"):  # they are of classes that may go
        stop(request, kind)
    if own.draft is None:
        own.draft = Draft(start, known, classes, str(rows["list"]))
    else:
        if own.draft.faces:
            own.draft.keep(painted)
        own.draft.change(start, known, classes, str(rows["list"]))
    draft = own.draft
    draft.listed = copy.deepcopy(rows["rows"])
    draft.faces = [face for face in draft.faces if face.painted or face.number < count]
    there = {face.number for face in draft.faces}
    missing = [number for number in range(int(count)) if number not in there]

    def work(report: Callback) -> None:
        """Draw them, beside whoever paints the first ones already."""
        faces = propose_faces(
            model, known, int(count), resolution=handlers.RESOLUTION, adapter=adapter, sampling=handlers.SAMPLING, done=there
        )
        for index, (number, sample) in enumerate(zip(missing, faces, strict=True), 1):
            draft.add(sample, number)
            report(Step(index, len(missing), {}))

    shown: Any = None
    with running(request, work, "faces") as job:
        for step in job if missing else ():
            progress((step.index, step.total), desc="Drawing faces that differ")
            if shown is None:
                shown = open_first(draft)
                yield own, draft.strip(), shown, f"Face {draft.now + 1} is here: begin to paint, more faces are coming."
            else:
                yield own, draft.strip(), gr.skip(), f"{len(draft.faces)} faces are here."
        stopped = False
        try:
            job.result()
        except CancelledError:
            stopped = True
    if not draft.faces:
        yield own, gr.skip(), gr.skip(), "Stopped. There are no faces yet."
        return
    told = f"Stopped: {len(draft.faces)} faces are here." if stopped else f"{len(draft.faces)} faces are here."
    yield own, draft.strip(), open_first(draft) if shown is None else gr.skip(), f"{told} {advice(draft)}"


def open_first(draft: Draft) -> dict[str, Any]:
    """The sheet of the face on the canvas; if that has gone, of the first one that nobody has painted."""
    if draft.now not in {face.number for face in draft.faces}:
        draft.now = next((face.number for face in draft.faces if not face.painted), draft.faces[0].number)
    return draft.sheet()


def advice(draft: Draft) -> str:
    """What to do next, in words."""
    painted, layout = len(draft.painted), escape(draft.layout.name)
    if painted < FEWEST_PAINTED:
        return f"Paint where the classes of {layout} are, then press Done, next face."
    if painted < len(draft.faces):
        return f"{painted} of {len(draft.faces)} faces are painted. Go on, or press Fit: every further face makes the layout better."
    return f"All {painted} faces are painted: press Fit."


@plainly
def keep_strokes(own: Own | None, painted: Any) -> tuple[Any, Any]:
    """After each stroke: remember it; (state, strip), the latter if a face is painted now that was not."""
    if own is None or own.draft is None or not own.draft.faces:
        return gr.skip(), gr.skip()
    before = own.draft.face.painted
    own.draft.keep(painted)
    return own, own.draft.strip() if own.draft.face.painted != before else gr.skip()


@plainly
def open_face(own: Own | None, chosen: Any, painted: Any) -> tuple[Any, ...]:
    """Show another face of the strip, `chosen` being `{now: its place}`; (state, strip, sheet, status)."""
    draft = need(own)
    place = chosen_number(chosen, len(draft.faces), "face")
    draft.keep(painted)
    draft.now = draft.faces[place].number
    return own, draft.strip(), draft.sheet(), f"Face {draft.now + 1}. {advice(draft)}"


@plainly
def next_face(own: Own | None, painted: Any) -> tuple[Any, ...]:
    """This face is done: show the next one that is not; (state, strip, sheet, status)."""
    draft = need(own)
    draft.keep(painted)
    draft.finish()
    order = [face for face in draft.faces if face.number > draft.now] + draft.faces
    draft.now = next((face.number for face in order if not face.painted), draft.now)
    return own, draft.strip(), draft.sheet(), f"Face {draft.now + 1}. {advice(draft)}"


# ── suggestions ───────────────────────────────────────────────────────────────────────────────────────────────────────────────────────


_NOTHING = gr.skip(), gr.skip(), gr.skip()
"""What is yielded where there is nothing to change: what never yields would empty its outputs."""


@plainly_streaming
def suggest_next(own: Own | None, painted: Any, request: gr.Request, progress=gr.Progress()) -> Iterator[tuple[Any, ...]]:
    """After a face was opened: begin it with what an adapter fitted so far sees there, from the third face on, if it is new."""
    draft = own.draft if own is not None else None
    if draft is not None and len(draft.painted) >= FEWEST_PAINTED and not draft.face.painted and not draft.face.advised:
        yield from _suggested(own, draft, painted, request, progress, wait=False)
    else:
        yield _NOTHING


@plainly_streaming
def suggest_here(own: Own | None, painted: Any, request: gr.Request, progress=gr.Progress()) -> Iterator[tuple[Any, ...]]:
    """The button: fit an adapter on the faces as they are painted now, and start this face from what it sees; strokes stay."""
    draft = need(own)
    draft.keep(painted)
    if len(draft.painted) < FEWEST_PAINTED:
        raise FFaceError(f"Paint {FEWEST_PAINTED} faces first: suggestions are learnt from them.")
    yield from _suggested(own, draft, painted, request, progress, wait=True)


def _suggested(
    own: Own | None, draft: Draft, painted: Any, request: gr.Request, progress: gr.Progress, wait: bool
) -> Iterator[tuple[Any, ...]]:
    """Yields (state, sheet, status). Strokes that come meanwhile stay; an adapter is fitted anew for other faces than it has learnt from,
    and if somebody asks for it also where the same faces were painted on."""
    model, face, revision = generator(), draft.face, draft.keep(painted)
    learnt, version = draft.painted, draft.version
    numbers, adviser = tuple(item.number for item in learnt), draft.adviser
    known = adviser is not None and adviser.numbers == numbers and (not wait or adviser.version == version)
    samples = draft.samples(model, learnt)

    def work(report: Callback) -> tuple[Adapter, Tensor]:
        """The adapter, and what it sees in the face."""
        taught = adviser.adapter if adviser is not None and known else lent(limits.GPU_FIT, report, _taught, samples)
        with torch.no_grad():
            scene = model.scene(face.latents.to(model.mean_latents().geometry.device))
            view = render(scene, face.camera.to(scene.device), len(face.start), handlers.SAMPLING, taught)
        return taught, view.labels[0]

    try:
        with running(request, work, "suggestion") as job:
            for step in job:
                progress((step.index, step.total), desc=f"Learning from {len(learnt)} painted faces")
            adapter, labels = job.result()
    except CancelledError:
        yield gr.skip(), gr.skip(), "Stopped. The face is as it was."
        return
    if draft.layout != adapter.layout or face not in draft.faces:  # other classes meanwhile
        yield _NOTHING
        return
    draft.adviser = Adviser(adapter, numbers, version)
    face.suggest(labels)
    told = f"Face {face.number + 1} begins with what {len(learnt)} painted faces have taught. Put right what is wrong, then press Done."
    yield (own, draft.sheet(revision), told) if draft.face is face else (own, gr.skip(), gr.skip())


def _taught(samples: SampleSet, report: Callback) -> Adapter:
    return suggest(generator(), samples, report)
