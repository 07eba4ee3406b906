"""The slow twin of the edit: FFaceNeRF's optimisation as its authors coded it, step for step (NeRFFaceEditing's, with their overlap loss).

What sets it apart from `editing.edit`: every ray of a 128² picture in every step, jittered anew; a rate of .02; what was painted is all
that the generator's labels are not, its errors included; the whole picture counts in the label losses; and the last step is kept, good or
bad. It runs the super-resolution in every step, too, but no loss reads that, so the latents do not depend on it, and it is left out here:
for generators that have one, the seconds of this twin are too kind to the original.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from fface_hub.adapters.adapter import Adapter
from fface_hub.cameras import Camera
from fface_hub.editing.regions import edited_region, resize_labels
from fface_hub.errors import LayoutError
from fface_hub.generators.base import Generator
from fface_hub.latents import Latents
from fface_hub.layouts import Layout
from fface_hub.losses import ImageLoss, cross_entropy, dice_overlap, masked_image_loss, masked_mse
from fface_hub.memory import with_less_memory
from fface_hub.perceptual import load_perceptual
from fface_hub.progress import Callback, Step, check_finite, frozen
from fface_hub.rendering.compositing import RayOutputs
from fface_hub.rendering.renderer import render_rays
from fface_hub.rendering.sampling import Sampling


@dataclass(frozen=True)
class ReferenceSettings:
    """The original's numbers: `resolution` of the picture, `coarse` and `fine` samples on a ray (96 + 96 there; the bundled generator was
    made for 48 + 48), `overlap_weight` λ_o of the DICE loss (0: without; their examples use .4 and .5), `start` deviation of δ.

    `perceptual`: LPIPS on another trunk than the bundled one, such as VGG-16, which they take.
    """

    steps: int = 100
    learning_rate: float = 0.02
    resolution: int = 128
    coarse: int = 48
    fine: int = 48
    overlap_weight: float = 0.5
    start: float = 0.01
    seed: int = 0
    perceptual: ImageLoss | None = None


@dataclass(frozen=True)
class ReferenceEdit:
    """`latents` of the last step, from before its update; `region [h,h]` bool, where target and rendered labels differed; `losses` of every
    step by name.
    """

    latents: Latents
    region: Tensor
    losses: list[dict[str, float]]


@dataclass(frozen=True)
class _Goal:
    """What the losses compare with, flat pixels: the picture `before [1,3,P]`, `target [1,P]`, and `keep [1,P]`, 1 − r."""

    before: Tensor
    target: Tensor
    keep: Tensor
    perceptual: ImageLoss

    def losses(self, rays: RayOutputs, overlap_weight: float) -> dict[str, Tensor]:
        """CE + λ_o·DICE over the whole picture, + LPIPS + MSE of the pictures with r set to 0; "loss" is their sum."""
        logits, image = rays.logits.transpose(1, 2), rays.color[..., :3].transpose(1, 2)
        side = round(self.keep.shape[1] ** 0.5)
        picture, original = (x.unflatten(2, (side, side)) for x in (image, self.before))
        losses = {
            "cross_entropy": cross_entropy(logits, self.target),
            "image": masked_mse(image, self.before, self.keep),
            "perceptual": masked_image_loss(self.perceptual, picture, original, self.keep.unflatten(1, (side, side))),
        }
        total = losses["cross_entropy"] + losses["image"] + losses["perceptual"]
        if overlap_weight > 0:
            losses["overlap"] = dice_overlap(logits, self.target)
            total = total + overlap_weight * losses["overlap"]
        return {"loss": total, **losses}


def edit_reference(
    generator: Generator,
    face: Latents,
    target_labels: Tensor,
    adapter: Adapter | None = None,
    camera: Camera | None = None,
    settings: ReferenceSettings | None = None,
    callback: Callback | None = None,
) -> ReferenceEdit:
    """Move the one `face` until its labels seen from `camera` are `target_labels [h,h]` (int64, in the adapter's layout, else the
    generator's): exactly `steps` steps of Adam (β .9, .999) at a constant rate.

    δ starts as one row of N(0, `start`²) for all rows; then each row is free. The plane statistics are held at those of the face. Losses:
    see `_Goal`. At full size a step takes about 5 s on two CPU cores and, at the library's usual ray memory, 4 GB.

    `callback` gets a `Step` of index 0 when the picture before is there, then one per step, whose `best` are that step's latents; raise
    `CancelledError` in it to stop. Raises `LayoutError` for labels that do not fit, `ModelError` for an adapter of another generator,
    `OptimisationError` (with `best`) for numbers that are not finite.
    """
    settings = settings or ReferenceSettings()
    if adapter is not None:
        adapter.check(generator)
    _check_labels(target_labels, generator.layout if adapter is None else adapter.layout)
    face, device, size = face.detach(), face.geometry.device, settings.resolution
    rays = (camera or generator.default_camera).to(device).rays(size)
    random = torch.Generator().manual_seed(settings.seed)

    def draw() -> Sampling:
        """Where the rays of one picture are sampled."""
        return Sampling(settings.coarse, settings.fine, random).drawn(rays[1])

    with frozen(generator, adapter):
        with torch.no_grad():
            before = render_rays(generator.scene(face), *rays, draw(), adapter, exact=True)
        target = resize_labels(target_labels.to(device), size).flatten()[None]
        region = edited_region(before.logits.argmax(-1), target)
        goal = _Goal(before.color[..., :3].transpose(1, 2), target, ~region, settings.perceptual or load_perceptual(device=device))
        if callback is not None:
            callback(Step(0, settings.steps, {}, best=face))
        noise = torch.randn(1, 1, face.geometry.shape[2], generator=random) * settings.start
        delta = noise.to(device).repeat(1, face.geometry.shape[1], 1).requires_grad_()
        optimiser = torch.optim.Adam([delta], lr=settings.learning_rate)
        latents, history = face, []
        for index in range(1, settings.steps + 1):
            sampling = draw()

            def losses_and_gradients() -> dict[str, Tensor]:
                """The losses of this step, their gradients computed."""
                optimiser.zero_grad(set_to_none=True)
                found = render_rays(generator.scene(face.offset(delta)), *rays, sampling, adapter, exact=True)  # noqa: B023
                losses = goal.losses(found, settings.overlap_weight)
                check_finite(losses["loss"].detach(), "The edit", latents)  # noqa: B023
                losses["loss"].backward()
                return losses

            history.append({name: value.item() for name, value in with_less_memory(losses_and_gradients).items()})
            latents = face.offset(delta.detach().clone())
            optimiser.step()
            if callback is not None:
                callback(Step(index, settings.steps, history[-1], best=latents))
    return ReferenceEdit(latents, region.reshape(size, size), history)


def _check_labels(labels: Tensor, layout: Layout) -> None:
    """`LayoutError` unless `labels` is a square map of the classes of `layout`."""
    square = labels.ndim == 2 and labels.shape[0] == labels.shape[1] > 0
    if not square or labels.dtype != torch.int64 or int(labels.min()) < 0 or int(labels.max()) >= len(layout):
        raise LayoutError(f"The target must be a square label map (int64) of the {len(layout)} classes of layout '{layout.name}'.")
