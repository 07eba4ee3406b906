"""Which part of a picture an edit is about, and label maps at other sizes."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def edited_region(current: Tensor, target: Tensor) -> Tensor:
    """Where two label maps `[...,h,w]` (int64) differ, bool `[...,h,w]`: FFaceNeRF's r = 1[argmax of the rendered logits ≠ target]."""
    return current != target


def grown(mask: Tensor, pixels: int) -> Tensor:
    """`mask [...,h,w]` (bool) and all within `pixels` of it to all eight sides."""
    flat = mask.reshape(-1, 1, *mask.shape[-2:]).float()
    return F.max_pool2d(flat, 2 * pixels + 1, stride=1, padding=pixels).reshape(mask.shape) > 0


def resize_labels(labels: Tensor, resolution: int) -> Tensor:
    """Label map (or mask) `[h,w]` at `resolution` × `resolution`: each new pixel takes the old one under its centre."""
    rows, columns = (((torch.arange(resolution) + 0.5) * side / resolution).long().to(labels.device) for side in labels.shape)
    return labels[rows[:, None], columns[None, :]]
