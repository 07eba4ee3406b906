"""The fits of the New layout tab: a quick one that suggests labels, and the one that counts, which is scored on faces it has not seen."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from fface_hub.adapters.adapter import Adapter
from fface_hub.adapters.cache import RayCache
from fface_hub.adapters.distillation import Distillation
from fface_hub.adapters.fit import MEASURE_EVERY, fit
from fface_hub.adapters.plan import Faces, FitSettings, gather
from fface_hub.adapters.samples import SampleSet
from fface_hub.generators.base import Generator
from fface_hub.metrics import MINIMUM_PIXELS, counted_classes, iou_per_class
from fface_hub.progress import Callback, Step
from space.drafts import Fitted

FOLDS = 3
"""Parts that the painted faces are dealt into: each is scored by a fit that has learnt from the others."""
JUDGED = 64
"""Pixels along a side of the pictures that fits are scored and watched on."""


def quick_settings() -> FitSettings:
    """Of a fit that suggests labels while a visitor waits."""
    return FitSettings(steps=100, kept=2048, distillation=Distillation(faces=16))


def fit_settings() -> FitSettings:
    """Of the fits that are scored, and of the one that is kept."""
    return FitSettings(steps=300, distillation=Distillation(faces=32))


@dataclass(frozen=True)
class _Watched:
    """The painted faces and, last, one to look at, as rays that labels can be asked of while a fit goes on."""

    faces: Faces
    cache: RayCache

    def labels(self, adapter: Adapter, number: int) -> Tensor:
        """Labels `[h,h]` of one face."""
        return self.cache.labels(adapter, number).unflatten(0, (self.faces.resolution, self.faces.resolution))

    def scores(self, adapter: Adapter, numbers: Sequence[int]) -> tuple[Tensor, Tensor]:
        """IoU `[F,K]` of these faces (NaN where a class has next to no pixels), and their labels `[F,h,h]`."""
        labels, classes = torch.stack([self.labels(adapter, number) for number in numbers]), len(adapter.layout)
        truth = self.faces.labels[list(numbers)].unflatten(1, labels.shape[1:])
        counted = counted_classes(truth, classes, MINIMUM_PIXELS).cpu()
        return iou_per_class(labels, truth, classes).where(counted, torch.nan), labels


def suggest(generator: Generator, samples: SampleSet, callback: Callback) -> Adapter:
    """An adapter good enough to begin the next face with."""
    return fit(generator, samples, settings=quick_settings(), callback=callback)


def fit_and_score(generator: Generator, samples: SampleSet, shown: SampleSet, numbers: tuple[int, ...], callback: Callback) -> Fitted:
    """An adapter fitted on all `samples` (the faces `numbers` of a draft), scored by further fits that each leave some of them out.

    `callback` is told the loss, the mean IoU on left-out faces so far as "miou", and every so often what the adapter sees in the face
    `shown`, as labels `[h,h]` in the place of a preview. Errors as those of `fit`.
    """
    folds, settings, layout = min(FOLDS, len(samples)), fit_settings(), samples.layout
    total = (folds + 1) * settings.steps
    faces = gather(SampleSet(layout, (*samples.samples, *shown.samples)), generator, layout, JUDGED)
    cache = RayCache.build(generator, faces.views(), settings.sampling(), settings.epsilon, callback=lambda _: callback(Step(0, total, {})))
    watched, scores = _Watched(faces, cache), torch.full((len(samples), len(layout)), torch.nan, dtype=torch.float64)
    seen = [torch.empty(0)] * len(samples)
    for fold in range(folds):
        out = range(fold, len(samples), folds)
        learnt = SampleSet(layout, tuple(sample for number, sample in enumerate(samples.samples) if number not in out))
        watch = _watch(watched, scores, out, fold * settings.steps, total, callback)
        adapter = fit(generator, learnt, settings=settings, callback=watch)
        scores[list(out)], labels = watched.scores(adapter, out)
        for number, picture in zip(out, labels, strict=True):
            seen[number] = picture.cpu()
    watch = _watch(watched, scores, (), folds * settings.steps, total, callback)
    adapter = fit(generator, samples, settings=settings, callback=watch)
    return Fitted(adapter.requires_grad_(False), numbers, scores, tuple(seen))


def _watch(watched: _Watched, scores: Tensor, out: Sequence[int], done: int, total: int, callback: Callback) -> Callable[[Step], None]:
    """What one of the fits reports to, which begins after `done` steps of `total` and leaves the faces `out`: it puts their scores so far
    into its copy of `scores`."""
    scores = scores.clone()

    def report(step: Step) -> None:
        """Hand on the figures, and every so often look at faces."""
        losses, picture = dict(step.losses), None
        if (step.index == step.total or (step.index and step.index % MEASURE_EVERY == 0)) and isinstance(step.best, Adapter):
            if out:
                scores[list(out)] = watched.scores(step.best, out)[0]
            picture = watched.labels(step.best, len(watched.faces) - 1).cpu()
        if losses and not scores.isnan().all():
            losses["miou"] = scores.nanmean(dim=1).nanmean().item()
        callback(Step(done + step.index, total, losses, picture))

    return report
