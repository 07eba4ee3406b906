"""Pivotal tuning: a copy of the generator learns one photograph, around latents that stay fixed (Roich et al. 2021).

Left alone, tuning paints the photo onto whatever explains it from one side, up to a flat billboard. So the geometry is held: at points near
the surface and all over the cube, opacity and labels must stay what they were. Colour alone is free to move.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fface_hub.cameras import Camera, look_at
from fface_hub.generators.base import Generator, Scene
from fface_hub.inversion.inversion import Inversion, round_differences, tuned_copy
from fface_hub.inversion.looks import Look
from fface_hub.inversion.objective import InvertSettings, grid_rays, look_up, picture_losses, ramp
from fface_hub.memory import with_less_memory
from fface_hub.progress import Callback, Step, between, check_finite, check_gradients
from fface_hub.rendering.compositing import sample_weights
from fface_hub.rendering.renderer import render_rays

HELD_YAWS = (-35.0, -18.0, 0.0, 18.0, 35.0)
HELD_PITCHES = (0.0, 10.0, 0.0, -10.0, 0.0)
HELD_SIDE = 32
HELD_PER_STEP = 4096
SHELL = 0.03
"""Held points scatter around the surface with this deviation, in world units (about 12 mm)."""
PROBE = 0.02
"""Length over which the opacity at a point is judged."""


class _Held:
    """Points and what the untuned scene has there: `points [1,P,1,3]`, `opacity [1,P,1]` over `PROBE`, `logits [1,P,1,K]`."""

    def __init__(self, scene: Scene, camera: Camera, jitter: torch.Generator, callback: Callable[[], None] | None) -> None:
        device = camera.cam2world.device
        views = look_at(torch.tensor(HELD_YAWS), torch.tensor(HELD_PITCHES)).to(device)
        near = []
        with torch.no_grad():
            for view in [camera, *(views[index] for index in range(len(views)))]:
                origins, directions = view.rays(HELD_SIDE)
                rays = render_rays(scene, origins, directions, color=False)
                for _ in range(4):
                    scatter = SHELL * torch.randn(rays.depth.shape, generator=jitter).to(device)
                    near.append((origins + (rays.depth + scatter)[..., None] * directions)[rays.opacity > 0.1])
                if callback is not None:
                    callback()
            anywhere = (torch.rand(sum(map(len, near)) // 2 + 1, 3, generator=jitter).to(device) * 2 - 1) * scene.bounds
            self.points = torch.cat([*near, anywhere])[None, :, None]
            parts = [_probe(scene, part) for part in self.points.split(65536, dim=1)]
        self.opacity, self.logits = (torch.cat(values, dim=1) for values in zip(*parts, strict=True))
        self.jitter = jitter

    def loss(self, scene: Scene) -> Tensor:
        """Mean change of opacity and, where something is, of the labels' log-probabilities, at a random part of the points."""
        chosen = torch.randint(self.points.shape[1], (HELD_PER_STEP,), generator=self.jitter).to(self.points.device)
        opacity, logits = _probe(scene, self.points[:, chosen])
        before = self.opacity[:, chosen]
        change = (self.logits[:, chosen].log_softmax(-1) - logits.log_softmax(-1)) * self.logits[:, chosen].softmax(-1)
        return F.l1_loss(opacity, before) + 0.05 * (change.sum(-1) * before).mean()


def _probe(scene: Scene, points: Tensor) -> tuple[Tensor, Tensor]:
    """Opacity `[1,P,1]` of a stretch of `PROBE` filled with what is at each of `points [1,P,1,3]`, and the logits there."""
    forward = points.new_tensor([0.0, 0.0, -1.0]).expand(1, points.shape[1], 3)
    samples = scene.geometry(points, forward)
    ends = points.new_tensor([0.0, PROBE]).expand(1, points.shape[1], 2)
    return sample_weights(samples.density.expand(-1, -1, 2), ends, scene.rule).sum(-1, keepdim=True), samples.logits


def tune(
    generator: Generator, pivot: Inversion, looks: Sequence[Look], settings: InvertSettings, callback: Callback | None = None
) -> Generator:
    """A tuned copy of `generator` whose scene of `pivot.latents` looks like the photos of `looks` from their cameras.

    All weights that the picture depends on may move, by Adam at `settings.tuning_rate`; `settings.hold` weighs the hold on the geometry.
    The result is what saving and loading it gives (float16 differences). Raises `OptimisationError` with the untuned inversion as `best`.
    """
    tuned = tuned_copy(generator)
    assert isinstance(tuned, nn.Module)  # tuned_copy refused everything else
    jitter = torch.Generator().manual_seed(settings.seed)
    done = settings.w_steps + settings.free_steps
    held = _Held(pivot.scene(), pivot.camera, jitter, between(callback, done, settings.total))
    current, targets = replace(pivot, generator=tuned), [look.target(settings.resolution) for look in looks]
    optimiser = torch.optim.Adam(tuned.parameters(), lr=settings.tuning_rate, betas=(0.9, 0.99))

    def gradients() -> dict[str, Tensor]:
        """The losses of one step, their gradients computed."""
        optimiser.zero_grad(set_to_none=True)
        scene, each = tuned.scene(pivot.latents), []
        for look, target in zip(looks, targets, strict=True):
            uv, origins, directions = grid_rays(look.camera, settings.side, jitter)
            rays = render_rays(look.before(scene), origins, directions, settings.sampling(jitter))
            each.append(picture_losses(rays.color[..., :3], look_up(target, uv), settings.side, settings.perceptual))
        losses = {name: torch.stack([terms[name] for terms in each]).mean() for name in each[0]}
        losses["hold"] = settings.hold * held.loss(scene)
        total = torch.stack(list(losses.values())).sum()
        check_finite(total, "The tuning", best=pivot)
        total.backward()
        return losses

    for index in range(settings.tuning_steps):
        for group in optimiser.param_groups:
            group["lr"] = settings.tuning_rate * ramp(index, settings.tuning_steps)
        losses = with_less_memory(gradients)
        check_gradients(tuned.parameters(), "The tuning", best=pivot)
        optimiser.step()
        if callback is not None:
            callback(Step(done + index + 1, settings.total, {name: float(value.detach()) for name, value in losses.items()}, best=current))
    optimiser.zero_grad(set_to_none=True)
    round_differences(generator, tuned)
    return tuned
