"""What the generator knows about faces that nobody has painted, and how a fit keeps to it."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from fface_hub.adapters.cache import own_logits
from fface_hub.adapters.distillation import Distillation, Teacher, parts, unpainted
from fface_hub.layouts import BASE_15, NASAL_WING_17, LabelClass, Layout
from tests.tiny import solid_generator

BASE = Layout("base", tuple(LabelClass(name, (number, 0, 0)) for number, name in enumerate(("background", "skin", "nose", "hat"))))
FINE = Layout(
    "fine",
    (
        LabelClass("background", (0, 0, 0)),
        LabelClass("skin", (1, 0, 0)),
        LabelClass("nose", (2, 0, 0)),
        LabelClass("ala", (3, 0, 0), "nose"),
        LabelClass("blush", (4, 0, 0)),
    ),
)


def test_a_class_lies_within_its_parent_and_one_without_may_be_anywhere() -> None:
    # Columns: background, skin, nose, and the hat, which the new layout does not tell.
    expected = [[1, 0, 0, 1], [0, 1, 0, 1], [0, 0, 1, 1], [0, 0, 1, 1], [1, 1, 1, 1]]
    assert parts(FINE, BASE).int().tolist() == expected
    assert parts(NASAL_WING_17, BASE_15).sum(dim=1).tolist() == [1] * 17
    assert parts(FINE, Layout("other", (LabelClass("anything", (0, 0, 0)),))).all()  # which says nothing


class Given:
    """Two views of three rays whose own logits are given."""

    at_once = 1

    def __init__(self, own: Tensor) -> None:
        self.own = own

    def logits(self, adapter, views: Tensor, picks: Tensor) -> Tensor:
        geometry = self.own[views[:, None], picks]
        return adapter(geometry, torch.cat([geometry[..., :1], geometry], dim=-1), geometry)


def test_the_loss_is_the_cross_entropy_of_summed_probabilities() -> None:
    # The generator says ½ skin, ½ nose. The adapter gives skin ½, nose ¼, ala ⅛, blush ⅛: 5/8 for skin and ½ for the nose with its parts.
    own = torch.tensor([-30.0, 1.0, 1.0, -30.0]).expand(2, 3, 4)
    views = unpainted(solid_generator(), Distillation(faces=2, resolution=4, kept=3), torch.Generator())
    teacher = Teacher(Given(own), views, FINE, BASE, Distillation(faces=2, batch=2, rays=5), weight=3.0)
    weights = torch.tensor([1e-9, 1 / 2, 1 / 4, 1 / 8, 1 / 8]).log().requires_grad_()
    loss = teacher.backward(lambda f, g, d: weights.expand(*f.shape[:-1], 5), torch.Generator())
    assert loss.item() == pytest.approx(-(math.log(5 / 8) + math.log(1 / 2)) / 2, abs=1e-5)
    # Three times the gradient of that. For skin: p − ½·(½ / (5/8)) = ½ − 2/5.
    assert weights.grad is not None and weights.grad[1].item() == pytest.approx(3 * (1 / 2 - 2 / 5), abs=1e-5)


def test_an_adapter_that_splits_classes_as_it_likes_loses_nothing() -> None:
    own = torch.randn(2, 3, 4, generator=torch.Generator().manual_seed(0))
    views = unpainted(solid_generator(), Distillation(faces=2, resolution=4, kept=3), torch.Generator())
    teacher = Teacher(Given(own), views, FINE, BASE, Distillation(faces=2, batch=2, rays=50), weight=1.0)
    split = torch.tensor(0.3, requires_grad=True)

    def adapter(features: Tensor, geometry: Tensor, directions: Tensor) -> Tensor:
        background, skin, nose, hat = own_logits(features, geometry, directions).unbind(-1)
        parts = [background, skin, nose + split.sigmoid().log(), nose + (-split).sigmoid().log(), hat]
        return torch.stack(parts, dim=-1)  # blush is where the hat is, of which the layout says nothing

    teacher.backward(adapter, torch.Generator())
    assert split.grad is not None and split.grad.abs() < 1e-6


def test_unpainted_faces_are_drawn_from_the_seed_and_seen_from_three_sides() -> None:
    settings = Distillation(faces=4, resolution=8, kept=10)
    first, again = (unpainted(solid_generator(), settings, torch.Generator().manual_seed(3)) for _ in range(2))
    other = unpainted(solid_generator(), replace(settings, faces=5), torch.Generator().manual_seed(4))
    assert first.pixels.shape == (4, 10) and int(first.pixels.max()) < 64 and len(other) == 5
    assert all(len(set(row)) == 10 for row in first.pixels.tolist())
    assert torch.equal(first.latents.geometry, again.latents.geometry) and torch.equal(first.pixels, again.pixels)
    assert not torch.equal(first.latents.geometry, other.latents.geometry[:4])
    cameras = first.cameras.cam2world
    assert torch.equal(cameras[0], cameras[3]) and not torch.equal(cameras[0], cameras[1])
