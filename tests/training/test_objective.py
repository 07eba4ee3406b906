"""Sample placement, loss terms and the schedule, against values worked out by hand."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import torch

from fface_hub.generators.triplane import TriplaneGenerator
from fface_hub.heads.shards import HeadShards
from fface_hub.rendering.renderer import render_rays
from fface_hub.rendering.sampling import Sampling, stratified
from fface_hub.training.config import TrainConfig
from fface_hub.training.data import RayBatch, decode
from fface_hub.training.objective import RayPrediction, learning_rate, losses, predict, sample_depths, scenes


def test_samples_lie_around_the_surface_and_everywhere(config: TrainConfig, rng: torch.Generator) -> None:
    truth = torch.tensor([[2.6, torch.inf]])
    depths = sample_depths(truth, config, 2.25, 3.3, rng)
    assert depths.shape == (1, 2, 8)
    assert (depths.diff(dim=-1) >= 0).all()
    assert ((depths[0, 0] - 2.6).abs() < config.near_width[1]).sum() >= 4
    # A ray into the void has one sample in each eighth of the way.
    assert ((depths[0, 1] - 2.25) / (1.05 / 8)).floor().tolist() == [0, 1, 2, 3, 4, 5, 6, 7]


def batch_of(colors: torch.Tensor, swapped: torch.Tensor, labels: torch.Tensor, depths: torch.Tensor) -> RayBatch:
    none = torch.zeros(1, 2, 3)
    return RayBatch(none, none, none, none, colors, swapped, torch.zeros(1, dtype=torch.int64), labels, depths)


def test_loss_terms(config: TrainConfig) -> None:
    config = replace(config, class_weights={"skin": 3.0}, background_weight=3.0)
    batch = batch_of(
        torch.tensor([[[0.5, 0.5, 0.5], [9.0, 9.0, 9.0]]]),  # the second half of the rays is compared with the swapped colours
        torch.tensor([[[9.0, 9.0, 9.0], [-0.2, -0.2, -0.2]]]),
        torch.tensor([[1, 0]]),
        torch.tensor([[2.5, torch.inf]]),
    )
    logits = torch.zeros(1, 2, 15)
    logits[0, 0, 1] = math.log(3)
    prediction = RayPrediction(
        color=torch.tensor([[[0.1, 0.1, 0.1], [0.0, 0.0, 0.0]]]),
        logits=logits,
        opacity=torch.tensor([[0.8, 0.1]]),
        depth=torch.tensor([[2.4, 0.3]]),
        spread=torch.tensor([[0.02, 7.0]]),
        surface_color=torch.tensor([[[0.2, 0.2, 0.2], [9.0, 9.0, 9.0]]]),
        surface_logits=logits.flip(1),
    )
    terms = {name: term.item() for name, term in losses(prediction, batch, config).items()}
    # The first ray hits, the second sees the background, whose weight 3 becomes 3/2 of the mean weight 2.
    assert terms["l1"] == pytest.approx((0.4 * 0.5 + 0.2 * 1.5) / 2)
    assert terms["l2"] == pytest.approx((0.16 * 0.5 + 0.04 * 1.5) / 2)
    # 15 classes: e^0 fourteen times and 3, and fifteen times e^0. Skin counts three times.
    assert terms["labels"] == pytest.approx((-3 * math.log(3 / 17) - math.log(1 / 15)) / 4)
    assert terms["surface_color"] == pytest.approx(0.3)
    assert terms["surface_labels"] == pytest.approx(-math.log(1 / 15))  # only where something is hit
    assert terms["depth"] == pytest.approx(0.1, abs=1e-5)  # only the ray that hits counts
    assert terms["spread"] == pytest.approx(0.02)
    assert terms["opacity"] == pytest.approx((-math.log(0.8) * 0.5 - math.log(0.9) * 1.5) / 2, abs=1e-5)


def test_prediction_agrees_with_the_renderer(source: Any, shards: HeadShards, config: TrainConfig) -> None:
    torch.manual_seed(0)
    generator = TriplaneGenerator(**config.generator)
    batch = decode(shards.group(0, slice(0, 8)), source)
    own, swapped = scenes(generator, batch, bfloat16=False)
    sampling = Sampling(24, 0)
    depths = stratified(own.near, own.far, batch.directions, sampling)
    with torch.no_grad():
        prediction = predict(own, swapped, batch, depths, bfloat16=False)
        first = render_rays(own, batch.origins, batch.directions, sampling)
        latents = generator.map(batch.geometry_z, batch.appearance_z)
        other = render_rays(generator.scene(latents.with_appearance(latents[batch.partner])), batch.origins, batch.directions, sampling)
    half = batch.directions.shape[1] // 2
    assert torch.allclose(prediction.color[:, :half], first.color[:, :half], atol=1e-4)
    assert torch.allclose(prediction.color[:, half:], other.color[:, half:], atol=1e-4)
    assert torch.allclose(prediction.logits, first.logits, atol=1e-4)
    assert torch.allclose(prediction.opacity, first.opacity, atol=1e-5)
    assert torch.allclose(prediction.depth / prediction.opacity, first.depth, atol=1e-4)


def test_learning_rate_warms_up_and_falls(config: TrainConfig) -> None:
    # rate 1e-2, warm-up over 5 steps, decay over the last .4
    assert learning_rate(config, 0.0, 0) == pytest.approx(0.2e-2)
    assert learning_rate(config, 0.5, 100) == pytest.approx(1e-2)
    assert learning_rate(config, 0.8, 100) == pytest.approx(0.5e-2)  # half of the cosine
    assert learning_rate(config, 1.0, 100) == pytest.approx(0.0, abs=1e-9)
