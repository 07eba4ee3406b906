"""A layout made from scratch, make-up zones, and a rule that paints them: `python -m examples.makeup.paint FOLDER`.

`layout.json` is base-15 with two zones on the skin: eye shadow and blush. A make-up artist would paint them by hand on the ten faces that
`fface-hub samples new --layout examples/makeup/layout.json` draws; here a rule paints, so that the example needs no hands. It knows a face
only by its label map, as the artist sees it.
"""

from __future__ import annotations

import math
import sys
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from fface_hub import Layout
from fface_hub.adapters.samples import SampleSet
from fface_hub.doors import read_json

MAKEUP = Layout.from_dict(read_json(Path(__file__).with_name("layout.json")))
SEEN = 6
"""Fewest pixels that make an eye; of one turned away nothing is painted."""


def ellipse(shape: torch.Size, center: tuple[float, float], radii: tuple[float, float], tilt: float = 0.0) -> Tensor:
    """Mask `[h,w]` of an ellipse round `center` (x, y) with `radii` along its own axes, turned by `tilt` degrees (clockwise on screen)."""
    y, x = torch.meshgrid(torch.arange(shape[0]) - center[1], torch.arange(shape[1]) - center[0], indexing="ij")
    cosine, sine = math.cos(math.radians(tilt)), math.sin(math.radians(tilt))
    return ((cosine * x + sine * y) / radii[0]) ** 2 + ((cosine * y - sine * x) / radii[1]) ** 2 <= 1


def middle(mask: Tensor) -> tuple[float, float]:
    """Mean x and y of a mask's pixels."""
    rows, columns = mask.nonzero(as_tuple=True)
    return float(columns.float().mean()), float(rows.float().mean())


def paint(labels: Tensor) -> Tensor:
    """Label map `[h,w]` of MAKEUP without zones → with them, on skin only: eye shadow from each eye up to the brow, blush on each cheek.

    Faces without nose or lips are given back as they are.
    """
    skin, eye, nose, lips = (labels == MAKEUP.index(name) for name in ("skin", "eye", "nose", "lips"))
    painted = labels.clone()
    if not nose.any() or not lips.any():
        return painted
    axis, (_, lips_y) = middle(nose)[0], middle(lips)
    columns = torch.arange(labels.shape[1]).expand_as(labels)
    for outward, side in ((-1, columns < axis), (1, columns >= axis)):
        if int((eye & side).sum()) < SEEN:
            continue
        x, y = middle(eye & side)
        seen = columns[eye & side]
        width, drop = float(seen.max() - seen.min() + 1), lips_y - y
        shadow = ellipse(labels.shape, (x, y), (0.75 * width, 0.7 * width)) & (torch.arange(labels.shape[0])[:, None] < y)
        blush = ellipse(labels.shape, (x + outward * 0.7 * width, y + 0.55 * drop), (width, 0.18 * drop), tilt=-25 * outward)
        painted[shadow & side & skin] = MAKEUP.index("eye shadow")
        painted[blush & side & skin] = MAKEUP.index("blush")
    return painted


def paint_set(samples: SampleSet) -> SampleSet:
    """All faces of a set of the layout MAKEUP, painted."""
    return replace(samples, samples=tuple(replace(sample, labels=paint(sample.labels)) for sample in samples.samples), notes=())


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    paint_set(SampleSet.load(folder)).save(folder)
    print(f"painted the faces in {folder}: now run  python -m fface_hub.cli samples check {folder}")
