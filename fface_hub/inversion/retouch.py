"""A retouched face: colours of a photograph that the generator cannot make, laid over a scene as a small tri-plane of their own.

A plane residual, as personal corrections of generators are called: but of colours alone, outside the generator. So density, labels and
depth of the face are untouched, bit for bit, from every side; any family of generators can be retouched; and no weight is copied.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional as F

from fface_hub.generators.base import Field, GeometrySamples, Scene, WrappedScene
from fface_hub.generators.lookup import look_up

AXES = [0, 1, 0, 2, 2, 1]
"""Coordinates that index width and height of the three planes: xy, xz, zy."""


@dataclass(frozen=True)
class Retouch:
    """`planes [3,3,N,N]` (plane, red green blue) over the cube of half side `bounds`: what is added to colours in [-1, 1] at a point is the
    sum of its bilinear samples. Outside the cube it is nothing."""

    planes: Tensor
    bounds: float

    def color(self, points: Tensor) -> Tensor:
        """What is added at `points [...,3]`, `[...,3]`."""
        grid = (points.reshape(1, -1, 3)[..., AXES] / self.bounds).unflatten(-1, (3, 2))
        return look_up(self.planes[None], grid).sum(dim=2).reshape(points.shape)

    def to(self, device: torch.device | str) -> Retouch:
        """The same on `device`."""
        return replace(self, planes=self.planes.to(device))

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
