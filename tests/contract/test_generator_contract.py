"""What every generator family promises. A new family adds one tiny configuration below and passes all of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from fface_hub.adapters.adapter import Adapter
from fface_hub.cameras import look_at, orbit
from fface_hub.errors import ModelError
from fface_hub.generators.base import Generator, Scene
from fface_hub.generators.triplane import TriplaneGenerator
from fface_hub.latents import Latents
from fface_hub.layouts import NASAL_WING_17
from fface_hub.models import Model
from fface_hub.rendering.renderer import Sampling, render, render_rays
from tests.tiny import PAIR, SIZES

FAMILIES: dict[str, tuple[type[Model], dict[str, Any]]] = {
    "triplane-pair": (
        TriplaneGenerator,
        {**PAIR, "noise": False},
    ),
    "triplane-single": (TriplaneGenerator, {**SIZES, "z_dim": 6, "background": "white", "empty_logit": 2.0}),
    "triplane-plain": (TriplaneGenerator, {**SIZES, "z_dim": 6, "decoder": "eg3d"}),
}
FEW = Sampling(8, 8)


@pytest.fixture(scope="module", params=FAMILIES)
def generator(request: pytest.FixtureRequest) -> Generator:
    """Each family in turn, tiny and with random weights."""
    cls, config = FAMILIES[request.param]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = cls(**config).eval()
    assert isinstance(model, Generator)
    return model


@pytest.fixture
def scene(generator: Generator) -> Scene:
    """Two faces, the second with its own appearance."""
    with torch.no_grad():
        return generator.scene(generator.sample(2, seed=1))


def close(a: Tensor, b: Tensor) -> None:
    torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


def some_points(batch: int) -> tuple[Tensor, Tensor]:
    random = torch.Generator().manual_seed(0)
    points = 0.8 * torch.rand(batch, 5, 4, 3, generator=random) - 0.4
    return points, torch.nn.functional.normalize(torch.randn(batch, 5, 3, generator=random), dim=-1)


def test_latents_follow_the_seed(generator: Generator) -> None:
    first, again, other = generator.sample(2, seed=1), generator.sample(2, seed=1), generator.sample(2, seed=2)
    assert len(first) == 2 and torch.equal(first.geometry, again.geometry) and torch.equal(first.appearance, again.appearance)
    assert not torch.equal(first.geometry, other.geometry) and not torch.equal(first.geometry[0], first.geometry[1])


def test_drawing_faces_leaves_the_global_random_state_alone(generator: Generator) -> None:
    before = torch.random.get_rng_state()
    generator.scene(generator.sample(1, seed=1))
    assert torch.equal(before, torch.random.get_rng_state())


def test_truncation_0_is_the_mean_face(generator: Generator) -> None:
    mean, none = generator.mean_latents(), generator.sample(1, seed=3, truncation=0.0)
    assert len(mean) == 1
    close(none.geometry, mean.geometry)
    close(none.appearance, mean.appearance)


def test_a_scene_says_what_a_renderer_needs(generator: Generator, scene: Scene) -> None:
    assert scene.batch == 2 and 0 < scene.near < scene.far and scene.bounds > 0
    assert scene.rule in ("midpoint", "left", "alpha")
    assert scene.layout == generator.layout and scene.fingerprint == generator.fingerprint
    assert scene.device == torch.device("cpu") and len(generator.default_camera) == 1


@torch.no_grad()
def test_shapes_and_ranges_of_samples(scene: Scene) -> None:
    points, directions = some_points(2)
    samples = scene.geometry(points, directions)
    assert torch.equal(samples.points, points)
    assert samples.density.shape == (2, 5, 4) and samples.features.shape[:3] == (2, 5, 4)
    assert samples.logits.shape == (2, 5, 4, len(scene.layout))
    color = scene.color(samples)
    assert color.shape[:3] == (2, 5, 4) and color.shape[3] >= 3 and float(color.abs().max()) < 1.01
    behind = scene.background(directions)
    assert behind is None or behind.shape == (2, 5, color.shape[3])


@torch.no_grad()
def test_geometry_does_not_depend_on_the_view(scene: Scene) -> None:
    points, directions = some_points(2)
    here, there = scene.geometry(points, directions), scene.geometry(points, -directions)
    assert torch.equal(here.density, there.density) and torch.equal(here.logits, there.logits)


@torch.no_grad()
def test_samples_may_come_in_any_order_on_their_ray(scene: Scene) -> None:
    points, directions = some_points(2)
    samples = scene.geometry(points, directions)
    order = torch.tensor([2, 0, 3, 1]).expand(2, 5, 4)
    close(scene.color(samples.select(order)), scene.color(samples)[:, :, [2, 0, 3, 1]])


@torch.no_grad()
def test_faces_of_a_batch_do_not_mix(generator: Generator, scene: Scene) -> None:
    latents = generator.sample(2, seed=1)
    both = render(scene, look_at(20.0), 6, FEW)
    for index in range(2):
        alone = render(generator.scene(latents[index]), look_at(20.0), 6, FEW)
        close(both.image[index : index + 1], alone.image)
        close(both.logits[index : index + 1], alone.logits)


@torch.no_grad()
def test_a_rendering_is_complete(generator: Generator) -> None:
    scene = generator.scene(generator.sample(1, seed=1))
    out = render(scene, orbit(3), 6, FEW)
    assert out.image.shape[:2] == (3, 3) and out.raw.shape[0] == 3 and out.raw.shape[2:] == (6, 6)
    assert out.logits.shape == (3, len(scene.layout), 6, 6) and out.labels.shape == (3, 6, 6)
    assert out.depth.shape == (3, 1, 6, 6) == out.opacity.shape
    assert out.labels.dtype == torch.int64 and torch.equal(out.labels, out.logits.argmax(1))
    assert all(bool(getattr(out, name).isfinite().all()) for name in ("image", "raw", "logits", "depth", "opacity"))
    assert float(out.opacity.min()) >= 0 and float(out.opacity.max()) <= 1.001
    assert float(out.depth.min()) >= scene.near and float(out.depth.max()) <= scene.far + (scene.far - scene.near) / 7


def test_gradients_reach_both_halves_of_the_latents(generator: Generator) -> None:
    drawn = generator.sample(1, seed=1)
    geometry, appearance = (x.detach().clone().requires_grad_() for x in (drawn.geometry, drawn.appearance))
    origins, directions = generator.default_camera.rays(4)
    rays = render_rays(generator.scene(Latents(geometry, appearance)), origins, directions, FEW)
    (rays.color.sum() + rays.depth.sum() + rays.logits.square().sum()).backward()
    for half in (geometry, appearance):
        assert half.grad is not None and bool(half.grad.isfinite().all()) and float(half.grad.abs().sum()) > 0


def test_an_offset_moves_geometry_only(generator: Generator) -> None:
    latents = generator.sample(1, seed=1)
    assert torch.equal(latents.offset(torch.ones(1)).appearance, latents.appearance)
    with torch.no_grad():
        moved = generator.scene(latents.offset(0.5 * torch.ones(1)))
        points, directions = some_points(1)
        assert not torch.allclose(
            moved.geometry(points, directions).density, generator.scene(latents).geometry(points, directions).density, atol=1e-4
        )


@torch.no_grad()
def test_adapters_relabel_and_change_nothing_else(generator: Generator, scene: Scene) -> None:
    points, directions = some_points(2)
    sizes = scene.geometry(points, directions)
    adapter = Adapter(
        layout=NASAL_WING_17.to_dict(),
        generator_id="tiny",
        generator_fingerprint=generator.fingerprint,
        feature_channels=sizes.features.shape[-1],
        geometry_channels=1 + len(scene.layout),
    )
    adapter.check(scene)
    plain, adapted = render(scene, look_at(5.0), 6, FEW), render(scene, look_at(5.0), 6, FEW, adapter=adapter)
    assert adapted.logits.shape == (2, 17, 6, 6)
    assert torch.equal(plain.image, adapted.image) and torch.equal(plain.depth, adapted.depth)


@torch.no_grad()
def test_saving_and_loading_gives_the_same_faces_and_fingerprint(generator: Generator, tmp_path: Path) -> None:
    assert isinstance(generator, Model)
    generator.save_pretrained(tmp_path / "model")
    loaded = Generator.from_pretrained(tmp_path / "model")
    assert type(loaded) is type(generator) and loaded.fingerprint == generator.fingerprint and loaded.layout == generator.layout
    own, other = (render(g.scene(g.sample(1, seed=4)), look_at(0.0), 6, FEW) for g in (generator, loaded))
    assert torch.equal(own.image, other.image) and torch.equal(own.labels, other.labels)


def test_latents_of_another_generator_are_refused(generator: Generator) -> None:
    with pytest.raises(ModelError, match="generator"):
        generator.scene(Latents(torch.zeros(1, 3, 5), torch.zeros(1, 1, 3, 5)))
