"""Plane look-ups: the fast way against `grid_sample`, values and gradients."""

from __future__ import annotations

import pytest
import torch

from fface_hub.generators.lookup import corners, look_up, look_up_slow


def test_interpolates_between_texel_centres_and_is_zero_outside() -> None:
    # Values are the column of a 4 x 4 plane; column centres lie at −.75, −.25, .25, .75.
    # 0 is half-way between columns 1 and 2; .5 between 2 and 3; 1 is half outside: ½ · 3; beyond 1.25 there is nothing.
    ramp = torch.arange(4.0).expand(1, 1, 1, 4, 4)
    x = torch.tensor([-0.25, 0.0, 0.5, 1.0, 1.3, -5.0])
    grid = torch.stack([x, 0 * x], dim=-1)[None, :, None]
    assert look_up(ramp, grid).flatten().tolist() == pytest.approx([1, 1.5, 2.5, 1.5, 0, 0])
    assert look_up(ramp.transpose(3, 4), grid.flip(-1)).flatten().tolist() == pytest.approx([1, 1.5, 2.5, 1.5, 0, 0])


def test_corner_weights_by_hand() -> None:
    # One plane of 4 x 4, the point (0, .25): position (1.5, 2) in texels: rows 2·4 + 1 and 2·4 + 2 weigh one half each.
    rows, weights = corners(torch.tensor([[[[0.0, 0.25]]]]), 4)
    assert rows.tolist() == [[9, 10, 13, 14]] and weights.tolist() == [[0.5, 0.5, 0, 0]]


def test_fast_equals_slow_in_values_and_gradients(rng: torch.Generator) -> None:
    planes = torch.randn(2, 3, 5, 8, 8, generator=rng, requires_grad=True)
    grid = 2.6 * torch.rand(2, 50, 3, 2, generator=rng) - 1.3
    grid[0, :4, 0] = torch.tensor([[-1.0, -1], [1, 1], [1.125, 0], [-1.125, 0]])  # on the border, and where the last weight ends
    grid[0, 4, 0] = torch.tensor([1e6, -1e6])
    weight = torch.randn(2, 50, 3, 5, generator=rng)
    results = []
    for function in (look_up, look_up_slow):
        found = function(planes, grid)
        results.append((found, torch.autograd.grad((found * weight).sum(), planes)[0]))
    for fast, slow in zip(*results, strict=True):
        assert fast.shape == slow.shape
        torch.testing.assert_close(fast, slow, rtol=1e-5, atol=1e-5)


def test_no_points_and_unused_texels(rng: torch.Generator) -> None:
    planes = torch.randn(1, 1, 2, 4, 4, generator=rng, requires_grad=True)
    assert look_up(planes, torch.zeros(1, 0, 1, 2)).shape == (1, 0, 1, 2)
    (grad,) = torch.autograd.grad(look_up(planes, torch.full((1, 1, 1, 2), 0.25)).sum(), planes)
    expected = torch.zeros(4, 4)
    expected[2, 2] = 1
    torch.testing.assert_close(grad[0, 0, 0], expected)


def test_positions_get_gradients_where_they_need_them(rng: torch.Generator) -> None:
    # The ramp rises by 1 per texel, and a texel is 2/4 wide: slope 2.
    ramp = torch.arange(4.0).expand(1, 1, 1, 4, 4).clone().requires_grad_()
    grid = torch.tensor([[[[0.1, 0.1]]]], requires_grad=True)
    position, texels = torch.autograd.grad(look_up(ramp, grid).sum(), [grid, ramp])
    assert position.flatten().tolist() == pytest.approx([2, 0], abs=1e-5) and texels.sum().item() == pytest.approx(1)
