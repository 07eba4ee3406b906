"""Compositing as a function: its gradients are those of its values, weights are shares, and a ray keeps to itself."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from hypothesis.strategies import integers, sampled_from
from torch import Tensor

from fface_hub.generators.base import Rule
from fface_hub.rendering.compositing import alpha_weights, composite, composite_depth, interval_weights, sample_weights
from tests.properties.holding import EXAMPLES, SEEDS, hold

RULES = sampled_from(["midpoint", "left", "alpha"])
SHAPES = {"rays": integers(1, 3), "samples": integers(2, 7)}


def inputs(seed: int, rule: Rule, rays: int, samples: int) -> tuple[Tensor, Tensor, Tensor]:
    """Densities and sorted depths `[2,R,S]` and values `[2,R,S,3]`, float64, away from the kinks of the rules."""
    random = torch.Generator().manual_seed(seed)
    shape = (2, rays, samples)
    uniform = torch.rand(shape, generator=random, dtype=torch.float64)
    density = 0.02 + 0.96 * uniform
    if rule != "alpha":  # between 0.05 and 4 on both sides of 0, where relu has its kink
        density = (0.05 + 3.95 * uniform) * torch.where(torch.rand(shape, generator=random) < 0.5, 1.0, -1.0)
    depths = 1 + (0.05 + torch.rand(shape, generator=random, dtype=torch.float64)).cumsum(-1)
    values = torch.randn((*shape, 3), generator=random, dtype=torch.float64)
    return density.requires_grad_(), depths.requires_grad_(), values.requires_grad_()


def gradients_are_right(seed: int, rule: Rule, rays: int, samples: int) -> None:
    """Against finite differences, in double precision: colour, depth and opacity, from densities, depths and values."""
    density, depths, values = inputs(seed, rule, rays, samples)

    def outputs(density: Tensor, depths: Tensor, values: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        weights = sample_weights(density, depths, rule)
        # A tenth everywhere keeps the mean depth off the ends of its ray, where it is clamped.
        return composite(weights, values), composite_depth(weights + 0.1, depths), weights.sum(-1)

    assert torch.autograd.gradcheck(outputs, (density, depths, values))


@pytest.mark.parametrize("examples", EXAMPLES)
def test_gradients(examples: int) -> None:
    hold(gradients_are_right, examples, seed=SEEDS, rule=RULES, **SHAPES)


@pytest.mark.parametrize("function", [interval_weights, lambda density, depths: alpha_weights(density.sigmoid())])
def test_gradients_of_the_parts(function: Callable[[Tensor, Tensor], Tensor]) -> None:
    density, depths, _ = inputs(3, "midpoint", 2, 6)
    assert torch.autograd.gradcheck(function, (density, depths))


def weights_are_shares(seed: int, rule: Rule, rays: int, samples: int) -> None:
    """None is negative, and together they are at most 1, however dense the ray is."""
    density, depths, _ = inputs(seed, rule, rays, samples)
    for scale in (1.0,) if rule == "alpha" else (1e-3, 1.0, 1e3, 1e6):
        weights = sample_weights(density.detach() * scale, depths.detach(), rule)
        assert float(weights.min()) >= 0 and float(weights.sum(-1).max()) <= 1 + 1e-8
        assert bool(weights.isfinite().all())


@pytest.mark.parametrize("examples", EXAMPLES)
def test_weights(examples: int) -> None:
    hold(weights_are_shares, examples, seed=SEEDS, rule=RULES, **SHAPES)


def rays_keep_to_themselves(seed: int, rule: Rule, rays: int, samples: int) -> None:
    """Depth lies among the ray's own samples, in any order of these, and no other ray or image changes it; empty rays too."""
    density, depths, _ = (x.detach() for x in inputs(seed, rule, rays, samples))
    depths = depths * torch.tensor([1.0, 7.0], dtype=depths.dtype)[:, None, None]  # the second image lies farther away
    weights = sample_weights(density, depths, rule)
    weights[0, 0] = 0
    together = composite_depth(weights, depths)
    assert bool((together >= depths.amin(-1)).all()) and bool((together <= depths.amax(-1)).all())
    assert together[0, 0] == depths[0, 0].max()
    for image in range(2):
        for ray in range(rays):
            alone = composite_depth(weights[image, ray][None, None], depths[image, ray][None, None])
            assert torch.equal(alone[0, 0], together[image, ray])
    order = torch.randperm(samples, generator=torch.Generator().manual_seed(seed))
    torch.testing.assert_close(composite_depth(weights[..., order], depths[..., order]), together)


@pytest.mark.parametrize("examples", EXAMPLES)
def test_depths(examples: int) -> None:
    hold(rays_keep_to_themselves, examples, seed=SEEDS, rule=RULES, **SHAPES)
