"""Every fast path is its slow, obvious twin, for any sizes. (The cached fit and its rendering twin: tests/adapters/test_fit.py and
test_cache.py; layers against their definitions: tests/generators/test_stylegan.py.)"""

from __future__ import annotations

import pytest
import torch
from hypothesis.strategies import floats, integers, sampled_from
from torch import Tensor

from fface_hub.cameras import look_at
from fface_hub.generators.base import Field, GeometrySamples, Rule, Scene
from fface_hub.generators.decoders import DisentangledDecoder
from fface_hub.generators.lookup import look_up, look_up_slow
from fface_hub.generators.planes import normalise_planes, normalise_planes_slow
from fface_hub.layouts import BASE_15
from fface_hub.rendering.compositing import composite, composite_depth, sample_weights
from fface_hub.rendering.renderer import march, render_rays
from fface_hub.rendering.sampling import Sampling
from tests.properties.holding import EXAMPLES, SEEDS, hold

SIZES = integers(1, 4)


def rng(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def look_ups_agree(seed: int, batch: int, planes: int, channels: int, size: int, points: int, reach: float) -> None:
    """Values and gradients, inside, outside and exactly on texel centres and borders (where positions have none)."""
    random = rng(seed)
    table = torch.randn(batch, planes, channels, size, size, generator=random, requires_grad=True)
    grid = reach * (2 * torch.rand(batch, points, planes, 2, generator=random) - 1)
    on_a_line = torch.rand(grid.shape, generator=random) < 0.3
    grid = torch.where(on_a_line, (grid * size).round() / size, grid)  # multiples of half a texel
    smooth = ((grid * size - (grid * size).round()).abs() > 1e-3).all(-1, keepdim=True)
    weight = torch.randn(batch, points, planes, channels, generator=random)
    grid.requires_grad_()
    found = [look_up(table, grid), look_up_slow(table, grid)]
    torch.testing.assert_close(found[0], found[1], rtol=1e-4, atol=1e-4)
    grads = [torch.autograd.grad((values * weight).sum(), [table, grid]) for values in found]
    torch.testing.assert_close(grads[0][0], grads[1][0], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(grads[0][1] * smooth, grads[1][1] * smooth, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("examples", EXAMPLES)
def test_look_ups(examples: int) -> None:
    sizes = {"batch": SIZES, "planes": SIZES, "channels": SIZES, "size": integers(1, 9), "points": integers(1, 30)}
    hold(look_ups_agree, examples, seed=SEEDS, reach=floats(0.1, 3), **sizes)


def statistics_agree(seed: int, batch: int, planes: int, channels: int, size: int, scale: float, offset: float) -> None:
    """Normalised planes, means, deviations and the gradient through all three."""
    random = rng(seed)
    shape = (batch, planes, channels, size, size)
    values = (scale * torch.randn(shape, generator=random, dtype=torch.float64) + offset).requires_grad_()
    weights = [torch.randn(shape[:n], generator=random, dtype=torch.float64) for n in (5, 3, 3)]
    results = []
    for function in (normalise_planes, normalise_planes_slow):
        normalised, statistics = function(values)
        parts = (normalised, statistics.mean, statistics.std)
        loss = sum(((weight * part).sum() for weight, part in zip(weights, parts, strict=True)), torch.zeros(()))
        results.append([*parts, torch.autograd.grad(loss, values)[0]])
    for fast, slow in zip(*results, strict=True):
        torch.testing.assert_close(fast, slow, rtol=0, atol=1e-9 * max(1.0, float(slow.detach().abs().max())))


@pytest.mark.parametrize("examples", EXAMPLES)
def test_statistics(examples: int) -> None:
    sizes = {"batch": SIZES, "planes": SIZES, "channels": SIZES, "size": integers(2, 9)}
    hold(statistics_agree, examples, seed=SEEDS, scale=floats(0.01, 30), offset=floats(-30, 30), **sizes)


def colors_agree(seed: int, batch: int, planes: int, features: int, samples: int) -> None:
    """Colour from normalised samples under statistics, against the decoder on samples that were denormalised one by one."""
    random = rng(seed)

    def draw(*shape: int) -> Tensor:
        return torch.randn(shape, generator=random, dtype=torch.float64)

    decoder = DisentangledDecoder(features, 7, 3, 2).double()
    with torch.no_grad():
        for parameter in decoder.parameters():
            parameter.copy_(draw(*parameter.shape))
    lookup, mean, std = draw(batch, 3, samples, planes, features), draw(batch, planes, features), draw(batch, planes, features).abs()
    coverage = torch.rand(batch, 3, samples, planes, generator=random, dtype=torch.float64)
    fast = decoder.color_under(lookup.flatten(3), coverage, mean, std)
    slow = decoder.color((lookup * std[:, None, None] + coverage[..., None] * mean[:, None, None]).mean(3))
    torch.testing.assert_close(fast, slow, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("examples", EXAMPLES)
def test_color_under(examples: int) -> None:
    hold(colors_agree, examples, seed=SEEDS, batch=SIZES, planes=SIZES, features=SIZES, samples=SIZES)


class Waves(Scene):
    """Density, logits and colour that go up and down in space."""

    near, far, fingerprint, layout, empty_logit = 2.25, 3.3, "0" * 64, BASE_15, 2.0

    def __init__(self, seed: int, batch: int, rule: Rule) -> None:
        self.batch, self.rule = batch, rule
        self.waves = 12 * torch.randn(batch, 3, 1 + 4 + 3, generator=rng(seed))

    def values(self, points: Tensor) -> Tensor:
        return torch.sin(points @ self.waves[:, None])

    def geometry(self, points: Tensor, directions: Tensor) -> GeometrySamples:
        values = self.values(points)
        density = 0.4 + 0.4 * values[..., 0] if self.rule == "alpha" else 30 * values[..., 0]
        return GeometrySamples(points, density, points, values[..., 1:5])

    def color(self, samples: GeometrySamples) -> Tensor:
        return self.values(samples.points)[..., 5:]


def orders_agree(seed: int, batch: int, rule: Rule, coarse: int, fine: int) -> None:
    """The renderer leaves its samples in the order they were made; the twin sorts every sample by depth first."""
    scene, sampling = Waves(seed, batch, rule), Sampling(coarse, fine)
    origins, directions = look_at(torch.linspace(-20, 20, batch)).rays(5)
    samples, depths, _ = march(scene, origins, directions, sampling)
    ordered, order = depths.sort(dim=-1, stable=True)
    moved = samples.select(order)
    weights = sample_weights(moved.density, ordered, rule)
    fast = render_rays(scene, origins, directions, sampling)
    empty = 1 - weights.sum(-1, keepdim=True)
    background = torch.tensor([scene.empty_logit, 0, 0, 0])
    torch.testing.assert_close(fast.logits, composite(weights, moved.logits) + empty * background, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(fast.color, composite(weights, scene.color(moved)) - empty, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(fast.depth, composite_depth(weights, ordered), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(fast.opacity, weights.sum(-1), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("examples", EXAMPLES)
def test_unsorted_samples(examples: int) -> None:
    rules = sampled_from(["midpoint", "left", "alpha"])
    hold(orders_agree, examples, seed=SEEDS, batch=SIZES, rule=rules, coarse=integers(4, 20), fine=integers(0, 20))


class OpenWaves(Waves, Field):
    """The same as a field, which must know the density alone; longer waves, that take gradients."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed, 1, "midpoint")
        self.waves = (self.waves / 4).requires_grad_()

    def field(self) -> Field:
        return self

    def density(self, points: Tensor, face: int) -> tuple[Tensor, tuple[Tensor, ...]]:
        return 30 * self.values(points[None, :, None])[0, :, 0, 0], (points,)

    def labels(self, memory: tuple[Tensor, ...]) -> tuple[Tensor, Tensor]:
        raise AssertionError("labels are asked with gradients")


def few_samples_agree(seed: int, coarse: int, fine: int, jitter: bool) -> None:
    """Values, and gradients to the scene and to the camera, where what hardly shows is left out."""
    found = []
    for exact in (True, False):
        scene = OpenWaves(seed)
        origins, directions = (value.requires_grad_() for value in look_at(10.0).rays(5))
        seen = render_rays(scene, origins, directions, Sampling(coarse, fine, rng(seed) if jitter else None), exact=exact)
        # Where next to nothing shows, a depth is the quotient of two sums that are next to nothing.
        outputs = (seen.color, seen.logits, seen.depth * seen.opacity, seen.opacity)
        loss = sum(((torch.randn(x.shape, generator=rng(seed + 1)) * x).sum() for x in outputs), torch.zeros(()))
        found.append((outputs, torch.autograd.grad(loss, (scene.waves, origins, directions))))
    for slow, fast in zip(*(values for values, _ in found), strict=True):
        torch.testing.assert_close(fast, slow, rtol=1e-3, atol=1e-3)
    for slow, fast in zip(*(slopes for _, slopes in found), strict=True):
        assert float((fast - slow).norm()) <= 5e-3 * float(slow.norm())


@pytest.mark.parametrize("examples", EXAMPLES)
def test_samples_that_show(examples: int) -> None:
    sizes = {"coarse": integers(4, 20), "fine": integers(0, 20)}
    hold(few_samples_agree, examples, seed=SEEDS, jitter=sampled_from([False, True]), **sizes)
