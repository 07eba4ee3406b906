"""Inversion of a photograph: find the latents, the camera and a small change of the generator's weights that give the picture back.

The reference methods, slow and plain: latents in W from the mean face, then every style row free (W+; Abdal et al. 2019), then pivotal
tuning (Roich et al. 2021, see `tuning`). The camera is refined along with the latents.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from fface_hub.cameras import Camera
from fface_hub.doors import read_image, to_tensor
from fface_hub.errors import ImageError
from fface_hub.generators.base import Generator, Rendering
from fface_hub.inversion.align import FaceCrop, adjust_camera, crop, find_face
from fface_hub.inversion.backdrop import estimate
from fface_hub.inversion.inversion import Inversion
from fface_hub.inversion.objective import InvertSettings, grid_rays, look_up, picture_losses, ramp
from fface_hub.inversion.parts import Parts
from fface_hub.inversion.space import LatentSpace, latent_space
from fface_hub.inversion.tuning import tune
from fface_hub.metrics import depth_error, psnr
from fface_hub.progress import Callback, Step, check_finite, check_gradients, frozen
from fface_hub.rendering.renderer import render, render_rays

PHOTO_SIDE = 256
ROUGH_SIDE, FINE_SIDE = 8, 64
"""Texels across the backdrop while the head is still sought (only the broad tones of the room) and when it stands."""
REFRESH = 25
"""Steps between two estimates of the backdrop, each with a preview."""
CAMERA_UNITS = (8.0, 5.0, 4.0, 0.08, 0.04, 0.04)
"""What one step size of the camera's numbers means (`adjust_camera`): about the error of a first guess."""
CAMERA_PRIOR = 5.0
"""The camera is guessed better than the face, so it is held more: a head too small is a larger head, not a wider lens."""


def invert(
    generator: Generator,
    photo: Image.Image | Tensor | str | Path | bytes,
    camera: Camera | None = None,
    settings: InvertSettings | None = None,
    callback: Callback | None = None,
) -> Inversion:
    """The face of a `photo` as latents of `generator`, seen by a camera, with a tuned copy of the generator (which itself stays as it is).

    A picture, file or bytes is cropped around its largest face first; a tensor `[1,3,H,W]` in [-1, 1] is taken as already framed. `camera`
    (batch 1) replaces the guess. `callback` gets a `Step` of index 0 when the face is found, then one after each step, with the inversion
    so far as its `best`; cancel by raising. Raises `ImageError`, `FaceNotFoundError`, and `OptimisationError` (with `best`) if numbers
    leave the finite ones.
    """
    settings = settings or InvertSettings()
    if camera is not None and len(camera) != 1:
        raise ValueError(f"an inversion takes one camera, and these are {len(camera)}")
    start = time.perf_counter()
    image, found = _framed(photo)
    if callback is not None:
        callback(Step(0, settings.total, {}))
    device = generator.mean_latents().geometry.device
    guess = camera or (found.camera if found else generator.default_camera)
    fit = _Fit(generator, image.to(device), guess.to(device), settings, found)
    with frozen(generator):
        fit.run(callback)
    result = fit.best()
    if callback is not None:
        callback(Step(settings.w_steps + settings.free_steps, settings.total, {}, best=result))
    pivot = _view(result, settings)
    solid = pivot.opacity[:, 0] > 0.5
    losses = {"psnr_before_tuning": _psnr(pivot, fit.target), "psnr_head_before_tuning": _psnr(pivot, fit.target, solid)}
    if settings.tuning_steps:
        result = replace(result, generator=tune(generator, result, fit.target, settings, callback))
    final = _view(result, settings)
    losses["psnr"] = _psnr(final, fit.target)
    losses["psnr_head"] = _psnr(final, fit.target, solid)
    losses["depth_change"] = float(depth_error(final.depth, pivot.depth, solid)) if bool(solid.any()) else 0.0
    return replace(result, losses=losses, seconds=time.perf_counter() - start)


def _framed(photo: Image.Image | Tensor | str | Path | bytes) -> tuple[Tensor, FaceCrop | None]:
    """The photo as `[1,3,S,S]` in our framing, and where it was cut."""
    if isinstance(photo, Tensor):
        if photo.ndim != 4 or photo.shape[0] != 1 or photo.shape[1] != 3 or photo.shape[2] != photo.shape[3]:
            raise ImageError(f"A framed photo must be one square picture [1, 3, size, size], not {list(photo.shape)}.")
        if not bool(photo.isfinite().all()):
            raise ImageError("The photo holds values that are not numbers: read it again.")
        return photo.detach().float().clamp(-1, 1), None
    upright = read_image(photo)
    found = find_face(upright)
    return to_tensor(crop(upright, found.box, PHOTO_SIDE)), found


def _view(inversion: Inversion, settings: InvertSettings) -> Rendering:
    """The inverted face from the photo's camera."""
    with torch.no_grad():
        return render(inversion.scene(), inversion.camera, settings.resolution, settings.sampling())


def _psnr(view: Rendering, target: Tensor, solid: Tensor | None = None) -> float:
    """PSNR in dB of the whole picture, which the backdrop makes easy, or of the `solid [1,h,w]` head alone (0 where there is none)."""
    if solid is not None and not bool(solid.any()):
        return 0.0
    return float(psnr(view.raw[:, :3], target, solid)[0])


@dataclass
class _Variables:
    """What is optimised: `coordinates [K]` in the latent space, free `rows [V]`, and the camera's `change [6]` in `CAMERA_UNITS`."""

    coordinates: Tensor
    rows: Tensor
    change: Tensor


class _Fit:
    """The W and W+ stages: the state that both share and one loop over their steps."""

    def __init__(self, generator: Generator, image: Tensor, camera: Camera, settings: InvertSettings, found: FaceCrop | None) -> None:
        self.generator, self.image, self.guess, self.settings, self.found = generator, image, camera, settings, found
        self.target = F.interpolate(image, (settings.resolution, settings.resolution), mode="area")
        self.space: LatentSpace = latent_space(generator, seed=settings.seed)
        zeros = self.space.mean.new_zeros
        self.variables = _Variables(zeros(len(self.space.axes)), zeros(len(self.space.mean)), zeros(6))
        self.units = self.space.mean.new_tensor(CAMERA_UNITS)
        self.jitter = torch.Generator().manual_seed(settings.seed)
        self.backdrop = None
        self.parts = Parts(generator, settings, found)

    def inversion(self, free: bool = True) -> Inversion:
        """The current state with its graph; without `free` the rows that leave W are left out."""
        latents = self.space.latents(self.variables.coordinates, self.variables.rows if free else None)
        camera = adjust_camera(self.guess, self.variables.change * self.units)
        return Inversion(latents, camera, self.generator, self.backdrop, self.image, self.found)

    def best(self) -> Inversion:
        """The current state, detached."""
        with torch.no_grad():
            state = self.inversion()
        return replace(state, latents=state.latents.detach())

    def run(self, callback: Callback | None) -> None:
        """All steps of both stages; then the backdrop in full detail."""
        variables, settings = self.variables, self.settings
        for value in (variables.coordinates, variables.change, variables.rows):
            value.requires_grad_(True)
        rate = settings.learning_rate
        # Free rows are many, and each is a small push of the whole face: they take smaller steps than the coordinates.
        groups = [([variables.coordinates], rate), ([variables.change], rate / 2), ([variables.rows], rate / 4)]
        optimiser = torch.optim.Adam([{"params": params, "lr": size} for params, size in groups], betas=(0.9, 0.99))
        best = self.best()
        for index in range(settings.w_steps + settings.free_steps):
            free = index >= settings.w_steps
            preview = self.refresh(ROUGH_SIDE) if index % REFRESH == 0 else None
            stage = (index - settings.w_steps, settings.free_steps) if free else (index, settings.w_steps)
            for group, (_, size) in zip(optimiser.param_groups, groups, strict=True):
                group["lr"] = size * ramp(*stage)
            losses = self.losses(free)
            total = torch.stack(list(losses.values())).sum()
            check_finite(total, "The inversion", best)
            optimiser.zero_grad()
            total.backward()
            check_gradients((variables.coordinates, variables.change, variables.rows), "The inversion", best)
            optimiser.step()
            best = self.best()
            if callback is not None:
                report = {name: float(value.detach()) for name, value in losses.items()}
                callback(Step(index + 1, settings.total, report, preview, best))
        for value in (variables.coordinates, variables.change, variables.rows):
            value.requires_grad_(False)
        self.refresh(FINE_SIDE)

    def losses(self, free: bool) -> dict[str, Tensor]:
        """All terms of one step, weighted."""
        variables, settings = self.variables, self.settings
        state = self.inversion(free)
        uv, origins, directions = grid_rays(state.camera, settings.side, self.jitter)
        rays = render_rays(state.scene(), origins, directions, settings.sampling(self.jitter))
        terms = picture_losses(rays.color[..., :3], look_up(self.target, uv), settings.side, settings.perceptual)
        distance = variables.coordinates.square().mean() + CAMERA_PRIOR * variables.change.square().mean()
        if free:
            distance = distance + variables.rows.square().mean()
        return {**terms, "parts": settings.parts * self.parts.loss(rays.logits, uv), "prior": settings.prior * distance}

    def refresh(self, side: int) -> Tensor:
        """Estimate the backdrop again, `side`² texels, from where the head is now; gives the current picture `[3,h,w]`."""
        state = self.best()
        view = _view(state, self.settings)
        if self.settings.backdrop and view.raw.shape[1] == 3:
            self.backdrop = estimate(self.image, view.opacity, state.camera, side)
        return view.image[0]
