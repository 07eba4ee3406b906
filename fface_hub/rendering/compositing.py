"""From densities to one weight ω per sample. Every output of a ray (colour, logits, depth, opacity) is Σ ω·q over its samples.

All functions work on samples sorted by depth along the last dimension and are pure. The rule says which activation and which quadrature:
`midpoint` is EG3D's marcher, `left` the one of NeRF (FENeRF uses it), `alpha` takes occupancies as they are (radiance manifolds).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from fface_hub.generators.base import Rule

EPSILON = 1e-10  # added to each transmittance, as NeRF and EG3D do


def alpha_weights(alpha: Tensor) -> Tensor:
    """w_k = α_k Π_{j<k} (1 − α_j + ε) for opacities `alpha [...,S]`. Max 1995, "Optical Models", front to back."""
    survival = torch.cumprod(1 - alpha + EPSILON, dim=-1)
    return alpha * torch.cat([torch.ones_like(alpha[..., :1]), survival[..., :-1]], dim=-1)


def interval_weights(density: Tensor, depths: Tensor) -> Tensor:
    """EG3D's weights of the S−1 intervals between samples: raw `density` and `depths [...,S]` → `[...,S−1]`.

    Density is averaged at the mid-points before the activation softplus(σ − 1); no interval behind the last sample.
    """
    middle = (density[..., :-1] + density[..., 1:]) / 2
    return alpha_weights(1 - torch.exp(-F.softplus(middle - 1) * depths.diff(dim=-1)))


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
        return alpha_weights(1 - torch.exp(-F.relu(density) * lengths))
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
