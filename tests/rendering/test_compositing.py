"""Weights of samples, worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch

from fface_hub.rendering.compositing import (
    RayOutputs,
    alpha_weights,
    composite,
    composite_depth,
    interval_weights,
    opacities,
    sample_weights,
    weights_between,
)

LN2 = math.log(2)


def test_midpoint_rule_on_three_samples() -> None:
    # Raw density 1 everywhere: softplus(1 − 1) = ln 2. Intervals of length 1 and 2: α = 1 − 2⁻¹ = 1/2 and 1 − 2⁻² = 3/4.
    # w₀ = 1/2, w₁ = 3/4 · 1/2 = 3/8. ω = (w₀/2, (w₀+w₁)/2, w₁/2) = (1/4, 7/16, 3/16), and nothing behind the last sample.
    density, depths = torch.ones(3), torch.tensor([0.0, 1.0, 3.0])
    assert interval_weights(density, depths).tolist() == pytest.approx([1 / 2, 3 / 8])
    assert sample_weights(density, depths, "midpoint").tolist() == pytest.approx([1 / 4, 7 / 16, 3 / 16])


def test_midpoint_rule_averages_density_before_the_activation() -> None:
    # Densities 3 and −1 have mean 1, so α = 1 − 2⁻¹ over one unit. (Averaging after softplus(σ − 1) would give (2.127 + .127)/2 = 1.127.)
    weights = interval_weights(torch.tensor([3.0, -1.0]), torch.tensor([2.0, 3.0]))
    assert weights.tolist() == pytest.approx([1 / 2])


def test_midpoint_rule_equals_the_marcher_that_averages_values_at_midpoints() -> None:
    # EG3D composites w_k · (q_k + q_{k+1}) / 2; ours are Σ ω_k q_k. With w = (1/2, 3/8) and q = (8, 4, 16):
    # 1/2 · 6 + 3/8 · 10 = 6.75, and 1/4 · 8 + 7/16 · 4 + 3/16 · 16 = 2 + 1.75 + 3 = 6.75.
    weights = sample_weights(torch.ones(3), torch.tensor([0.0, 1.0, 3.0]), "midpoint")
    assert composite(weights[None, None], torch.tensor([8.0, 4.0, 16.0])[None, None, :, None]).item() == pytest.approx(6.75)


def test_left_rule_lets_the_last_sample_end_the_ray() -> None:
    # relu densities ln 2, 0 and ln 2 with lengths 1, 2, ∞: α = 1/2, 0, 1. w = 1/2, 0, 1 · 1/2. A negative density is empty.
    density, depths = torch.tensor([LN2, -3.0, LN2]), torch.tensor([0.0, 1.0, 3.0])
    assert sample_weights(density, depths, "left").tolist() == pytest.approx([1 / 2, 0, 1 / 2])


def test_alpha_rule_takes_occupancies_as_they_are() -> None:
    # α = 1/2, 1/4, 1: w = 1/2, 1/4 · 1/2 = 1/8, 1 · 1/2 · 3/4 = 3/8; depths play no part.
    alpha = torch.tensor([0.5, 0.25, 1.0])
    assert sample_weights(alpha, torch.tensor([5.0, 5.0, 5.0]), "alpha").tolist() == pytest.approx([1 / 2, 1 / 8, 3 / 8])
    assert alpha_weights(alpha).sum().item() == pytest.approx(1)


def test_fine_samples_are_drawn_by_the_weights_between_samples() -> None:
    density, depths = torch.tensor([1.0, 1.0, 0.5]), torch.tensor([0.0, 1.0, 3.0])
    assert torch.equal(weights_between(density, depths, "midpoint"), interval_weights(density, depths))
    assert weights_between(density / 2, depths, "alpha").tolist() == pytest.approx([1 / 2, 1 / 4])
    assert weights_between(LN2 * density, depths, "left").tolist() == pytest.approx([1 / 2, 1 / 2 * 3 / 4])


def test_opacities_of_one_length_and_of_many() -> None:
    density = torch.tensor([1.0, 1.0])  # softplus(1 − 1) = ln 2
    assert opacities(density, 1.0, "midpoint").tolist() == pytest.approx([1 / 2, 1 / 2])
    assert opacities(density, torch.tensor([1.0, 2.0]), "midpoint").tolist() == pytest.approx([1 / 2, 3 / 4])
    assert opacities(LN2 * density, torch.tensor([1.0, 2.0]), "left").tolist() == pytest.approx([1 / 2, 3 / 4])


def test_outputs_are_put_together_by_faces_and_by_rays() -> None:
    one, two = (RayOutputs(*(torch.full(shape, value) for shape in ((1, 2, 3), (1, 2, 5), (1, 2), (1, 2)))) for value in (1.0, 2.0))
    faces, rays = RayOutputs.cat([one, two], dim=0), RayOutputs.cat([one, two], dim=1)
    assert faces.color.shape == (2, 2, 3) and faces.depth.tolist() == [[1, 1], [2, 2]]
    assert rays.logits.shape == (1, 4, 5) and rays.opacity.tolist() == [[1, 1, 2, 2]]


def test_depth_is_the_mean_by_the_same_weights() -> None:
    # ω = (1/4, 7/16, 3/16) at depths 0, 1, 3: Σ ω t = 7/16 + 9/16 = 1, Σ ω = 7/8, depth 8/7.
    depths = torch.tensor([[[0.0, 1.0, 3.0]]])
    weights = sample_weights(torch.ones(1, 1, 3), depths, "midpoint")
    assert composite_depth(weights, depths).item() == pytest.approx(8 / 7)


def test_depth_of_an_empty_ray_is_its_farthest_sample_and_has_no_gradient() -> None:
    depths = torch.tensor([[[1.0, 2.0], [1.5, 2.5]], [[4.0, 3.0], [1.0, 9.0]]])  # the other image ends elsewhere, in any order
    weights = torch.tensor([[[0.5, 0.5], [0.0, 0.0]], [[0.0, 0.0], [0.25, 0.25]]], requires_grad=True)
    depth = composite_depth(weights, depths)
    assert depth.tolist() == [[1.5, 2.5], [4.0, 5.0]]
    depth.sum().backward()
    assert weights.grad is not None and bool(weights.grad.isfinite().all())
