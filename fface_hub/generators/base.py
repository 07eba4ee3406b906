"""What every generator family offers: latents in, a scene out; and what every scene offers to the renderer.

Adapters, inversion, editing, views and mesh export import only these nouns, never a family.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, Self

import torch
from torch import Tensor

from fface_hub.cameras import Camera
from fface_hub.latents import Latents
from fface_hub.layouts import Layout

Rule = Literal["midpoint", "left", "alpha"]


@dataclass(frozen=True)
class GeometrySamples:
    """What a scene knows of points before any colour is asked for.

    `points [B,R,S,3]`, `density [B,R,S]` (raw, before the activation of the compositing rule), `features [B,R,S,F]` (what adapters may
    read), `logits [B,R,S,K]` of the generator's own layout. `lookup [B,R,S,*]` is what the scene that made the samples would otherwise
    compute a second time for their colour; another scene must not be given it.
    """

    points: Tensor
    density: Tensor
    features: Tensor
    logits: Tensor
    lookup: Tensor | None = None

    def select(self, order: Tensor) -> GeometrySamples:
        """The samples reordered or picked along each ray by `order [B,R,S']` (int64)."""

        def take(values: Tensor) -> Tensor:
            return values.gather(2, order[..., None].expand(*order.shape, values.shape[-1]))

        lookup = None if self.lookup is None else take(self.lookup)
        return GeometrySamples(take(self.points), self.density.gather(2, order), take(self.features), take(self.logits), lookup)

    @staticmethod
    def cat(first: GeometrySamples, second: GeometrySamples) -> GeometrySamples:
        """Both sets of samples on the same rays, unsorted."""
        both = (first.lookup, second.lookup)
        return GeometrySamples(
            torch.cat([first.points, second.points], dim=2),
            torch.cat([first.density, second.density], dim=2),
            torch.cat([first.features, second.features], dim=2),
            torch.cat([first.logits, second.logits], dim=2),
            None if both[0] is None or both[1] is None else torch.cat([both[0], both[1]], dim=2),
        )


@dataclass(frozen=True)
class Rendering:
    """One batch of views: `image [B,3,H,W]` in [-1, 1] (the picture), `raw [B,C,h,w]` (what the volume gave, all colour channels; the
    first three are its picture), `logits [B,K,h,w]`, `labels [B,h,w]` int64, `depth [B,1,h,w]` along unit rays, `opacity [B,1,h,w]`.
    """

    image: Tensor
    raw: Tensor
    logits: Tensor
    labels: Tensor
    depth: Tensor
    opacity: Tensor

    def with_image(self, image: Tensor) -> Rendering:
        """The same rendering with another picture, as super-resolution gives it."""
        return replace(self, image=image)


class Field(ABC):
    """What a scene may offer beside its nouns, for pictures without gradients: the same functions at single points and in stages, so that
    a renderer asks for each only where it matters. Density, labels and colour must not depend on the direction, nor on other points.

    `memory` is what `density` learnt of its points, tensors with one row for each: pick rows of all of them to pick points.
    """

    @abstractmethod
    def density(self, points: Tensor, face: int) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Raw density `[N]` of one `face` of the batch at `points [N,3]`, and the memory of it."""

    @abstractmethod
    def labels(self, memory: tuple[Tensor, ...]) -> tuple[Tensor, Tensor]:
        """Features `[N,F]` for adapters and logits `[N,K]`, as `Scene.geometry` gives them."""

    @abstractmethod
    def color(self, memory: tuple[Tensor, ...]) -> Tensor:
        """Colours `[N,C]` in [-1, 1], as `Scene.color` gives them."""


class Scene(ABC):
    """A batch of faces as functions of 3-D points, computed once and reused by every view.

    Attributes: `batch` B; `bounds` half the side of the cube that holds the face; `near`, `far` along unit rays; `rule`, how samples become
    weights; `fingerprint` of the published weights it came from; `layout` of its own logits; `empty_logit`, the logit of class 0 where
    there is nothing, added as (1 − Σω)·empty_logit to logits of any layout (0 in EG3D's models, whose volume holds the background too);
    `numbers_per_sample`, about how many float32 a sample takes at most while it is rendered, and half of what it takes with gradients.
    """

    batch: int
    bounds: float = 0.5
    near: float
    far: float
    rule: Rule
    fingerprint: str
    layout: Layout
    empty_logit: float = 0.0
    numbers_per_sample: int = 512

    @property
    def device(self) -> torch.device:
        """Where its tensors are, and where rays for it must be."""
        return torch.device("cpu")

    def intersect(self, origins: Tensor, directions: Tensor) -> Tensor | None:
        """Depths `[B,R,S]` where rays (`[B,R,3]` each) meet given surfaces, or None: then the renderer samples from near to far."""
        return None

    @abstractmethod
    def geometry(self, points: Tensor, directions: Tensor) -> GeometrySamples:
        """Density, features and logits at `points [B,R,S,3]` seen along unit `directions [B,R,3]`."""

    @abstractmethod
    def color(self, samples: GeometrySamples) -> Tensor:
        """Colours `[B,R,S,C]` in [-1, 1] at samples. Whole rays are asked for, but the samples on a ray come in any order."""

    def background(self, directions: Tensor) -> Tensor | None:
        """Colour `[B,R,C]` behind everything along unit `directions [B,R,3]`, added as (1 − Σω)·b; None is black (−1 in [-1, 1])."""
        return None

    def finish(self, rendering: Rendering) -> Rendering:
        """Super-resolution where the family has it; else the rendering as it is. Without gradients it may take a faster way."""
        return rendering

    def field(self) -> Field | None:
        """The same faces for the fast renderer, or None: then it takes the general way. A scene with surfaces of its own has none."""
        return None


class WrappedScene(Scene):
    """A scene in which all is an inner scene's own, but for what a subclass says otherwise."""

    def __init__(self, scene: Scene) -> None:
        self.inner = scene
        self.batch, self.bounds, self.near, self.far = scene.batch, scene.bounds, scene.near, scene.far
        self.rule, self.fingerprint, self.layout, self.empty_logit = scene.rule, scene.fingerprint, scene.layout, scene.empty_logit
        self.numbers_per_sample = scene.numbers_per_sample

    @property
    def device(self) -> torch.device:
        """That of the inner scene."""
        return self.inner.device

    def intersect(self, origins: Tensor, directions: Tensor) -> Tensor | None:
        """See `Scene.intersect`."""
        return self.inner.intersect(origins, directions)

    def geometry(self, points: Tensor, directions: Tensor) -> GeometrySamples:
        """See `Scene.geometry`."""
        return self.inner.geometry(points, directions)

    def color(self, samples: GeometrySamples) -> Tensor:
        """See `Scene.color`."""
        return self.inner.color(samples)

    def background(self, directions: Tensor) -> Tensor | None:
        """See `Scene.background`."""
        return self.inner.background(directions)

    def finish(self, rendering: Rendering) -> Rendering:
        """See `Scene.finish`."""
        return self.inner.finish(rendering)

    def field(self) -> Field | None:
        """See `Scene.field`."""
        return self.inner.field()


class Generator(ABC):
    """Makes scenes from latents. Concrete families are also `fface_hub.models.Model`s, with `from_pretrained` and the rest."""

    layout: Layout
    default_camera: Camera
    fingerprint: str

    @classmethod
    def from_pretrained(
        cls, id: str | Path, *, dtype: torch.dtype | str = torch.float32, device: str | torch.device = "cpu", **source: Any
    ) -> Self:
        """The generator at `id`, of whichever family its config names; arguments and errors as in `fface_hub.models.Model`."""
        from fface_hub.models import load
        from fface_hub.sources import Source

        if "torch_dtype" in source:  # as other libraries call it
            raise TypeError("from_pretrained() has no argument 'torch_dtype': use dtype")
        return load(cls, Source(id, **source), dtype, device)

    @abstractmethod
    def sample(self, count: int, seed: int, truncation: float = 0.7) -> Latents:
        """`count` faces drawn with `seed`, pulled towards the mean face as `truncation` goes from 1 to 0; the same on every machine.

        `ValueError` for a truncation that is not finite."""

    @abstractmethod
    def scene(self, latents: Latents) -> Scene:
        """The scene of a batch of latents; gradients flow to them."""

    @abstractmethod
    def mean_latents(self) -> Latents:
        """The mean face, a batch of one: where inversion starts."""
