"""What a fit looks at, and in which order: settings, the training views with the rays that may be picked, and the batches of the steps.

All of it is drawn from the seed before anything is rendered, so that the cached fit and its rendering twin see the same rays.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from fface_hub.adapters.cache import Views
from fface_hub.adapters.distillation import Distillation
from fface_hub.adapters.learner import Form
from fface_hub.adapters.mixing import Mixing, mix
from fface_hub.adapters.samples import SampleSet
from fface_hub.cameras import Camera
from fface_hub.editing.regions import resize_labels
from fface_hub.errors import LayoutError
from fface_hub.generators.base import Generator
from fface_hub.latents import Latents
from fface_hub.layouts import Layout
from fface_hub.rendering.sampling import Sampling

HALVED = 2**18
"""Rays from which on a cache is in half precision: 1.2 GB in single precision, where 24 samples of each weigh anything."""


@dataclass(frozen=True)
class Objective:
    """What a fit makes small: cross-entropy, and DICE with `overlap_weight` after the share `overlap_start` of the steps."""

    overlap_weight: float = 1.0
    overlap_start: float = 0.2


@dataclass(frozen=True)
class FitSettings:
    """How to fit an adapter. The defaults take half a minute on two CPU cores. Of all that was tried, they labelled left-out heads best
    with ten samples.

    Each of `steps` looks at `rays` (None: all there are) of `batch` views. `balance`: the share of the rays that is drawn evenly over the
    classes of the face, so that small ones are seen in every step; a ray that is picked more often for that counts less, so that the losses
    are still those of the whole picture (rare classes that count more than they cover are found where they are not). A view is a sample in
    one of its mixes, a picture of `resolution`² pixels (None: that of the label maps), of which `kept` pixels (None: all) can be picked at
    all: the mixes of a sample keep different ones. `coarse` and `fine` samples on a ray, with or without `jitter`; those that weigh no more
    than `epsilon` are dropped by the cache, which is `half` as large in half precision (None: from `HALVED` rays on).

    `form` is that of the network, `objective` the loss on the samples, `distillation` (None: none) that on what the generator knows. Adam's
    rate rises to `learning_rate` and falls again (OneCycle); in each step the weights go `weight_decay` times the rate of the way back to
    0, or to where a warm start set them. `left_out` samples, drawn at random, are not learnt from: they measure the fit, which then gives
    the best adapter and stops when `patience` measurements in a row saw nothing better.
    """

    steps: int = 1000
    batch: int = 8
    rays: int | None = 512
    balance: float = 0.5
    resolution: int | None = None
    kept: int | None = 4096
    coarse: int = 24
    fine: int = 24
    jitter: bool = True
    epsilon: float = 1e-3
    half: bool | None = None
    mixing: Mixing = field(default_factory=Mixing)
    form: Form = field(default_factory=lambda: Form("gated", warm_start=True, view_direction=False))
    objective: Objective = field(default_factory=Objective)
    learning_rate: float = 0.1
    weight_decay: float = 0.0
    distillation: Distillation | None = field(default_factory=Distillation)
    left_out: int = 0
    patience: int = 6
    seed: int = 0

    @staticmethod
    def original(seed: int = 0) -> FitSettings:
        """FFaceNeRF's schedule as coded, for `fit_reference`: 5,000 steps with all rays of 4 views, 96 + 96 samples each.

        It mixes with a new partner in every batch; here 32 for each sample stand for that. A cache of all this would be too large: for
        `fit`, take fewer rays and mixes.
        """
        return FitSettings(
            steps=5000,
            batch=4,
            rays=None,
            balance=0.0,
            kept=None,
            coarse=96,
            fine=96,
            epsilon=0.0,
            mixing=Mixing(mixes=33, probability=0.5, amount=0.5, rows=None),
            form=Form("open", warm_start=False, view_direction=True),
            objective=Objective(overlap_weight=0.1, overlap_start=0.2),
            learning_rate=0.01,
            weight_decay=0.0,
            distillation=None,
            seed=seed,
        )

    def sampling(self) -> Sampling:
        """The samples on a ray; with jitter, from a random source that starts anew."""
        return Sampling(self.coarse, self.fine, torch.Generator().manual_seed(self.seed) if self.jitter else None)


@dataclass(frozen=True)
class Faces:
    """The samples: latents, cameras and, in the adapter's layout, labels `[N,h·h]`."""

    latents: Latents
    cameras: Camera
    labels: Tensor
    resolution: int

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, picks: Tensor) -> Faces:
        return Faces(self.latents[picks], self.cameras[picks], self.labels[picks], self.resolution)

    def at_most(self, resolution: int) -> Faces:
        """The same with label maps of at most `resolution`² pixels."""
        if self.resolution <= resolution:
            return self
        squares = self.labels.unflatten(1, (self.resolution, self.resolution))
        return replace(self, labels=torch.stack([resize_labels(x, resolution).flatten() for x in squares]), resolution=resolution)

    def views(self) -> Views:
        """Their whole pictures, unmixed."""
        pixels = torch.arange(self.labels.shape[1], device=self.labels.device).expand(len(self), -1)
        return Views(self.latents, self.cameras, pixels, self.resolution)


def gather(samples: SampleSet, generator: Generator, layout: Layout, resolution: int | None) -> Faces:
    """`samples` as one batch on the generator's device, labels converted to `layout` and sized to `resolution` (None: as they are).

    Raises `ModelError` if a sample has no latents or those of another generator, `LayoutError` for sizes that differ and for classes
    without a place in `layout`.
    """
    samples.check(generator)
    latents = Latents.cat([sample.latents for sample in samples.samples if sample.latents is not None])
    if resolution is None and len({sample.labels.shape for sample in samples.samples}) > 1:
        raise LayoutError("The label maps of the samples differ in size: choose the resolution to fit at.")
    resolution = resolution or samples.samples[0].labels.shape[0]
    labels = [samples.layout.convert(resize_labels(sample.labels, resolution), layout).flatten() for sample in samples.samples]
    cameras = torch.cat([sample.camera.to_vector() for sample in samples.samples])
    device = generator.mean_latents().geometry.device
    return Faces(latents.to(device), Camera.from_vector(cameras).to(device), torch.stack(labels).to(device), resolution)


def leave_out(faces: Faces, count: int, random: torch.Generator) -> tuple[Faces, Faces | None]:
    """The faces to learn from and, drawn at random, `count` to measure by (None if none); `LayoutError` if none is left to learn from."""
    if count >= len(faces):
        raise LayoutError(f"{count} of {len(faces)} samples are to be left out: leave at least one to learn from, or paint more.")
    order = torch.randperm(len(faces), generator=random)
    return faces[order[count:].sort().values], faces[order[:count].sort().values] if count else None


@dataclass(frozen=True)
class Plan:
    """Training views, each sample's mixes side by side; the labels `[V,R]` of their rays, how likely each is to be picked (`[V,R]`), and
    what it then counts (`[V,R]`): as if each pixel of the picture were as likely as any other."""

    views: Views
    labels: Tensor
    chances: Tensor
    weights: Tensor
    mixing: Mixing

    def batches(self, settings: FitSettings, random: torch.Generator) -> Iterator[tuple[Tensor, Tensor]]:
        """Endless batches: views `[B]` and picks among their rays `[B,R']`. Samples come in shuffled epochs, mixes and rays by chance."""
        device, samples = self.labels.device, len(self.views) // self.mixing.mixes
        queue = torch.empty(0, dtype=torch.int64)
        while True:
            while len(queue) < settings.batch:
                queue = torch.cat([queue, torch.randperm(samples, generator=random)])
            views = queue[: settings.batch] * self.mixing.mixes + self.mixing.draw(settings.batch, random)
            queue = queue[settings.batch :]
            chances = self.chances[views]
            if settings.rays is None or settings.rays >= chances.shape[1]:
                picks = torch.arange(chances.shape[1]).expand(settings.batch, -1)
            else:
                picks = torch.multinomial(chances, settings.rays, generator=random)
            yield views.to(device), picks.to(device)


def plan(faces: Faces, generator: Generator, settings: FitSettings, random: torch.Generator) -> Plan:
    """The training views of `faces`: their mixes, and which rays of each are kept."""
    mixes = settings.mixing.mixes
    labels = faces.labels.cpu().repeat_interleave(mixes, dim=0)
    pixels = pick_rays(labels, settings.kept, settings.balance, random)
    latents = mix(faces.latents, generator, random, settings.mixing)
    cameras = faces.cameras[torch.arange(len(faces)).repeat_interleave(mixes)]
    device = faces.labels.device
    views = Views(latents, cameras, pixels.to(device), faces.resolution)
    likely, plain = (chances(labels, pixels, balance) for balance in (settings.balance, 0.0))
    return Plan(views, labels.gather(1, pixels).to(device), likely, (plain / likely).to(device), settings.mixing)


def chances(labels: Tensor, pixels: Tensor, balance: float) -> Tensor:
    """How likely a step is to pick each of the kept `pixels [V,R]` of pictures with `labels [V,P]`; each row sums to 1.

    Which pixels were kept must not change how often a class is seen: each class gets the share that it would get if all pixels could be
    picked, (1 − balance) · its pixels / P + balance / classes present, divided evenly among its kept ones.
    """
    kept = labels.gather(1, pixels)
    share = (_even(labels) * balance + (1 - balance) / labels.shape[1]).gather(1, pixels)  # of one pixel, if all could be picked
    classes = int(labels.max()) + 1
    there, left = (torch.zeros(len(labels), classes).scatter_add_(1, x, torch.ones(x.shape)) for x in (labels, kept))
    weights = share * (there / left.clamp(min=1)).gather(1, kept)
    return weights / weights.sum(dim=1, keepdim=True)


def pick_rays(labels: Tensor, count: int | None, balance: float, random: torch.Generator) -> Tensor:
    """Indices `[B,R]` of `count` different pixels of each label map `[B,P]` (None or too many: all, in order).

    Each pixel's chance is (1 − balance)/P + balance/(classes present · pixels of its class).
    """
    batch, pixels = labels.shape
    if count is None or count >= pixels:
        return torch.arange(pixels).expand(batch, pixels)
    return torch.multinomial((1 - balance) / pixels + balance * _even(labels), count, generator=random)


def _even(labels: Tensor) -> Tensor:
    """1 / (classes present · pixels of its class) for each pixel of `labels [B,P]`."""
    sizes = torch.zeros(len(labels), int(labels.max()) + 1).scatter_add_(1, labels, torch.ones(labels.shape))
    return 1 / (sizes.gather(1, labels) * (sizes > 0).sum(dim=1, keepdim=True))
