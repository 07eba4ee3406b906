"""The figures of one edit: pure functions of label maps and pictures. Pictures are `[3,h,h]` in [-1, 1], label maps `[h,h]`, on the CPU."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from fface_hub.benchmarks.edit_pairs import Side, grown
from fface_hub.benchmarks.transfer import LEVELS
from fface_hub.generators.base import Rendering
from fface_hub.heads.truth import TrueView
from fface_hub.layouts import Layout
from fface_hub.metrics import counted_classes, iou_per_class, psnr, ssim
from fface_hub.perceptual import Perceptual

RING = 5
"""Width of the ring around a region in which a seam is looked for, in pixels."""
SOLID = 0.5
"""Opacity from which on a ray has hit something."""


def class_iou(labels: Tensor, target: Tensor, where: Tensor, changed: Sequence[int]) -> dict[int, float]:
    """IoU of each class of `changed` over the pixels `where [h,h]`, of those that `target` shows there: what an edit takes away counts by
    what comes in its place.
    """
    scores = iou_per_class(labels[where][None], target[where][None], max(changed) + 1)[0].tolist()
    return {k: scores[k] for k in changed if not math.isnan(scores[k])}


def region_figures(labels: Tensor, shown: Tensor, target: Tensor, region: Tensor, changed: Sequence[int], layout: Layout) -> dict:
    """How much of the edit is there from where it was painted, within the dilated region.

    `region_iou`: of the pixels whose label was to change (`target` is not what was `shown`) and those whose label did change, together, the
    share that was to change and has the target's label: 0 before the edit, 1 when just that was done. `moved`: of those that were to change
    the share that has the target's label. `class_iou` by names, and `class_miou`, its mean: the IoU of each class that changes, pixels that
    stay included. It is high before the edit, and a class of which the region holds no more than a rim counts as much as the others: the
    oracle can be below the untouched face.
    """
    around, asked = grown(region), target != shown
    done = (labels == target) & asked
    scores = class_iou(labels, target, around, changed)
    return {
        "region_iou": float(done.sum()) / float((asked | ((labels != shown) & around)).sum()),
        "moved": float(done.sum()) / float(asked.sum()),
        "class_miou": sum(scores.values()) / len(scores),
        "class_iou": {layout.names[k]: score for k, score in scores.items()},
    }


@torch.no_grad()
def outside_figures(image: Tensor, before: Tensor, region: Tensor, perceptual: Perceptual) -> dict[str, float | None]:
    """What became of the rest, outside the dilated region, against the generator's picture before: `outside_psnr` over those pixels (at
    most 106 dB; None if there are none); `outside_ssim` and `outside_lpips` of the pictures with the dilated region set to grey in both.
    """
    outside = ~grown(region)
    ours, theirs = (picture[None].cpu() for picture in (image, before))
    grey = [picture * outside for picture in (ours, theirs)]
    device = next(perceptual.parameters()).device
    return {
        "outside_psnr": float(psnr(ours, theirs, outside[None])) if bool(outside.any()) else None,
        "outside_ssim": float(ssim(grey[0], grey[1])),
        "outside_lpips": float(perceptual.distances(grey[0].to(device), grey[1].to(device))),
    }


def seam(image: Tensor, before: Tensor, ideal: Tensor, region: Tensor) -> float:
    """Edges around the region that belong to nobody: how far gradients in the ring of 5 pixels around it lie beyond those of the picture
    `before` and of the `ideal` one (the oracle's), in 255ths.

    A seam against the picture before alone would blame an edit for the shade that a new nose throws; against the ideal alone, for not
    touching what is outside. So a gradient (each horizontal and vertical difference of neighbours of which one at least lies in the ring,
    each channel) is right anywhere between the two; the mean over all of how far it is from there. 0 for both the untouched and the ideal.
    """
    ring = grown(region, RING) & ~region
    beyond = []
    for dim in (1, 2):
        ours, one, other = (picture.diff(dim=dim) for picture in (image, before, ideal))
        near = ring.narrow(dim - 1, 1, ring.shape[0] - 1) | ring.narrow(dim - 1, 0, ring.shape[0] - 1)
        out = torch.maximum(ours - torch.maximum(one, other), torch.minimum(one, other) - ours).clamp(min=0)
        beyond.append(out[:, near].flatten())
    return LEVELS * float(torch.cat(beyond).mean())


def truth_figures(views: Sequence[Rendering], sides: Sequence[Side], layout: Layout) -> dict[str, float | None]:
    """How right the edit is in 3-D: renderings (batches of one) of the `sides` against the truly edited head, all sides together; None
    where nothing counts.

    `truth_miou`: mean IoU over the classes with at least 8 true pixels among those whose true labels before and after differ; pixels around
    them, whose labels stay, would drown these. The others count where labels or colours differ, dilated (`Side.where`): `truth_psnr` of the
    picture; `truth_depth_error`, the mean absolute difference in world units where both show a surface: silhouettes move, and depth beside
    them means nothing.
    """
    found = torch.cat([view.labels[0][side.relabelled] for view, side in zip(views, sides, strict=True)])
    wanted = torch.cat([side.after.labels[side.relabelled] for side in sides])
    counted = counted_classes(wanted[None], len(layout))[0]
    scores = iou_per_class(found[None], wanted[None], len(layout))[0, counted].tolist()
    squares = [(view.image[0] - side.after.image).square()[:, side.where] for view, side in zip(views, sides, strict=True)]
    error = torch.cat(squares, dim=1)
    depths = torch.cat([_depth_errors(view, side.after, side.where) for view, side in zip(views, sides, strict=True)])
    return {
        "truth_miou": sum(scores) / len(scores) if scores else None,
        "truth_psnr": float(10 * torch.log10(4 / error.mean().clamp_min(1e-10))) if error.numel() else None,
        "truth_depth_error": float(depths.mean()) if len(depths) else None,
    }


def _depth_errors(view: Rendering, truth: TrueView, where: Tensor) -> Tensor:
    both = where & truth.depth.isfinite() & (view.opacity[0, 0] > SOLID)
    return (view.depth[0, 0] - truth.depth)[both].abs()
