"""Normalised planes and their statistics (NeRFFaceEditing, section 3.1): shape on one side, how it is coloured on the other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

EPSILON = 1e-8


@dataclass(frozen=True)
class Statistics:
    """Mean and unbiased standard deviation of each plane channel, `[B,P,C]` each."""

    mean: Tensor
    std: Tensor


def normalise_planes(planes: Tensor) -> tuple[Tensor, Statistics]:
    """Planes `[B,P,C,N,N]` with mean 0 and unbiased deviation 1 in each channel, and what they had. Differentiable once.

    The same as `normalise_planes_slow` in a third of the time: after the backbone was made cheap, plain autograd spent most of a training
    step going back and forth over the planes here.
    """
    normalised, mean, std = _Normalise.apply(planes)
    return normalised, Statistics(mean, std)


def normalise_planes_slow(planes: Tensor) -> tuple[Tensor, Statistics]:
    """The obvious twin: (F − mean) / (deviation + 1e-8)."""
    std, mean = torch.std_mean(planes, dim=(3, 4), correction=1)
    return (planes - mean[..., None, None]) / (std[..., None, None] + EPSILON), Statistics(mean, std)


class _Normalise(torch.autograd.Function):
    """x̂ = (x − μ) r with r = 1 / (s + ε), s² = Σ (x − μ)² / (n − 1)."""

    @staticmethod
    def forward(ctx: Any, planes: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        shape, texels = planes.shape[:3], planes.shape[3] * planes.shape[4]
        channels = planes.reshape(1, -1, texels)
        bessel = ((texels - 1) / texels) ** 0.5  # batch norm divides by the biased deviation
        gain = channels.new_full((channels.shape[1],), bessel)
        # sqrt(variance + ε²) stands for s + ε: equal but for channels that are constant up to ε.
        normalised, mean, inverse = torch.native_batch_norm(channels, gain, None, None, None, True, 0.0, EPSILON**2)
        std = 1 / (inverse * bessel)
        ctx.save_for_backward(normalised, std)
        return normalised.reshape(planes.shape), mean.reshape(shape), std.reshape(shape)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        """∂L/∂x = r g + k x̂ + c per channel, k = (∂L/∂s − Σ g x̂ / s) / (n − 1), c = (∂L/∂μ − r Σ g) / n."""
        normalised, std = ctx.saved_tensors  # [1,Q,n], [Q]
        grad, grad_mean, grad_std = grads
        texels = normalised.shape[2]
        g = grad.reshape(normalised.shape)
        along = torch.bmm(g[0, :, None], normalised[0, :, :, None]).flatten()  # Σ g x̂
        k = (grad_std.flatten() - along / std) / (texels - 1)
        c = (grad_mean.flatten() - g.sum((0, 2)) / std) / texels
        return torch.addcmul(c[:, None], g, (1 / std)[:, None]).addcmul_(normalised, k[:, None]).reshape(grad.shape)
