"""A retouched face: colours of a photograph that the generator cannot make, laid over a scene as a small tri-plane of their own.

A plane residual, as personal corrections of generators are called: but of colours alone, outside the generator. So density, labels and
depth of the face are untouched, bit for bit, from every side; any family of generators can be retouched; and no weight is copied.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional as F

from fface_hub.errors import ModelError
from fface_hub.generators.base import Field, Generator, GeometrySamples, Scene, WrappedScene
from fface_hub.generators.lookup import look_up
from fface_hub.latents import Latents

AXES = [0, 1, 0, 2, 2, 1]
"""Coordinates that index width and height of the three planes: xy, xz, zy."""
EDITED, SHAPED = 0.6, 0.3
"""Of the way at whose end the geometry is another face's: how far edits go, and where shades are no longer those of this shape alone."""


@dataclass(frozen=True)
class Retouch:
    """`planes [3,3,N,N]` (plane, red green blue) over the cube of half side `bounds`: what is added to colours in [-1, 1] at a point is the
    sum of its bilinear samples. Outside the cube it is nothing.

    It belongs to a face of `own [2,L,D]` style rows, geometry and appearance, and fades as both make way for others: at a distance of
    `reach [2]` nothing of it is left. Where the appearance alone does, as in dyed hair, its hues fade and its shades stay, which are those
    of strands and wrinkles, whatever their colour. Without such rows it lies over all faces.
    """

    planes: Tensor
    bounds: float
    own: Tensor | None = None
    reach: Tensor | None = None

    def belonging_to(self, latents: Latents, generator: Generator) -> Retouch:
        """The same, for the one face of these `latents`: gone where half of it has become as different as that of the mean face is."""
        own, mean = (torch.cat([each.geometry, each.appearance[:, 0]]) for each in (latents, generator.mean_latents()))
        return replace(self, own=own, reach=(own - mean).flatten(1).norm(dim=1))

    def shares(self, geometry: Tensor, appearance: Tensor) -> tuple[float, float]:
        """How much of the shades and of the hues lies over a face of this `geometry [1,L,D]` and `appearance [1,L,D]`; in [0, 1].
        `ModelError` for those of another generator."""
        if self.own is None or self.reach is None:
            return 1.0, 1.0
        if geometry.shape[1:] != self.own.shape[1:]:
            raise ModelError("This retouch belongs to a face of another generator: invert the photo again.")
        away = (torch.cat([geometry, appearance]).detach() - self.own).flatten(1).norm(dim=1) / self.reach.clamp(min=1e-9)
        moved, recolored = away.clamp(max=1).tolist()
        shape = min(1.0, (1 - moved) / (1 - EDITED))
        return shape * (1 - recolored * min(1.0, moved / SHAPED)), shape * (1 - recolored)

    def over(self, scene: Scene, geometry: Tensor, appearance: Tensor) -> Scene:
        """`scene`, a face of this `geometry [1,L,D]` and `appearance [1,L,D]`, under as much of the retouch as belongs to it."""
        shade, hue = self.shares(geometry, appearance)
        if shade == hue == 1:
            return RetouchedScene(scene, self)
        if shade == hue == 0:
            return scene
        shades = self.planes.mean(dim=1, keepdim=True)
        return RetouchedScene(scene, replace(self, planes=shade * shades + hue * (self.planes - shades)))

    def color(self, points: Tensor) -> Tensor:
        """What is added at `points [...,3]`, `[...,3]`."""
        grid = (points.reshape(1, -1, 3)[..., AXES] / self.bounds).unflatten(-1, (3, 2))
        return look_up(self.planes[None], grid).sum(dim=2).reshape(points.shape)

    def to(self, device: torch.device | str) -> Retouch:
        """The same on `device`."""
        own, reach = (None if values is None else values.to(device) for values in (self.own, self.reach))
        return replace(self, planes=self.planes.to(device), own=own, reach=reach)

    def rounded(self) -> Retouch:
        """The same, as saving in float16 and loading gives it."""
        return replace(self, planes=self.planes.half().float())

    def add_to(self, color: Tensor, points: Tensor) -> Tensor:
        """Colours `[...,C]` at `points [...,3]` retouched, within [-1, 1]; the first three channels are the picture, the others stay."""
        picture = (color[..., :3] + self.color(points)).clamp(-1, 1)
        return picture if color.shape[-1] == 3 else torch.cat([picture, color[..., 3:]], dim=-1)


class RetouchedScene(WrappedScene):
    """A scene under a retouch: all but the colours is the inner scene's own."""

    def __init__(self, scene: Scene, retouch: Retouch) -> None:
        super().__init__(scene)
        self.retouch = retouch

    def color(self, samples: GeometrySamples) -> Tensor:
        """The inner scene's, retouched."""
        return self.retouch.add_to(self.inner.color(samples), samples.points)

    def field(self) -> Field | None:
        """The inner scene's, retouched."""
        inner = self.inner.field()
        return None if inner is None else _RetouchedField(inner, self.retouch)


class _RetouchedField(Field):
    """A field that remembers the points beside what the inner one does, so that colours can be retouched there."""

    def __init__(self, inner: Field, retouch: Retouch) -> None:
        self.inner, self.retouch = inner, retouch

    def density(self, points: Tensor, face: int) -> tuple[Tensor, tuple[Tensor, ...]]:
        """See `Field.density`."""
        density, memory = self.inner.density(points, face)
        return density, (*memory, points)

    def labels(self, memory: tuple[Tensor, ...]) -> tuple[Tensor, Tensor]:
        """See `Field.labels`."""
        return self.inner.labels(memory[:-1])

    def color(self, memory: tuple[Tensor, ...]) -> Tensor:
        """See `Field.color`."""
        return self.retouch.add_to(self.inner.color(memory[:-1]), memory[-1])


def roughness_gradient(planes: Tensor) -> Tensor:
    """Half the gradient of the sum of squared differences between neighbouring texels of `planes [...,N,N]`."""
    total = torch.zeros_like(planes)
    for dim in (-2, -1):
        step = planes.diff(dim=dim)
        before, after = [0, 0, 0, 0], [0, 0, 0, 0]
        place = 0 if dim == -1 else 2
        before[place], after[place + 1] = 1, 1
        total += F.pad(step, before) - F.pad(step, after)
    return total
