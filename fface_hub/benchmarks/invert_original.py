"""Inversion as NeRFFaceEditing codes it (facts: its projector, which is PTI): what the benchmark invert compares with.

One w from the mean face by 450 steps, then 350 steps on all weights around it. The camera is given, or else taken as frontal, and stays.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from fface_hub.cameras import Camera
from fface_hub.generators.triplane import TriplaneGenerator
from fface_hub.inversion.inversion import Inversion
from fface_hub.inversion.looks import Look
from fface_hub.inversion.objective import grid_rays, look_up, ramp
from fface_hub.latents import Latents
from fface_hub.perceptual import Perceptual
from fface_hub.progress import frozen
from fface_hub.rendering.renderer import render_rays
from fface_hub.rendering.sampling import Sampling


@dataclass(frozen=True)
class OriginalSettings:
    """`latent_steps` of Adam (β .9, .999) at `latent_rate`, warmed up and cooled down (`ramp`), on w with noise of `noise` deviations of w,
    gone after three quarters of the steps; loss: LPIPS. `tuning_steps` of Adam at `tuning_rate` on all weights; loss: L1 + LPIPS.

    A step sees `side`² rays of `coarse` + `fine` samples: the full-size step is every pixel (`full`), the reduced one has the rays and
    samples of our own steps.
    """

    latent_steps: int = 450
    tuning_steps: int = 350
    latent_rate: float = 0.01
    tuning_rate: float = 3e-4
    noise: float = 0.05
    side: int = 32
    coarse: int = 24
    fine: int = 24
    seed: int = 0

    def full(self, resolution: int) -> OriginalSettings:
        """The same with every pixel of a picture of `resolution`², and EG3D's own number of samples."""
        return replace(self, side=resolution, coarse=48, fine=48)


def original(
    generator: TriplaneGenerator,
    photo: Tensor,
    camera: Camera,
    perceptual: Perceptual,
    settings: OriginalSettings | None = None,
    report: Callable[[int], None] | None = None,
) -> Inversion:
    """The face of a framed `photo [1,3,H,W]`; `report` gets the number of steps done. LPIPS is on the trunk of `perceptual`, at the
    pictures' own size (as coded: two other trunks, at 256² and 512²)."""
    settings = settings or OriginalSettings()
    start = time.perf_counter()
    jitter = torch.Generator().manual_seed(settings.seed)
    look = Look(photo, camera)
    with frozen(generator):
        latents = _search(generator, look, perceptual, settings, jitter, report)
    tuned = generator.tuned_copy()
    optimiser = torch.optim.Adam(tuned.parameters(), lr=settings.tuning_rate)
    for index in range(settings.tuning_steps):
        optimiser.zero_grad(set_to_none=True)
        ours, theirs = _pictures(tuned, latents, look, settings, jitter)
        ((ours - theirs).abs().mean() + perceptual(ours, theirs)).backward()
        optimiser.step()
        if report is not None:
            report(settings.latent_steps + index + 1)
    optimiser.zero_grad(set_to_none=True)
    return Inversion(latents, camera, tuned, seconds=time.perf_counter() - start)


def _search(
    generator: TriplaneGenerator,
    look: Look,
    perceptual: Perceptual,
    settings: OriginalSettings,
    jitter: torch.Generator,
    report: Callable[[int], None] | None,
) -> Latents:
    """The first stage. A generator with two mappings has a w for each half."""
    late, mean = generator.late_rows.start, generator.mean_latents().geometry
    drawn = generator.sample(600, seed=123, truncation=1.0).geometry
    pair = [0, late]
    w = mean[0, pair].clone().requires_grad_()
    # One number for all of w, as coded: the root of the mean squared distance from the mean.
    deviation = (drawn[:, pair] - mean[:, pair]).square().sum(dim=-1).mean().sqrt()
    optimiser = torch.optim.Adam([w], lr=settings.latent_rate)

    def latents(values: Tensor) -> Latents:
        rows = torch.cat([values[:1].expand(late, -1), values[1:].expand(generator.num_rows - late, -1)])[None]
        return Latents(rows, rows[:, None])

    for index in range(settings.latent_steps):
        optimiser.param_groups[0]["lr"] = settings.latent_rate * ramp(index, settings.latent_steps)
        optimiser.zero_grad(set_to_none=True)
        fading = max(0.0, 1 - index / settings.latent_steps / 0.75) ** 2
        noise = torch.randn(w.shape, generator=jitter).to(w) * deviation * settings.noise * fading
        ours, theirs = _pictures(generator, latents(w + noise), look, settings, jitter)
        perceptual(ours, theirs).backward()
        optimiser.step()
        if report is not None:
            report(index + 1)
    return latents(w.detach())


def _pictures(
    generator: TriplaneGenerator, latents: Latents, look: Look, settings: OriginalSettings, jitter: torch.Generator
) -> tuple[Tensor, Tensor]:
    """The face and the photo on the rays of one step, `[1,3,side,side]` each."""
    uv, origins, directions = grid_rays(look.camera, settings.side, jitter)
    rays = render_rays(generator.scene(latents), origins, directions, Sampling(settings.coarse, settings.fine, jitter), exact=True)
    # The photo at twice the rays across, as in our own steps: pixels that fall between the rays of one step are met by the next ones.
    both = rays.color[..., :3], look_up(look.target(min(2 * settings.side, look.image.shape[-1])), uv)
    ours, theirs = (x.transpose(1, 2).unflatten(2, (settings.side, settings.side)) for x in both)
    return ours, theirs


def full_size_seconds(generator: TriplaneGenerator, photo: Tensor, camera: Camera, perceptual: Perceptual, steps: int = 2) -> float:
    """Seconds of the whole schedule at full size: `steps` steps of each stage timed, times how many there are."""
    settings, total = OriginalSettings(), 0.0
    full = settings.full(photo.shape[-1])
    fixed = original(generator, photo, camera, perceptual, replace(full, latent_steps=0, tuning_steps=0)).seconds
    for latent, tuning in ((1, 0), (0, 1)):
        few = replace(full, latent_steps=latent * steps, tuning_steps=tuning * steps)
        each = (original(generator, photo, camera, perceptual, few).seconds - fixed) / steps
        total += each * (latent * settings.latent_steps + tuning * settings.tuning_steps)
    return total
