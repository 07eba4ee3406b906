"""Orthogonalised momentum: what it makes of a matrix, how large its steps are, and who is moved by which rule."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from fface_hub.generators.triplane import TriplaneGenerator
from fface_hub.training.config import TrainConfig
from fface_hub.training.optimiser import Muon, optimisers, orthogonalised


@pytest.mark.parametrize("shape", [(6, 20), (20, 6), (8, 8)])
def test_singular_values_come_near_one(shape: tuple[int, int]) -> None:
    random = torch.Generator().manual_seed(0)
    left, _ = torch.linalg.qr(torch.randn(shape[0], min(shape), generator=random))
    right, _ = torch.linalg.qr(torch.randn(shape[1], min(shape), generator=random))
    matrix = left @ torch.diag(torch.linspace(0.2, 1.0, min(shape))) @ right.T
    result = orthogonalised(matrix)
    values = torch.linalg.svdvals(result)
    assert values.min() > 0.6
    assert values.max() < 1.3
    # The singular directions stay: UᵀRV is diagonal.
    turned = left.T @ result @ right
    assert (turned - torch.diag(turned.diagonal())).abs().max() < 0.05


def test_step_has_the_size_that_was_asked_for() -> None:
    parameter = nn.Parameter(torch.zeros(4, 3, 3, 3))
    parameter.grad = torch.randn(4, 3, 3, 3, generator=torch.Generator().manual_seed(0)) * 1e-3
    Muon([parameter], lr=0.1, scale=0.5).step()
    # An orthogonal [4,27] has Frobenius norm √4; times 0.1 · 0.5 · √27 over √108 elements: 0.05.
    assert parameter.detach().square().mean().sqrt().item() == pytest.approx(0.05, rel=0.35)  # singular values are .7 to 1.2


def test_only_matrices_of_the_synthesis_are_orthogonalised(config: TrainConfig) -> None:
    generator = TriplaneGenerator(**config.generator)
    muon, adam = optimisers(generator, 0.1, (0.9, 0.99), 0.5)
    names = {id(parameter): name for name, parameter in generator.named_parameters()}
    first, second = ({names[id(p)] for group in item.param_groups for p in group["params"]} for item in (muon, adam))
    assert first.isdisjoint(second)
    assert first | second == set(names.values())
    assert "backbone.synthesis.b4.conv1.weight" in first
    assert {"backbone.synthesis.b4.const", "backbone.synthesis.b4.conv1.bias", "decoder.geo_net.0.weight"} <= second
