"""The cache of rays: three samples by hand, its twin the renderer, and what it refuses."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from fface_hub.adapters.adapter import Adapter
from fface_hub.adapters.cache import RayCache, Views
from fface_hub.cameras import Camera, look_at
from fface_hub.errors import CancelledError, ModelError, OptimisationError
from fface_hub.generators.base import GeometrySamples, Rule, Scene
from fface_hub.latents import Latents
from fface_hub.layouts import BASE_15, EYES_19
from fface_hub.rendering.renderer import render, render_rays
from fface_hub.rendering.sampling import Sampling
from tests.tiny import solid_generator

SIZE = 12
SAMPLING = Sampling(8, 8)


class Slabs(Scene):
    """Three samples on each ray, of opacity ½, ½ and 0, whose one feature is 1, 2 and 3 and whose two logits are 10 and 20 times that."""

    batch, near, far, fingerprint, layout, empty_logit = 1, 1.0, 4.0, "0" * 64, BASE_15, 4.0
    rule: Rule = "alpha"

    def intersect(self, origins: Tensor, directions: Tensor) -> Tensor:
        return torch.tensor([1.0, 2.0, 3.0]).expand(*origins.shape[:2], 3)

    def geometry(self, points: Tensor, directions: Tensor) -> GeometrySamples:
        feature = torch.tensor([[1.0], [2.0], [3.0]]).expand(*points.shape[:3], 1)
        density = torch.tensor([0.5, 0.5, 0.0]).expand(points.shape[:3])
        return GeometrySamples(points, density, feature, torch.cat([10 * feature, 20 * feature], dim=-1))

    def color(self, samples: GeometrySamples) -> Tensor:
        raise NotImplementedError


class Flat:
    """A generator of that one scene."""

    def scene(self, latents: Latents) -> Scene:
        return Slabs()


FLAT: Any = Flat()
NONE = Latents(torch.zeros(1, 1, 1), torch.zeros(1, 1, 1, 1))


def spell(features: Tensor, geometry: Tensor, directions: Tensor) -> Tensor:
    """Three logits: the feature, density + 100 · first logit, and the depth component of the direction."""
    return torch.cat([features, geometry[..., :1] + 100 * geometry[..., 1:2], directions[..., 2:]], dim=-1)


def test_three_samples_by_hand() -> None:
    views = Views(NONE, look_at(0.0), torch.tensor([[4, 4]]), 3)  # the middle pixel of 3 × 3, twice: straight ahead
    cache = RayCache.build(FLAT, views)
    # ω = ½, ½·½ = ¼, and 0, which is dropped even at ε = 0: two samples of each ray are left.
    assert cache.starts.tolist() == [0, 2, 4]
    assert cache.weights.tolist() == pytest.approx([0.5, 0.25] * 2)
    assert cache.values[0].tolist() == [1.0, 0.5, 10.0, 20.0]
    # ½·1 + ¼·2 = 1, and the background's share ¼·4 = 1 for class 0;  ½·(.5 + 1000) + ¼·(.5 + 2000) = 1000.375;  ¾ of direction −1.
    assert cache.logits(spell, torch.tensor([0]), torch.tensor([[1]]))[0, 0].tolist() == pytest.approx([2.0, 1000.375, -0.75])
    assert cache.bytes == 4 * 4 * 4 + 4 * 4 + 3 * 8 + 2 * 3 * 4 + 2 * 4


def test_samples_that_weigh_no_more_than_epsilon_are_dropped_and_the_background_is_not_told() -> None:
    cache = RayCache.build(FLAT, Views(NONE, look_at(0.0), torch.tensor([[4]]), 3), epsilon=0.25)
    assert cache.starts.tolist() == [0, 1]
    assert cache.logits(spell, torch.tensor([0]), torch.tensor([[0]]))[0, 0].tolist() == pytest.approx([1.5, 500.25, -0.5])


def test_rays_without_any_sample_show_the_background() -> None:
    cache = RayCache.build(FLAT, Views(NONE, look_at(0.0), torch.tensor([[0, 4]]), 3), epsilon=0.9)
    assert len(cache.values) == 0
    logits = cache.logits(spell, torch.tensor([0, 0]), torch.tensor([[1], [0]]))
    assert logits.shape == (2, 1, 3) and logits.flatten().tolist() == pytest.approx([1.0, 0, 0] * 2)  # ¼ · 4


def faces(count: int = 3) -> tuple[Latents, Camera]:
    return solid_generator().sample(count, 5, 1.0), look_at(torch.tensor([-23.0, 0.0, 23.0][:count]))


def whole(count: int = 3) -> Views:
    return Views(*faces(count), torch.arange(SIZE**2).expand(count, -1), SIZE)


def adapter() -> Adapter:
    model = Adapter(EYES_19.to_dict(), "a", solid_generator().fingerprint, 8)
    model.initialise(torch.Generator().manual_seed(2))
    return model


def test_logits_labels_and_gradients_are_the_renderers() -> None:
    latents, cameras = faces()
    cache = RayCache.build(solid_generator(), whole(), SAMPLING)
    model = adapter()
    scene = solid_generator().scene(latents)
    views = render(scene, cameras, SIZE, SAMPLING, adapter=model, exact=True)
    assert 0.2 < float(views.opacity.mean()) < 0.9  # heads and background
    order = torch.tensor([2, 0, 1])
    picks = torch.arange(SIZE**2).flip(0).expand(3, -1)
    logits = cache.logits(model, order, picks)
    expected = views.logits.flatten(2).transpose(1, 2)[order].flip(1)
    assert torch.allclose(logits, expected, atol=1e-5)
    assert [torch.equal(cache.labels(model, v), views.labels[v].flatten()) for v in range(3)] == [True] * 3

    logits.square().mean().backward()
    fast = [p.grad for p in model.parameters() if p.grad is not None]
    model.zero_grad()
    origins, directions = cameras.rays(SIZE)
    slow_logits = render_rays(scene, origins, directions, SAMPLING, adapter=model, color=False).logits
    slow = torch.autograd.grad(slow_logits.square().mean(), list(model.parameters()))
    assert len(fast) == 4
    assert all(torch.allclose(a, b, rtol=1e-4, atol=1e-5) for a, b in zip(fast, slow, strict=True))


def test_some_pixels_of_a_view_in_any_order() -> None:
    latents, cameras = faces()
    pixels = torch.tensor([[5, 77, 3], [143, 0, 66], [9, 10, 70]])
    some, every = (RayCache.build(solid_generator(), v, SAMPLING) for v in (Views(latents, cameras, pixels, SIZE), whole()))
    views, model = torch.tensor([1, 1]), adapter()
    picked = some.logits(model, views, torch.tensor([[0, 2], [1, 0]]))
    assert torch.allclose(picked, every.logits(model, views, torch.tensor([[143, 66], [0, 143]])), atol=1e-6)


def test_half_precision_halves_the_values_and_keeps_the_logits() -> None:
    full, half = (RayCache.build(solid_generator(), whole(1), SAMPLING, dtype=kind) for kind in (torch.float32, torch.float16))
    assert half.values.nbytes * 2 == full.values.nbytes
    picks, view = torch.arange(SIZE**2)[None], torch.tensor([0])
    gap = (half.logits(adapter(), view, picks) - full.logits(adapter(), view, picks)).abs().max()
    assert 0 < gap < 0.01  # float16 keeps 11 bits: 1 / 2048 of values of a few units


def test_more_than_the_limit_is_refused_at_once_and_a_callback_may_stop_it() -> None:
    seen: list[int] = []
    with pytest.raises(ModelError, match="GB of memory, more than the"):
        RayCache.build(solid_generator(), whole(), SAMPLING, limit=10_000, callback=seen.append)
    assert len(seen) == 1  # the first view is one chunk of rays
    seen.clear()
    whole_cache = RayCache.build(solid_generator(), whole(), SAMPLING, callback=seen.append)
    assert len(seen) == 3 and seen == sorted(seen) and seen[-1] == whole_cache.bytes - 8  # where the last ray ends

    def stop(size: int) -> None:
        raise CancelledError("Stopped.")

    with pytest.raises(CancelledError):
        RayCache.build(solid_generator(), whole(), SAMPLING, callback=stop)


def test_numbers_that_are_not_finite_are_refused() -> None:
    latents, camera = faces(1)
    broken = Latents(latents.geometry * torch.nan, latents.appearance)
    with pytest.raises(OptimisationError, match="view 1"):
        RayCache.build(solid_generator(), Views(broken, camera, torch.zeros(1, 1, dtype=torch.int64), SIZE), SAMPLING)
