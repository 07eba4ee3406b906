"""Rays of which only what shows is computed, beside all samples. (Any sizes: tests/properties/test_fast_paths.py.)"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from fface_hub.adapters.adapter import Adapter
from fface_hub.cameras import look_at
from fface_hub.editing.kept import KeptScene
from fface_hub.generators.base import GeometrySamples, Scene
from fface_hub.inversion.backdrop import Backdrop, BackdropScene
from fface_hub.inversion.retouch import Retouch, RetouchedScene
from fface_hub.kept import Kept
from fface_hub.latents import Latents
from fface_hub.layouts import BASE_15
from fface_hub.rendering import renderer
from fface_hub.rendering.compositing import RayOutputs
from fface_hub.rendering.renderer import render_rays
from fface_hub.rendering.sampling import Sampling
from tests.rendering.test_fast import Solids
from tests.tiny import new_solid_generator, solid_generator

FEW = Sampling(12, 10)


def outputs(rays: RayOutputs) -> list[Tensor]:
    return [rays.color, rays.logits, rays.depth, rays.opacity]


def in_part(before: Scene, after: Scene) -> Scene:
    maps = torch.zeros(1, 2, 8, 8, dtype=torch.uint8)
    maps[:, 0, :, 3:], maps[:, 1] = 255, 200
    camera = solid_generator().default_camera
    return KeptScene(before, after, Kept(solid_generator().sample(1, 0).geometry, camera, maps, torch.tensor([before.near, before.far])))


@pytest.mark.parametrize("way", ["plain", "retouched", "before a backdrop", "kept in part", "adapter", "no colour"])
def test_values_and_gradients_are_those_of_all_samples(way: str) -> None:
    """In a scene with an inside and an outside; gradients reach latents, camera and adapter."""
    # Dense enough that no ray shows next to nothing, whose depth would be a quotient of two such sums.
    generator, found = new_solid_generator(bias=-2.0), []
    drawn = generator.sample(2, seed=3, truncation=1.0)
    adapter = Adapter(generator.layout.to_dict(), "a", generator.fingerprint, 8) if way == "adapter" else None
    if adapter is not None:
        adapter.initialise(torch.Generator().manual_seed(1))
    for exact in (True, False):
        rows = drawn[0].geometry.clone().requires_grad_()
        scene: Any = generator.scene(Latents(rows, drawn[0].appearance))
        if way == "retouched":
            scene = RetouchedScene(scene, Retouch(0.2 * torch.randn(3, 3, 8, 8, generator=torch.Generator().manual_seed(2)), scene.bounds))
        if way == "before a backdrop":
            scene = BackdropScene(scene, Backdrop(torch.rand(3, 6, 6, generator=torch.Generator().manual_seed(4)), look_at(0.0)))
        if way == "kept in part":
            scene = in_part(generator.scene(drawn[1]), scene)
        origins, directions = (value.requires_grad_() for value in look_at(15.0, 5.0).rays(16))
        rays = render_rays(scene, origins, directions, FEW, adapter, color=way != "no colour", exact=exact)
        random = torch.Generator().manual_seed(5)
        with torch.no_grad():
            same = render_rays(scene, origins, directions, FEW, adapter, color=way != "no colour", exact=exact)
        assert all(torch.equal(one, other) for one, other in zip(outputs(rays), outputs(same), strict=True))
        loss = torch.stack([(torch.randn(x.shape, generator=random) * x).mean() for x in outputs(rays) if x.numel()]).sum()
        taken = [rows, origins, directions, *(adapter.parameters() if adapter is not None else ())]
        found.append((outputs(rays), torch.autograd.grad(loss, taken, allow_unused=True)))
    (slow, slopes), (fast, gentle) = found
    for one, other in zip(fast, slow, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=2e-3)
    for one, other in zip(gentle, slopes, strict=True):
        assert float((one - other).norm()) <= 2e-3 * float(other.norm())
    assert 0.05 < float(fast[3].detach().mean()) < 0.95  # neither fog nor nothing


class Counted(Solids):
    """Balls that count what is asked with gradients, and take them in their radius."""

    def __init__(self, *balls: tuple[float, float, float, float]) -> None:
        super().__init__(*balls, hard=5000.0)
        self.balls.requires_grad_()
        self.asked = 0

    def geometry(self, points: Tensor, directions: Tensor) -> GeometrySamples:
        self.asked += points[..., 0].numel() if torch.is_grad_enabled() else 0
        return super().geometry(points, directions)


def test_what_does_not_show_is_not_asked_for() -> None:
    scene = Counted((0.0, 0.0, 0.2, 0.1), (0.0, 0.0, -0.2, 0.05))  # the second one is hidden by the first
    origins, directions = look_at(0.0).rays(16)
    rays = render_rays(scene, origins, directions, Sampling(24, 24))
    assert 0 < scene.asked < 0.15 * 16 * 16 * 48
    rays.opacity.sum().backward()
    assert scene.balls.grad is not None and float(scene.balls.grad[0, 3]) > 0 and float(scene.balls.grad[1].abs().max()) == 0
    before = scene.asked
    render_rays(scene, origins, directions, Sampling(24, 24), exact=True)
    assert scene.asked - before == 16 * 16 * 48


def test_rays_on_which_nothing_shows_are_empty() -> None:
    scene = Counted((0.0, 0.0, 0.0, 0.05))
    origins, directions = look_at(0.0).rays(8)
    rays = render_rays(scene, origins, directions, FEW)
    assert bool((rays.color[0, 0] == -1).all()) and float(rays.opacity[0, 0]) == 0
    assert rays.logits[0, 0].tolist() == [scene.empty_logit] + [0.0] * (len(BASE_15) - 1)
    assert float(rays.depth[0, 0].detach()) > 3.2


def test_what_is_no_number_shows() -> None:
    class Broken(Counted):
        def density(self, points: Tensor, face: int) -> tuple[Tensor, tuple[Tensor, ...]]:
            found, memory = super().density(points, face)
            return torch.where(points[:, 0] > 0, torch.nan, found), memory

    rays = render_rays(Broken((0.0, 0.0, 0.0, 0.1)), *look_at(0.0).rays(8), FEW)
    assert bool(rays.opacity.isnan().any()) and not bool(rays.opacity.isnan().all())


def test_all_samples_are_taken_of_several_faces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(renderer, "render_sparse", lambda *_: pytest.fail("not here"))
    generator, (origins, directions) = solid_generator(), look_at(0.0).rays(4)
    render_rays(generator.scene(generator.sample(2, 0)), *(x.expand(2, -1, -1) for x in (origins, directions)), FEW)
