"""Work that is cancelled frees its worker within half a second: it asks its callback often enough, by the amount of work in between."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from fface_hub import edit, invert
from fface_hub.adapters.fit import fit
from fface_hub.adapters.plan import FitSettings
from fface_hub.adapters.samples import Sample, SampleSet
from fface_hub.cameras import look_at
from fface_hub.editing.edit import EditSettings
from fface_hub.errors import CancelledError
from fface_hub.generators.baked import TriplaneField
from fface_hub.generators.base import GeometrySamples
from fface_hub.generators.triplane import TriplaneScene
from fface_hub.inversion.objective import InvertSettings
from fface_hub.progress import Step
from fface_hub.rendering.mesh import extract_mesh
from fface_hub.rendering.renderer import render
from fface_hub.rendering.sampling import Sampling
from fface_hub.rendering.views import five_views, orbit_frames
from space.jobs import Job
from tests.tiny import solid_generator

STEP, CHUNK = 400_000, 70_000
"""Samples of a volume between two calls, with optimisation or without: the bundled generator looks at 786,000 in a second (128² rays)."""
SECONDS = 0.5

Report = Callable[[Step], None]
SMALL = Sampling(24, 24)


def most_looked(name: str) -> int:
    return STEP if name in ("edit", "invert") else CHUNK


def scene() -> Any:
    return solid_generator().scene(solid_generator().sample(1, 0, 1.0))


def edit_all(report: Report, steps: int = 10) -> None:
    """Paint a nose all over, with the default sizes."""
    face = solid_generator().sample(1, 0, 1.0)
    edit(solid_generator(), face, torch.full((128, 128), 7), settings=EditSettings(steps=steps), callback=report)


def invert_grey(report: Report, steps: int = 2) -> None:
    """A grey picture with all stages, with the default sizes."""
    photo = torch.zeros(1, 3, 64, 64)
    invert(solid_generator(), photo, settings=InvertSettings(w_steps=steps, free_steps=steps, tuning_steps=steps), callback=report)


def fit_two(report: Report, steps: int = 2) -> None:
    """Two samples of 128² pixels, one of them left out."""
    latents = solid_generator().sample(2, 0, 1.0)
    labels = torch.randint(3, (128, 128), generator=torch.Generator().manual_seed(0))
    samples = tuple(Sample(torch.zeros(3, 8, 8), labels, look_at(0.0), latents[i]) for i in range(2))
    settings = replace(FitSettings(), steps=steps, left_out=1)
    fit(solid_generator(), SampleSet(solid_generator().layout, samples), settings=settings, callback=report)


WORK: dict[str, Callable[[Report], object]] = {
    "render": lambda report: render(scene(), look_at(0.0), 64, SMALL, callback=lambda: report(Step(1, 1, {}))),
    "five views": lambda report: five_views(scene(), 64, None, SMALL, report),
    "orbit": lambda report: orbit_frames(scene(), 2, 64, None, SMALL, report),
    "mesh": lambda report: extract_mesh(scene(), 64, level=0.8, callback=lambda: report(Step(1, 1, {}))),
    "edit": edit_all,
    "invert": invert_grey,
    "fit": fit_two,
}


@pytest.fixture
def looked(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """The points that the volume was asked for since this list was last set to 0, in one thread: each has as much to do between calls."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    points, counting = [0], threading.Lock()
    true, true_density = TriplaneScene.geometry, TriplaneField.density

    def counted(self: TriplaneScene, points_: Tensor, directions: Tensor) -> GeometrySamples:
        points[0] += points_[..., 0].numel()
        return true(self, points_, directions)

    def counted_density(self: TriplaneField, points_: Tensor, face: int) -> tuple[Tensor, tuple[Tensor, ...]]:
        with counting:
            points[0] += len(points_)
        return true_density(self, points_, face)

    monkeypatch.setattr(TriplaneScene, "geometry", counted)
    monkeypatch.setattr(TriplaneField, "density", counted_density)
    yield points
    torch.set_num_threads(threads)


@pytest.mark.parametrize("name", WORK)
def test_little_work_lies_between_two_calls(name: str, looked: list[int]) -> None:
    most, total = 0, 0

    def report(step: Step) -> None:
        nonlocal most, total
        most, total, looked[0] = max(most, looked[0]), total + looked[0], 0

    WORK[name](report)
    most, total, limit = max(most, looked[0]), total + looked[0], most_looked(name)
    assert total > 2 * limit and most <= limit, f"{most:,} points of {total:,} between two calls"


ENDLESS: dict[str, Callable[[Report], object]] = {
    "render": lambda report: [WORK["render"](report) for _ in range(1000)],
    "five views": lambda report: [WORK["five views"](report) for _ in range(1000)],
    "edit": lambda report: edit_all(report, 100_000),
    "invert": lambda report: invert_grey(report, 100_000),
    "fit": lambda report: fit_two(report, 100_000),
}


@pytest.mark.parametrize("name", ENDLESS)
def test_a_cancelled_job_is_over_within_half_a_second(name: str, looked: list[int]) -> None:
    """Each of three before the volume is looked at more than between two calls, and in half a second: of this process and in one thread,
    so that neither others on the machine nor threads that wait for each other count."""
    source = random.Random(name)
    for _ in range(3):
        job = Job(ENDLESS[name])
        steps = iter(job)  # kept: a loop that is left cancels the job
        assert next(steps).total > 0  # it is at work
        time.sleep(source.uniform(0, 0.3))
        assert not job._cancel.is_set()
        start, looked[0] = time.process_time(), 0
        job.cancel()
        with pytest.raises(CancelledError):
            job.result()
        assert time.process_time() - start < SECONDS
        assert looked[0] <= most_looked(name)
