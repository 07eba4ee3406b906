"""Volume rendering of any scene: rays → samples → one weight ω per sample → Σ ω·q."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import fields

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from fface_hub.cameras import Camera
from fface_hub.generators.base import Field, GeometrySamples, Rendering, Scene
from fface_hub.memory import in_parts, rays_at_once
from fface_hub.rendering.compositing import (
    RayOutputs,
    Relabel,
    composite,
    composite_depth,
    one_hot_background,
    sample_weights,
    weights_between,
)
from fface_hub.rendering.fast import render_face
from fface_hub.rendering.sampling import Sampling, importance, stratified
from fface_hub.rendering.sparse import render_sparse

# Rays rendered at once. A CPU works fastest on buffers that stay in its cache and are not handed back to the system each time.
CHUNKS = {"cpu": 1024}


def render_rays(
    scene: Scene,
    origins: Tensor,
    directions: Tensor,
    sampling: Sampling | None = None,
    adapter: Relabel | None = None,
    color: bool = True,
    exact: bool = False,
) -> RayOutputs:
    """Render rays `origins`, `directions [B,R,3]` (unit), differentiably, in parts if they would take more than `memory.ray_memory()`.

    `adapter` replaces the scene's logits by its own and touches nothing else; without `color` the colour branch is not computed. Of one
    face that has a `Field`, on a CPU, samples that hardly show are left out (`rendering.sparse`), unless `exact`.
    """
    sampling, gradients = sampling or Sampling(), torch.is_grad_enabled()
    count, sparse = origins.shape[1], not exact and scene.batch == 1 and scene.rule == "midpoint"
    field = scene.field() if sparse and scene.device.type == "cpu" else None
    render_part = _render_rays if field is None else functools.partial(render_sparse, field)
    step = rays_at_once(count, bytes_per_ray(scene, sampling, gradients))
    if step == count:
        return render_part(scene, origins, directions, sampling, adapter, color)
    sampling, parts = sampling.drawn(directions), []
    for start in range(0, count, step):
        window = slice(start, start + step)
        arguments = (scene, origins[:, window], directions[:, window], sampling.part(window), adapter, color)
        # What a part keeps for its gradients is computed anew when they are wanted (Chen et al. 2016, "Sublinear Memory Cost").
        once_more = functools.partial(checkpoint, render_part, use_reentrant=False, preserve_rng_state=False)
        parts.append(once_more(*arguments) if gradients else render_part(*arguments))
    return RayOutputs.cat(parts, dim=1)


def bytes_per_ray(scene: Scene, sampling: Sampling, gradients: bool = False) -> int:
    """About what a ray takes at most while it is rendered; with `gradients` until they were computed."""
    return (8 if gradients else 4) * scene.numbers_per_sample * scene.batch * (sampling.coarse + sampling.fine)


def _render_rays(scene: Scene, origins: Tensor, directions: Tensor, sampling: Sampling, adapter: Relabel | None, color: bool) -> RayOutputs:
    """`render_rays` in one piece."""
    samples, depths, weights = march(scene, origins, directions, sampling)
    opacity = weights.sum(-1)
    logits = samples.logits
    if adapter is not None:
        logits = adapter(samples.features, torch.cat([samples.density[..., None], logits], dim=-1), directions[:, :, None])
    empty = 1 - opacity[..., None]
    pixel_logits = composite(weights, logits)
    if scene.empty_logit:
        pixel_logits = pixel_logits + empty * scene.empty_logit * one_hot_background(pixel_logits)
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
    fine = importance(depths, weights_between(first, depths, scene.rule), sampling)
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
    exact: bool = False,
) -> Rendering:
    """Pictures, labels and depth of `scene` seen by `camera`, without gradients, `chunk` rays at a time (None: what suits the device) or
    as few as `memory.ray_memory()` asks for.

    Batches: as many cameras as faces; or one face seen by many cameras; or many faces seen by one camera. `callback` is called after every
    chunk and may raise `CancelledError`. Without `finish` the picture is the volume's own, not super-resolved. A scene with a `Field` is
    rendered the fast way (`rendering.fast` says what that leaves out), unless `exact`. Raises `ModelError` for an adapter that was fitted
    on another generator (a plain function may relabel any scene), and for a tri-plane scene that is not finite; `ValueError`
    for a picture of no pixels.
    """
    if resolution < 1:
        raise ValueError(f"a picture is at least one pixel wide, and the resolution is {resolution}")
    check = getattr(adapter, "check", None)
    if check is not None:
        check(scene)
    with torch.no_grad():
        if scene.batch == 1 and len(camera) > 1:
            one_each = [render(scene, camera[i], resolution, sampling, adapter, chunk, callback, finish, exact) for i in range(len(camera))]
            return Rendering(**{f.name: torch.cat([getattr(r, f.name) for r in one_each]) for f in fields(Rendering)})
        origins, directions = camera.to(scene.device).expand(scene.batch).rays(resolution)
        field = None if exact else scene.field()
        draw = _draw if field is None else functools.partial(_draw_fast, field)
        drawn = (sampling or Sampling()).drawn(directions)
        rendering = to_rendering(draw(scene, (origins, directions), drawn, adapter, chunk, callback))
        return scene.finish(rendering) if finish else rendering


def _draw(
    scene: Scene,
    rays: tuple[Tensor, Tensor],
    sampling: Sampling,
    adapter: Relabel | None,
    chunk: int | None,
    callback: Callable[[], None] | None,
) -> RayOutputs:
    """Whole pictures the general way, a chunk of the rays of all faces at a time."""
    (origins, directions), parts = rays, []
    step = max(1, (chunk or CHUNKS.get(scene.device.type, 32768)) // scene.batch)

    def part_of(window: slice) -> RayOutputs:
        return _render_rays(scene, origins[:, window], directions[:, window], sampling.part(window), adapter, True)

    for part in in_parts(part_of, origins.shape[1], bytes_per_ray(scene, sampling), step):
        parts.append(part)
        if callback is not None:
            callback()
    return RayOutputs.cat(parts, dim=1)


def _draw_fast(
    field: Field,
    scene: Scene,
    rays: tuple[Tensor, Tensor],
    sampling: Sampling,
    adapter: Relabel | None,
    chunk: int | None,
    callback: Callable[[], None] | None,
) -> RayOutputs:
    """Whole pictures by the scene's `field`, one face after another."""
    faces = [
        render_face(scene, field, face, (rays[0][face], rays[1][face]), sampling, adapter, chunk, callback) for face in range(scene.batch)
    ]
    return RayOutputs.cat(faces, dim=0)


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
