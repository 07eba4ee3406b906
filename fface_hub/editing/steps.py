"""The optimisation inside an edit: which rays it looks at, what it makes small, and its loop."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from fface_hub.adapters.adapter import Adapter
from fface_hub.cameras import Camera
from fface_hub.editing.kept import keep
from fface_hub.editing.regions import grown
from fface_hub.editing.sides import rays_from_sides, seen_in_front
from fface_hub.errors import ModelError
from fface_hub.generators.base import Generator, Rendering, Scene
from fface_hub.inversion.encoder import LatentBasis
from fface_hub.latents import Latents
from fface_hub.losses import ImageLoss, masked_image_loss
from fface_hub.memory import with_less_memory
from fface_hub.progress import Callback, Step, between, check_finite, check_gradients
from fface_hub.rendering.renderer import render_rays
from fface_hub.rendering.sampling import Sampling

RING = 6
"""Pixels around the region where seams show: they are looked at more closely than what lies beyond."""
FLOOR = 48
"""Rays beyond the ring that each class gets at least: an iris is a few pixels, and must not turn blue unseen."""
AXES = 96
SHRINK = 0.4
"""By how much steps get smaller when they lead nowhere: the way to some edits is so narrow that the first steps leave it."""


@dataclass(frozen=True)
class EditSettings:
    """How to edit; the defaults fit two CPU cores and the bundled generator.

    `resolution` of the picture in which regions and targets are compared; `rays` of it that are looked at, the same in all steps: half of
    them inside the region, the rest around it and beyond (None: all pixels); `side_rays` of other views, which must show what they showed
    (`sides`; 0: none); `coarse`, `fine` samples per ray. At most `steps`, fewer when the loss has not fallen by `tolerance` of itself for
    `patience` of them; after every `backoff` of these the search goes on from the best with smaller steps. `learning_rate` of the
    coordinates, in standard deviations, and `free_rate` of the free style rows (W+).

    `inside_weight` of the cross-entropy in the region, `region_weight` of that in and around it, `overlap_weight` of 1 − the overlap (soft
    IoU) of what changes there with what was to change (0: without), `image_weight` of colours outside, `side_weight` of labels in the other
    views, `prior` of the squared way from the first guess. Colours may change up to `dilate` pixels around the region. `background_weight`
    of labels and colours where the background is, outside the region (0: held no more than all else). `reach`: how far the face may move,
    in standard deviations of the generator's own faces (and as much in its free rows); None: as far as it takes. `guess`: begin with what
    the canonical editor says, if there is one; `warm`: or where the last edit of the session ended, if that is nearer. `keep`: what
    is away from the region stays as it was, exactly (`kept.keep`), and `all_around`: but what is out of sight of a thing that goes or
    comes for the most part does so, too (`hidden`). A preview of the best comes after every `preview_every` steps.
    `perceptual`, a loss such as `perceptual.load_perceptual()` (needs all rays), or None: without.
    """

    steps: int = 48
    learning_rate: float = 0.08
    free_rate: float = 0.004
    resolution: int = 128
    rays: int | None = 2048
    side_rays: int = 768
    coarse: int = 24
    fine: int = 24
    inside_weight: float = 0.05
    region_weight: float = 0.3
    overlap_weight: float = 1.0
    image_weight: float = 3.0
    side_weight: float = 0.3
    prior: float = 2e-3
    background_weight: float = 0.0
    reach: float | None = None
    dilate: int = 1
    patience: int = 16
    backoff: int = 4
    tolerance: float = 5e-3
    guess: bool = True
    warm: bool = False
    keep: bool = True
    all_around: bool = True
    preview_every: int = 8
    seed: int = 0
    perceptual: ImageLoss | None = None

    def __post_init__(self) -> None:
        if self.perceptual is not None and self.rays is not None:
            raise ValueError("a perceptual loss needs whole pictures: leave rays None")
        if self.rays is not None and self.rays < 2:  # half of them must meet what was painted
            raise ValueError(f"an edit looks at no fewer than 2 rays, and these are {self.rays}: leave rays None for all")

    @staticmethod
    def preview() -> EditSettings:
        """For an answer while somebody paints: a few steps of what the editor says and the last stroke gave, to be seen from where it is
        painted."""
        return EditSettings(steps=4, rays=1024, image_weight=2.0, preview_every=1000, warm=True, all_around=False)


@dataclass(frozen=True)
class Face:
    """What is edited: a generator and how it makes scenes (an inversion has a backdrop), latents and camera, batches of one."""

    generator: Generator
    scene: Callable[[Latents], Scene]
    latents: Latents
    camera: Camera


@dataclass(frozen=True)
class Rays:
    """Pixels of a square picture that stand for all: `pixels [R]` (row by row), and how many each stands for, `area [R]`."""

    pixels: Tensor
    area: Tensor

    @staticmethod
    def choose(region: Tensor, near: Tensor, labels: Tensor, count: int | None, random: torch.Generator) -> Rays:
        """Rays for an edit of `region [h,h]` (bool): half of them inside, a quarter around it in `near [h,h]` (bool), the rest beyond, at
        least `FLOOR` of them in each class of `labels [h,h]`; all pixels of a part that has fewer. None: all pixels."""
        flat = region.flatten().cpu()
        if count is None or count >= len(flat):
            return Rays(torch.arange(len(flat)), torch.ones(len(flat)))
        near, labels = near.flatten().cpu(), labels.flatten().cpu()
        parts = [(flat, count // 2), (near & ~flat, count // 4)]
        left = count - sum(min(int(part.sum()), share) for part, share in parts)
        sizes = torch.bincount(labels[~near])
        # All classes get the same, up to their size or the floor, and of what is left as much as they are large.
        least = sizes.clamp(max=min(FLOOR, left // (2 * max(1, int((sizes > 0).sum())))))
        more = (sizes - least) * (left - int(least.sum())) // (sizes - least).sum().clamp(min=1)
        parts += [(~near & (labels == number), share) for number, share in enumerate((least + more).tolist())]
        pixels, areas = [], []
        for part, share in parts:
            members = part.nonzero()[:, 0]
            chosen = members[torch.randperm(len(members), generator=random)[:share]]
            pixels.append(chosen)
            areas.append(torch.full((len(chosen),), len(members) / max(1, len(chosen))))
        return Rays(torch.cat(pixels), torch.cat(areas))


@dataclass
class Offset:
    """What is optimised: `coordinates [K]` along the principal axes of the geometry, and free `rows [1,L,D]` besides."""

    coordinates: Tensor
    rows: Tensor

    def copy(self) -> Offset:
        """The same values, without gradients."""
        return Offset(self.coordinates.detach().clone(), self.rows.detach().clone())

    @torch.no_grad()
    def set(self, other: Offset) -> None:
        """Take the values of `other`."""
        self.coordinates.copy_(other.coordinates)
        self.rows.copy_(other.rows)

    @torch.no_grad()
    def pull_back(self, reach: float | None) -> None:
        """Shorten both parts to a length of at most `reach` (None: leave them)."""
        if reach is None:
            return
        for values in (self.coordinates, self.rows):
            values.mul_((reach / values.norm().clamp(min=1e-12)).clamp(max=1))


@dataclass(frozen=True)
class Moves:
    """How a face may move: along the axes of `basis` (None: no such axes), and its `moving [L,1]` rows (bool) besides."""

    basis: LatentBasis | None
    moving: Tensor

    @staticmethod
    def of(face: Face, basis: LatentBasis | None = None) -> Moves:
        """For `face`; without a `basis` that of faces that its generator draws, if geometry and appearance are the same rows there."""
        if basis is None:
            with contextlib.suppress(ModelError):
                basis = LatentBasis.of(face.generator, AXES, samples=1024)
        # Rows of the last third hold colours and textures; where several groups are drawn apart, the first holds the geometry.
        count = face.latents.geometry.shape[1]
        groups = (0,) * count if basis is None else basis.groups
        several = max(groups) > 0
        moving = [groups[row] == 0 if several else row < count - count // 3 for row in range(count)]
        return Moves(basis, torch.tensor(moving, device=face.latents.geometry.device)[:, None])

    def zero(self, latents: Latents) -> Offset:
        """No move of `latents`."""
        rows = latents.geometry
        return Offset(rows.new_zeros(0 if self.basis is None else self.basis.axes.shape[1]), torch.zeros_like(rows))

    def apply(self, latents: Latents, offset: Offset) -> Latents:
        """`latents` moved by `offset`."""
        delta = offset.rows
        if self.basis is not None:
            delta = delta + offset.coordinates @ self.basis.axes[0]
        return latents.offset(delta * self.moving)


@dataclass(frozen=True)
class Edited:
    """A face, who labels it (None: its generator), and how it may move."""

    face: Face
    adapter: Adapter | None
    moves: Moves


class Task:
    """All that stays the same from step to step. `scene` is the face as it was, `before` its picture; `region` and `target` are `[h,h]`
    like its labels."""

    def __init__(self, edited: Edited, settings: EditSettings, scene: Scene, before: Rendering, region: Tensor, target: Tensor) -> None:
        self.face, self.adapter, self.moves, self.settings = edited.face, edited.adapter, edited.moves, settings
        face, device, size = self.face, region.device, settings.resolution
        # How deep it goes is known when it is done.
        self.kept = keep(face.latents, face.camera, region, scene) if settings.keep else None
        near = grown(region, RING)
        rays = Rays.choose(region, near, before.labels[0], settings.rays, torch.Generator().manual_seed(settings.seed))
        self.pixels, self.area = rays.pixels.to(device), rays.area.to(device)[None] / size**2
        self.inside = region.flatten()[self.pixels]
        self.keep = ~grown(region, settings.dilate).flatten()[self.pixels]
        labels = before.labels[0].flatten()[self.pixels]
        self.background = self.keep & (labels == 0)
        # Half of the weight of colours outside is by area, the other half the same for each class: a few pixels of another colour are
        # nothing in the mean over the picture, and everything where they are an iris.
        kept = self.area[0] * self.keep
        classes = kept.new_zeros(int(labels.max()) + 1).index_add(0, labels, kept)
        even = kept / (classes[labels] * (classes > 0).sum()).clamp(min=1e-9)
        self.held = kept / 2 + even * kept.sum() / 2
        # The region alone lets what was painted spread over the line that was drawn; with its ring alone, whose pixels are many more, most
        # painters' wishes would cost more than they bring.
        self.painted = (self.area[0] * self.inside) / (self.area[0] * self.inside).sum()
        around = near.flatten()[self.pixels]
        self.focus = (self.area[0] * around) / (self.area[0] * around).sum()
        self.rim = around & ~self.inside
        self.target = target.flatten()[self.pixels][None]
        self.start = self.moves.zero(face.latents)
        self.sampling = Sampling(settings.coarse, settings.fine)
        uv = torch.stack([self.pixels % size + 0.5, self.pixels // size + 0.5], dim=-1) / size
        front, sides = face.camera.rays_at(uv[None]), [rays.to(device) for rays in rays_from_sides(settings.side_rays)]
        # All in one look: those of the picture first, and after them those from the sides.
        self.rays = torch.cat([front[0], sides[0]], dim=1), torch.cat([front[1], sides[1]], dim=1)
        self.count = len(self.pixels)
        with torch.no_grad():
            seen = render_rays(scene, *self.rays, self.sampling, adapter=self.adapter)
        wanted = seen_in_front(self.rays, seen, face.camera, before, near)
        wanted[: self.count] = True
        self.rays = self.rays[0][:, wanted], self.rays[1][:, wanted]
        self.colors, self.logits = seen.color[:, wanted, :3], seen.logits[:, wanted]
        self.beside = self.logits[0, self.count :].argmax(-1)

    def moved(self, offset: Offset) -> Latents:
        """The face at `offset`, all of it."""
        return replace(self.moves.apply(self.face.latents, offset), kept=None)

    def latents(self, offset: Offset) -> Latents:
        """The face at `offset` where it is edited, and what is kept of it elsewhere."""
        return replace(self.moved(offset), kept=self.kept)

    def distance(self, offset: Offset) -> Tensor:
        """Squared distance to where the search began."""
        coordinates, rows = offset.coordinates - self.start.coordinates, offset.rows - self.start.rows
        return coordinates.square().sum() + rows.square().sum()

    def losses(self, offset: Offset) -> dict[str, Tensor]:
        """The terms at `offset`, weighted; "loss" is their sum. "matched" is the share of the region's rays that have their label."""
        # The whole of it, though only a part will be shown: what cannot be seen away from the region tells whether it is still this face.
        seen = render_rays(self.face.scene(self.moved(offset)), *self.rays, self.sampling, adapter=self.adapter)
        return self._terms(offset, seen.color[..., :3], seen.logits)

    def losses_before(self) -> dict[str, Tensor]:
        """`losses` of the face as it was. All that it shows is known, unless something is kept in it of the time before an earlier edit."""
        unmoved = self.moves.zero(self.face.latents)
        return self.losses(unmoved) if self.face.latents.kept is not None else self._terms(unmoved, self.colors, self.logits)

    def _terms(self, offset: Offset, colors: Tensor, logits: Tensor) -> dict[str, Tensor]:
        """`losses` at `offset`, where the rays show `colors [1,R,3]` and `logits [1,R,K]`."""
        settings, count = self.settings, self.count
        # Of each ray; weighted by areas, their sums are means over the picture.
        area, wrong = self.area[0], F.cross_entropy(logits[0, :count], self.target[0], reduction="none")
        change = (colors - self.colors).square().mean(dim=2)[0]
        moved = settings.image_weight * change[:count]
        terms = {
            "cross_entropy": (wrong * area).sum(),
            "region": (wrong * (settings.inside_weight * self.painted + settings.region_weight * self.focus)).sum(),
            "image": (moved * self.held).sum(),
            "prior": settings.prior * self.distance(offset),
        }
        if settings.background_weight > 0:
            terms["background"] = settings.background_weight * ((wrong + moved) * area * self.background).sum()
        if settings.overlap_weight > 0:
            right = (-wrong).exp() * area  # how much of each pixel has the label that it is to have
            done, spilled = right[self.inside].sum(), (area - right)[self.rim].sum()
            terms["overlap"] = settings.overlap_weight * (1 - done / (area[self.inside].sum() + spilled))
        if len(self.beside):
            labels = F.cross_entropy(logits[0, count:], self.beside)
            terms["sides"] = settings.image_weight * change[count:].mean() + settings.side_weight * labels
        if settings.perceptual is not None:
            square = (-1, 3, settings.resolution, settings.resolution)
            image, original = (values[:, :count].transpose(1, 2).reshape(square) for values in (colors, self.colors))
            terms["perceptual"] = masked_image_loss(settings.perceptual, image, original, self.keep.reshape(1, *square[2:]))
        matched = (logits[0, :count].argmax(-1) == self.target[0])[self.inside].float().mean()
        return {"loss": torch.stack(list(terms.values())).sum(), **terms, "matched": matched}


def optimise(
    task: Task, others: list[Offset], preview: Callable[[Latents], Tensor], callback: Callback | None
) -> tuple[Offset, list[dict[str, float]]]:
    """Adam from the face as it is, or one of the `others` if that is a better start; the offset of the lowest loss, and all losses."""
    settings = task.settings
    tell = between(callback, 0, settings.steps) or (lambda: None)
    starts = [task.start, *(other.copy() for other in others)]
    for start in starts:
        start.pull_back(settings.reach)
    tried = []
    for try_one in (task.losses_before, *(partial(task.losses, start) for start in starts[1:])) if others else ():
        with torch.no_grad():
            losses = with_less_memory(try_one)
        tried.append(float(losses["loss"] - losses["prior"]))
        tell()
    task.start = starts[tried.index(min(tried))] if tried else task.start
    offset = task.start.copy()
    offset.coordinates.requires_grad_()
    offset.rows.requires_grad_()
    groups = [([offset.coordinates], settings.learning_rate), ([offset.rows], settings.free_rate)]
    optimiser = torch.optim.Adam([{"params": params, "lr": rate} for params, rate in groups], betas=(0.9, 0.99))
    best, lowest, falling, since, pace = offset.copy(), float("inf"), 0, 0, 1.0
    history: list[dict[str, float]] = []

    def look(index: int) -> dict[str, Tensor]:
        """The losses of step `index`, and their gradients, but after the last one: where these would lead, nobody looks."""
        optimiser.zero_grad(set_to_none=True)
        with torch.set_grad_enabled(index < settings.steps):
            losses = task.losses(offset)
        check_finite(losses["loss"].detach(), "The edit", task.latents(best))
        if (report := between(callback, index - 1, settings.steps)) is not None:
            report()
        if index < settings.steps:
            losses["loss"].backward()
            check_gradients([offset.coordinates, offset.rows], "The edit", task.latents(best))
        return losses

    for index in range(1, settings.steps + 1):
        if index - 1 - max(since, falling) >= settings.backoff:
            since, pace = index - 1, pace * SHRINK
            offset.set(best)
            optimiser.state.clear()
        for group, (_, rate) in zip(optimiser.param_groups, groups, strict=True):
            group["lr"] = pace * rate * (1 - 0.9 * (index - 1) / settings.steps)
        losses = with_less_memory(lambda index=index: look(index))
        history.append(dict(zip(losses, torch.stack(list(losses.values())).tolist(), strict=True)))
        now = history[-1]["loss"]
        falling = index if now < lowest * (1 - settings.tolerance) else falling
        if now < lowest:
            best, lowest = offset.copy(), now
        optimiser.step()
        offset.pull_back(settings.reach)
        if callback is not None:
            found = task.latents(best)
            wanted = index % settings.preview_every == 0
            callback(Step(index, settings.steps, history[-1], preview(found) if wanted else None, found))
        if index - falling >= settings.patience:
            break
    return best, history
