"""Mappings that are taught tell the traits they were taught, and the background's colour."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from fface_hub.errors import ModelError
from fface_hub.generators.stylegan import FullyConnected, PlainMapping
from fface_hub.heads.config import APPEARANCE_SIZE, GEOMETRY_SIZE
from fface_hub.heads.look import Look
from fface_hub.training.config import TrainConfig
from fface_hub.training.mapping import Lessons, Subject, components, standardised, taught_generator, teach


def told(w: torch.Tensor, trait: torch.Tensor) -> float:
    """Share of the trait's variance that a linear reading of `w [N,D]` explains."""
    rows = torch.cat([w, torch.ones(len(w), 1)], dim=1)
    rest = trait - rows @ torch.linalg.lstsq(rows, trait).solution
    return 1 - (rest.square().mean() / trait.var()).item()


def test_a_threshold_becomes_linear_in_w() -> None:
    torch.manual_seed(0)
    z = torch.randn(4000, 12)
    hat = (z[:, :1] > 1).float()
    mapping = PlainMapping(12, 32, 2, 0.1)
    with torch.no_grad():
        before = told(mapping(z), hat)
    teach(mapping, [Subject(z, standardised(hat.numpy()), 512)], Lessons(steps=1200), progress=False)
    with torch.no_grad():
        after = told(mapping(z), hat)
    assert before < 0.6
    assert after > 0.75


def test_the_background_is_learnt_with_the_mapping() -> None:
    torch.manual_seed(0)
    z = torch.randn(1000, 2)
    colors = torch.stack([z[:, 0].tanh(), z[:, 1].tanh(), (z[:, 0] * z[:, 1]).tanh()], dim=1) * 0.8
    mapping, layer = PlainMapping(2, 16, 2, 0.1), FullyConnected(16, 3)
    teach(mapping, [Subject(z, standardised(z.numpy()), 256, colors)], Lessons(steps=400), layer, progress=False)
    with torch.no_grad():
        assert (layer(mapping(z)).tanh() - colors).square().mean() < 0.005


def test_components_are_weighted_by_their_size() -> None:
    random = np.random.default_rng(0)
    values = random.standard_normal((4000, 2)) * (4.0, 1.0)
    found = components(values, 5)
    assert found.shape == (4000, 2)
    # Deviations √(σ_k/σ_1): 1, and √(1/4).
    assert torch.allclose(found.std(dim=0), torch.tensor([1.0, 0.5]), atol=0.03)


def test_constant_traits_are_left_out() -> None:
    values = np.array([[1.0, 5.0], [3.0, 5.0]])
    assert torch.equal(standardised(values), torch.tensor([[-1.0], [1.0]]))


def test_a_generator_starts_with_the_backgrounds_of_the_heads(config: TrainConfig) -> None:
    pytest.importorskip("scipy")
    sizes = {"z_dim": GEOMETRY_SIZE, "appearance_z_dim": APPEARANCE_SIZE, "latent_dim": 64}
    lessons = Lessons(draws=3000, heads=8, steps=500, workers=1)
    generator = taught_generator(replace(config, generator={**config.generator, **sizes}), lessons, progress=False)
    z = np.random.default_rng(9).standard_normal((200, APPEARANCE_SIZE)).astype(np.float32)
    truth = torch.from_numpy(np.stack([Look.from_latent(row).background for row in z])).float() * 2 - 1
    assert generator.background is not None
    with torch.no_grad():
        rows = generator.map(torch.zeros(200, GEOMETRY_SIZE), torch.from_numpy(z)).geometry
        error = (generator.background(rows[:, -1]).tanh() - truth).square().mean()
    assert error < 0.3 * truth.var()
    with pytest.raises(ModelError, match="pair"):
        taught_generator(config)
