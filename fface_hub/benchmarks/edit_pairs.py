"""The pairs that edits are measured on: a held-out head, a named edit of it, and the label map of somebody who wants just that edit.

The truth before and after is a rendered head. The face that is edited is the generator's; what it should become is painted on its own
labels, so that nobody is asked to mend what the generator gets wrong elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fface_hub.adapters.adapter import Adapter
from fface_hub.cameras import Camera, look_at
from fface_hub.editing import regions
from fface_hub.errors import FFaceError
from fface_hub.generators.base import Rendering, Scene
from fface_hub.generators.triplane import TriplaneGenerator
from fface_hub.heads.config import HELD_OUT_SEED
from fface_hub.heads.edits import NAMED_EDITS, apply_edit
from fface_hub.heads.head import Head
from fface_hub.heads.render import camera_rays
from fface_hub.heads.samples import head_latents
from fface_hub.heads.shards import RaySource
from fface_hub.heads.truth import TrueView, true_view
from fface_hub.latents import Latents
from fface_hub.layouts import FINE_24, Layout
from fface_hub.rendering.renderer import render

SIDES = ((-30.0, 0.0), (30.0, 0.0), (0.0, -15.0), (0.0, 15.0))
"""Yaw and pitch of the views in which edits are held against the truth, in degrees."""
LEAST = 4
"""Pixels that an edit must change, in the truth and on the generator's labels."""
TRIES = 64
"""Heads that are looked at for each edit; those of one are not looked at for another."""
VISIBLE = 4 / 127.5
"""A colour has changed if a channel differs by more, 4 of 255 levels."""
DILATE = 2
"""Pixels by which regions are grown before they are scored."""
SIZES = {"tiny": 30, "small": 150, "medium": 600}
"""Regions of fewer pixels than this (of 128²); all others are large."""
FIRST = ("pupil_size+", "hair_length+", "nose_tip+", "smile+", "eye_closed+", "jaw_width-")
"""One of each size and more, for short runs and for methods that take minutes."""


@dataclass(frozen=True)
class Wish:
    """A named edit and its direction, 1 or −1."""

    edit: str
    amount: float

    @property
    def name(self) -> str:
        """Such as "smile+"."""
        return self.edit + ("+" if self.amount > 0 else "-")

    @property
    def label(self) -> str:
        """What it does, for people."""
        return NAMED_EDITS[self.edit].label if self.amount > 0 else NAMED_EDITS[self.edit].opposite


def wishes() -> list[Wish]:
    """Every named edit in both directions: `FIRST`, then the others, in steps of 25 through the list, so that any first part is mixed."""
    every = [Wish(edit, amount) for amount in (1.0, -1.0) for edit in NAMED_EDITS]
    mixed = [every[25 * index % len(every)] for index in range(len(every))]  # 25 and 72 have no common divisor
    return sorted(mixed, key=lambda wish: FIRST.index(wish.name) if wish.name in FIRST else len(FIRST))


def best_layout(edit: str, layouts: Sequence[Layout]) -> Layout:
    """Of `layouts` the one that has most of the edit's classes; of several such the one with the fewest classes, then the first."""
    classes = NAMED_EDITS[edit].classes
    return max(layouts, key=lambda layout: (sum(name in layout.names for name in classes), -len(layout)))


def size_of(pixels: int) -> str:
    """The name of a region's size."""
    return next((name for name, limit in SIZES.items() if pixels < limit), "large")


@dataclass(frozen=True)
class Side:
    """A view in which an edit is judged: the truth `after`; where its labels are not those before, `relabelled [h,h]`; and `where [h,h]` it
    differs from the truth before in labels or, visibly, in colour, dilated.
    """

    camera: Camera
    after: TrueView
    relabelled: Tensor
    where: Tensor


@dataclass(frozen=True)
class Pair:
    """One edit of one head.

    `before` are the generator's latents of the head, `after` those of the truly edited one. From the front: `shown`, the generator's
    picture and labels before; `target [h,h]`, those labels, but the true ones after where the true ones differ (`region [h,h]`);
    `ideal [3,h,h]`, the generator's picture of `after`; `truth`, the edited head. All on the CPU but the latents. `layout` is the
    `adapter`'s, or the generator's own.
    """

    wish: Wish
    seed: int
    layout: Layout
    adapter: Adapter | None
    before: Latents
    after: Latents
    shown: Rendering
    target: Tensor
    region: Tensor
    changed: tuple[int, ...]
    ideal: Tensor
    truth: TrueView
    sides: tuple[Side, ...]


@dataclass(frozen=True)
class PairMaker:
    """Makes pairs for a `generator`: heads of `source` from seed `first` on; fronts are `resolution`², sides `side`² pixels.

    `adapters` (by name) bring the layouts besides the generator's own.
    """

    generator: TriplaneGenerator
    source: RaySource
    adapters: Mapping[str, Adapter]
    resolution: int = 128
    side: int = 96
    first: int = HELD_OUT_SEED

    def choice(self, edit: str) -> tuple[Layout, Adapter | None]:
        """The layout that a named edit is painted in, and the adapter that gives it."""
        known: list[tuple[Layout, Adapter | None]] = [(self.generator.layout, None), *((a.layout, a) for a in self.adapters.values())]
        best = best_layout(edit, [layout for layout, _ in known])
        return next(item for item in known if item[0] is best)

    def seeds(self, wish: Wish) -> range:
        """Heads to look at for `wish`: a block of its own."""
        number = list(NAMED_EDITS).index(wish.edit) * 2 + (wish.amount < 0)
        return range(self.first + TRIES * number, self.first + TRIES * (number + 1))

    @torch.no_grad()
    def make(self, wish: Wish, seed: int | None = None) -> Pair:
        """The pair of the first head of `seeds` (or of `seed`, chosen before) on which the edit changes at least `LEAST` of the true
        labels, and of those that the generator shows. `FFaceError` if there is none: a hat can be taken off only where there is one.
        """
        for candidate in self.seeds(wish) if seed is None else [seed]:
            pair = self._try(wish, candidate)
            if pair is not None:
                return pair
        raise FFaceError(f"None of {TRIES} held-out heads can be edited to '{wish.label}': measure with other heads.")

    def _try(self, wish: Wish, seed: int) -> Pair | None:
        generator, (layout, adapter) = self.generator, self.choice(wish.edit)
        camera = generator.default_camera.to(generator.device)
        head = Head(*self.source.latents(seed))
        edited = apply_edit(head, wish.edit, wish.amount)
        traces = [self.source.trace(item.geometry_z) for item in (head, edited)]
        old, new = (self._labels(trace, camera, layout) for trace in traces)
        region = old != new
        if int(region.sum()) < LEAST:
            return None
        before = head_latents(self.source, generator, [seed])
        shown = look(generator.scene(before), camera, self.resolution, adapter)
        target = torch.where(region, new, shown.labels[0])
        if int((target != shown.labels[0]).sum()) < LEAST:
            return None
        z, other = (torch.from_numpy(half)[None].to(before.geometry.device) for half in (edited.geometry_z, edited.appearance_z))
        after = generator.map(z, other)
        changed = tuple(torch.cat([old[region], new[region]]).unique().tolist())
        ideal = look(generator.scene(after), camera, self.resolution, adapter).image[0]
        truth = true_view(self.source, traces[1], camera, edited.appearance_z, self.resolution, layout)
        sides = tuple(self._side(traces, (head, edited), look_at(*angles), layout) for angles in SIDES)
        return Pair(wish, seed, layout, adapter, before, after, shown, target, region, changed, ideal, truth, sides)

    def _labels(self, trace: Callable[..., Any], camera: Camera, layout: Layout) -> Tensor:
        labels = np.asarray(self.source.labels(trace(*camera_rays(camera, self.resolution))), np.int64)
        return FINE_24.convert(torch.from_numpy(labels).reshape(self.resolution, self.resolution), layout)

    def _side(self, traces: Sequence[Callable[..., Any]], heads: tuple[Head, Head], camera: Camera, layout: Layout) -> Side:
        looks = zip(traces, heads, strict=True)
        before, after = (true_view(self.source, trace, camera, head.appearance_z, self.side, layout) for trace, head in looks)
        return Side(camera, after, before.labels != after.labels, where_different(before, after))


def where_different(before: TrueView, after: TrueView) -> Tensor:
    """Pixels `[h,h]` (bool) whose label or colour (by more than 4 of 255 levels) differs between two true views, and those around."""
    seen = (before.labels != after.labels) | ((before.image - after.image).abs().amax(0) > VISIBLE)
    return grown(seen)


def grown(mask: Tensor, reach: int = DILATE) -> Tensor:
    """`mask [h,h]` (bool) and all within `reach` pixels of it, in a square."""
    return regions.grown(mask, reach)


def look(scene: Scene, camera: Camera, resolution: int, adapter: Adapter | None) -> Rendering:
    """One view, on the CPU, without super-resolution."""
    rendering = render(scene, camera, resolution, adapter=adapter, finish=False)
    return Rendering(**{name: value.cpu() for name, value in vars(rendering).items()})
