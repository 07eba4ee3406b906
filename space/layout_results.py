"""What comes of painted faces: the fit and its scores, and the ways of the layout: into the Edit tab, into files, to the Hub, and back."""

from __future__ import annotations

import html
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import gradio as gr
from PIL import Image
from torch import Tensor

from fface_hub.adapters.samples import SampleSet
from fface_hub.doors import to_tensor
from fface_hub.errors import CancelledError, FFaceError
from fface_hub.hub.card_facts import escape
from fface_hub.hub.cards import LEFT_OUT
from fface_hub.progress import Callback, Step
from space import limits
from space.drafts import Draft, Fitted, Own, file_name
from space.fitting import FOLDS, fit_and_score
from space.jobs import running
from space.layout_files import read_layout, write_layout
from space.layouts import FEWEST_PAINTED, SCRATCH, need
from space.lent import lent
from space.models import generator, layout_choices, lend
from space.painting import display_colors, overlay
from space.toasts import plainly, plainly_streaming

# ── the fit ───────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────


@plainly_streaming
def fit_layout(
    own: Own | None, rows: Any, name: str, painted: Any, request: gr.Request, progress=gr.Progress()
) -> Iterator[tuple[Any, ...]]:
    """Fit the layout on all painted faces, with loss, score and a look at a face that nobody painted while it runs. The list of classes
    `rows` and the layout's `name` must be those that the faces are painted in.

    Yields (state, strip, status, losses, picture, scores, layout file); in the end the picture is of the face that was seen worst.
    """
    draft, model = need(own), generator()
    assert own is not None
    draft.check_classes(rows, name)
    draft.keep(painted)
    learnt, layout = draft.painted, draft.layout
    if len(learnt) < FEWEST_PAINTED:
        raise FFaceError(f"Paint at least {FEWEST_PAINTED} faces first; {len(learnt)} of {len(draft.faces)} are painted.")
    watched = next((face for face in draft.faces if not face.painted), learnt[0])
    samples, shown = draft.samples(model, learnt), draft.samples(model, [watched])
    # What the generator knows is learnt from it as well.
    empty = [name for name, pixels in samples.pixels.items() if not pixels and name not in model.layout.names]
    if empty:
        raise FFaceError(f"Nobody has painted the class '{empty[0]}' yet: paint it in a few faces, or remove it from the list above.")
    numbers = tuple(face.number for face in learnt)

    def work(report: Callback) -> Fitted:
        return lent(limits.GPU_FIT, report, _fitted_on, samples, shown, numbers)

    picture = to_tensor(watched.picture)[0]
    same, curve = (gr.skip(),) * 2, Curve(min(FOLDS, len(learnt)) + 1)
    whom = "which nobody has painted" if not watched.painted else "the first of them"
    begun = f"Fitting {escape(layout.name)} on {len(learnt)} faces. Below: what it sees in Face {watched.number + 1}, {whom}."
    look = gr.Image(overlay(picture, watched.start.long(), layout, 0.0), visible=True)
    yield own, draft.strip(), begun, gr.LinePlot(curve.value(), visible=True), look, *same  # pyright: ignore[reportArgumentType]
    try:
        with running(request, work, "fit") as job:
            for step in job:
                progress((step.index, step.total), desc=f"Fitting on {len(learnt)} faces")
                if "loss" in step.losses:
                    seen = gr.skip() if step.preview is None else overlay(picture, step.preview, layout, 0.6)
                    yield own, gr.skip(), _figures(step.index, step.total, step.losses), curve.follow(step), seen, *same
            fitted = job.result()
    except CancelledError:
        yield own, gr.skip(), "Stopped. Your painted faces are as they were.", gr.skip(), gr.skip(), *same
        return
    draft.fitted = fitted = replace(fitted, choice=own.add(fitted.adapter))
    lend(fitted.adapter, str(request.session_hash), fitted.choice)
    worst, told = _worst(draft, fitted)
    done = f"Done: {escape(layout.name)}, {len(layout)} classes, from {len(learnt)} faces. {told}"
    path = own.path(".zip")
    write_layout(fitted.adapter, file_name(layout), path, _results(fitted))
    yield own, gr.skip(), done, curve.value(), worst, score_table(fitted), gr.DownloadButton(value=str(path), interactive=True)


def _fitted_on(samples: SampleSet, shown: SampleSet, numbers: tuple[int, ...], report: Callback) -> Fitted:
    return fit_and_score(generator(), samples, shown, numbers, report)


class Curve:
    """The losses of `fits` fits of equally many steps, one after the other, as lines of a plot; without any, the plot before a fit."""

    NAMES = (*(f"without part {part + 1}" for part in range(FOLDS)), "all faces")

    def __init__(self, fits: int = 1) -> None:
        # A plot has lines of the names that it began with.
        self.fits, self.points = fits, list[tuple[int, float | None, str]]((1, None, name) for name in self.NAMES)

    def follow(self, step: Step) -> Any:
        """What the plot shows with the loss of `step`, which counts through all fits; now and then only, since all points are sent anew."""
        each = step.total // self.fits
        fit, number = divmod(step.index - 1, each)
        self.points.append((number + 1, step.losses["loss"], self.NAMES[-1 if fit == self.fits - 1 else fit]))
        return self.value() if step.index % 10 == 0 else gr.skip()

    def value(self) -> dict[str, Any]:
        """All points so far, in the form that gradio sends a table for a plot in."""
        kinds = {"step": "quantitative", "loss": "quantitative", "fit": "nominal"}
        return {"columns": list(kinds), "data": [list(point) for point in self.points], "datatypes": kinds, "mark": "line"}


def _figures(index: int, total: int, losses: Any) -> str:
    """One line that says how far a fit is."""
    miou = f" · mean IoU on left-out faces **{losses['miou']:.2f}**" if "miou" in losses else ""
    return f"Step {index} of {total} · loss **{losses['loss']:.3f}**{miou}"


def _mean(scores: Tensor) -> Tensor:
    """Mean IoU `[F]` of the faces, over the classes that are in each."""
    return scores.nanmean(dim=1)


def _worst(draft: Draft, fitted: Fitted) -> tuple[Image.Image | None, str]:
    """The face that was seen worst, as it was painted and as it was seen; and in words, how the layout was scored."""
    faces = {face.number: face for face in draft.faces}
    place = int(_mean(fitted.scores).nan_to_num(2.0).argmin())
    face = faces[fitted.numbers[place]]
    parts = min(FOLDS, len(fitted.numbers))
    how = "each face left out once" if parts == len(fitted.numbers) else f"the faces left out in {parts} parts"
    told = (
        f"Mean IoU {float(_mean(fitted.scores).nanmean()):.2f} on faces that a fit had not seen ({how}). The worst is Face "
        f"{face.number + 1} with {float(_mean(fitted.scores)[place]):.2f}: on the left as you painted it, on the right as it was seen."
    )
    image, layout = to_tensor(face.picture)[0], fitted.adapter.layout
    pair = [overlay(image, labels, layout, 0.6).resize((320, 320)) for labels in (face.labels.long(), fitted.labels[place])]
    both = Image.new("RGB", (648, 320), (128, 128, 128))
    both.paste(pair[0], (0, 0))
    both.paste(pair[1], (328, 0))
    return both, told


def score_table(fitted: Fitted) -> str:
    """HTML: for each class its mean IoU over left-out faces as a bar, and the face where it was seen worst."""
    rows = []
    colors = display_colors(fitted.adapter.layout).tolist()
    for number, name in enumerate(fitted.adapter.layout.names):
        scores = fitted.scores[:, number]
        chip = f'<i style="background: rgb({", ".join(map(str, colors[number]))})"></i>'
        if scores.isnan().all():
            rows.append(f"<tr><th>{chip}{html.escape(name)}</th><td>–</td><td></td><td>too small to score</td></tr>")
            continue
        worst, mean = int(scores.nan_to_num(2.0).argmin()), float(scores.nanmean())
        bar = f'<div class="bar"><b style="width: {100 * mean:.0f}%"></b></div>'
        least = f"Face {fitted.numbers[worst] + 1}: {float(scores[worst]):.2f}"
        rows.append(f"<tr><th>{chip}{html.escape(name)}</th><td>{mean:.2f}</td><td>{bar}</td><td>{least}</td></tr>")
    head = "<tr><th>class</th><td>IoU</td><td></td><td>worst face</td></tr>"
    return f'<table class="scores"><thead>{head}</thead><tbody>{"".join(rows)}</tbody></table>'


def _results(fitted: Fitted) -> dict[str, Any]:
    """The scores as figures for the card."""
    names = fitted.adapter.layout.names
    means = [None if column.isnan().all() else round(float(column.nanmean()), 4) for column in fitted.scores.T]
    miou = float(_mean(fitted.scores).nanmean())
    return {LEFT_OUT: {"miou": round(miou, 4), "faces": len(fitted.numbers), "iou_per_class": dict(zip(names, means, strict=True))}}


# ── its ways ──────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────


def choices(own: Own | None) -> list[str]:
    """Layouts of the picker for a visitor with layouts of their own."""
    return [*(own.adapters if own is not None else ()), *layout_choices()]


def starts(own: Own | None) -> list[str]:
    """Layouts that a new one can start from."""
    return [*choices(own), SCRATCH]


def _fitted(own: Own | None) -> tuple[Own, Fitted]:
    if own is None or own.draft is None or own.draft.fitted is None:
        raise FFaceError("There is no layout to use yet: paint a few faces, then press Fit.")
    return own, own.draft.fitted


@plainly
def use_it(own: Own | None) -> tuple[Any, Any, Any]:
    """Show the layout that was just fitted in the Edit tab; (picker, picker of this tab, tabs)."""
    own, fitted = _fitted(own)
    return gr.Dropdown(choices=choices(own), value=fitted.choice), gr.Dropdown(choices=starts(own)), gr.Tabs(selected="edit")


@plainly
def push(own: Own | None, repository: str, token: str, signed_in: gr.OAuthToken | None) -> tuple[str, str]:
    """Put the layout on the Hub, by the visitor's own right; (status, the token box, which is emptied)."""
    own, fitted = _fitted(own)
    right = token.strip() or (signed_in.token if signed_in is not None else "")
    if not right:  # never the server's own
        raise FFaceError("The Hub has to know who you are: sign in with Hugging Face, or give an access token that may write.")
    url = fitted.adapter.push_to_hub(repository.strip(), token=right, results=_results(fitted))
    return f"{escape(fitted.adapter.layout.name)} is at [{escape(url)}]({url}).", ""


@plainly
def open_layout(own: Own | None, path: str | None, request: gr.Request) -> tuple[Any, Any, Any, str]:
    """Take a layout from a file of the visitor's; (state, picker, picker of the New layout tab, status)."""
    if path is None:
        return gr.skip(), gr.skip(), gr.skip(), "Choose a layout's zip."
    own, adapter = own or Own(), read_layout(Path(path), generator())
    choice = own.add(adapter)
    lend(adapter, str(request.session_hash), choice)
    told = f"The layout {escape(adapter.layout.name)} with {len(adapter.layout)} classes was opened."
    return own, gr.Dropdown(choices=choices(own), value=choice), gr.Dropdown(choices=starts(own)), told
