"""Inversion guided by parsed labels: the loss by hand, and a parser that is listened to."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from fface_hub.cameras import Camera, look_at
from fface_hub.generators.base import Generator
from fface_hub.inversion.invert import invert
from fface_hub.inversion.objective import InvertSettings, ParsedLabels
from fface_hub.latents import Latents
from fface_hub.layouts import BASE_15
from fface_hub.rendering.renderer import render
from tests.tiny import new_solid_generator, solid_generator

QUICK = InvertSettings(resolution=32, rays=256, coarse=12, fine=12, w_steps=30, free_steps=10, tuning_steps=0)
SKIN, NOSE = BASE_15.index("skin"), BASE_15.index("nose")


def quarter(image: Tensor) -> Tensor:
    """A parser that sees skin, and a nose in the left half of the lower half."""
    labels = torch.full((len(image), 8, 8), SKIN)
    labels[:, 4:, :4] = NOSE
    return labels


def test_the_loss_by_hand() -> None:
    parsed = ParsedLabels(solid_generator(), torch.zeros(1, 3, 8, 8), quarter)
    # Shares 3/4 and 1/4: weights 1/√share, over their mean 3/4 · 2/√3 + 1/4 · 2 = 1.366.
    mean = 0.75 * 2 / 3**0.5 + 0.5
    assert parsed.weights[[SKIN, NOSE]].tolist() == pytest.approx([2 / 3**0.5 / mean, 2 / mean])
    assert float(parsed.weights.sum()) == pytest.approx(float(parsed.weights[[SKIN, NOSE]].sum()))
    uv = torch.tensor([[[0.1, 0.9], [0.9, 0.9]]])
    logits = torch.zeros(1, 2, 15)
    logits[0, 1, SKIN] = 100.0
    # The first ray is a nose and knows nothing, log 15; the second one is skin and knows it.
    assert float(parsed.loss(logits, uv)) == pytest.approx(float(parsed.weights[NOSE]) * torch.tensor(15.0).log().item() / 2, rel=1e-5)
    assert parsed.agreement(quarter(torch.zeros(1, 3, 1, 1))) == 1
    assert parsed.agreement(torch.full((1, 16, 16), SKIN)) == pytest.approx(0.75)


def test_a_parser_is_listened_to() -> None:
    generator = new_solid_generator(density=30.0, bias=0.0)
    generator.update_mean(500)
    camera = look_at(0.0)
    truth = render(generator.scene(generator.sample(1, seed=5, truncation=1.0)), camera, 32)
    other = render(generator.scene(generator.sample(1, seed=6, truncation=1.0)), camera, 32).labels
    settings = replace(QUICK, parser=lambda image: other, labels=2.0)
    seen: set[str] = set()
    told = invert(generator, truth.image, camera, settings, lambda step: seen.update(step.losses))
    alone = render(invert(generator, truth.image, camera, QUICK).scene(), camera, 32).labels
    assert "labels" in seen
    assert told.losses["label_agreement"] > float((alone == other).double().mean()) + 0.02


class Told:
    """An encoder that always says the same face, and keeps the labels that it was given."""

    def __init__(self) -> None:
        self.labels: list[Tensor | None] = []

    def check(self, generator: Generator) -> None: ...

    def encode(self, image: Tensor, labels: Tensor | None = None) -> tuple[Latents, Camera]:
        self.labels.append(labels)
        return solid_generator().sample(1, 3, 1.0), look_at(0.0)


def test_a_photo_is_parsed_once_for_encoder_and_loss() -> None:
    photos, parsed = [torch.full((1, 3, 32, 32), value) for value in (-0.5, 0.5)], []

    def parser(image: Tensor) -> Tensor:
        parsed.append(float(image.mean()))
        return quarter(image)

    few = replace(QUICK, w_steps=1, free_steps=0, parser=parser)
    encoder, seen = Told(), []
    found = invert(solid_generator(), photos, settings=few, callback=lambda step: seen.append(set(step.losses)), encoder=encoder)
    assert parsed == [-0.5, 0.5] and all(labels is not None and torch.equal(labels, quarter(labels)) for labels in encoder.labels)
    assert any("labels" in losses for losses in seen) and 0 <= found.losses["label_agreement"] <= 1
