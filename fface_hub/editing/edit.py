"""The edit: latents move until the rendered labels match what the user painted, while colours and the unpainted picture are held.

This is FFaceNeRF's optimisation (and NeRFFaceEditing's before it): 100 steps of Adam on an offset δ of the geometry rows, every step
rendered anew through the volume. Left out is the super-resolution, which no loss reads. Added are: the best step is kept rather than the
last, an edit that changes nothing returns at once, labels outside what was painted are the generator's, and rays may be a random part.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from fface_hub.adapters.adapter import Adapter
from fface_hub.adapters.plan import pick_rays
from fface_hub.cameras import Camera
from fface_hub.editing.regions import edited_region, resize_labels
from fface_hub.errors import LayoutError, ModelError
from fface_hub.generators.base import Generator, Rendering, Scene
from fface_hub.latents import Latents
from fface_hub.layouts import Layout
from fface_hub.losses import ImageLoss, cross_entropy, dice_overlap, masked_image_loss, masked_mse
from fface_hub.progress import Callback, Step, check_finite, frozen
from fface_hub.rendering.renderer import render, render_rays
from fface_hub.rendering.sampling import Sampling

if TYPE_CHECKING:
    from fface_hub.inversion.inversion import Inversion


@dataclass(frozen=True)
class EditSettings:
    """How to edit; the defaults fit two CPU cores and the bundled generator.

    FFaceNeRF: `learning_rate` .02, resolution 128, all rays, 96 + 96 jittered samples. On the bundled generator .02 moves
    far more of what was not painted, and hardly more of what was.

    `resolution` of the picture that is compared; `rays` of it per step (None: all; else a random part, anew each time); `coarse`, `fine`
    samples per ray; `overlap_weight` λ_o of the DICE loss (0: without; the paper's examples use .4 and .5); `start` deviation of δ;
    `dilate` the region in which colours may change, in pixels; a preview of the best after every `preview_every` steps; `perceptual`, a
    loss such as `losses.load_lpips()` (needs all rays), or None: without.
    """

    steps: int = 100
    learning_rate: float = 0.006
    resolution: int = 64
    rays: int | None = 2048
    coarse: int = 24
    fine: int = 24
    overlap_weight: float = 0.5
    start: float = 0.01
    dilate: int = 0
    preview_every: int = 10
    seed: int = 0
    perceptual: ImageLoss | None = None

    def __post_init__(self) -> None:
        if self.perceptual is not None and self.rays is not None:
            raise ValueError("a perceptual loss needs whole pictures: leave rays None")


@dataclass(frozen=True)
class EditResult:
    """What an edit gives: `latents` (geometry moved, appearance held); `region [h,h]` bool and `target [h,h]` int64 that it worked on;
    `losses` of every step by name; `before`, `after` at the resolution of the edit, without super-resolution.
    """

    latents: Latents
    region: Tensor
    target: Tensor
    losses: list[dict[str, float]]
    before: Rendering
    after: Rendering


@dataclass(frozen=True)
class _Face:
    """What is edited: a generator and how it makes scenes (an inversion has a backdrop), latents and camera, batches of one."""

    generator: Generator
    scene: Callable[[Latents], Scene]
    latents: Latents
    camera: Camera

    def picture(self, latents: Latents, adapter: Adapter | None, settings: EditSettings) -> Rendering:
        """The face of `latents` at the resolution of the edit, without gradients and super-resolution."""
        with torch.no_grad():
            scene = self.scene(latents)
            return render(scene, self.camera, settings.resolution, Sampling(settings.coarse, settings.fine), adapter=adapter, finish=False)


@dataclass(frozen=True)
class _Task:
    """All that stays the same from step to step: the flat pixels of the picture before, of the target and of the region `[1,P]`."""

    face: _Face
    adapter: Adapter | None
    settings: EditSettings
    before: Tensor
    target: Tensor
    region: Tensor

    def losses(self, delta: Tensor, random: torch.Generator) -> dict[str, Tensor]:
        """The losses at offset `delta`, of which "loss" is the sum to minimise."""
        settings, size = self.settings, self.settings.resolution
        pixels = pick_rays(self.region.long().cpu(), settings.rays, 0.0, random).to(delta.device)
        uv = torch.stack([pixels % size + 0.5, pixels // size + 0.5], dim=-1) / size
        scene = self.face.scene(self.face.latents.offset(delta))
        rays = render_rays(scene, *self.face.camera.rays_at(uv), Sampling(settings.coarse, settings.fine), adapter=self.adapter)
        logits, truth = rays.logits.transpose(1, 2), self.target.gather(1, pixels)
        image, keep = rays.color[..., :3].transpose(1, 2), ~self.region.gather(1, pixels)
        original = self.before.gather(2, pixels[:, None].expand(-1, 3, -1))
        losses = {"cross_entropy": cross_entropy(logits, truth), "image": masked_mse(image, original, keep)}
        total = losses["cross_entropy"] + losses["image"]
        if settings.overlap_weight > 0:
            losses["overlap"] = dice_overlap(logits, truth)
            total = total + settings.overlap_weight * losses["overlap"]
        if settings.perceptual is not None:
            square = (-1, 3, size, size)
            losses["perceptual"] = masked_image_loss(
                settings.perceptual, image.reshape(square), original.reshape(square), keep.reshape(-1, size, size)
            )
            total = total + losses["perceptual"]
        return {"loss": total, **losses}


def edit(
    generator: Generator,
    face: Latents | Inversion,
    target_labels: Tensor,
    adapter: Adapter | None = None,
    camera: Camera | None = None,
    settings: EditSettings | None = None,
    callback: Callback | None = None,
    original_labels: Tensor | None = None,
) -> EditResult:
    """Move `face` until its labels seen from `camera` are `target_labels [h,w]` (int64, in the adapter's layout, else the generator's).

    Loss: cross-entropy + λ_o·DICE over the picture, + mean squared (and perceptual) difference outside the region r where labels differ.
    δ starts as one row of small noise, the same for all rows, then each row is free; plane statistics are those of the face's appearance.
    With `original_labels`, the map that the user painted over, only pixels that differ from it are targets; without, all of the map is, so
    that errors of the labelling count as painted too, as in the reference. An inversion brings its own camera and tuned generator.

    `callback` gets a `Step` of index 0 when the picture before is there, then one per step whose `best` are the best latents so far; raise
    `CancelledError` in it to stop. Raises `LayoutError` for labels that do not fit, `ModelError` for an adapter or inversion of another
    generator, `OptimisationError` (with `best`) for non-finite numbers.
    """
    settings = settings or EditSettings()
    subject = _unpack(generator, face, camera)
    if adapter is not None:
        adapter.check(generator)
    layout = generator.layout if adapter is None else adapter.layout
    _check_labels(target_labels, original_labels, layout)
    with frozen(subject.generator, adapter):
        before = subject.picture(subject.latents, adapter, settings)
        target, region = _target(target_labels, original_labels, before.labels[0], settings)
        if not region.any():
            return EditResult(subject.latents, region, target, [], before, before)
        if callback is not None:
            callback(Step(0, settings.steps, {}, best=subject.latents))
        pixels = before.raw[:, :3].flatten(2), target.flatten()[None], region.flatten()[None]
        task = _Task(subject, adapter, settings, *pixels)
        best, history = _optimise(task, callback)
        after = subject.picture(best, adapter, settings)
    return EditResult(best, region, target, history, before, after)


def _optimise(task: _Task, callback: Callback | None) -> tuple[Latents, list[dict[str, float]]]:
    """Adam (β .9, .999; constant rate) on δ. The latents of the lowest loss (of the last step if rays are random), and all losses."""
    settings = task.settings
    random = torch.Generator().manual_seed(settings.seed)
    rows = task.face.latents.geometry
    noise = torch.randn(1, 1, rows.shape[2], generator=random) * settings.start
    delta = noise.to(rows.device).repeat(1, rows.shape[1], 1).requires_grad_()
    optimiser = torch.optim.Adam([delta], lr=settings.learning_rate)
    best, lowest, history = task.face.latents, float("inf"), []
    whole = settings.rays is None or settings.rays >= settings.resolution**2
    for index in range(1, settings.steps + 1):
        losses = task.losses(delta, random)
        check_finite(losses["loss"].detach(), "The edit", best)
        history.append({name: value.item() for name, value in losses.items()})
        if not whole or history[-1]["loss"] < lowest:  # losses of different rays do not compare: the latest is kept
            best, lowest = task.face.latents.offset(delta.detach().clone()), history[-1]["loss"]
        optimiser.zero_grad(set_to_none=True)
        losses["loss"].backward()
        optimiser.step()
        if callback is not None:
            wanted = index % settings.preview_every == 0
            preview = task.face.picture(best, task.adapter, settings).raw[0, :3] if wanted else None
            callback(Step(index, settings.steps, history[-1], preview, best))
    return best, history


def _unpack(generator: Generator, face: Latents | Inversion, camera: Camera | None) -> _Face:
    """What to edit; an inversion brings its own camera, tuned generator and backdrop."""
    scene, latents = generator.scene, face
    if not isinstance(latents, Latents):
        inversion = latents
        if inversion.generator.fingerprint != generator.fingerprint:
            raise ModelError("This face was inverted with another generator: load that one, or invert the picture again.")
        generator, scene, latents, camera = inversion.generator, inversion.scene, inversion.latents, camera or inversion.camera
    if len(latents) != 1:
        raise ValueError(f"an edit is of one face, and these are latents of {len(latents)}")
    camera = (camera or generator.default_camera).to(latents.geometry.device)
    if len(camera) != 1:
        raise ValueError(f"an edit is seen by one camera, and these are {len(camera)}")
    return _Face(generator, scene, latents.detach(), camera)


def _check_labels(target: Tensor, original: Tensor | None, layout: Layout) -> None:
    for labels in (target,) if original is None else (target, original):
        if labels.ndim != 2 or labels.shape[0] != labels.shape[1] or labels.numel() == 0:
            raise LayoutError(f"The painted label map must be square, and this one is {' × '.join(map(str, labels.shape[::-1]))}.")
        if labels.dtype != torch.int64:
            raise LayoutError(f"The painted label map must hold class ids as int64, and this one is {labels.dtype}: convert it.")
        if int(labels.min()) < 0 or int(labels.max()) >= len(layout):
            raise LayoutError(f"The painted label map has classes beyond the {len(layout)} of layout '{layout.name}'.")
    if original is not None and original.shape != target.shape:
        sizes = " and ".join(" × ".join(map(str, labels.shape[::-1])) for labels in (target, original))
        raise LayoutError(f"The painted label map and the one painted over differ in size ({sizes}): paint on the map as it was given.")


def _target(target: Tensor, original: Tensor | None, current: Tensor, settings: EditSettings) -> tuple[Tensor, Tensor]:
    """Target labels and region, both `[h,h]` at the edit's resolution, where the generator shows `current [h,h]`."""
    resized = resize_labels(target, settings.resolution).to(current.device)
    if original is not None:
        painted = edited_region(original, target)
        small = resize_labels(painted, settings.resolution).to(current.device)
        if painted.any() and not small.any():
            raise LayoutError(
                "The painted change is too small to be seen by the edit: paint a larger stroke, or edit at a higher resolution."
            )
        resized = torch.where(small, resized, current)
    return resized, edited_region(current, resized, settings.dilate)
