"""Which part of a picture an edit is about, and label maps at other sizes."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def edited_region(current: Tensor, target: Tensor, dilate: int = 0) -> Tensor:
    """Where two label maps `[...,h,w]` (int64) differ, bool `[...,h,w]`; grown by `dilate` pixels to all eight sides.

    FFaceNeRF's r = 1[argmax of the rendered logits ≠ target], undilated.
    """
    region = current != target
    if dilate == 0:
        return region
    flat = region.reshape(-1, 1, *region.shape[-2:]).float()
    return F.max_pool2d(flat, 2 * dilate + 1, stride=1, padding=dilate).reshape(region.shape) > 0


def resize_labels(labels: Tensor, resolution: int) -> Tensor:
    """Label map (or mask) `[h,w]` at `resolution` × `resolution`: each new pixel takes the old one under its centre."""
    rows, columns = (((torch.arange(resolution) + 0.5) * side / resolution).long().to(labels.device) for side in labels.shape)
    return labels[rows[:, None], columns[None, :]]
