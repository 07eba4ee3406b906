"""The speed of fits, on a tiny generator: what is measured, what is counted, and the sweep."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import torch

from fface_hub.adapters.distillation import Distillation
from fface_hub.adapters.plan import FitSettings
from fface_hub.benchmarks import adapt_speed
from fface_hub.generators.triplane import TriplaneGenerator
from fface_hub.layouts import NASAL_WING_17
from fface_hub.progress import Step

UNPAINTED = Distillation(faces=3, resolution=16, kept=64, rays=32)
SETTINGS = FitSettings(steps=4, rays=32, kept=64, coarse=8, fine=8, distillation=UNPAINTED)


def test_one_run_measures_both_ways(tiny_generator: TriplaneGenerator) -> None:
    steps: list[Step] = []
    figures = adapt_speed.run(tiny_generator, steps.append, count=2, resolution=16, settings=SETTINGS, measured=2)
    assert list(figures) == ["cached_seconds", "reference_seconds_per_step", "reference_seconds_5000", "ratio", "peak_memory_mb"]
    assert all(math.isfinite(value) and value > 0 for value in figures.values())
    assert figures["reference_seconds_5000"] == pytest.approx(5000 * figures["reference_seconds_per_step"])
    assert figures["ratio"] == pytest.approx(figures["reference_seconds_5000"] / figures["cached_seconds"])
    assert figures["peak_memory_mb"] > 50  # Python and torch alone take more
    # Looks at two samples in four mixes, three unpainted faces and one to preview; four cached steps; then one of the reference to warm up
    # and two to measure.
    assert [step.index for step in steps] == [0] * 12 + [1, 2, 3, 4] + [5, 6, 7]
    assert {step.total for step in steps} == {7}


def test_the_reference_renders_whole_pictures_with_the_same_samples_on_a_ray(
    tiny_generator: TriplaneGenerator, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[FitSettings] = []

    def slow(generator: Any, samples: Any, layout: Any, settings: FitSettings, callback: Any) -> None:
        seen.append(settings)
        for index in range(1, 5):
            callback(Step(index, 5000, {}))

    monkeypatch.setattr(adapt_speed, "fit_reference", slow)
    adapt_speed.run(tiny_generator, count=1, resolution=16, settings=SETTINGS)
    assert seen == [replace(FitSettings.original(), coarse=8, fine=8)]
    assert (seen[0].steps, seen[0].batch, seen[0].rays, seen[0].kept) == (5000, 4, None, None)


def test_samples_are_the_generators_own_faces_and_labels(tiny_generator: TriplaneGenerator) -> None:
    drawn = adapt_speed.draw_samples(tiny_generator, 3, 16)
    assert drawn.layout == NASAL_WING_17 and len(drawn) == 3
    assert drawn.samples[0].image.shape == (3, 16, 16) and drawn.samples[0].labels.shape == (16, 16)
    assert drawn.samples[1].camera.cam2world[0, 0, 3] < -0.5 < 0.5 < drawn.samples[2].camera.cam2world[0, 0, 3]


def test_time_per_step_leaves_out_the_first_and_what_came_before(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([100.0, 110.0, 112.0, 114.5])  # the start; then steps 1, 2 and 3, which begin to be counted when the first is done
    monkeypatch.setattr(adapt_speed.time, "perf_counter", lambda: next(clock))
    watch = adapt_speed._Watch(3, None)

    def fitting(generator: Any, samples: Any, layout: Any, settings: Any, callback: Any) -> None:
        callback(Step(0, 9, {"cache_mb": 12.0}))
        for index in range(1, 10):
            callback(Step(index, 9, {}))

    nothing: Any = None
    watch.time(fitting, nothing, nothing, nothing)
    assert watch.per_step() == pytest.approx((114.5 - 110.0) / 2)
    assert watch.begin == pytest.approx(10.0 - 2.25)  # what was before the first step, which took as long as the others
    assert watch.cache_mb == 12.0


def test_a_sweep_varies_one_thing_at_a_time(tiny_generator: TriplaneGenerator) -> None:
    axes = {"classes": (2, 5), "mixes": (1, 3), "samples": (1, 2)}
    steps: list[Step] = []
    rows = adapt_speed.sweep(tiny_generator, steps.append, axes, resolution=16, settings=SETTINGS, measured=2)
    assert [(row["axis"], row["samples"], row["classes"], row["mixes"]) for row in rows] == [
        ("classes", 10, 2, 4),
        ("classes", 10, 5, 4),
        ("mixes", 10, 16, 1),
        ("mixes", 10, 16, 3),
        ("samples", 1, 16, 4),
        ("samples", 2, 16, 4),
    ]
    assert all(row["seconds"] > 0 and row["peak_memory_mb"] > 0 for row in rows)
    assert rows[0]["cache_mb"] == pytest.approx(rows[1]["cache_mb"], rel=0.2)  # the same faces, other pixels
    assert rows[3]["cache_mb"] == pytest.approx(3 * rows[2]["cache_mb"], rel=0.3)
    assert [step.index for step in steps] == [1, 2, 3, 4, 5, 6]
    panels = adapt_speed.panels(rows)
    assert [panel.title for panel in panels][:2] == ["seconds by classes", "seconds by mixes"] and len(panels) == 6
    assert panels[5].series == {"16 classes, 4 mixes": [(1, rows[4]["cache_mb"]), (2, rows[5]["cache_mb"])]}


@pytest.mark.parametrize("classes", [2, 17, 64])
def test_every_class_of_a_sweep_is_there(classes: int) -> None:
    assert len(adapt_speed.many_classes(classes)) == classes
    assert len(torch.unique(adapt_speed.blocks(128, classes))) == classes
