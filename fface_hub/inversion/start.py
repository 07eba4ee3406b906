"""Where an inversion starts: from the mean face, or from what an encoder sees in the photos."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import torch
from torch import Tensor

from fface_hub.cameras import Camera
from fface_hub.errors import ImageError
from fface_hub.generators.base import Generator, Scene
from fface_hub.inversion.encoder import ENCODER, find_bundled
from fface_hub.inversion.looks import Look
from fface_hub.inversion.objective import InvertSettings
from fface_hub.inversion.space import LatentSpace, flat_latents, latent_space
from fface_hub.latents import Latents
from fface_hub.progress import frozen
from fface_hub.rendering.renderer import render

ALIKE = 0.5
"""Cosine of the angle between what an encoder makes of two photos, seen from the mean face, below which they show different people.

Measured on four held-out heads, 30° to either side: .90 and more for one head, .81 and less for two, below 0 for most pairs. A photograph
and its mirror image have .76. So only people who clearly differ are told apart.
"""


class FaceEncoder(Protocol):
    """What `invert` asks of an encoder."""

    def check(self, generator: Generator) -> None:
        """`ModelError` unless it was fitted to this generator."""
        ...

    def encode(self, image: Tensor, labels: Tensor | None = None) -> tuple[Latents, Camera]:
        """Latents and cameras of framed photos `[B,3,H,W]` in [-1, 1]; `labels [B,h,w]` int64, in the generator's layout."""
        ...


@dataclass(frozen=True)
class Start:
    """The `space` to search, around the first guess, which lies at `coordinates [K]`; and the photos with their cameras."""

    space: LatentSpace
    coordinates: Tensor
    looks: Sequence[Look]


def mean_start(generator: Generator, looks: Sequence[Look], settings: InvertSettings) -> Start:
    """From the mean face."""
    space = latent_space(generator, seed=settings.seed)
    return Start(space, space.mean.new_zeros(len(space.axes)), looks)


@torch.no_grad()
def encoded(
    encoder: FaceEncoder,
    generator: Generator,
    looks: Sequence[Look],
    settings: InvertSettings,
    keep_cameras: bool,
    tell: Callable[[], None] | None = None,
) -> Start:
    """From what `encoder` sees: the mean of its latents over the photos. Where cameras need not be kept, the encoder's replaces the first
    guess if the picture that it gives is nearer to the photo. Raises `ModelError` for an encoder of another generator, and `ImageError` for
    photos in which it sees different people. `tell` is called after each piece of rendering.
    """
    encoder.check(generator)
    seen = []
    with frozen(encoder):
        for look in looks:
            seen.append(encoder.encode(look.image, None if look.parsed is None else look.parsed.labels))
    codes = Latents.cat([latents for latents, _ in seen])
    _check_one_person(codes, generator.mean_latents())
    space = latent_space(generator, seed=settings.seed)
    code = flat_latents(codes).mean(dim=0)[: len(space.mean)]
    coordinates = (code - space.mean) @ space.axes.T / space.axes.square().sum(dim=1)
    # What lies beyond the axes stays as it is: the search goes on around it.
    space = replace(space, mean=code - coordinates @ space.axes)
    if not keep_cameras:
        cameras = [camera for _, camera in seen]
        scene = generator.scene(space.latents(coordinates))
        looks = [_nearer(scene, look, camera, settings, tell) for look, camera in zip(looks, cameras, strict=True)]
    return Start(space, coordinates, looks)


def _nearer(scene: Scene, look: Look, camera: Camera, settings: InvertSettings, tell: Callable[[], None] | None) -> Look:
    """`look` with its own camera or with `camera`, whichever shows more of the photo."""
    target, errors = look.target(settings.resolution), []
    for choice in (look, replace(look, camera=camera)):
        view = render(scene, choice.camera, settings.resolution, settings.sampling(), callback=tell, finish=False)
        # Only the head tells: a backdrop is put in later.
        picture = torch.lerp(target, view.raw[:, :3], view.opacity)
        errors.append((float((picture - target).abs().mean() / view.opacity.mean().clamp_min(1e-3)), choice))
    return min(errors, key=lambda each: each[0])[1]


def _check_one_person(codes: Latents, mean: Latents) -> None:
    """`ImageError` if what an encoder makes of any photo, `codes [N]`, lies in another direction from the mean face than that of the
    first. The first row tells: it is always the geometry's, which does not change with the light."""
    away = codes.geometry[:, 0] - mean.geometry[:, 0]
    alike = torch.nn.functional.cosine_similarity(away[:1], away)
    strangers = [index + 1 for index, value in enumerate(alike.tolist()) if value < ALIKE]
    if strangers:
        numbers = " and ".join(map(str, strangers))
        raise ImageError(f"Photos 1 and {numbers} seem to show different people: give photos of one person, or one photo alone.")


def bundled_encoder(generator: Generator) -> tuple[Any, str]:
    """The bundled encoder, on the generator's device, if there is one for this generator, else None; and a sentence that says so.
    `ModelError` if it is damaged."""
    found = f"The search starts from what the encoder {ENCODER} sees."
    return find_bundled(ENCODER, "encoder", generator, found, "the search starts from the mean face, which takes more steps")
