"""Plane look-ups: the fast way against `grid_sample`, values and gradients."""

from __future__ import annotations

import pytest
import torch

from fface_hub.generators.lookup import PlaneTable, corners, look_up, look_up_slow


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


@pytest.mark.parametrize("needed", ["planes", "positions", "both"])
def test_fast_equals_slow_in_values_and_gradients(needed: str, rng: torch.Generator) -> None:
    planes = torch.randn(2, 3, 5, 8, 8, generator=rng)
    grid = 2.6 * torch.rand(2, 50, 3, 2, generator=rng) - 1.3
    grid[0, :4, 0] = torch.tensor([[-1.0, -1], [1, 1], [1.125, 0], [-1.125, 0]])  # on the border, and where the last weight ends
    grid[0, 4, 0] = torch.tensor([1e6, -1e6])
    weight = torch.randn(2, 50, 3, 5, generator=rng)
    wanted = {"planes": [planes], "positions": [grid], "both": [planes, grid]}[needed]
    for tensor in wanted:
        tensor.requires_grad_()
    results = []
    for function in (look_up, look_up_slow):
        found = function(planes, grid)
        results.append((found, *torch.autograd.grad((found * weight).sum(), wanted)))
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


AXES = [0, 1, 0, 2, 2, 0]
"""EG3D's: planes xy, xz and zx."""


def test_a_table_by_hand() -> None:
    # One plane xy of 2 x 2 texels 1 2 / 3 4, centres at ∓.5 of a cube of half side 1. At the origin: their mean. On a centre: that texel.
    # At (1, .5): half outside to the right, of the lower row: ½ · 4. At (1.5, .5) and beyond: nothing.
    table = PlaneTable(torch.tensor([[1.0, 2.0], [3.0, 4.0]])[None, None, None], [0, 1])
    points = torch.tensor([[0.0, 0, 7], [-0.5, -0.5, 0], [1, 0.5, 0], [1.5, 0.5, 0], [-90, 90, 0]])
    assert table.mean(*table.corners(points, 1.0, 0)).flatten().tolist() == pytest.approx([2.5, 1, 2, 0, 0])


@pytest.mark.parametrize(("axes", "size"), [(AXES, 8), ([0, 1, 0, 2, 2, 1], 5), ([1, 1], 4)])
def test_a_table_is_the_mean_of_slow_look_ups(axes: list[int], size: int, rng: torch.Generator) -> None:
    """For every face of a batch; inside, outside and exactly on texel centres and borders."""
    count, bounds = len(axes) // 2, 0.5
    planes = torch.randn(2, count, 6, size, size, generator=rng)
    points = 1.6 * torch.rand(2, 200, 3, generator=rng) - 0.8
    points[:, :50] = (points[:, :50] * 2 * size).round() / (2 * size)
    points[0, 50] = torch.tensor([1e6, -1e6, 0])
    slow = look_up_slow(planes, (points[..., axes] / bounds).unflatten(-1, (-1, 2))).mean(2)
    table = PlaneTable(planes, axes)
    for face in range(2):
        torch.testing.assert_close(table.mean(*table.corners(points[face], bounds, face)), slow[face], rtol=1e-5, atol=1e-5)
    assert table.mean(*table.corners(points[0, :0], bounds, 0)).shape == (0, 6)


def test_the_largest_planes_are_still_numbered_exactly() -> None:
    """16 planes of 1024² are more rows than float32 can count."""
    table = PlaneTable(torch.zeros(1, 16, 1, 1024, 1024), [0, 1] * 16)
    rows, _ = table.corners(torch.tensor([[0.5, 0.5, 0.0]]), 0.5, 0)
    # Position 1023.5 in both: lower texel 1023, which is row and column 1024 behind the border; the last plane, lower left corner.
    assert rows[0, 60].item() == (1024 * 1027 + 1024) * 16 + 15
