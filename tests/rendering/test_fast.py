"""The fast renderer against the general one and the original's, on fog, on solid heads, and where its first pass errs."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from fface_hub.adapters.adapter import Adapter
from fface_hub.cameras import look_at
from fface_hub.errors import CancelledError
from fface_hub.generators.base import Field, GeometrySamples, Rendering, Rule, Scene
from fface_hub.generators.triplane import TriplaneGenerator
from fface_hub.inversion.backdrop import Backdrop, BackdropScene
from fface_hub.layouts import BASE_15, NASAL_WING_17
from fface_hub.metrics import psnr
from fface_hub.rendering import fast
from fface_hub.rendering.reference import WrittenScene, render_reference
from fface_hub.rendering.renderer import render
from fface_hub.rendering.sampling import Sampling
from tests.tiny import PAIR, SIZES, new_solid_generator, random_generator, solid_generator

FEW = Sampling(12, 10)
FAMILIES: dict[str, dict[str, Any]] = {
    "disentangled": {**PAIR, "noise": False},
    "labelled": {**SIZES, "z_dim": 6, "decoder": "labelled", "background": "white", "empty_logit": 2.0},
    "eg3d": {**SIZES, "z_dim": 6, "decoder": "eg3d"},
}


class Solids(Scene, Field):
    """Balls `[(x, y, z, radius)]`, each its own class from 1 on and its own brightness; everything is known at single points."""

    batch, near, far, fingerprint, layout, empty_logit = 1, 2.25, 3.3, "balls", BASE_15, 4.0

    def __init__(self, *balls: tuple[float, float, float, float], rule: Rule = "midpoint", hard: float = 1e5) -> None:
        self.balls, self.rule, self.hard, self.looks, self.colored = torch.tensor(balls), rule, hard, 0, 0

    def depths_inside(self, points: Tensor) -> Tensor:
        return self.balls[:, 3] - (points[..., None, :] - self.balls[:, :3]).norm(dim=-1)

    def density(self, points: Tensor, face: int) -> tuple[Tensor, tuple[Tensor, ...]]:
        self.looks += len(points)
        return (self.depths_inside(points).amax(-1) * self.hard).clamp(-1000, 1000), (points,)

    def labels(self, memory: tuple[Tensor, ...]) -> tuple[Tensor, Tensor]:
        number = self.depths_inside(memory[0]).argmax(-1)
        return memory[0], torch.nn.functional.one_hot(number + 1, 15).float()

    def rgb(self, points: Tensor) -> Tensor:
        number = self.depths_inside(points).argmax(-1)
        return (0.3 * number - 0.5 + 0.2 * points[..., 0])[..., None].expand(*number.shape, 3)

    def geometry(self, points: Tensor, directions: Tensor) -> GeometrySamples:
        density = self.density(points.flatten(0, 2), 0)[0].reshape(points.shape[:3])
        return GeometrySamples(points, density, *self.labels((points,)))

    def color(self, samples: GeometrySamples | tuple[Tensor, ...]) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        if isinstance(samples, GeometrySamples):
            return self.rgb(samples.points)
        self.colored += len(samples[0])
        return self.rgb(samples[0])

    def field(self) -> Field:
        return self


def both(scene: Scene, camera: Any, resolution: int, sampling: Sampling | None = None, **options: Any) -> tuple[Rendering, Rendering]:
    """The picture made the fast and the general way, before super-resolution."""
    ways = (render(scene, camera, resolution, sampling, finish=False, exact=exact, **options) for exact in (False, True))
    quick, slow = ways
    return quick, slow


def assert_agree(quick: Rendering, slow: Rendering, error: float = 1e-4) -> None:
    for name in ("image", "raw", "logits", "depth", "opacity"):
        torch.testing.assert_close(getattr(quick, name), getattr(slow, name), rtol=1e-3, atol=error, msg=lambda m, n=name: f"{n}: {m}")
    assert float((quick.labels == slow.labels).float().mean()) >= 0.995


@pytest.mark.parametrize("family", FAMILIES)
@torch.no_grad()
def test_fog_is_the_same_up_to_rounding(family: str) -> None:
    """Two faces of every kind of decoder, the planes' borders in view."""
    generator = random_generator(**FAMILIES[family])
    scene = generator.scene(generator.sample(2, 1))
    assert scene.field() is not None and scene.field() is scene.field()
    assert_agree(*both(scene, look_at(40.0), 16, FEW), error=1e-5)


@torch.no_grad()
def test_adapters_read_what_they_always_read() -> None:
    generator = random_generator(**FAMILIES["disentangled"])
    adapter = Adapter(NASAL_WING_17.to_dict(), "tiny", generator.fingerprint, feature_channels=8)
    adapter.initialise(torch.Generator().manual_seed(0))
    scene = generator.scene(generator.sample(1, 1))
    quick, slow = both(scene, look_at(25.0), 16, FEW, adapter=adapter)
    assert quick.logits.shape == (1, 17, 16, 16)
    assert_agree(quick, slow, error=1e-5)
    turned = render(scene, look_at(25.0), 16, FEW, adapter=lambda f, y, d: adapter(f, y, -d))
    assert not torch.allclose(turned.logits, quick.logits, atol=1e-3), "an adapter sees from where it is looked"


@torch.no_grad()
def test_jitter_is_drawn_for_the_picture_not_for_the_tile() -> None:
    generator = solid_generator()
    scene = generator.scene(generator.sample(2, 2))

    def picture(chunk: int | None, exact: bool) -> Rendering:
        return render(scene, look_at(0.0), 12, Sampling(8, 8, torch.Generator().manual_seed(1)), chunk=chunk, exact=exact)

    assert_agree(picture(7, False), picture(None, False), error=1e-5)
    assert_agree(picture(None, False), picture(None, True), error=1e-3)


@pytest.mark.parametrize("rule", ["midpoint", "left"])
def test_solid_things_agree_and_cost_little(rule: Rule) -> None:
    scene = Solids((0, 0, 0, 0.25), (0.15, 0.1, 0.28, 0.05), rule=rule)
    camera = look_at(10.0)
    slow = render(scene, camera, 128, exact=True)
    scene.looks = 0
    quick = render(scene, camera, 128)
    assert_agree(quick, slow, error=2e-3)
    every = 128 * 128 * 96
    assert scene.looks < every / 2 and scene.colored < every / 4, (scene.looks / every, scene.colored / every)
    assert set(quick.labels.unique().tolist()) == {0, 1, 2}


def test_a_window_that_the_first_pass_misses_is_seen_through() -> None:
    """Every ray of the first pass ends at a near wall, but one ray between them does not: it must show what lies behind."""
    scene = Solids((0, 0, -0.1, 0.3))
    wall, resolution, at = 0.3, 128, 34
    origins, directions = look_at(0.0).rays(resolution)
    depth = (wall - origins[..., 2]) / directions[..., 2]
    crossings = (origins + depth[..., None] * directions)[0]
    hole = crossings[at * resolution + at]

    def density(points: Tensor, face: int) -> tuple[Tensor, tuple[Tensor, ...]]:
        near_wall = (points[:, 2] - wall).abs() < 0.05
        through = (points[:, :2] - hole[:2]).norm(dim=-1) < 0.004
        ball = Solids.depths_inside(scene, points).amax(-1) > 0
        return torch.where((near_wall & ~through) | ball, 500.0, -500.0), (points,)

    scene.density = density  # pyright: ignore[reportAttributeAccessIssue]
    cells = fast.find_cells(fast.Tile(scene, scene, 0, origins[0], directions[0]), resolution, Sampling(), 2**16)
    assert cells is not None and cells.stride == 2
    quick, slow = both(scene, look_at(0.0), resolution)
    assert slow.depth[0, 0, at, at] > slow.depth[0, 0, at - 3, at - 3] + 0.05, "the hole must show in the slow picture"
    torch.testing.assert_close(quick.depth, slow.depth, atol=2e-3, rtol=0)


def test_the_first_pass_needs_pixels_narrower_than_its_cells() -> None:
    scene = Solids((0, 0, 0, 0.25))

    def found(side: int) -> fast.Cells | None:
        origins, directions = look_at(0.0).rays(side)
        return fast.find_cells(fast.Tile(scene, scene, 0, origins[0], directions[0]), side, Sampling(), 2**16)

    assert found(24) is None and found(1) is None
    cells = found(128)
    # Half a pixel's ray at the middle distance is .0051 wide, and a cell 1/80: two pixels.
    assert cells is not None and cells.stride == 2 and cells.worth.shape == (64, 64, 48)
    assert not cells.worth[0, 0].any() and cells.worth[32, 32].any(), "the corner is empty, the middle is not"
    assert not cells.worth[32, 32, -8:].any(), "what lies behind the ball is hidden"


def test_fog_has_nothing_to_leave_out() -> None:
    scene = Solids((0, 0, 0, 5.0), hard=1.0)
    origins, directions = look_at(0.0).rays(128)
    assert fast.find_cells(fast.Tile(scene, scene, 0, origins[0], directions[0]), 128, Sampling(), 2**16) is None


def test_an_empty_picture_is_its_background() -> None:
    scene = Solids((0, 0, 9, 0.1))
    texture = torch.rand(3, 16, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1
    quick, slow = both(BackdropScene(scene, Backdrop(texture, look_at(0.0))), look_at(5.0), 16, FEW)
    assert_agree(quick, slow)
    assert bool((quick.labels == 0).all()) and quick.opacity.max().item() < 1e-6
    assert quick.logits[:, 0].min().item() == pytest.approx(4)


@pytest.mark.parametrize("resolution", [12, 128])
def test_what_is_not_a_number_shows(resolution: int) -> None:
    """A broken face must not turn into a clean background."""
    scene = Solids((0, 0, 0, float("nan")))
    assert bool(render(scene, look_at(0.0), resolution, FEW).image.isnan().all())


def test_every_tile_calls_back_and_may_cancel() -> None:
    calls: list[int] = []
    render(Solids((0, 0, 0, 0.2)), look_at(0.0), 8, FEW, chunk=20, callback=lambda: calls.append(1))
    assert len(calls) == 4  # 64 = 3 · 20 + 4

    def stop() -> None:
        raise CancelledError("Stopped.")

    with pytest.raises(CancelledError):
        render(Solids((0, 0, 0, 0.2)), look_at(0.0), 8, FEW, callback=stop)


def test_merging_gives_the_order_that_sorting_would() -> None:
    """Coarse samples at 0, 1, 2, fine ones at .5, 1 (a tie: the coarse one comes first) and 1.5; occupancies make weights of any order."""
    depths = torch.tensor([[0.0, 1.0, 2.0]]), torch.tensor([[0.5, 1.0, 1.5]])
    alpha = torch.tensor([[0.5, 0.2, 0.1]]), torch.tensor([[0.4, 0.6, 0.3]])
    scene = Solids((0, 0, 0, 1), rule="alpha")
    weights, merged = fast._weigh([fast.Pass(d, a, (), None) for d, a in zip(depths, alpha, strict=True)], scene)
    # In order .5, .4, .2, .6, .3, .1: ω = .5, .4·.5 = .2, .2·.3 = .06, .6·.24 = .144, .3·.096 = .0288, .1·.0672 = .00672.
    assert weights[0].flatten().tolist() == pytest.approx([0.5, 0.06, 0.00672])
    assert weights[1].flatten().tolist() == pytest.approx([0.2, 0.144, 0.0288])
    assert merged.flatten().tolist() == [0, 1, 2, 0.5, 1, 1.5]


def sharp_generator() -> TriplaneGenerator:
    """A solid one, as dense as the bundled heads are."""
    return new_solid_generator(density=400.0, bias=-40.0)


@torch.no_grad()
def test_the_original_renderer_agrees() -> None:
    """Both plane sets sampled, everything coloured, sorted and averaged at mid-points: the same picture."""
    generator = sharp_generator()
    scene = generator.scene(generator.sample(1, 3))
    slow = render_reference(WrittenScene(scene), look_at(20.0), 64)
    assert_agree(render(scene, look_at(20.0), 64, exact=True), slow, error=1e-4)
    quick = render(scene, look_at(20.0), 64)
    assert float(psnr(quick.raw, slow.raw)) > 60 and float((quick.labels == slow.labels).float().mean()) >= 0.999


@torch.no_grad()
def test_the_original_renderer_takes_adapters_and_refuses_other_rules() -> None:
    generator = solid_generator()
    scene = generator.scene(generator.sample(1, 3))
    options: Any = {"sampling": FEW, "adapter": lambda features, geometry, directions: features[..., :3] + 0 * directions}
    torch.testing.assert_close(
        render_reference(WrittenScene(scene), look_at(0.0), 12, **options).logits,
        render(scene, look_at(0.0), 12, exact=True, **options).logits, rtol=1e-3, atol=1e-4,
    )  # fmt: skip
    with pytest.raises(ValueError, match="mid-points"):
        render_reference(Solids((0, 0, 0, 0.2), rule="left"), look_at(0.0), 8)


@pytest.mark.gpu
@torch.no_grad()
def test_cached_frames_of_official_size_on_a_gpu() -> None:
    """Known planes, volume and super-resolution to 512²: 40 frames a second, and the CPU's picture."""
    import time

    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    from fface_hub.benchmarks.render import random_model

    model = random_model({})
    latents = model.sample(1, 0)
    expected = render(model.scene(latents), look_at(10.0))
    model.set_precision(torch.bfloat16)
    scene = model.to("cuda").scene(latents.to("cuda"))
    found = render(scene, look_at(10.0))
    assert float(psnr(found.image.cpu(), expected.image)) >= 40
    assert float((found.labels.cpu() == expected.labels).float().mean()) >= 0.999
    torch.cuda.synchronize()
    start = time.perf_counter()
    for index in range(40):
        render(scene, look_at(float(index)))
    torch.cuda.synchronize()
    assert 40 / (time.perf_counter() - start) >= 40
