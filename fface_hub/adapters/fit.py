"""Fitting an adapter to a few painted faces: on rays that are looked at once (`fit`), or rendered anew in every step (`fit_reference`).

Both are one loop over the same draws. The first is the way to do it; the second is its slow twin, FFaceNeRF's own way.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor

from fface_hub.adapters.adapter import Adapter
from fface_hub.adapters.cache import RayCache, Views
from fface_hub.adapters.distillation import Look, Teacher, unpainted
from fface_hub.adapters.learner import Learner, warm_start
from fface_hub.adapters.plan import HALVED, Faces, FitSettings, Plan, gather, leave_out, plan
from fface_hub.adapters.samples import SampleSet
from fface_hub.generators.base import Generator
from fface_hub.latents import Latents
from fface_hub.layouts import Layout
from fface_hub.losses import cross_entropy, dice_overlap
from fface_hub.memory import with_less_memory
from fface_hub.metrics import mean_iou
from fface_hub.progress import Callback, Step, between, check_finite, check_gradients, frozen
from fface_hub.rendering.renderer import Relabel, render_rays
from fface_hub.rendering.views import labels_to_image

MEASURE_EVERY = 50
"""Steps between two looks at whole pictures: mIoU on left-out samples and the preview."""
JUDGED = 128
"""Most pixels along a side of those pictures: larger ones would tell no more, and take longer than the fit."""
BETTER = 0.002
"""Rise of the left-out mIoU that counts as one, when it is asked whether it goes on rising."""


def fit(
    generator: Generator,
    samples: SampleSet,
    layout: Layout | None = None,
    settings: FitSettings | None = None,
    callback: Callback | None = None,
    generator_id: str | None = None,
) -> Adapter:
    """An adapter of `generator` for `layout` (None: the samples' own; else each class of theirs merges into it).

    The training views are marched once into a `RayCache`; then Adam with a OneCycle rate (cosine, from 1/25 of the peak) works on rays
    from there: cross-entropy, after a share of the steps plus λ·DICE, and on unpainted faces the distillation. The same settings give the
    same adapter, bit for bit on one machine. Against `fit_reference` with the same settings and no jitter, losses differ by rounding at
    ε = 0 (2e-7) and by less than 1 % at the default, where a bundled adapter labels 13 of 8,192 pixels in another way.

    `generator_id` (None: the id it was loaded by) is noted in the adapter for people. `callback` gets a `Step` of index 0 after each chunk
    of rays that is marched, with `cache_mb` in the place of losses (with none for the pictures that it is judged by), then one after each
    step: `loss`, `cross_entropy`, `overlap`, `distillation` and, with left-out samples, their latest `miou`; every fiftieth and the last
    have a preview, the labels of one sample (a left-out one if there is any). Its `best` is the adapter so far, or the one with the best
    left-out mIoU, which is also what is returned.

    Raises `ModelError` if a sample has no latents or those of another generator, or for more memory than is allowed, `LayoutError` if
    layouts do not fit, `OptimisationError` (with the adapter so far as `best`) for numbers that are not finite.
    """
    return _fit(_Cached, generator, samples, layout, settings or FitSettings(), callback, generator_id)


def fit_reference(
    generator: Generator,
    samples: SampleSet,
    layout: Layout | None = None,
    settings: FitSettings | None = None,
    callback: Callback | None = None,
    generator_id: str | None = None,
) -> Adapter:
    """The slow twin of `fit`: every step computes its scenes anew and renders its rays, so that jitter is drawn anew, too, and no sample is
    dropped (`epsilon` has no effect). The default settings are FFaceNeRF's, which take hours on a CPU. Arguments and errors as there.
    """
    return _fit(_Rendered, generator, samples, layout, settings or FitSettings.original(), callback, generator_id)


class _Cached:
    """Logits from a `RayCache` of the training views."""

    def __init__(self, generator: Generator, views: Views, settings: FitSettings, callback: Callable[[int], None]) -> None:
        self.at_once = settings.batch
        half = views.pixels.numel() >= HALVED if settings.half is None else settings.half
        dtype = torch.float16 if half else torch.float32
        self.logits = RayCache.build(generator, views, settings.sampling(), settings.epsilon, dtype, callback=callback).logits


class _Rendered:
    """Logits from the renderer. One picture at a time: what has to be kept for the gradients is large enough like that."""

    at_once = 1

    def __init__(self, generator: Generator, views: Views, settings: FitSettings, callback: Callable[[int], None]) -> None:
        self.generator, self.views, self.sampling = generator, views, settings.sampling()

    def logits(self, adapter: Relabel, views: Tensor, picks: Tensor) -> Tensor:
        """As `RayCache.logits`."""
        with torch.no_grad():
            scene = self.generator.scene(self.views.latents[views])
            origins, directions = self.views.rays(views, picks)
        return render_rays(scene, origins, directions, self.sampling, adapter=adapter, color=False, exact=True).logits


class _Judge:
    """Looks at whole pictures while a fit goes on: left-out mIoU, the best adapter by it, whether it still rises; and a preview."""

    def __init__(
        self,
        generator: Generator,
        shown: Faces,
        left_out: bool,
        layout: Layout,
        settings: FitSettings,
        callback: Callback | None,
    ) -> None:
        still = replace(settings, jitter=False).sampling()  # as `render` does it
        self.shown = shown.at_most(JUDGED)
        pause = between(callback, 0, settings.steps)
        self.cache = RayCache.build(generator, self.shown.views(), still, settings.epsilon, callback=pause and (lambda _: pause()))
        self.left_out, self.layout, self.patience = left_out, layout, settings.patience
        self.best: Adapter | None = None
        self.miou: float | None = None  # the latest
        self._highest = self._mark = -1.0
        self._flat = 0

    @property
    def done(self) -> bool:
        """Whether the left-out mIoU has stopped rising."""
        return self._flat >= self.patience

    def measure(self, adapter: Adapter) -> Tensor:
        """Judge `adapter` as it is now; the preview `[3,h,w]` is the labels of the first face."""
        count = len(self.shown) if self.left_out else 1
        labels = torch.stack([self.cache.labels(adapter, face) for face in range(count)])
        if self.left_out:
            self._remember(mean_iou(labels, self.shown.labels, len(self.layout)).nanmean().item(), adapter)
        size = self.shown.resolution
        return labels_to_image(labels[:1].unflatten(1, (size, size)), self.layout)[0]

    def _remember(self, miou: float, adapter: Adapter) -> None:
        if self.best is None or miou > self._highest:
            self.best, self._highest = deepcopy(adapter).eval(), miou
        risen = miou > self._mark + BETTER
        self._mark, self._flat = (miou, 0) if risen else (self._mark, self._flat + 1)
        self.miou = miou


def _fit(
    look: Callable[[Generator, Views, FitSettings, Callable[[int], None]], Look],
    generator: Generator,
    samples: SampleSet,
    layout: Layout | None,
    settings: FitSettings,
    callback: Callback | None,
    generator_id: str | None,
) -> Adapter:
    """What `fit` and `fit_reference` share: everything but where logits come from."""
    layout = layout or samples.layout
    random = torch.Generator().manual_seed(settings.seed)
    faces, left_out = leave_out(gather(samples, generator, layout, settings.resolution), settings.left_out, random)

    def looked(size: int) -> None:
        if callback is not None:
            callback(Step(0, settings.steps, {"cache_mb": size / 1e6}))

    with frozen(generator):
        adapter = _new_adapter(generator, faces.latents[0], layout, generator_id or getattr(generator, "model_id", None) or "unnamed")
        adapter.initialise(random)
        if settings.form.warm_start:
            warm_start(adapter, generator.layout, gated=settings.form.injection != "open")
        training = plan(faces, generator, settings, random)
        source = look(generator, training.views, settings, looked)
        teacher = _teacher(look, generator, layout, settings, len(faces), random, between(callback, 0, settings.steps))
        judge = None
        if left_out is not None:
            judge = _Judge(generator, left_out, True, layout, settings, callback)
        elif callback is not None:
            judge = _Judge(generator, faces[torch.tensor([0])], False, layout, settings, callback)
        _train(adapter, source, training, settings, random, judge, callback, teacher)
    return _best(adapter, judge).eval()


def _teacher(
    look: Callable[[Generator, Views, FitSettings, Callable[[int], None]], Look],
    generator: Generator,
    layout: Layout,
    settings: FitSettings,
    samples: int,
    random: torch.Generator,
    pause: Callable[[], None] | None,
) -> Teacher | None:
    """The generator's own labels of unpainted faces, if a fit on so many `samples` is to keep to them and if it tells classes at all."""
    distillation = settings.distillation
    if distillation is None or len(generator.layout) < 2:
        return None
    views = unpainted(generator, distillation, random)
    source = look(generator, views, settings, lambda _: None if pause is None else pause())
    return Teacher(source, views, layout, generator.layout, distillation, distillation.weight / samples)


def _best(adapter: Adapter, judge: _Judge | None) -> Adapter:
    return adapter if judge is None or judge.best is None else judge.best


def _train(
    adapter: Adapter,
    look: Look,
    training: Plan,
    settings: FitSettings,
    random: torch.Generator,
    judge: _Judge | None,
    callback: Callback | None,
    teacher: Teacher | None,
) -> None:
    """The steps themselves; `adapter` is changed."""
    learner = Learner(adapter.train(), settings.form)
    origins = [p.detach().clone() if settings.form.warm_start else torch.zeros_like(p) for p in learner.parameters()]
    optimiser = torch.optim.Adam(learner.parameters(), lr=settings.learning_rate)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, settings.learning_rate, total_steps=settings.steps)
    batches = training.batches(settings, random)
    for index in range(1, settings.steps + 1):
        overlap = settings.objective.overlap_weight if index > settings.objective.overlap_start * settings.steps else 0.0
        losses = with_less_memory(partial(_backward, learner, look, training, next(batches), overlap))
        if teacher is not None:
            losses["distillation"] = teacher.backward(learner, random)
            losses["loss"] += teacher.weight * losses["distillation"]
        check_finite(losses["loss"], "The fit of the adapter", _best(adapter, judge))
        check_gradients(learner.parameters(), "The fit of the adapter", _best(adapter, judge))
        optimiser.step()
        _pull_back(learner, origins, settings.weight_decay * float(schedule.get_last_lr()[0]))
        schedule.step()
        learner.fold()
        preview = None
        if judge is not None and (index % MEASURE_EVERY == 0 or index == settings.steps):
            preview = judge.measure(adapter)
        if callback is not None:
            figures = {name: value.item() for name, value in losses.items()}
            if judge is not None and judge.miou is not None:
                figures["miou"] = judge.miou
            callback(Step(index, settings.steps, figures, preview, _best(adapter, judge)))
        if judge is not None and judge.done:
            break


@torch.no_grad()
def _pull_back(learner: Learner, origins: list[Tensor], share: float) -> None:
    """Weight decay beside the gradient (Loshchilov and Hutter 2019), towards `origins` (Li et al. 2018)."""
    if share:
        for parameter, origin in zip(learner.parameters(), origins, strict=True):
            parameter.lerp_(origin, share)


def _backward(learner: Learner, look: Look, training: Plan, batch: tuple[Tensor, Tensor], overlap: float) -> dict[str, Tensor]:
    """Losses of one batch, means over its views, and their gradients alone in the learner. All views have as many rays."""
    for parameter in learner.parameters():
        parameter.grad = None
    totals = {name: torch.zeros((), device=training.labels.device) for name in ("loss", "cross_entropy", "overlap")}
    for views, picks in zip(*(x.split(look.at_once) for x in batch), strict=True):
        logits, truth = look.logits(learner, views, picks).transpose(1, 2), training.labels[views].gather(1, picks)
        weights = training.weights[views].gather(1, picks)
        terms = {"cross_entropy": cross_entropy(logits, truth, weights), "overlap": dice_overlap(logits, truth, weights)}
        loss = terms["cross_entropy"] + overlap * terms["overlap"]
        share = len(views) / len(batch[0])
        (loss * share).backward()
        for name, value in {"loss": loss, **terms}.items():
            totals[name] += value.detach() * share
    return totals


def _new_adapter(generator: Generator, latents: Latents, layout: Layout, generator_id: str) -> Adapter:
    """An adapter whose sizes are those of the generator's scenes, found by asking for one point; of a released generator it keeps the
    licence."""
    with torch.no_grad():
        zero = latents.geometry.new_zeros(1, 1, 1, 3)
        probe = generator.scene(latents).geometry(zero, zero[:, :, 0] + zero.new_tensor([0.0, 0.0, -1.0]))
    sizes = probe.features.shape[-1], 1 + probe.logits.shape[-1]
    with latents.geometry.device:
        adapter = Adapter(layout.to_dict(), generator_id, generator.fingerprint, *sizes)
    release = getattr(generator, "release", None)
    adapter.release = "nerffaceediting" if release == "ffacenerf" else release  # whose generator FFaceNeRF's checkpoints hold
    return adapter
