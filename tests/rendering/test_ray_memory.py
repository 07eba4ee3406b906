"""Rays keep to the memory they are given, and the pictures, losses and gradients do not show it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

from fface_hub import memory
from fface_hub.cameras import look_at
from fface_hub.editing import edit as module
from fface_hub.editing import steps
from fface_hub.latents import Latents
from fface_hub.rendering.renderer import bytes_per_ray, render, render_rays
from fface_hub.rendering.sampling import Sampling
from tests.live import LiveBytes
from tests.tiny import new_solid_generator, random_generator, solid_generator


@pytest.fixture(autouse=True)
def limit(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The limit is put back afterwards."""
    monkeypatch.setattr(memory, "_ray_memory", memory.RAY_MEMORY)
    yield


def rays_at(sampling: Sampling, size: int) -> tuple[Tensor, Tensor, Tensor]:
    """Colours and logits of 12² rays, and the gradient of a sum over both, where rays may take `size` bytes."""
    memory.set_ray_memory(size)
    generator = solid_generator()
    drawn = generator.sample(1, 1)
    rows = drawn.geometry.clone().requires_grad_()
    origins, directions = look_at(15.0).rays(12)
    rays = render_rays(generator.scene(Latents(rows, drawn.appearance)), origins, directions, sampling)
    weights = torch.linspace(-1, 1, 144)[None, :, None]
    total = (rays.color * weights).sum() + (rays.logits * weights).sum()
    return rays.color.detach(), rays.logits.detach(), torch.autograd.grad(total, rows)[0]  # the shared generator keeps no gradients


@pytest.mark.parametrize("jitter", [False, True])
def test_parts_do_not_show_in_pictures_or_gradients(jitter: bool) -> None:
    def sampling() -> Sampling:
        return Sampling(12, 12, torch.Generator().manual_seed(3) if jitter else None)

    scene = solid_generator().scene(solid_generator().sample(1, 1))
    ray = bytes_per_ray(scene, sampling(), gradients=True)
    whole, parts = rays_at(sampling(), 144 * ray), rays_at(sampling(), 10 * ray)
    for ours, theirs in zip(parts, whole, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-4)
    assert bool(whole[2].abs().sum() > 0)


def test_a_picture_is_the_same_in_any_parts_even_with_jitter() -> None:
    scene = solid_generator().scene(solid_generator().sample(1, 2))
    first, second = (render(scene, look_at(0.0), 12, Sampling(8, 8, torch.Generator().manual_seed(1)), chunk=n) for n in (144, 7))
    torch.testing.assert_close(second.image, first.image)


@pytest.mark.parametrize("gradients", [False, True])
@pytest.mark.parametrize("decoder", ["disentangled", "eg3d"])
def test_rays_of_official_width_keep_to_their_memory(gradients: bool, decoder: str) -> None:
    """32 channels a plane, 64 hidden units, 32 colours. Outputs of all rays come on top: 49 numbers each."""
    generator = random_generator(superresolution=None, plane_resolution=16, channel_base=256, channel_max=16, decoder=decoder)
    drawn = generator.sample(1, 0)
    rows = drawn.geometry.clone().requires_grad_(gradients)
    origins, directions = look_at(0.0).rays(32)
    memory.set_ray_memory(48 * 2**20)
    with torch.set_grad_enabled(gradients):
        scene = generator.scene(Latents(rows, drawn.appearance))
        with LiveBytes() as live:
            rays = render_rays(scene, origins, directions)
            if gradients:
                (rays.color.sum() + rays.logits.sum()).backward()
    assert 16 * 2**20 < live.peak < 50 * 2**20, f"{live.peak / 2**20:.1f} MB"


def test_a_step_that_runs_out_of_memory_goes_on_with_less(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    """A device that has room for 40 rays with gradients, and an edit of 64: the same labels come out."""
    generator = new_solid_generator()
    latents = generator.sample(1, 1)
    settings = module.EditSettings(steps=3, resolution=8, rays=None, side_rays=0, coarse=8, fine=8)
    labels = render(generator.scene(latents), look_at(0.0), 8, Sampling(8, 8)).labels[0]
    target = torch.where(labels == labels[4, 4], (labels + 1) % 15, labels)
    expected = module.edit(generator, latents, target, settings=settings)
    ray = bytes_per_ray(generator.scene(latents), Sampling(8, 8), gradients=True)

    def on_a_small_device(*given: Any, **named: Any) -> Any:
        if torch.is_grad_enabled() and memory.rays_at_once(64, ray) > 40:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return render_rays(*given, **named)

    monkeypatch.setattr(steps, "render_rays", on_a_small_device)
    found = module.edit(generator, latents, target, settings=settings)
    assert "going on with fewer rays" in caplog.text and memory.ray_memory() == 32 * ray
    assert [step["loss"] for step in found.losses] == pytest.approx([step["loss"] for step in expected.losses], rel=1e-4)
