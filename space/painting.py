"""Painting made exact: label maps travel to the browser's canvas and back as class ids, one byte for each pixel, never as colours.

A *sheet* is what the canvas shows: the face, its labels, and the classes with the colours they are shown in. What comes back was in a
stranger's hands, and is checked before anything is done with it.
"""

from __future__ import annotations

import base64
import binascii
import colorsys
import hashlib
import io
import uuid
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from fface_hub.doors import to_image
from fface_hub.errors import LayoutError
from fface_hub.layouts import Layout

SIDE = 512
"""Pixels of a side of the pictures that the page shows."""
# Chosen so that they differ for people with any colour vision, and most of all where classes meet (a search from plainer colours; the test
# holds by how much). The file colours of a layout, which can differ by 40 in one channel, are for files.
_DISPLAY: dict[str, tuple[int, int, int]] = {
    "background": (70, 78, 92),
    "skin": (238, 190, 160),
    "brow": (140, 33, 21),
    "eye": (179, 243, 255),
    "glasses": (51, 22, 41),
    "ear": (216, 25, 12),
    "earring": (61, 252, 89),
    "nose": (221, 6, 131),
    "mouth": (0, 5, 46),
    "lips": (97, 0, 10),
    "neck": (161, 158, 182),
    "necklace": (226, 156, 13),
    "cloth": (0, 124, 198),
    "hair": (138, 0, 241),
    "hat": (34, 166, 255),
    "ala": (251, 78, 239),
    "iris": (178, 65, 255),
    "pupil": (55, 0, 103),
    "eyelid": (95, 137, 44),
    "nose tip": (253, 254, 63),
    "nostril": (65, 36, 158),
    "jaw": (2, 110, 68),
    "chin": (111, 217, 253),
    "teeth": (167, 207, 197),
}


APART = 45.0
"""How far colours must lie from each other (in 255ths, straight through the RGB cube) to be told apart at a glance."""


def display_colors(layout: Layout) -> NDArray[np.uint8]:
    """Colours `[K,3]` uint8 that the page shows and paints with, all different: the layout's own if these can be told apart, as those of
    layouts that were made here; else the page's, where unknown classes get evenly spread hues.
    """
    own = layout.colors.double()
    if len(own) < 2 or torch.pdist(own).min() >= APART:
        return layout.colors.numpy()
    chosen: list[tuple[int, int, int]] = []
    for position, item in enumerate(layout.classes):
        color = _DISPLAY.get(item.name)
        step = position
        while color is None or color in chosen:
            red, green, blue = colorsys.hsv_to_rgb(step * 0.618034 % 1, 0.55 + 0.4 * (step % 3) / 2, 0.95 - 0.25 * (step % 2))
            color, step = (round(255 * red), round(255 * green), round(255 * blue)), step + len(layout)
        chosen.append(color)
    return np.array(chosen, np.uint8)


def overlay(image: Tensor, labels: Tensor, layout: Layout, opacity: float, side: int = SIDE) -> Image.Image:
    """Face `image [3,H,W]` in [-1, 1] with the colours of `labels [h,w]` over it at `opacity` 0..1, `side` pixels square."""
    face = to_image(image).resize((side, side), Image.Resampling.BICUBIC)
    colors = Image.fromarray(display_colors(layout)[labels.cpu().numpy()]).resize((side, side), Image.Resampling.NEAREST)
    return Image.blend(face, colors, float(opacity))


def data_url(picture: Image.Image) -> str:
    """`picture` as text that a browser shows, so that it lies in no file."""
    data = io.BytesIO()
    picture.save(data, "PNG")
    return "data:image/png;base64," + base64.b64encode(data.getvalue()).decode("ascii")


def sheet(
    image: Tensor, labels: Tensor, layout: Layout, keep: int | None = None, painted: Tensor | None = None, mark: str = ""
) -> dict[str, Any]:
    """What the canvas shows: face `image [3,H,W]` in [-1, 1] and its `labels [h,h]` (int64).

    Strokes made after revision `keep` of the sheet before stay, as far as their classes are in this layout (None: none do). With `painted
    [h,h]`, the canvas shows these labels as painted over the others. A `mark` tells faces apart whose labels may be the same. The `serial`
    is another one for each sheet: gradio may deliver one twice, and what was painted meanwhile stays.
    """
    colors = display_colors(layout).tolist()
    return {
        "id": sheet_id(labels, layout, mark),
        "serial": uuid.uuid4().hex,
        "size": labels.shape[0],
        "labels": _encode(labels),
        "classes": [
            {"name": item.name, "color": color, "within": layout.ancestors(item)}
            for item, color in zip(layout.classes, colors, strict=True)
        ],
        "picture": data_url(to_image(image)),
        "keep": keep,
        "painted": None if painted is None else _encode(painted),
    }


def sheet_id(labels: Tensor, layout: Layout, mark: str = "") -> str:
    """A name that only these labels in this layout have, with this `mark`."""
    return hashlib.sha256("\n".join([mark, *layout.names]).encode() + b"\0" + _bytes(labels)).hexdigest()[:16]


def _bytes(labels: Tensor) -> bytes:
    return labels.to("cpu", torch.uint8).contiguous().numpy().tobytes()


def _encode(labels: Tensor) -> str:
    return base64.b64encode(_bytes(labels)).decode("ascii")


def read_painted(value: Any, labels: Tensor, layout: Layout, mark: str = "") -> tuple[Tensor, int]:
    """The labels `[h,h]` (int64) that a browser says were painted over `labels` (of the sheet with this `mark`), and the revision of its
    map.

    Raises `LayoutError` for anything that was not painted over these labels in this layout.
    """
    size = labels.shape[0]
    whole = LayoutError(f"What was painted is no label map of {size} × {size} pixels: reload the page and paint again.")
    if not isinstance(value, dict) or not isinstance(value.get("labels"), str):
        raise whole
    if value.get("id") != sheet_id(labels, layout, mark):
        raise LayoutError("The face or its layout has changed since this was painted: paint on the one that is shown now.")
    text, revision = value["labels"], value.get("revision", 0)
    if type(revision) is not int or revision < 0 or value.get("size") != size or len(text) != 4 * -(-(size * size) // 3):
        raise whole
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise whole from None
    if len(data) != size * size:
        raise whole
    painted = torch.frombuffer(bytearray(data), dtype=torch.uint8).long().reshape(size, size)
    if int(painted.max()) >= len(layout):
        raise LayoutError(
            f"What was painted has classes beyond the {len(layout)} of layout '{layout.name}': reload the page and paint again."
        )
    return painted, revision


def outcome(changed: int, matched: float) -> str:
    """What came of an edit, in words: so many label pixels were painted, and of the edited region this part has the label asked for."""
    pixels = "1 label pixel" if changed == 1 else f"{changed} label pixels"
    told = f"Done: {pixels} painted, {matched:.0%} of the edited region has the label you asked for."
    if matched >= 0.5:
        return told
    return f"{told} That is little: try a larger stroke, or fewer at once. Some shapes the generator cannot make."
