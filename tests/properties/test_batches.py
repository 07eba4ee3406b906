"""A batch of four faces renders as the four faces do alone, and chunks of any size do not show."""

from __future__ import annotations

from dataclasses import fields

import pytest
import torch
from hypothesis.strategies import integers, none, one_of
from torch import Tensor

from fface_hub.cameras import Camera, look_at
from fface_hub.generators.base import GeometrySamples, Rendering, Rule, Scene
from fface_hub.latents import Latents
from fface_hub.layouts import BASE_15
from fface_hub.rendering.renderer import render
from fface_hub.rendering.sampling import Sampling
from tests.properties.holding import FEW, SEEDS, hold
from tests.tiny import solid_generator

BATCH = 4
CHUNKS = one_of(none(), integers(1, 400))


def same(batch: Rendering, singles: list[Rendering], tolerance: float = 1e-5) -> None:
    """All outputs agree; labels where the best logit leads by more than rounding."""
    alone = Rendering(**{f.name: torch.cat([getattr(one, f.name) for one in singles]) for f in fields(Rendering)})
    for name in ("image", "raw", "logits", "depth", "opacity"):
        torch.testing.assert_close(getattr(batch, name), getattr(alone, name), rtol=1e-4, atol=tolerance, msg=lambda m, n=name: f"{n}: {m}")
    lead = alone.logits.topk(2, dim=1).values.diff(dim=1)[:, 0].abs()
    clear = lead > 10 * tolerance
    assert float(clear.float().mean()) > 0.9
    assert torch.equal(batch.labels[clear], alone.labels[clear])


def cameras(seed: int) -> Camera:
    random = torch.Generator().manual_seed(seed)
    return look_at(60 * torch.rand(BATCH, generator=random) - 30, 30 * torch.rand(BATCH, generator=random) - 15)


def faces_render_as_alone(seed: int, chunk: int | None, resolution: int) -> None:
    """Tri-plane heads, each with its own camera and another face's appearance."""
    generator = solid_generator()
    latents = generator.sample(BATCH, seed, 1.0)
    latents = Latents(latents.geometry, latents.appearance.roll(1, 0))
    views, sampling = cameras(seed), Sampling(8, 8)
    with torch.no_grad():
        batch = render(generator.scene(latents), views, resolution, sampling, chunk=chunk)
        singles = [render(generator.scene(latents[i]), views[i], resolution, sampling) for i in range(BATCH)]
    same(batch, singles)


@pytest.mark.parametrize("examples", FEW)
def test_tri_plane_faces(examples: int) -> None:
    hold(faces_render_as_alone, examples, seed=SEEDS, chunk=CHUNKS, resolution=integers(1, 12))


class Shells(Scene):
    """Four given surfaces on every ray, at depths that differ from face to face and from ray to ray; most of them are not there."""

    near, far, fingerprint, layout, empty_logit = 1.0, 9.0, "0" * 64, BASE_15, 1.0
    rule: Rule = "alpha"

    def __init__(self, radius: Tensor) -> None:
        self.batch, self.radius = len(radius), radius

    def intersect(self, origins: Tensor, directions: Tensor) -> Tensor:
        first = self.radius[:, None] * (1.5 + directions[..., 0])
        return first[..., None] * torch.tensor([1.0, 1.5, 2.0, 2.5])

    def geometry(self, points: Tensor, directions: Tensor) -> GeometrySamples:
        occupancy = (torch.sin(40 * points[..., 0]) - 0.6).clamp(min=0)  # exactly 0 on many a ray
        return GeometrySamples(points, occupancy, points, torch.sin(9 * points[..., :1] + torch.arange(15)))

    def color(self, samples: GeometrySamples) -> Tensor:
        return torch.tanh(samples.points)


def surfaces_render_as_alone(seed: int, chunk: int | None, resolution: int) -> None:
    radius = 1 + 2 * torch.rand(BATCH, generator=torch.Generator().manual_seed(seed))
    views = cameras(seed)
    batch = render(Shells(radius), views, resolution, chunk=chunk)
    singles = [render(Shells(radius[i : i + 1]), views[i], resolution) for i in range(BATCH)]
    same(batch, singles)
    assert resolution < 8 or bool((batch.opacity == 0).any()), "some rays must be empty for this test to mean anything"


@pytest.mark.parametrize("examples", FEW)
def test_given_surfaces(examples: int) -> None:
    hold(surfaces_render_as_alone, 5 * examples, seed=SEEDS, chunk=CHUNKS, resolution=integers(2, 16))
