"""Inversion of a photograph: find the latents, the camera and what else it takes to give the picture back.

Latents in W from an encoder's guess or the mean face, then every style row free (W+; Abdal et al. 2019), the camera refined along with
them. Then what the generator cannot make: a retouch (see `retouch_fit`) or, slow and plain, pivotal tuning of its weights (Roich et al.
2021, see `tuning`). Several photos of one person, each with a camera of its own, share the latents.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from fface_hub.cameras import Camera
from fface_hub.doors import read_image, to_tensor
from fface_hub.errors import FFaceError, ImageError
from fface_hub.generators.base import Generator, Rendering, Scene
from fface_hub.inversion.align import Box, FaceCrop, adjust_camera, crop, find_face, unit_of
from fface_hub.inversion.backdrop import estimate
from fface_hub.inversion.inversion import Inversion
from fface_hub.inversion.looks import Look
from fface_hub.inversion.objective import InvertSettings, ParsedLabels, grid_rays, look_up, picture_losses, ramp
from fface_hub.inversion.parts import Parts, pupils_of
from fface_hub.inversion.retouch_fit import fit_retouch
from fface_hub.inversion.space import LatentSpace
from fface_hub.inversion.start import FaceEncoder, Start, encoded, mean_start
from fface_hub.inversion.tuning import tune
from fface_hub.memory import with_less_memory
from fface_hub.metrics import depth_error, psnr
from fface_hub.progress import Callback, Step, between, check_finite, check_gradients, frozen
from fface_hub.rendering.renderer import render, render_rays

PhotoSource = Image.Image | Tensor | str | Path | bytes
PHOTO_SIDE = 256
MOST_PHOTOS = 16
ROUGH_SIDE, FINE_SIDE = 8, 64
"""Texels across the backdrop while the head is still sought (only the broad tones of the room) and when it stands."""
REFRESH = 10
"""Steps between two estimates of the backdrop, each with a preview. With few steps in all, old ones cost 4 dB around the head."""
CAMERA_UNITS = (8.0, 5.0, 4.0, 0.08, 0.04, 0.04)
"""What one step size of the camera's numbers means (`adjust_camera`): about the error of a first guess."""
CAMERA_PRIOR = 5.0
"""The camera is guessed better than the face, so it is held more: a head too small is a larger head, not a wider lens."""


def invert(
    generator: Generator,
    photo: PhotoSource | Sequence[PhotoSource],
    camera: Camera | None = None,
    settings: InvertSettings | None = None,
    callback: Callback | None = None,
    encoder: FaceEncoder | None = None,
    box: Box | None = None,
) -> Inversion:
    """The face of a `photo`, or of several photos of one person, as latents of `generator`, seen by a camera, and retouched (the generator
    stays as it is; with tuned weights the inversion has a copy).

    A picture, file or bytes is cropped around its largest face first, or at `box`, which must hold that face; a tensor `[1,3,H,W]` in
    [-1, 1] is taken as already framed. `camera` (one for each photo) replaces the guess. An `encoder` gives the latents to start from, and
    the camera where its guess fits the photo better; without one the search starts from the mean face. `settings` None:
    `InvertSettings.starting(encoder)`.

    `callback` gets a `Step` of index 0 when the face is found, then one after each step, with the inversion so far as its `best`; cancel by
    raising. Raises `ImageError` (photos of different people, too, if an encoder tells), `FaceNotFoundError`, `ModelError` for an encoder of
    another generator, and `OptimisationError` (with `best`) if numbers leave the finite ones.
    """
    settings = settings or InvertSettings.starting(encoder)
    start = time.perf_counter()
    looks = _looks(generator, photo, camera, box)
    if callback is not None:
        callback(Step(0, settings.total, {}))
    if settings.parser is not None:
        looks = [replace(look, parsed=ParsedLabels(generator, look.image, settings.parser)) for look in looks]
    begin = (
        mean_start(generator, looks, settings)
        if encoder is None
        else encoded(encoder, generator, looks, settings, camera is not None, between(callback, 0, settings.total))
    )
    if callback is not None:
        callback(Step(0, settings.total, {}))
    fit = _Fit(generator, begin, settings)
    if callback is not None:
        callback(Step(0, settings.total, {}))
    with frozen(generator):
        fit.run(callback)
    result, looks = fit.best(), fit.looks()
    if callback is not None:
        callback(Step(settings.w_steps + settings.free_steps, settings.total, {}, best=result))
    pivot = final = _views(result, looks, settings)
    if settings.tuning_steps:
        result = _tuned(generator, result, looks, settings, callback)
        final = _views(result, looks, settings)
    return replace(result, losses=_figures(looks, pivot, final), seconds=time.perf_counter() - start)


def _tuned(generator: Generator, pivot: Inversion, looks: Sequence[Look], settings: InvertSettings, callback: Callback | None) -> Inversion:
    """The last stage: `pivot` with a retouch, or with a tuned generator."""
    if settings.tuning == "weights":
        return replace(pivot, generator=tune(generator, pivot, looks, settings, callback))
    done = settings.w_steps + settings.free_steps

    def report(index: int, losses: dict[str, float]) -> None:
        if callback is not None:
            callback(Step(done + index, settings.total, losses, best=pivot))

    with torch.no_grad():
        scene = generator.scene(pivot.latents)
    retouch = fit_retouch(scene, looks, settings, report)
    check_finite(retouch.planes, "The retouching", pivot)
    return replace(pivot, retouch=retouch.belonging_to(pivot.latents, generator))


def _looks(generator: Generator, photo: PhotoSource | Sequence[PhotoSource], camera: Camera | None, box: Box | None = None) -> list[Look]:
    """The photos in the generator's framing and on its device, each with the first guess of its camera."""
    photos = [photo] if isinstance(photo, (Image.Image, Tensor, str, Path, bytes)) else list(photo)
    if not 1 <= len(photos) <= MOST_PHOTOS:
        raise ImageError(f"An inversion takes from 1 to {MOST_PHOTOS} photos of one person, and these are {len(photos)}.")
    if camera is not None and len(camera) != len(photos):
        raise ValueError(f"an inversion takes one camera for each photo, and these are {len(camera)} for {len(photos)}")
    if box is not None and (len(photos) > 1 or isinstance(photos[0], Tensor)):
        raise ValueError("a box is cut from one photo that is not framed yet")
    device, looks = generator.mean_latents().geometry.device, []
    for index, one in enumerate(photos):
        try:
            image, found = _framed(one, generator, box)
        except FFaceError as error:
            if len(photos) == 1:
                raise
            raise type(error)(f"Photo {index + 1}: {error}") from error
        guess = camera[index] if camera is not None else found.camera if found else generator.default_camera
        looks.append(Look(image.to(device), guess.to(device), None, found))
    return looks


def _framed(photo: PhotoSource, generator: Generator, box: Box | None) -> tuple[Tensor, FaceCrop | None]:
    """The photo as `[1,3,S,S]` in the generator's framing (or cut at `box`), and where it was cut."""
    if isinstance(photo, Tensor):
        if photo.ndim != 4 or photo.shape[0] != 1 or photo.shape[1] != 3 or photo.shape[2] != photo.shape[3]:
            raise ImageError(f"A framed photo must be one square picture [1, 3, size, size], not {list(photo.shape)}.")
        if not bool(photo.isfinite().all()):
            raise ImageError("The photo holds values that are not numbers: read it again.")
        return photo.detach().float().clamp(-1, 1), None
    upright = read_image(photo)
    found = find_face(upright, unit_of(generator))
    found = found if box is None else found.within(box)
    return to_tensor(crop(upright, found.box, PHOTO_SIDE)), found


def _views(
    inversion: Inversion, looks: Sequence[Look], settings: InvertSettings, tell: Callable[[], None] | None = None
) -> list[Rendering]:
    """The inverted face from the camera of each photo, before that photo's backdrop."""
    with torch.no_grad():
        scene, sampling = replace(inversion, backdrop=None).scene(), settings.sampling()
        return [render(look.before(scene), look.camera, settings.resolution, sampling, callback=tell, finish=False) for look in looks]


def _figures(looks: Sequence[Look], pivot: Sequence[Rendering], final: Sequence[Rendering]) -> dict[str, float]:
    """How alike the views are to the photos before (`pivot`) and after the last stage (`final`), on the whole and on the head, how far
    depth moved, and how many pixels have the parsed labels, if there are such; means over the photos."""
    each = []
    for look, before, after in zip(looks, pivot, final, strict=True):
        target, solid = look.target(before.raw.shape[-1]), before.opacity[:, 0] > 0.5
        each.append(
            {
                "psnr_before_tuning": _psnr(before, target),
                "psnr_head_before_tuning": _psnr(before, target, solid),
                "psnr": _psnr(after, target),
                "psnr_head": _psnr(after, target, solid),
                "depth_change": float(depth_error(after.depth, before.depth, solid)) if bool(solid.any()) else 0.0,
                **({} if look.parsed is None else {"label_agreement": look.parsed.agreement(after.labels)}),
            }
        )
    return {name: sum(one[name] for one in each) / len(each) for name in each[0]}


def _psnr(view: Rendering, target: Tensor, solid: Tensor | None = None) -> float:
    """PSNR in dB of the whole picture, which the backdrop makes easy, or of the `solid [1,h,w]` head alone (0 where there is none)."""
    if solid is not None and not bool(solid.any()):
        return 0.0
    return float(psnr(view.raw[:, :3], target, solid)[0])


@dataclass
class _Variables:
    """What is optimised: `coordinates [K]` in the latent space, free `rows [V]`, and each camera's `changes [N,6]` in `CAMERA_UNITS`."""

    coordinates: Tensor
    rows: Tensor
    changes: Tensor

    def all(self) -> tuple[Tensor, Tensor, Tensor]:
        """In the order of the fields."""
        return self.coordinates, self.rows, self.changes


class _Fit:
    """The W and W+ stages: the state that both share and one loop over their steps."""

    def __init__(self, generator: Generator, begin: Start, settings: InvertSettings) -> None:
        self.generator, self.guesses, self.settings = generator, begin.looks, settings
        self.targets = [look.target(settings.resolution) for look in begin.looks]
        self.space: LatentSpace = begin.space
        zeros = self.space.mean.new_zeros
        self.variables = _Variables(begin.coordinates.clone(), zeros(len(self.space.mean)), zeros(len(begin.looks), 6))
        self.units = self.space.mean.new_tensor(CAMERA_UNITS)
        self.jitter = torch.Generator().manual_seed(settings.seed)
        self.backdrops = [look.backdrop for look in begin.looks]
        self.parts = Parts(generator, settings)
        self.pupils = [None if look.found is None else pupils_of(look.found).to(self.units.device) for look in begin.looks]

    def looks(self) -> list[Look]:
        """The photos with the cameras and backdrops of now, with their graph."""
        moved = [adjust_camera(look.camera, change * self.units) for look, change in zip(self.guesses, self.variables.changes, strict=True)]
        return [
            replace(look, camera=camera, backdrop=backdrop)
            for look, camera, backdrop in zip(self.guesses, moved, self.backdrops, strict=True)
        ]

    def scene(self, free: bool) -> Scene:
        """The face of now, with its graph; without `free` the rows that leave W are left out."""
        return self.generator.scene(self.space.latents(self.variables.coordinates, self.variables.rows if free else None))

    def best(self) -> Inversion:
        """The current state, detached."""
        with torch.no_grad():
            looks = self.looks()
            latents = self.space.latents(self.variables.coordinates, self.variables.rows).detach()
        first, cameras = looks[0], [look.camera for look in looks[1:]]
        others = Camera.from_vector(torch.cat([camera.to_vector() for camera in cameras])) if cameras else None
        return Inversion(latents, first.camera, self.generator, first.backdrop, first.image, first.found, others=others)

    def run(self, callback: Callback | None) -> None:
        """All steps of both stages; then the backdrops in full detail."""
        variables, settings = self.variables, self.settings
        for value in variables.all():
            value.requires_grad_(True)
        rate = settings.learning_rate
        # Free rows are many, and each is a small push of the whole face: they take smaller steps than the coordinates.
        groups = [([variables.coordinates], rate), ([variables.changes], rate / 2), ([variables.rows], rate / 4)]
        optimiser = torch.optim.Adam([{"params": params, "lr": size} for params, size in groups], betas=(0.9, 0.99))
        best, free, tell = self.best(), False, lambda: None

        def gradients() -> dict[str, Tensor]:
            """The losses of this step, their gradients computed."""
            optimiser.zero_grad()
            losses = self.losses(free)
            total = torch.stack(list(losses.values())).sum()
            check_finite(total, "The inversion", best)
            tell()
            total.backward()
            return losses

        for index in range(settings.w_steps + settings.free_steps):
            free = index >= settings.w_steps
            tell = between(callback, index, settings.total) or (lambda: None)
            preview = self.refresh(ROUGH_SIDE, tell) if index % REFRESH == 0 else None
            stage = (index - settings.w_steps, settings.free_steps) if free else (index, settings.w_steps)
            for group, (_, size) in zip(optimiser.param_groups, groups, strict=True):
                group["lr"] = size * ramp(*stage)
            losses = with_less_memory(gradients)
            tell()
            check_gradients(variables.all(), "The inversion", best)
            optimiser.step()
            best = self.best()
            if callback is not None:
                report = dict(zip(losses, torch.stack(list(losses.values())).tolist(), strict=True))
                callback(Step(index + 1, settings.total, report, preview, best))
        for value in variables.all():
            value.requires_grad_(False)
        done = settings.w_steps + settings.free_steps
        self.refresh(FINE_SIDE, between(callback, done, settings.total) or (lambda: None))

    def losses(self, free: bool) -> dict[str, Tensor]:
        """All terms of one step, weighted; what a photo says, as the mean over the photos."""
        variables, settings = self.variables, self.settings
        scene, each = self.scene(free), []
        for index, look in enumerate(self.looks()):
            uv, origins, directions = grid_rays(look.camera, settings.side, self.jitter)
            rays = render_rays(look.before(scene), origins, directions, settings.sampling(self.jitter))
            terms = picture_losses(rays.color[..., :3], look_up(self.targets[index], uv), settings.side, settings.perceptual)
            if look.parsed is not None:
                terms["labels"] = settings.labels * look.parsed.loss(rays.logits, uv)
            each.append({**terms, "parts": settings.parts * self.parts.loss(rays.logits, uv, self.pupils[index])})
        distance = variables.coordinates.square().mean() + CAMERA_PRIOR * variables.changes.square().mean()
        if free:
            distance = distance + variables.rows.square().mean()
        means = {name: torch.stack([terms[name] for terms in each]).mean() for name in each[0]}
        return {**means, "prior": settings.prior * distance}

    def refresh(self, side: int, tell: Callable[[], None]) -> Tensor:
        """Estimate the backdrops again, `side`² texels, from where the head is now; gives the first photo's current picture `[3,h,w]`.
        `tell` is called after each piece of rendering."""
        with torch.no_grad():
            looks = self.looks()
        views = _views(self.best(), looks, self.settings, tell)
        if self.settings.backdrop and views[0].raw.shape[1] == 3:
            self.backdrops = [estimate(look.image, view.opacity, look.camera, side) for look, view in zip(looks, views, strict=True)]
        return views[0].image[0]
