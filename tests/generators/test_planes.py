"""Normalised planes: the fast function against its slow twin, values and gradients."""

from __future__ import annotations

import pytest
import torch

from fface_hub.generators.planes import normalise_planes, normalise_planes_slow


def test_one_channel_by_hand() -> None:
    # Values 1, 2, 3, 6: mean 3, squares of the differences 4 + 1 + 0 + 9 = 14, unbiased variance 14/3.
    planes = torch.tensor([[1.0, 2.0], [3.0, 6.0]])[None, None, None]
    normalised, statistics = normalise_planes(planes)
    assert statistics.mean.item() == pytest.approx(3)
    assert statistics.std.item() == pytest.approx((14 / 3) ** 0.5)
    assert normalised.flatten().tolist() == pytest.approx([x / (14 / 3) ** 0.5 for x in (-2, -1, 0, 3)], abs=1e-6)
    torch.testing.assert_close(statistics.give_back(normalised), planes)


def test_fast_equals_slow_in_values_and_gradients(rng: torch.Generator) -> None:
    planes = (3 * torch.randn(2, 3, 4, 8, 8, generator=rng, dtype=torch.float64) + 1).requires_grad_()
    a, b, c = (torch.randn(shape, generator=rng, dtype=torch.float64) for shape in (planes.shape, (2, 3, 4), (2, 3, 4)))
    results = []  # the gradients differ by ε = 1e-8 where the fast one takes 1/s for r
    for function in (normalise_planes, normalise_planes_slow):
        normalised, statistics = function(planes)
        loss = (a * normalised).sum() + (b * statistics.mean).sum() + (c * statistics.std).sum()
        results.append([normalised, statistics.mean, statistics.std, torch.autograd.grad(loss, planes)[0]])
    for fast, slow in zip(*results, strict=True):
        torch.testing.assert_close(fast, slow, rtol=1e-7, atol=1e-7)


def test_a_constant_channel_becomes_zero() -> None:
    normalised, statistics = normalise_planes(torch.full((1, 1, 1, 4, 4), 7.0))
    assert float(normalised.abs().max()) == 0 and statistics.mean.item() == 7


def test_planes_of_any_memory_order_are_taken(rng: torch.Generator) -> None:
    planes = torch.randn(2, 3, 4, 8, 8, generator=rng)
    strided = planes.flatten(0, 1).contiguous(memory_format=torch.channels_last).unflatten(0, (2, 3))
    torch.testing.assert_close(normalise_planes(strided)[0], normalise_planes(planes)[0])
