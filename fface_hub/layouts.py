"""Class layouts: ordered classes with a name, a file colour and a parent, and conversion of label maps between layouts.

Label maps are int64 `[B,h,w]` (or any shape) inside the library; class 0 is the background, which is also what empty rays get.
Classes, order and colours of the published layouts follow NeRFFaceEditing (base-15) and FFaceNeRF (the others).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from fface_hub.errors import LayoutError
from fface_hub.schema import OUTSIDE_REFERENCE

MAX_CLASSES = 64
MAX_NAME_LENGTH = 40


@dataclass(frozen=True)
class LabelClass:
    """One class of a layout. `parent` names the class it merges into in a coarser layout; base classes have none."""

    name: str
    color: tuple[int, int, int]
    parent: str | None = None


@dataclass(frozen=True)
class Layout:
    """Ordered classes `0..K-1`.

    Raises `LayoutError` for no classes or more than 64, names that are empty, long, unprintable, padded with spaces or equal up to case,
    colours that repeat or leave 0..255, a parent that is the class itself, and parents in a ring.
    """

    name: str
    classes: tuple[LabelClass, ...]

    def __post_init__(self) -> None:
        _check_name(self.name, "layout")
        if not 1 <= len(self.classes) <= MAX_CLASSES:
            raise LayoutError(f"A layout needs between 1 and {MAX_CLASSES} classes, and this one has {len(self.classes)}.")
        seen_names: set[str] = set()
        seen_colors: dict[tuple[int, ...], str] = {}
        for item in self.classes:
            _check_name(item.name, "class")
            if item.name.casefold() in seen_names:
                raise LayoutError(f"Two classes of the layout are called '{item.name}' (upper and lower case count as equal): rename one.")
            seen_names.add(item.name.casefold())
            valid = len(item.color) == 3 and all(type(c) is int and 0 <= c <= 255 for c in item.color)
            if not valid:
                raise LayoutError(
                    f"The colour of class '{item.name}' must be three whole numbers from 0 to 255, not {str(item.color)[:60]}."
                )
            if item.color in seen_colors:
                raise LayoutError(
                    f"Class '{item.name}' has the same colour {item.color} as class '{seen_colors[item.color]}': give each class its own."
                )
            seen_colors[item.color] = item.name
        for item in self.classes:
            self.ancestors(item)

    def __len__(self) -> int:
        return len(self.classes)

    @property
    def names(self) -> list[str]:
        """Class names in order of their ids."""
        return [item.name for item in self.classes]

    @property
    def colors(self) -> Tensor:
        """File colours, uint8 `[K,3]`."""
        return torch.tensor([item.color for item in self.classes], dtype=torch.uint8)

    def index(self, name: str) -> int:
        """Id of the class `name`; `LayoutError` if there is none."""
        for position, item in enumerate(self.classes):
            if item.name == name:
                return position
        raise LayoutError(f"The layout '{self.name}' has no class '{name}'; its classes are {', '.join(self.names)}.")

    def ancestors(self, item: LabelClass) -> list[str]:
        """Names of `item` and everything it merges into, nearest first, through this layout and the published parents."""
        parents = {**_PARENTS, **{c.name: c.parent for c in self.classes if c.parent is not None}}
        chain = [item.name]
        while (parent := parents.get(chain[-1])) is not None:
            if parent in chain:
                raise LayoutError(f"The parents of class '{item.name}' run in a ring: {' → '.join([*chain, parent])}.")
            chain.append(parent)
        return chain

    def table_to(self, target: Layout) -> Tensor:
        """Lookup table int64 `[K]`: class id here → class id in `target`, each class going to its nearest ancestor there.

        Raises `LayoutError` if a class has no ancestor in `target`.
        """
        ids = {name: position for position, name in enumerate(target.names)}
        table = []
        for item in self.classes:
            match = next((name for name in self.ancestors(item) if name in ids), None)
            if match is None:
                raise LayoutError(f"Class '{item.name}' of layout '{self.name}' has no parent in layout '{target.name}'.")
            table.append(ids[match])
        return torch.tensor(table, dtype=torch.int64)

    def convert(self, labels: Tensor, target: Layout) -> Tensor:
        """Label map of this layout, int64 of any shape → the same map in `target` (see `table_to`)."""
        return self.table_to(target).to(labels.device)[labels]

    def to_dict(self) -> dict[str, Any]:
        """JSON form: `{"name", "classes": [{"name", "color", "parent"}]}`."""
        classes = [{"name": c.name, "color": list(c.color), "parent": c.parent} for c in self.classes]
        return {"name": self.name, "classes": classes}

    @staticmethod
    def from_dict(data: Any) -> Layout:
        """Inverse of `to_dict`; `LayoutError` for anything that is not exactly of that form."""
        if not isinstance(data, dict) or set(data) != {"name", "classes"} or not isinstance(data["classes"], list):
            raise LayoutError("A layout must be an object with exactly 'name' and 'classes' (a list).")
        classes = []
        for entry in data["classes"]:
            if not isinstance(entry, dict) or not {"name", "color"} <= set(entry) <= {"name", "color", "parent"}:
                raise LayoutError("Each class of a layout must be an object with 'name', 'color' and, if it has one, 'parent'.")
            if not isinstance(entry["color"], list | tuple):
                raise LayoutError(f"The colour of class {str(entry['name'])[:40]!r} must be a list of three numbers.")
            parent = entry.get("parent")
            if parent is not None:
                _check_name(parent, "parent")
            classes.append(LabelClass(entry["name"], tuple(entry["color"]), parent))
        return Layout(data["name"], tuple(classes))


def _check_name(name: Any, what: str) -> None:
    if not isinstance(name, str) or not name or name != name.strip() or len(name) > MAX_NAME_LENGTH or not name.isprintable():
        raise LayoutError(f"A {what} name must be 1 to {MAX_NAME_LENGTH} printable characters, without spaces around them.")
    if OUTSIDE_REFERENCE.search(name):  # an adapter's config holds it, and points nowhere
        raise LayoutError(
            f"The {what} name {name!r} looks like a path or an address: leave out '..', '://', '\\', and a '/' or '~' in front."
        )


_BASE = (
    LabelClass("background", (0, 0, 0)),
    LabelClass("skin", (127, 212, 255)),
    LabelClass("brow", (255, 212, 255)),
    LabelClass("eye", (255, 255, 170)),
    LabelClass("glasses", (255, 255, 130)),
    LabelClass("ear", (76, 153, 0)),
    LabelClass("earring", (0, 255, 170)),
    LabelClass("nose", (244, 124, 244)),
    LabelClass("mouth", (30, 162, 230)),
    LabelClass("lips", (127, 255, 255)),
    LabelClass("neck", (127, 170, 255)),
    LabelClass("necklace", (85, 0, 255)),
    LabelClass("cloth", (255, 170, 127)),
    LabelClass("hair", (212, 127, 255)),
    LabelClass("hat", (0, 170, 255)),
)
_ALA = LabelClass("ala", (255, 255, 255), "nose")
_IRIS = LabelClass("iris", (0, 0, 100), "eye")
_PUPIL = LabelClass("pupil", (127, 127, 127), "iris")
_EYELID = LabelClass("eyelid", (163, 73, 164), "skin")
_NOSE_TIP = LabelClass("nose tip", (181, 230, 29), "nose")
_NOSTRIL = LabelClass("nostril", (136, 0, 21), "nose")
_JAW = LabelClass("jaw", (0, 200, 120), "skin")
_CHIN = LabelClass("chin", (10, 10, 160), "skin")
_TEETH = LabelClass("teeth", (250, 250, 200), "mouth")
# Where a class of a published layout goes when a coarser layout does not have it; lets a layout name 'iris' as a parent without listing it.
_PARENTS: dict[str, str | None] = {c.name: c.parent for c in (_ALA, _IRIS, _PUPIL, _EYELID, _NOSE_TIP, _NOSTRIL, _JAW, _CHIN, _TEETH)}

BASE_15 = Layout("base-15", _BASE)
NASAL_WING_17 = Layout("nasal-wing-17", (*_BASE, _ALA, _IRIS))
EYES_19 = Layout("eyes-19", (*_BASE, _ALA, _IRIS, _PUPIL, _EYELID))
NOSE_19 = Layout("nose-19", (*_BASE, _ALA, _IRIS, _NOSE_TIP, _NOSTRIL))
CHIN_20 = Layout("chin-20", (*_BASE, _ALA, _IRIS, _JAW, _CHIN, _TEETH))
# Everything the rendered heads know: the union of the layouts above.
FINE_24 = Layout("fine-24", (*_BASE, _ALA, _IRIS, _PUPIL, _EYELID, _NOSE_TIP, _NOSTRIL, _JAW, _CHIN, _TEETH))

LAYOUTS: dict[str, Layout] = {item.name: item for item in (BASE_15, NASAL_WING_17, EYES_19, NOSE_19, CHIN_20, FINE_24)}
