"""What a tri-plane generator is given by mistake: each fault is told in words."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from fface_hub.cameras import orbit
from fface_hub.errors import ModelError
from fface_hub.latents import Latents
from fface_hub.rendering.renderer import render
from tests.tiny import new_solid_generator, solid_generator


@pytest.mark.parametrize("half", ["geometry", "appearance"])
@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_a_picture_of_latents_that_are_not_finite_is_refused(half: str, value: float) -> None:
    face = solid_generator().sample(1, seed=7)
    broken = getattr(face, half).clone()
    broken[..., 0] = value
    scene = solid_generator().scene(replace(face, **{half: broken}))
    with pytest.raises(ModelError, match="numbers that are not finite"):
        render(scene, orbit(1), 8)


@pytest.mark.parametrize("truncation", [float("nan"), float("inf")])
def test_a_truncation_that_is_not_finite_is_refused(truncation: float) -> None:
    with pytest.raises(ValueError, match="truncation must be a finite number"):
        solid_generator().sample(1, 7, truncation)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_numbers_than_float32_are_refused_with_the_way_to_them(dtype: torch.dtype) -> None:
    face, moved = solid_generator().sample(1, seed=7), new_solid_generator().to(dtype)
    for call in (lambda: moved.sample(1, seed=7), lambda: moved.scene(face), lambda: moved.scene(moved.mean_latents())):
        with pytest.raises(ModelError, match=r"stay float32: load it with from_pretrained\(dtype=…\)"):
            call()
    with pytest.raises(ModelError, match="convert both halves"):
        solid_generator().scene(Latents(face.geometry.to(dtype), face.appearance.to(dtype)))
