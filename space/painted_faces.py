"""Painted faces of a layout in the making as a file: hours of work that can be kept, and gone on with another day."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gradio as gr
import torch

from fface_hub.adapters.samples import SampleSet
from fface_hub.adapters.samples_new import proposed
from fface_hub.errors import FFaceError
from fface_hub.generators.base import Generator
from fface_hub.hub.card_facts import escape
from space import limits
from space.drafts import Classes, Draft, Face, Own, file_name, rows_of
from space.jobs import is_running
from space.layout_files import read_samples, write_samples
from space.layouts import advice, known_layout, need
from space.models import generator
from space.toasts import plainly

OPENED = ""
"""What a draft started from whose faces came from a file: no choice of the page is called so."""


@plainly
def save_faces(own: Own | None, painted: Any) -> tuple[Own | None, str, str]:
    """(state, file, status): the painted faces, as a sample set that `fface-hub adapt` reads, too."""
    draft = need(own)
    assert own is not None
    draft.keep(painted)
    faces = draft.painted
    if not faces:
        raise FFaceError("No face is painted yet: paint one, or press Done where nothing has to be painted.")
    name, path = f"{file_name(draft.layout)}-faces", own.path("-faces.zip")
    write_samples(draft.samples(generator(), faces), name, path, "They are painted already.")
    draft.saved = draft.version
    return own, str(path), f"Saved {path.name}: {_faces(len(faces))}, {path.stat().st_size / 1000:.0f} kB."


@plainly
def open_faces(own: Own | None, path: str | None, start: str, painted: Any, request: gr.Request) -> tuple[Any, ...]:
    """Go on with the faces of a file; (state, list of classes, name of the layout, strip, sheet, status).

    Faces that were painted here and are not saved are not thrown away for it.
    """
    if path is None:
        raise FFaceError("There is no file yet: choose a zip of painted faces.")
    if any(is_running(request, kind) for kind in ("faces", "suggestion", "fit")):
        raise FFaceError("Faces are being drawn or learnt from here: press Cancel first, or wait until that is done.")
    own = own or Own()
    if own.draft is not None and own.draft.faces:
        own.draft.keep(painted)
        if own.draft.painted and own.draft.saved != own.draft.version:
            raise FFaceError(f"{_faces(len(own.draft.painted))} here would be lost: press Save painted faces first, then open the file.")
    model = generator()
    samples = read_samples(Path(path), model)
    known = known_layout(start, request)[1]
    layout = samples.layout
    shown = rows_of(layout, known)
    draft = Draft(
        OPENED, layout, Classes(layout, tuple(range(len(layout))), torch.arange(len(layout))), shown["list"], listed=shown["rows"]
    )
    for sample, number in zip(samples.samples, numbers(samples, model), strict=True):
        face = Face.of(sample, number, draft.classes)
        face.done = True
        draft.faces.append(face)
    draft.faces.sort(key=lambda face: face.number)
    draft.now, draft.saved, own.draft = draft.faces[0].number, draft.version, draft
    return own, shown, layout.name, draft.strip(), draft.sheet(), f"Opened: {escape(layout.name)}. {advice(draft)}"


def numbers(samples: SampleSet, model: Generator) -> list[int]:
    """Which faces these are of those that the page proposes, so that none of them is proposed again; others get numbers beyond."""
    known = [latents.geometry.cpu() for latents in proposed(model, limits.MOST_FACES)]
    found: list[int] = []
    for sample in samples.samples:
        assert sample.latents is not None
        same = [number for number, rows in enumerate(known) if torch.allclose(rows, sample.latents.geometry, atol=1e-4)]
        found.append(same[0] if same and same[0] not in found else limits.MOST_FACES + len(found))
    return found


def _faces(count: int) -> str:
    return f"{count} painted face{'s' if count != 1 else ''}"
