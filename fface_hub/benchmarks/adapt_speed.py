"""How fast an adapter is fitted: from a sample folder to a saved adapter, beside FFaceNeRF's way, which renders every step anew."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor

from fface_hub.adapters.fit import fit, fit_reference
from fface_hub.adapters.plan import FitSettings
from fface_hub.adapters.samples import Sample, SampleSet
from fface_hub.benchmarks.plots import Panel
from fface_hub.cameras import painting_view
from fface_hub.errors import CancelledError
from fface_hub.generators.base import Generator
from fface_hub.layouts import BASE_15, NASAL_WING_17, LabelClass, Layout
from fface_hub.progress import Callback, Step
from fface_hub.rendering.renderer import render

REFERENCE_STEPS = 5000
"""Steps of FFaceNeRF's schedule, which `reference_seconds_5000` stands for."""
SWEEP = {"classes": (2, 4, 8, 16, 32, 64), "mixes": (1, 2, 4, 8), "samples": (1, 3, 10, 20, 30)}
"""What the sweep varies; samples come last, so that the peak of memory after their last row is theirs."""
USUAL = {"classes": 16, "mixes": FitSettings().mixing.mixes, "samples": 10}


def run(
    generator: Generator,
    callback: Callback | None = None,
    count: int = 10,
    resolution: int = 128,
    settings: FitSettings | None = None,
    measured: int = 3,
) -> dict[str, Any]:
    """`cached_seconds` from a folder of `count` samples to a saved adapter, and `peak_memory_mb` of the process (on a GPU: of its tensors)
    until then; `reference_seconds_per_step`, over `measured` steps after one to warm up, `reference_seconds_5000`, and their `ratio`.

    The samples are the generator's own faces with its own labels, in nasal-wing-17 where it labels in base-15. The reference is
    `fit_reference` on FFaceNeRF's schedule (4 whole pictures a step), with as many samples on a ray as the cached fit takes.
    """
    settings = settings or FitSettings()
    total = settings.steps + measured + 1

    def report(index: int, figures: Any) -> None:
        if callback is not None:
            callback(Step(index, total, figures))

    samples = draw_samples(generator, count, resolution)
    with TemporaryDirectory() as name:
        folder = Path(name)
        samples.save(folder / "samples")
        start = time.perf_counter()
        loaded = SampleSet.load(folder / "samples")
        fit(generator, loaded, None, settings, lambda step: report(step.index, step.losses)).save_pretrained(folder / "adapter")
        cached = time.perf_counter() - start
    peak = peak_memory_mb(generator.mean_latents().geometry.device)
    as_coded = replace(FitSettings.original(settings.seed), coarse=settings.coarse, fine=settings.fine)
    watch = _Watch(measured + 1, lambda step: report(settings.steps + step.index, step.losses))
    watch.time(fit_reference, generator, samples, as_coded)
    per_step = watch.per_step()
    return {
        "cached_seconds": cached,
        "reference_seconds_per_step": per_step,
        "reference_seconds_5000": REFERENCE_STEPS * per_step,
        "ratio": REFERENCE_STEPS * per_step / cached,
        "peak_memory_mb": peak,
    }


def sweep(
    generator: Generator,
    callback: Callback | None = None,
    axes: dict[str, Sequence[int]] | None = None,
    resolution: int = 128,
    settings: FitSettings | None = None,
    measured: int = 10,
) -> list[dict[str, Any]]:
    """What a cached fit costs by samples, classes and mixes, one of them varied at a time (`axes`, by default `SWEEP`).

    A row for each: what was varied (`axis`), `samples`, `classes`, `mixes`, `seconds` of the fit (the cache in full, the steps extrapolated
    from `measured` ones), `cache_mb`, and `peak_memory_mb` of the process up to then.
    """
    axes = axes or SWEEP
    settings = settings or FitSettings()
    points = [(axis, {**USUAL, axis: value}) for axis, values in axes.items() for value in values]
    faces = draw_samples(generator, max(point["samples"] for _, point in points), resolution).samples
    rows = []
    for number, (axis, point) in enumerate(points, 1):
        layout = many_classes(point["classes"])
        samples = SampleSet(layout, tuple(replace(f, labels=blocks(resolution, len(layout))) for f in faces[: point["samples"]]))
        watch = _Watch(measured + 1, None)
        watch.time(fit, generator, samples, replace(settings, mixing=replace(settings.mixing, mixes=point["mixes"])))
        seconds = watch.begin + settings.steps * watch.per_step()
        peak = peak_memory_mb(generator.mean_latents().geometry.device)
        rows.append({"axis": axis, **point, "seconds": seconds, "cache_mb": watch.cache_mb, "peak_memory_mb": peak})
        if callback is not None:
            callback(Step(number, len(points), {"seconds": seconds, "cache_mb": watch.cache_mb}))
    return rows


def panels(rows: Sequence[dict[str, Any]]) -> list[Panel]:
    """The rows of a sweep as charts: for each thing that was varied the seconds, then for each the memory of the cache."""
    axes = list(dict.fromkeys(row["axis"] for row in rows))
    return [_panel([row for row in rows if row["axis"] == axis], figure) for figure in ("seconds", "cache_mb") for axis in axes]


def _panel(rows: Sequence[dict[str, Any]], figure: str) -> Panel:
    axis = rows[0]["axis"]
    title = f"{figure} by {axis}"
    others = ", ".join(f"{rows[0][name]} {name}" for name in USUAL if name != axis)
    return Panel(title, axis, {others: [(row[axis], row[figure]) for row in rows]})


def draw_samples(generator: Generator, count: int, resolution: int, seed: int = 0) -> SampleSet:
    """`count` faces of `generator` under its own labels, from the front, left and right in turn."""
    layout = NASAL_WING_17 if generator.layout == BASE_15 else generator.layout  # the first classes of both are the same
    samples = []
    for number in range(count):
        latents, camera = generator.sample(1, seed + number), painting_view(number)
        view = render(generator.scene(latents), camera.to(latents.geometry.device), resolution)
        picture = torch.nn.functional.interpolate(view.image, (resolution, resolution), mode="area")
        samples.append(Sample(picture[0].cpu(), view.labels[0].cpu(), camera, latents.to("cpu").detach()))
    return SampleSet(layout, tuple(samples))


def many_classes(count: int) -> Layout:
    """A layout of `count` classes without meaning."""
    return Layout("sweep", tuple(LabelClass(f"class {index}", (index, 0, 0)) for index in range(count)))


def blocks(resolution: int, classes: int) -> Tensor:
    """Labels `[h,h]` in 16 × 16 blocks that go through the classes in turn, so that each is there."""
    side = torch.arange(resolution) * 16 // resolution
    return (side[:, None] * 16 + side) % classes


def peak_memory_mb(device: torch.device) -> float:
    """Most memory that the process has had so far, in MB; on a GPU, that its tensors have had there."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e6
    import resource  # not on Windows

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if sys.platform == "darwin" else peak * 1024 / 1e6


class _Watch:
    """Times the first `steps` steps of a fit, and then stops it."""

    def __init__(self, steps: int, callback: Callback | None) -> None:
        self.steps, self.callback = steps, callback
        self.times: list[float] = []  # when each step was done
        self.begin = self.cache_mb = 0.0  # seconds before the first step, and what the cache took

    def time(self, fitting: Any, generator: Generator, samples: SampleSet, settings: FitSettings) -> None:
        """Run `fitting` (`fit` or `fit_reference`) for its first steps."""
        start = time.perf_counter()
        with suppress(CancelledError):
            fitting(generator, samples, None, settings, self._tick)
        self.begin = max(0.0, self.times[0] - start - self.per_step())

    def per_step(self) -> float:
        """Mean seconds of a step; the first one only warms up."""
        return (self.times[-1] - self.times[0]) / (len(self.times) - 1)

    def _tick(self, step: Step) -> None:
        if step.index == 0:
            self.cache_mb = step.losses.get("cache_mb", self.cache_mb)
            return
        self.times.append(time.perf_counter())
        if self.callback is not None:
            self.callback(step)
        if step.index == self.steps:
            raise CancelledError("The steps that were to be timed are done.")
