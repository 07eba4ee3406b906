"""Label maps painted in any program: classes by their colours, the few mixed pixels of smoothed edges put right and counted."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from fface_hub.doors import ImageSource, match_colors, read_label_colors
from fface_hub.errors import LayoutError
from fface_hub.layouts import Layout

SNAPPED_SHARE = 0.01
"""Largest share of a picture's pixels that may have colours of no class. More is no smoothed edge but another layout, or a JPEG."""
REACH = 2
"""Pixels around a mixed one whose classes it may be a mixture of."""


@dataclass(frozen=True)
class Painted:
    """Class ids `labels [h,w]` int64, and how many of them were `snapped` to a class because their colour is of none."""

    labels: Tensor
    snapped: int


def read_painted(source: ImageSource, layout: Layout) -> Painted:
    """The label map in a palette, RGB or opaque RGBA picture; colours decide, in whatever order its own palette has them.

    A pixel in a colour of no class takes the nearest in colour of the classes within two pixels of it, or of all classes if there are none:
    the blend of two neighbours must not become a third class. Raises `LayoutError` with the count if these are more than 1 %, or for
    transparent pixels, and `ImageError` for what is not a picture.
    """
    colors = read_label_colors(source)
    ids = match_colors(colors, layout)
    snapped = int((ids < 0).sum())
    if snapped > SNAPPED_SHARE * ids.size:
        row, column = (int(i) for i in np.argwhere(ids < 0)[0])
        raise LayoutError(
            f"{snapped} of {ids.size} pixels ({snapped / ids.size:.1%}) are in colours that the layout '{layout.name}' does not have, the "
            f"first at column {column}, row {row} with {tuple(colors[row, column].tolist())}: paint in the layout's colours without "
            f"smoothing, and save as PNG (up to {SNAPPED_SHARE:.0%} is put right)."
        )
    if snapped:
        ids = _snap(ids, colors, layout.colors.numpy())
    return Painted(torch.from_numpy(ids), snapped)


def _snap(ids: np.ndarray, colors: np.ndarray, palette: np.ndarray) -> np.ndarray:
    """`ids [h,w]` with each −1 replaced, given `colors [h,w,3]` and the classes' `palette [K,3]`, all uint8."""
    rows, columns = np.nonzero(ids < 0)
    mixed = colors[rows, columns]
    padded = np.pad(ids, REACH, constant_values=-1)
    span = range(2 * REACH + 1)
    best = _nearest(mixed, [padded[rows + down, columns + right] for down in span for right in span], palette)
    alone = best < 0
    best[alone] = _nearest(mixed[alone], [np.full(int(alone.sum()), number) for number in range(len(palette))], palette)
    result = ids.copy()
    result[rows, columns] = best
    return result


def _nearest(colors: np.ndarray, candidates: list[np.ndarray], palette: np.ndarray) -> np.ndarray:
    """For each of `colors [N,3]` that of its `candidates` (each `[N]`, −1 for none) with the nearest colour, or −1 if all are none."""
    best, least = np.full(len(colors), -1), np.full(len(colors), np.inf)
    for candidate in candidates:
        distance = ((colors.astype(np.int64) - palette[candidate]) ** 2).sum(axis=1)
        closer = (candidate >= 0) & (distance < least)
        best[closer], least[closer] = candidate[closer], distance[closer]
    return best


def resample_labels(labels: Tensor, left: float, top: float, size: float, resolution: int) -> Tensor:
    """The square of a label map `[h,w]` with this corner and side, in its pixels, at `resolution`²: each new pixel takes the one under its
    centre, and beyond the map its border pixels go on."""
    steps = (torch.arange(resolution) + 0.5) * size / resolution
    height, width = labels.shape
    rows, columns = (top + steps).floor().long().clamp(0, height - 1), (left + steps).floor().long().clamp(0, width - 1)
    return labels[rows[:, None], columns[None, :]]
