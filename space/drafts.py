"""Layouts of a visitor's own: the classes that they name, the faces that they paint for them, and the adapters that came of it."""

from __future__ import annotations

import re
import tempfile
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from fface_hub.adapters.adapter import Adapter
from fface_hub.adapters.samples import SampleSet
from fface_hub.adapters.samples_new import starting_table
from fface_hub.adapters.samples_rows import Origin, Sample
from fface_hub.cameras import Camera
from fface_hub.doors import to_image, to_tensor
from fface_hub.errors import LayoutError
from fface_hub.generators.base import Generator
from fface_hub.latents import Latents
from fface_hub.layouts import MAX_CLASSES, LabelClass, Layout
from space import limits
from space.painting import data_url, display_colors, overlay, read_painted, sheet, sheet_id
from space.state import fresh_path, new_folder

THUMBNAIL = 72
"""Pixels of a side of the small pictures of the faces."""


# ── classes ───────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Classes:
    """The classes of a draft: their `layout`; the `keys` that the list on the page knows them by, while they are renamed and moved; and
    the `table` int64 `[K₀]` from the ids of the layout that is known to those that painting starts with."""

    layout: Layout
    keys: tuple[int, ...]
    table: Tensor


def class_list(known: Layout, names: Sequence[str]) -> dict[str, Any]:
    """What the list of classes shows at first: the classes `names` of the layout `known`, in the colours of the page."""
    colors = display_colors(known).tolist()
    rows = [{"key": known.index(name), "name": name, "color": colors[known.index(name)], "part": None, "takes": [name]} for name in names]
    return _listed(rows, known)


def rows_of(layout: Layout, known: Layout) -> dict[str, Any]:
    """What the list of classes shows of a `layout` that is there already, where more faces begin with labels of the layout `known`."""
    table, names = starting_table(known, layout).tolist(), list(layout.names)
    rows = []
    for number, (item, color) in enumerate(zip(layout.classes, display_colors(layout).tolist(), strict=True)):
        # What nothing takes begins as the first class anyway.
        takes = [name for name, place in zip(known.names, table, strict=True) if place == number and (number or name == item.name)]
        part = names.index(item.parent) if item.parent in names else None
        rows.append({"key": number, "name": item.name, "color": color, "part": part, "takes": takes})
    return _listed(rows, known)


def _listed(rows: list[dict[str, Any]], known: Layout) -> dict[str, Any]:
    """The value of a new list on the page."""
    return {"list": uuid.uuid4().hex, "rows": rows, "known": known.names, "most": MAX_CLASSES}


def read_classes(value: Any, name: str, known: Layout, base: Layout) -> Classes:
    """The classes in a list that a browser sends, as a layout called `name`. Each row says which classes of the layout `known` it `takes`.

    A class is part of the one that it was split from, else of the first class that it takes, or of what that is part of in `base`, the
    generator's own layout. Raises `LayoutError` for what is no such list, and for classes that `Layout` refuses.
    """
    rows = value.get("rows") if isinstance(value, dict) else None
    if not isinstance(rows, list) or not all(_is_row(row) for row in rows) or len(rows) > MAX_CLASSES:
        raise LayoutError("The list of classes is damaged: reload the page and name them again.")
    if len(rows) < 2:
        raise LayoutError("Name at least two classes: what is to be told apart, and all the rest.")
    if unnamed := [number for number, row in enumerate(rows) if not row["name"].strip()]:
        raise LayoutError(f"Class {unnamed[0]} has no name yet: type one, or remove it from the list.")
    names = {row["key"]: " ".join(row["name"].split()) for row in rows}
    if len(names) < len(rows):
        raise LayoutError("The list of classes is damaged: reload the page and name them again.")
    classes = [LabelClass(names[row["key"]], tuple(row["color"]), _parent(row, names, known, base)) for row in rows]
    layout = Layout(" ".join(name.split()), tuple(classes))
    table = [next((number for number, row in enumerate(rows) if item in row["takes"]), 0) for item in known.names]
    return Classes(layout, tuple(names), torch.tensor(table, dtype=torch.int64))


def _is_row(row: Any) -> bool:
    fields = {"key": int, "name": str, "color": list, "takes": list}
    if not isinstance(row, dict) or not all(type(row.get(key)) is kind for key, kind in fields.items()):
        return False
    part = row.get("part")
    return all(type(item) is str for item in row["takes"]) and (part is None or type(part) is int)


def _parent(row: dict[str, Any], names: dict[int, str], known: Layout, base: Layout) -> str | None:
    """The name of the class that a row of the list is part of."""
    name = names[row["key"]]
    if row["part"] in names:
        return names[row["part"]]
    first = next((item for item in known.classes if item.name in row["takes"]), None)
    if first is None:
        return None
    there = {*names.values(), *base.names} - {name}
    return None if name in base.names else next((ancestor for ancestor in known.ancestors(first) if ancestor in there), None)


# ── faces ─────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(eq=False)
class Face:
    """The face `number` of those that are proposed. Label maps are uint8 `[h,h]`: `known` are those of the layout that the draft started
    from, `start` those that the canvas began with, `labels` what is painted by now. `done` if the painter says so, whether or not anything
    had to be painted; `advised` once an adapter has suggested where to start."""

    number: int
    picture: Image.Image
    camera: Camera
    latents: Latents
    known: Tensor
    start: Tensor
    labels: Tensor
    done: bool = False
    advised: bool = False
    thumbnail: str = ""

    @staticmethod
    def of(sample: Sample, number: int, classes: Classes) -> Face:
        """A face that was just drawn, with labels of the layout that is known."""
        assert sample.latents is not None
        start = classes.table[sample.labels].to(torch.uint8)
        return Face(number, to_image(sample.image), sample.camera, sample.latents, sample.labels.to(torch.uint8), start, start)

    @property
    def painted(self) -> bool:
        """Whether somebody has looked after its labels."""
        return self.done or not torch.equal(self.labels, self.start)

    def show(self, layout: Layout) -> None:
        """Make the thumbnail: the face, and its labels over it once it is painted."""
        picture = overlay(to_tensor(self.picture)[0], self.labels.long(), layout, 0.6) if self.painted else self.picture
        self.thumbnail = data_url(picture.resize((THUMBNAIL, THUMBNAIL), Image.Resampling.LANCZOS))

    def suggest(self, labels: Tensor) -> None:
        """Start from other `labels [h,h]`; what was painted stays on them."""
        start = labels.to("cpu", torch.uint8)
        self.labels, self.start = torch.where(self.labels == self.start, start, self.labels), start
        self.advised, self.thumbnail = True, ""

    def sample(self, generator: Generator) -> Sample:
        """What a fit looks at."""
        return Sample(to_tensor(self.picture)[0], self.labels.long(), self.camera, self.latents, Origin.of(generator))


@dataclass(frozen=True)
class Fitted:
    """A finished fit: the `adapter`, and what it is called in the picker, its `choice`; `scores [F,K]` (IoU, NaN where a class is not in a
    face) of the faces `numbers` by adapters that had not learnt from them, and what these saw there, `labels`."""

    adapter: Adapter
    numbers: tuple[int, ...]
    scores: Tensor
    labels: tuple[Tensor, ...]
    choice: str = ""


@dataclass(frozen=True)
class Adviser:
    """An adapter that suggests labels, and what it has learnt from: the faces `numbers`, as they were in this `version` of the draft."""

    adapter: Adapter
    numbers: tuple[int, ...]
    version: int


@dataclass
class Draft:
    """A layout in the making: its `classes`, as in the list `rows` of the page, which had them `listed` so; what it started from, the
    choice `start` and its layout `known`; the `faces` in order of their numbers, and which of them is on the canvas `now`; who suggests
    labels; and the finished fit. `version` counts what was changed, and `saved` is the one that was saved last (−1: none)."""

    start: str
    known: Layout
    classes: Classes
    rows: str
    faces: list[Face] = field(default_factory=list)
    now: int = 0
    adviser: Adviser | None = None
    fitted: Fitted | None = None
    version: int = 0
    saved: int = -1
    listed: Any = None

    @property
    def layout(self) -> Layout:
        """The layout being made."""
        return self.classes.layout

    @property
    def face(self) -> Face:
        """The face on the canvas; `LayoutError` if none is drawn yet."""
        for face in self.faces:
            if face.number == self.now:
                return face
        raise LayoutError("There are no faces to paint yet: name the classes, then press Propose faces.")

    @property
    def painted(self) -> list[Face]:
        """The faces that are painted."""
        return [face for face in self.faces if face.painted]

    def samples(self, generator: Generator, faces: Sequence[Face]) -> SampleSet:
        """These faces as a sample set."""
        return SampleSet(self.layout, tuple(face.sample(generator) for face in faces))

    def add(self, sample: Sample, number: int) -> None:
        """One more face, of the layout that is known."""
        self.faces = sorted([*self.faces, Face.of(sample, number, self.classes)], key=lambda face: face.number)

    def strip(self) -> dict[str, Any]:
        """What the strip of faces shows."""
        entries = []
        for face in self.faces:
            if not face.thumbnail:
                face.show(self.layout)
            entries.append({"picture": face.thumbnail, "caption": f"Face {face.number + 1}", "painted": face.painted})
        return {"entries": entries, "now": next((at for at, face in enumerate(self.faces) if face.number == self.now), 0)}

    def sheet(self, keep: int | None = None) -> dict[str, Any]:
        """What the canvas shows (`painting.sheet`)."""
        face = self.face
        return sheet(to_tensor(face.picture)[0], face.start.long(), self.layout, keep, face.labels.long(), str(self.now))

    def keep(self, value: Any) -> int | None:
        """Take over what a browser says was painted on this face; the revision of its map, or None if that is of another sheet.

        Raises `LayoutError` for what no canvas sends.
        """
        face, mark = self.face, str(self.now)  # the mark tells faces apart, even where labels start alike
        if not isinstance(value, dict) or value.get("id") != sheet_id(face.start, self.layout, mark):
            return None
        painted, revision = read_painted(value, face.start, self.layout, mark)
        if not torch.equal(painted, face.labels.long()):
            face.labels, face.thumbnail = painted.to(torch.uint8), ""
            self.version += 1
        return revision

    def finish(self) -> None:
        """The face on the canvas is done."""
        self.face.done, self.face.thumbnail = True, ""
        self.version += 1

    def check_classes(self, value: Any, name: str) -> None:
        """`LayoutError` if the list of classes that a browser sends, or the layout's name, is not what the faces are painted in."""
        same = isinstance(value, dict) and (value.get("list"), value.get("rows")) == (self.rows, self.listed)
        if not same or " ".join(name.split()) != self.layout.name:
            raise LayoutError("The classes have changed: press Propose faces to take them over, which keeps what is painted, then Fit.")

    def change(self, start: str, known: Layout, classes: Classes, rows: str) -> None:
        """Take over other `classes` (of the list `rows`, with labels from the layout `known`).

        What is painted follows its class; where that is gone, labels start anew. Faces that nobody has painted yet are to be drawn again
        if the layout that is known is another.
        """
        same = rows == self.rows
        old, new = (made.keys if same else made.layout.names for made in (self.classes, classes))
        places = {key: place for place, key in enumerate(new)}
        moved = torch.tensor([places.get(key, -1) for key in old])
        if start != self.start:
            self.faces = self.painted
            for face in self.faces:
                face.known = starting_table(self.known, known)[face.known.long()].to(torch.uint8)
        for face in self.faces:
            fresh, kept = classes.table[face.known.long()], moved[face.labels.long()]
            follows = (kept >= 0) & (face.done | (face.labels != face.start))
            face.start, face.labels = fresh.to(torch.uint8), torch.where(follows, kept, fresh).to(torch.uint8)
            face.advised, face.thumbnail = False, ""
        if classes.layout != self.layout:
            self.fitted = None
        self.start, self.known, self.classes, self.rows = start, known, classes, rows
        self.adviser, self.version = None, self.version + 1


@dataclass
class Own:
    """What a visitor has of layouts of their own: the one in the making, `adapters` by the name they have in the picker, and how many of
    each layout were `made`: another fit of one is another choice."""

    draft: Draft | None = None
    adapters: dict[str, Adapter] = field(default_factory=dict)
    made: dict[str, int] = field(default_factory=dict)
    folder: tempfile.TemporaryDirectory[str] = field(default_factory=new_folder)

    def add(self, adapter: Adapter) -> str:
        """Remember a layout that was made or opened; the name that it has in the picker. The oldest of too many goes."""
        name = adapter.layout.name
        self.made[name] = self.made.get(name, 0) + 1
        choice = own_choice(name, self.made[name])
        while len(self.adapters) >= limits.LAYOUTS:
            self.adapters.pop(next(iter(self.adapters)))
        self.adapters[choice] = adapter
        return choice

    def path(self, ending: str) -> Path:
        """Where a download of the layout in the making is written."""
        assert self.draft is not None
        return fresh_path(self.folder, file_name(self.draft.layout), ending)


def own_choice(name: str, number: int = 1) -> str:
    """What the adapter of this `number` for a layout of this visit is called in the picker: like no bundled one, and like nothing on the
    Hub."""
    return f"{name} (yours)" if number == 1 else f"{name} (yours, {number})"


def file_name(layout: Layout) -> str:
    """A name for files that every system takes."""
    return re.sub(r"[^A-Za-z0-9]+", "-", layout.name).strip("-").lower()[:40] or "layout"
