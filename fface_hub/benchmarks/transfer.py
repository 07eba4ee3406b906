"""Whether a class takes another face's colours and nothing else changes: region composites of random pairs, from random sides."""

from __future__ import annotations

import random
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from fface_hub.cameras import look_at
from fface_hub.editing.composite import face_scene
from fface_hub.editing.regions import grown
from fface_hub.editing.transfer import class_ids, transfer
from fface_hub.generators.base import Generator, Rendering
from fface_hub.latents import Latents
from fface_hub.metrics import MINIMUM_PIXELS, label_change
from fface_hub.progress import Callback, Step
from fface_hub.rendering.renderer import render

CLASSES = ("hair", "lips", "skin", "brow", "cloth")
LEVELS = 127.5
"""Steps of an 8-bit picture per unit of ours."""
RIM, REACH = 2, 5
"""Pixels on either side of a border that are the seam, and how far away a colour must have its like."""


@torch.no_grad()
def run(
    generator: Generator, callback: Callback | None = None, pairs: int = 20, resolution: int = 128, classes: tuple[str, ...] = CLASSES
) -> dict[str, Any]:
    """`rows`, one per class, over the `pairs` in which at least 8 pixels show it (yaw ±35°, pitch ±15°, truncation 1):

    `label_change` and `depth_change` (largest share of pixels, largest distance), `outside` (the largest change of a pixel of another
    label, in 255ths), `inside` (what the class changes by, of what the other appearance changes it by; mean, least and most), `seam` (see
    `overshoot`; mean over pairs, and the worst pair), and for comparison `seam_own` of the face before and `seam_whole` of the face wholly
    under the other appearance (means). `whole_label_change` and `whole_depth_change` are those of that face, the largest ones.
    """
    found: dict[str, list[dict[str, float]]] = {name: [] for name in classes}
    whole: list[dict[str, float]] = []
    for index in range(pairs):
        face, other = (generator.sample(1, 2 * index + which, 1.0) for which in (0, 1))
        draw = random.Random(index)
        camera = look_at(draw.uniform(-35, 35), draw.uniform(-15, 15))

        def view(latents: Latents) -> Rendering:
            return render(face_scene(generator, latents), camera, resolution, finish=False, exact=True)  # noqa: B023

        before, full = view(face), view(transfer(generator, face, other))
        whole.append(_change(before, full))
        for name in classes:
            inside = torch.isin(before.labels[0], torch.tensor(class_ids(generator.layout, [name]), device=before.labels.device))
            if int(inside.sum()) < MINIMUM_PIXELS or bool(inside.all()):
                continue
            after = view(transfer(generator, face, other, classes=[name]))
            moved, wanted = ((x.raw - before.raw)[0, :3].abs() for x in (after, full))
            figures = {
                "outside": LEVELS * float(moved[:, ~inside].max()),
                "inside": float(moved[:, inside].mean() / wanted[:, inside].mean()),
            }
            seams = {key: overshoot(x.raw[0, :3], inside) for key, x in (("seam", after), ("seam_own", before), ("seam_whole", full))}
            found[name].append({**_change(before, after), **figures, **seams})
        if callback is not None:
            callback(Step(index + 1, pairs, {}))
    rows = [{"class": name, "pairs": len(found[name]), **_summary(found[name])} for name in classes if found[name]]
    largest = {f"whole_{key}": max(each[key] for each in whole) for key in ("label_change", "depth_change")}
    return {"rows": rows, **largest, "pairs": pairs, "resolution": resolution}


def overshoot(image: Tensor, inside: Tensor) -> float:
    """How far colours within 2 pixels of the border of `inside [h,w]` (bool), on the inner side, lie beyond all that 5 pixels around show
    away from the border: what a fringe adds to a picture. Mean over those pixels of the worst channel of `image [C,h,w]`, in 255ths.
    """
    near = [grown(mask, RIM) for mask in (inside, ~inside)]
    away = ~(near[0] & near[1])
    high = F.max_pool2d(image.masked_fill(~away, -torch.inf)[None], 2 * REACH + 1, 1, REACH)[0]
    low = -F.max_pool2d((-image).masked_fill(~away, -torch.inf)[None], 2 * REACH + 1, 1, REACH)[0]
    rim = inside & near[1] & (high[0] >= low[0])  # where there is nothing to compare with, there is no figure
    beyond = torch.maximum(image - high, low - image).clamp(min=0).amax(0)
    return LEVELS * float(beyond[rim].mean()) if bool(rim.any()) else 0.0


def _change(before: Rendering, after: Rendering) -> dict[str, float]:
    labels = float(label_change(before.labels, after.labels)[0])
    return {"label_change": labels, "depth_change": float((after.depth - before.depth).abs().max())}


def _summary(found: list[dict[str, float]]) -> dict[str, float]:
    """Over pairs: the largest of what must not change, the mean and the range of what should."""
    figures = {key: max(each[key] for each in found) for key in ("label_change", "depth_change", "outside")}
    inside, seam = ([each[key] for each in found] for key in ("inside", "seam"))
    figures |= {"inside": sum(inside) / len(inside), "inside_least": min(inside), "inside_most": max(inside)}
    figures |= {"seam": sum(seam) / len(seam), "seam_worst": max(seam)}
    return figures | {key: sum(each[key] for each in found) / len(found) for key in ("seam_own", "seam_whole")}
