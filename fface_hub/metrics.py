"""Figures of merit: pure functions on batches, one value per picture unless said otherwise.

Pictures are `[B,3,H,W]` in [-1, 1], label maps int64 `[B,h,w]`, masks bool `[B,h,w]`.
"""

from __future__ import annotations

import torch
from torch import Tensor

MINIMUM_PIXELS = 8
"""A class counts in an image's mean IoU from this many true pixels on."""


def psnr(image: Tensor, truth: Tensor, mask: Tensor | None = None) -> Tensor:
    """Peak signal to noise ratio in dB, `[B]`: 10·log10(2² / MSE), the peak being 2 because values span [-1, 1].

    With `mask [B,H,W]` only its pixels count (NaN where it is empty).
    """
    squared = (image - truth).square().mean(dim=1)
    if mask is None:
        error = squared.mean(dim=(1, 2))
    else:
        error = (squared * mask).sum(dim=(1, 2)) / mask.sum(dim=(1, 2))
    return 10 * torch.log10(4 / error.clamp_min(1e-10))


def _gaussian(size: int, sigma: float, like: Tensor) -> Tensor:
    offsets = torch.arange(size, dtype=like.dtype, device=like.device) - (size - 1) / 2
    weights = torch.exp(-offsets.square() / (2 * sigma**2))
    return weights / weights.sum()


def ssim(image: Tensor, truth: Tensor, size: int = 11, sigma: float = 1.5) -> Tensor:
    """Structural similarity `[B]` (Wang et al. 2004) of the pictures in [0, 1].

    Gaussian window 11×11, σ 1.5, K1 .01, K2 .03, valid windows only, mean over channels.
    """
    image, truth = image / 2 + 0.5, truth / 2 + 0.5
    batch, channels = image.shape[:2]
    window = _gaussian(size, sigma, image)

    def blur(values: Tensor) -> Tensor:
        flat = values.reshape(batch * channels, 1, *values.shape[2:])
        rows = torch.nn.functional.conv2d(flat, window.view(1, 1, 1, -1))
        return torch.nn.functional.conv2d(rows, window.view(1, 1, -1, 1))

    mean_x, mean_y = blur(image), blur(truth)
    var_x = blur(image * image) - mean_x.square()
    var_y = blur(truth * truth) - mean_y.square()
    covariance = blur(image * truth) - mean_x * mean_y
    c1, c2 = 0.01**2, 0.03**2
    top = (2 * mean_x * mean_y + c1) * (2 * covariance + c2)
    bottom = (mean_x.square() + mean_y.square() + c1) * (var_x + var_y + c2)
    return (top / bottom).reshape(batch, -1).mean(dim=1)


def iou_per_class(labels: Tensor, truth: Tensor, classes: int) -> Tensor:
    """Intersection over union per picture and class, `[B,K]` on the CPU; NaN where a class has no true pixel in the picture."""
    ids = torch.arange(classes, device=labels.device)
    predicted = labels.flatten(1)[:, None] == ids[:, None]
    true = truth.flatten(1)[:, None] == ids[:, None]
    # Few numbers, in float64, which not every device knows.
    intersection = (predicted & true).sum(dim=-1).cpu().double()
    union = (predicted | true).sum(dim=-1).cpu().double()
    return torch.where(true.any(dim=-1).cpu(), intersection / union.clamp_min(1), torch.full_like(union, torch.nan))


def counted_classes(truth: Tensor, classes: int, minimum: int = MINIMUM_PIXELS) -> Tensor:
    """Which classes count in which picture, bool `[B,K]`: those with at least `minimum` true pixels."""
    ids = torch.arange(classes, device=truth.device)
    return (truth.flatten(1)[:, None] == ids[:, None]).sum(dim=-1) >= minimum


def mean_iou(labels: Tensor, truth: Tensor, classes: int, minimum: int = MINIMUM_PIXELS) -> Tensor:
    """Mean IoU `[B]` (on the CPU) of each picture over its classes with at least `minimum` true pixels (NaN if it has none)."""
    scores = iou_per_class(labels, truth, classes).where(counted_classes(truth, classes, minimum).cpu(), torch.nan)
    return scores.nanmean(dim=-1)


def label_change(first: Tensor, second: Tensor) -> Tensor:
    """Share of pixels whose label differs, `[B]` on the CPU."""
    return (first != second).flatten(1).cpu().double().mean(dim=1)


def depth_error(depth: Tensor, truth: Tensor, mask: Tensor) -> Tensor:
    """Mean absolute depth difference `[B]` in world units over `mask [B,h,w]`.

    Depths are `[B,1,h,w]` along unit rays, finite in the mask.
    """
    difference = torch.where(mask, (depth - truth)[:, 0].abs(), torch.zeros_like(depth[:, 0]))
    return difference.sum(dim=(1, 2)) / mask.sum(dim=(1, 2))
