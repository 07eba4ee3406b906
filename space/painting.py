"""Painting made exact: what the browser's editor sends back becomes class ids, and ids become what the editor shows.

The editor knows colours only. It shows the face with the label colours over it (blended here, at the chosen opacity) and one layer of
opaque strokes. Stroke edges come back antialiased and mixed, so a stroke pixel counts only when it has exactly a brush colour; every
other covered pixel takes the class of the nearest exact one. Nothing is ever guessed from a mixed colour.
"""

from __future__ import annotations

import colorsys
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import distance_transform_edt
from torch import Tensor

from fface_hub.doors import to_image
from fface_hub.errors import LayoutError
from fface_hub.layouts import Layout

CANVAS = 512
# Chosen to be told apart at a glance on skin; the file colours of a layout (which can differ by 40 in one channel) are for files.
_DISPLAY = {
    "background": (70, 78, 92),
    "skin": (238, 190, 160),
    "brow": (124, 84, 44),
    "eye": (250, 250, 250),
    "glasses": (20, 20, 24),
    "ear": (232, 140, 60),
    "earring": (255, 210, 0),
    "nose": (240, 110, 140),
    "mouth": (120, 10, 40),
    "lips": (214, 30, 60),
    "neck": (200, 160, 220),
    "necklace": (170, 120, 0),
    "cloth": (70, 130, 200),
    "hair": (90, 60, 160),
    "hat": (30, 150, 140),
    "ala": (255, 60, 200),
    "iris": (30, 110, 240),
    "pupil": (0, 0, 60),
    "eyelid": (160, 200, 60),
    "nose tip": (255, 160, 60),
    "nostril": (110, 0, 110),
    "jaw": (60, 180, 100),
    "chin": (0, 210, 210),
    "teeth": (210, 230, 255),
}


def display_colors(layout: Layout) -> NDArray[np.uint8]:
    """Colours `[K,3]` uint8 that the page shows and paints with, all different; unknown classes get evenly spread hues."""
    chosen: list[tuple[int, int, int]] = []
    for position, item in enumerate(layout.classes):
        color = _DISPLAY.get(item.name)
        step = position
        while color is None or color in chosen:
            red, green, blue = colorsys.hsv_to_rgb(step * 0.618034 % 1, 0.55 + 0.4 * (step % 3) / 2, 0.95 - 0.25 * (step % 2))
            color, step = (round(255 * red), round(255 * green), round(255 * blue)), step + len(layout)
        chosen.append(color)
    return np.array(chosen, np.uint8)


def overlay(image: Tensor, labels: Tensor, layout: Layout, opacity: float) -> Image.Image:
    """Face `image [3,H,W]` in [-1, 1] with the colours of `labels [h,w]` over it at `opacity` 0..1, `CANVAS` pixels square."""
    face = to_image(image).resize((CANVAS, CANVAS), Image.Resampling.BICUBIC)
    colors = Image.fromarray(display_colors(layout)[labels.cpu().numpy()]).resize((CANVAS, CANVAS), Image.Resampling.NEAREST)
    return Image.blend(face, colors, float(opacity))


def editor_value(background: Image.Image, layers: list[Image.Image] | None = None) -> dict[str, Any]:
    """The editor's value: a picture to paint on, and the strokes that stay (none: an empty layer)."""
    strokes = layers or [Image.new("RGBA", background.size, (0, 0, 0, 0))]
    composite = background.convert("RGBA")
    for layer in strokes:
        composite.alpha_composite(layer.convert("RGBA").resize(background.size, Image.Resampling.NEAREST))
    return {"background": background, "layers": strokes, "composite": composite}


def stroke_classes(layers: list[Image.Image], layout: Layout) -> NDArray[np.int64]:
    """Class id painted at every pixel `[CANVAS,CANVAS]`, −1 where nothing was; later layers lie above earlier ones.

    Raises `LayoutError` if strokes hold no pixel of any brush colour.
    """
    painted = np.full((CANVAS, CANVAS), -1, np.int64)
    colors = display_colors(layout).astype(np.int16)
    for layer in layers:
        pixels = np.asarray(layer.convert("RGBA").resize((CANVAS, CANVAS), Image.Resampling.NEAREST))
        covered = pixels[..., 3] >= 128
        if not covered.any():
            continue
        # Within 2 of a brush colour: browsers store colours multiplied by alpha, which costs the last bits even of opaque pixels.
        distance = np.abs(pixels[..., None, :3].astype(np.int16) - colors).max(axis=-1)
        nearest = distance.argmin(axis=-1)
        exact = covered & (distance.min(axis=-1) <= 2) & (pixels[..., 3] >= 253)
        if not exact.any():
            raise LayoutError("The strokes have none of the colours of this layout: press Clear and paint with a class of the list.")
        indices = np.zeros((2, CANVAS, CANVAS), np.int32)
        distance_transform_edt(~exact, return_distances=False, return_indices=True, indices=indices)
        rows, columns = indices
        painted = np.where(covered, nearest[rows, columns], painted)
    return painted


def painted_labels(layers: list[Image.Image], labels: Tensor, layout: Layout) -> Tensor:
    """`labels [h,w]` with the strokes put in: a label pixel of which at least half is painted takes the class painted most."""
    painted = stroke_classes(layers, layout)
    height, width = labels.shape
    rows, columns = (np.arange(CANVAS) * height) // CANVAS, (np.arange(CANVAS) * width) // CANVAS
    cell = rows[:, None] * width + columns[None, :]
    counts = np.zeros((height * width, len(layout)), np.int64)
    np.add.at(counts, (cell[painted >= 0], painted[painted >= 0]), 1)
    size = np.bincount(cell.reshape(-1), minlength=height * width)
    changed = torch.from_numpy((2 * counts.sum(1) >= size).reshape(height, width))
    target = torch.from_numpy(counts.argmax(1).reshape(height, width))
    return torch.where(changed, target, labels.cpu())


def palette_css(layout: Layout) -> str:
    """A style sheet that puts a chip of each class's colour before its radio button (the radio itself knows only names)."""
    rules = [
        f"#classes label:nth-of-type({position + 1})::before {{ background: rgb({red},{green},{blue}); }}"
        for position, (red, green, blue) in enumerate(display_colors(layout))
    ]
    return "<style>" + "\n".join(rules) + "</style>"


def hex_color(layout: Layout, class_id: int) -> str:
    """Brush colour of a class as `#rrggbb`."""
    red, green, blue = display_colors(layout)[class_id]
    return f"#{red:02x}{green:02x}{blue:02x}"
