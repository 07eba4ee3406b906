"""Losses on rays: pure functions of logits or colours and their targets, each a mean, so that a batch of rays estimates the whole picture.

Letters in shapes: `B` pictures, `K` classes, `C` colour channels, `R` rays.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

ImageLoss = Callable[[Tensor, Tensor], Tensor]
"""A distance between pictures `[B,3,h,w]` in [-1, 1], as one number."""


def cross_entropy(logits: Tensor, labels: Tensor, weights: Tensor | None = None) -> Tensor:
    """Cross-entropy of composited `logits [B,K,R]` against `labels [B,R]` (int64), mean over all rays, each times its `weights [B,R]`.

    The sum is divided by the number of rays, not by that of the weights. FFaceNeRF's adapter and edits use it unweighted.
    """
    if weights is None:
        return F.cross_entropy(logits, labels)
    return (F.cross_entropy(logits, labels, reduction="none") * weights).mean()


def dice_overlap(logits: Tensor, labels: Tensor, weights: Tensor | None = None, smoothing: float = 1.0) -> Tensor:
    """Soft DICE overlap loss of FFaceNeRF on `logits [B,K,R]` and `labels [B,R]` (int64).

    With p = softmax over K and g one-hot: 1 − mean over B and *all* K of (2 Σp·g + s) / (Σp + Σg + s), sums over rays, each times its
    `weights [B,R]` (None: 1). A class that is absent from a picture gives s / (Σp + s): it only presses its own soft mass down. Each class
    weighs 1/K, however small.
    """
    probabilities = logits.softmax(dim=1)
    truth = F.one_hot(labels, logits.shape[1]).movedim(-1, 1).to(probabilities.dtype)
    counts = torch.ones_like(probabilities[:, :1]) if weights is None else weights[:, None]
    shared = (probabilities * truth * counts).sum(dim=2)
    total = ((probabilities + truth) * counts).sum(dim=2)
    return 1 - ((2 * shared + smoothing) / (total + smoothing)).mean()


def masked_mse(image: Tensor, target: Tensor, keep: Tensor) -> Tensor:
    """Mean over *all* `[B,C,R]` values of the squared difference where `keep [B,R]` (bool) is true; elsewhere the difference counts as 0.

    That is MSE((1−r)·I₀, (1−r)·I) of FFaceNeRF's edit, with `keep` = 1 − r.
    """
    return ((image - target).square() * keep[:, None]).mean()


def masked_image_loss(loss: ImageLoss, image: Tensor, target: Tensor, keep: Tensor) -> Tensor:
    """`loss` between pictures `[B,3,h,w]` whose pixels outside `keep [B,h,w]` (bool) are set to 0, a mid grey: LPIPS in FFaceNeRF."""
    mask = keep[:, None].to(image.dtype)
    return loss(image * mask, target * mask)


def gradient_l1(image: Tensor, target: Tensor) -> Tensor:
    """Mean absolute difference of the horizontal and vertical finite differences of pictures `[B,C,h,w]`: keeps edges sharp."""
    horizontal = (image.diff(dim=3) - target.diff(dim=3)).abs().mean()
    vertical = (image.diff(dim=2) - target.diff(dim=2)).abs().mean()
    return horizontal + vertical
