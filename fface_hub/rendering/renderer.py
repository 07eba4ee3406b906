"""Volume rendering of any scene: rays → samples → one weight ω per sample → Σ ω·q."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from fface_hub.cameras import Camera
from fface_hub.generators.base import GeometrySamples, Rendering, Scene
from fface_hub.rendering.compositing import composite, composite_depth, interval_weights, sample_weights
from fface_hub.rendering.sampling import Sampling, importance, stratified

# Takes features [...,F], geometry [...,1+K0] (raw density, then the scene's own logits) and directions [...,3]; gives logits [...,K].
Relabel = Callable[[Tensor, Tensor, Tensor], Tensor]

# Rays rendered at once. A CPU works fastest on buffers that stay in its cache and are not handed back to the system each time.
CHUNKS = {"cpu": 1024}


@dataclass(frozen=True)
class RayOutputs:
    """`color [B,R,C]` in [-1, 1] (C = 0 if not asked for), `logits [B,R,K]`, `depth [B,R]` along the unit ray, `opacity [B,R]` (Σω)."""

    color: Tensor
    logits: Tensor
    depth: Tensor
    opacity: Tensor


def render_rays(
    scene: Scene,
    origins: Tensor,
    directions: Tensor,
    sampling: Sampling | None = None,
    adapter: Relabel | None = None,
    color: bool = True,
) -> RayOutputs:
    """Render rays `origins`, `directions [B,R,3]` (unit), differentiably and in one piece.

    `adapter` replaces the scene's logits by its own and touches nothing else; without `color` the colour branch is not computed.
    """
    sampling = sampling or Sampling()
    samples, depths, weights = march(scene, origins, directions, sampling)
    opacity = weights.sum(-1)
    logits = samples.logits
    if adapter is not None:
        logits = adapter(samples.features, torch.cat([samples.density[..., None], logits], dim=-1), directions[:, :, None])
    empty = 1 - opacity[..., None]
    pixel_logits = composite(weights, logits)
    if scene.empty_logit:
        pixel_logits = pixel_logits + empty * scene.empty_logit * _one_hot_background(pixel_logits)
    pixel_color = origins.new_zeros(*origins.shape[:2], 0)
    if color:
        behind = scene.background(directions)
        pixel_color = composite(weights, scene.color(samples)) + empty * (-1.0 if behind is None else behind)
    return RayOutputs(pixel_color, pixel_logits, composite_depth(weights, depths), opacity)


def march(scene: Scene, origins: Tensor, directions: Tensor, sampling: Sampling) -> tuple[GeometrySamples, Tensor, Tensor]:
    """Samples of the rays, their depths and their weights ω (both `[B,R,S]`).

    Coarse samples come first and fine samples after them, not sorted by depth: only the weights need the order, so they are computed in it
    and put back, and no feature has to be moved.
    """
    given = scene.intersect(origins, directions)
    depths = stratified(scene.near, scene.far, directions, sampling) if given is None else given
    samples = _look(scene, origins, directions, depths)
    if given is not None or sampling.fine == 0:
        return samples, depths, sample_weights(samples.density, depths, scene.rule)
    first = samples.density.detach()
    between = interval_weights(first, depths) if scene.rule == "midpoint" else sample_weights(first, depths, scene.rule)[..., :-1]
    fine = importance(depths, between, sampling)
    samples = GeometrySamples.cat(samples, _look(scene, origins, directions, fine))
    depths = torch.cat([depths, fine], dim=-1)
    ordered, order = depths.sort(dim=-1, stable=True)
    weights = sample_weights(samples.density.gather(-1, order), ordered, scene.rule)
    return samples, depths, weights.gather(-1, order.argsort(dim=-1))


def render(
    scene: Scene,
    camera: Camera,
    resolution: int = 128,
    sampling: Sampling | None = None,
    adapter: Relabel | None = None,
    chunk: int | None = None,
    callback: Callable[[], None] | None = None,
    finish: bool = True,
) -> Rendering:
    """Pictures, labels and depth of `scene` seen by `camera`, without gradients, `chunk` rays at a time (None: what suits the device).

    Batches: as many cameras as faces; or one face seen by many cameras; or many faces seen by one camera. `callback` is called after every
    chunk and may raise `CancelledError`. Without `finish` the picture is the volume's own, not super-resolved. Raises `ModelError` for an
    adapter that was fitted on another generator; a plain function may relabel any scene.
    """
    check = getattr(adapter, "check", None)
    if check is not None:
        check(scene)
    with torch.no_grad():
        if scene.batch == 1 and len(camera) > 1:
            one_each = [render(scene, camera[i], resolution, sampling, adapter, chunk, callback, finish) for i in range(len(camera))]
            return Rendering(**{f.name: torch.cat([getattr(r, f.name) for r in one_each]) for f in fields(Rendering)})
        origins, directions = camera.to(scene.device).expand(scene.batch).rays(resolution)
        step = max(1, (chunk or CHUNKS.get(scene.device.type, 32768)) // scene.batch)
        parts = []
        for start in range(0, origins.shape[1], step):
            window = slice(start, start + step)
            parts.append(render_rays(scene, origins[:, window], directions[:, window], sampling, adapter))
            if callback is not None:
                callback()
        rendering = to_rendering(RayOutputs(*(torch.cat([getattr(p, f.name) for p in parts], dim=1) for f in fields(RayOutputs))))
        return scene.finish(rendering) if finish else rendering


def to_rendering(rays: RayOutputs) -> Rendering:
    """Rays of whole square pictures, row by row, as images `[B,·,h,h]`; the picture is the first three colour channels."""
    size = int(rays.opacity.shape[1] ** 0.5)

    def image(values: Tensor) -> Tensor:
        return values.transpose(1, 2).unflatten(2, (size, size))

    raw, logits = image(rays.color), image(rays.logits)
    depth, opacity = image(rays.depth[..., None]), image(rays.opacity[..., None])
    return Rendering(raw[:, :3], raw, logits, logits.argmax(1), depth, opacity)


def _look(scene: Scene, origins: Tensor, directions: Tensor, depths: Tensor) -> GeometrySamples:
    points = origins[:, :, None] + depths[..., None] * directions[:, :, None]
    return scene.geometry(points, directions)


def _one_hot_background(logits: Tensor) -> Tensor:
    first = torch.zeros(logits.shape[-1], dtype=logits.dtype, device=logits.device)
    first[0] = 1
    return first
