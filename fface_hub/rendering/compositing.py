"""From densities to one weight ω per sample. Every output of a ray (colour, logits, depth, opacity) is Σ ω·q over its samples.

All functions work on samples sorted by depth along the last dimension and are pure. The rule says which activation and which quadrature:
`midpoint` is EG3D's marcher, `left` the one of NeRF (FENeRF uses it), `alpha` takes occupancies as they are (radiance manifolds).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields

import torch
import torch.nn.functional as F
from torch import Tensor

from fface_hub.generators.base import Rule

# Takes features [...,F], geometry [...,1+K0] (raw density, then the scene's own logits) and directions [...,3]; gives logits [...,K].
Relabel = Callable[[Tensor, Tensor, Tensor], Tensor]

EPSILON = 1e-10  # added to each transmittance, as NeRF and EG3D do


@dataclass(frozen=True)
class RayOutputs:
    """`color [B,R,C]` in [-1, 1] (C = 0 if not asked for), `logits [B,R,K]`, `depth [B,R]` along the unit ray, `opacity [B,R]` (Σω)."""

    color: Tensor
    logits: Tensor
    depth: Tensor
    opacity: Tensor

    @staticmethod
    def cat(parts: Sequence[RayOutputs], dim: int) -> RayOutputs:
        """The parts one after another: other faces of a batch (`dim` 0), or other rays of the same (`dim` 1)."""
        return RayOutputs(*(torch.cat([getattr(part, f.name) for part in parts], dim=dim) for f in fields(RayOutputs)))


def alpha_weights(alpha: Tensor) -> Tensor:
    """w_k = α_k Π_{j<k} (1 − α_j + ε) for opacities `alpha [...,S]`. Max 1995, "Optical Models", front to back."""
    survival = torch.cumprod(1 - alpha + EPSILON, dim=-1)
    return alpha * torch.cat([torch.ones_like(alpha[..., :1]), survival[..., :-1]], dim=-1)


def interval_weights(density: Tensor, depths: Tensor) -> Tensor:
    """EG3D's weights of the S−1 intervals between samples: raw `density` and `depths [...,S]` → `[...,S−1]`.

    Density is averaged at the mid-points before the activation softplus(σ − 1); no interval behind the last sample.
    """
    middle = (density[..., :-1] + density[..., 1:]) / 2
    return alpha_weights(opacities(middle, depths.diff(dim=-1), "midpoint"))


def weights_between(density: Tensor, depths: Tensor, rule: Rule) -> Tensor:
    """Weights `[...,S−1]` of the intervals between samples of raw `density` and sorted `depths [...,S]`, where fine samples are drawn: by
    the rule, those of `interval_weights`, or each the weight of the sample in front of it."""
    return interval_weights(density, depths) if rule == "midpoint" else sample_weights(density, depths, rule)[..., :-1]


def opacities(density: Tensor, length: Tensor | float, rule: Rule) -> Tensor:
    """Share of the light that raw `density [...]` swallows over a `length` (one, or `[...]`) of ray all of it like this."""
    if rule == "alpha":
        return density
    return 1 - torch.exp(-length * (F.softplus(density - 1) if rule == "midpoint" else F.relu(density)))


def sample_weights(density: Tensor, depths: Tensor, rule: Rule) -> Tensor:
    """ω `[...,S]` of each sample from raw `density [...,S]` and sorted `depths [...,S]`.

    `midpoint`: EG3D gives an interval's weight to the mean of its two samples, so ω_k = (w_{k−1} + w_k) / 2 over the original samples.
    `left`: α_k = 1 − exp(−relu(σ_k) δ_k), the last interval without end (Mildenhall et al. 2020, equation 3).
    `alpha`: the density is an opacity in [0, 1] already, and depths are not used.
    """
    if rule == "alpha":
        return alpha_weights(density)
    if rule == "left":
        endless = torch.full_like(depths[..., :1], 1e10)
        lengths = torch.cat([depths.diff(dim=-1), endless], dim=-1)
        return alpha_weights(opacities(density, lengths, rule))
    half = interval_weights(density, depths) / 2
    return F.pad(half, (0, 1)) + F.pad(half, (1, 0))


def composite(weights: Tensor, values: Tensor) -> Tensor:
    """Σ_k ω_k q_k: `weights [B,R,S]`, `values [B,R,S,Q]` → `[B,R,Q]`."""
    return (weights[..., None, :] @ values).squeeze(-2)


def composite_depth(weights: Tensor, depths: Tensor) -> Tensor:
    """Mean depth Σ ω t / Σ ω `[B,R]`, kept between the nearest and farthest sample of its own ray; an empty ray gets the farthest.

    EG3D clamps by the whole batch. There all rays end at the same depths, so that is the same; where they do not, a face would change with
    the others of its batch and with the chunk that its rays were rendered in.
    """
    total = weights.sum(-1)
    hit = total > 0
    mean = (weights * depths).sum(-1) / torch.where(hit, total, 1.0)
    return torch.where(hit, mean, torch.inf).clamp(depths.amin(-1).detach(), depths.amax(-1).detach())


def one_hot_background(logits: Tensor) -> Tensor:
    """1 for class 0 and 0 for the others, `[K]` as in `logits [...,K]`."""
    first = torch.zeros(logits.shape[-1], dtype=logits.dtype, device=logits.device)
    first[0] = 1
    return first
