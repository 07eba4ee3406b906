"""Work at official size: what memory a step of an edit and of the reference adaptation takes, and on a GPU what the whole of it takes."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import pytest
import torch

from fface_hub.adapters.fit import fit
from fface_hub.adapters.plan import FitSettings
from fface_hub.adapters.samples import Sample, SampleSet
from fface_hub.benchmarks.render import random_model
from fface_hub.editing.edit import edit
from fface_hub.generators.triplane import TriplaneGenerator
from fface_hub.inversion.invert import invert
from fface_hub.layouts import BASE_15
from fface_hub.rendering.renderer import render

LIMIT_GB = 8.0
PREPARE = """
import resource, torch
from dataclasses import replace
from fface_hub.adapters.adapter import Adapter
from fface_hub.adapters.fit import fit_reference
from fface_hub.adapters.plan import FitSettings
from fface_hub.adapters.samples import Sample, SampleSet
from fface_hub.editing.edit import EditSettings, edit
from fface_hub.generators.triplane import TriplaneGenerator
from fface_hub.layouts import BASE_15
torch.manual_seed(0)
generator = TriplaneGenerator().eval()
assert sum(p.numel() for p in generator.parameters()) > 30_000_000
latents, camera = generator.sample(4, 0), generator.default_camera
"""
WORK = {
    "edit": "labels = torch.randint(0, 15, (128, 128))\n"
    "edit(generator, latents[0], labels, settings=EditSettings(steps=1, resolution=128, rays=None, coarse=96, fine=96))",
    "adapt": "labels = torch.randint(0, 15, (128, 128))\n"
    "image = torch.zeros(3, 128, 128)\n"
    "samples = SampleSet(BASE_15, tuple(Sample(image, labels, camera, latents[n]) for n in range(4)))\n"
    "fit_reference(generator, samples, settings=replace(FitSettings.original(), steps=1, left_out=0))",
}


@pytest.mark.slow
@pytest.mark.full
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", WORK)
def test_a_step_at_official_size_keeps_to_its_memory(name: str) -> None:
    """128² rays of 96 + 96 samples, planes of 256², as FFaceNeRF edits and adapts."""
    tell = "\nprint(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9)"
    out = subprocess.run([sys.executable, "-c", PREPARE + WORK[name] + tell], capture_output=True, text=True, check=True)
    taken = float(out.stdout)
    print(f"{name}: {taken:.2f} GB")
    assert 1.0 < taken < LIMIT_GB


def paint_and_edit(generator: TriplaneGenerator) -> Any:
    """A painted square, and the edit with its default settings."""
    latents = generator.sample(1, 0).to("cuda")
    labels = render(generator.scene(latents), generator.default_camera.to("cuda"), 128).labels[0].clone()
    labels[60:76, 50:66] = 7
    return lambda: edit(generator, latents, labels)


def photograph(generator: TriplaneGenerator) -> Any:
    """The generator's own picture, and its inversion from the mean face."""
    image = render(generator.scene(generator.sample(1, 5).to("cuda")), generator.default_camera.to("cuda")).image
    return lambda: invert(generator, image)


def paint_ten(generator: TriplaneGenerator) -> Any:
    """Ten painted faces, and the fit with its default settings, but half the pixels: random weights are fog, in which every sample counts
    and has to be kept."""
    camera, samples = generator.default_camera, []
    for seed in range(10):
        latents = generator.sample(1, seed)
        view = render(generator.scene(latents.to("cuda")), camera.to("cuda"), 128)
        samples.append(Sample(view.raw[0, :3].cpu(), view.labels[0].cpu(), camera, latents))
    return lambda: fit(generator, SampleSet(BASE_15, tuple(samples)), settings=FitSettings(kept=2048))


@pytest.mark.gpu
@pytest.mark.parametrize(("prepare", "limit"), [(paint_and_edit, 2.0), (photograph, 10.0), (paint_ten, 30.0)])
def test_what_people_wait_for_at_official_size_on_a_gpu(prepare: Callable[[TriplaneGenerator], Any], limit: float) -> None:
    """Seconds of the second time, and the most memory of both: 30,662,136 weights, pictures of 512²."""
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    torch.cuda.reset_peak_memory_stats()
    work, seconds = prepare(random_model({}).to("cuda")), 0.0
    for _ in range(2):
        torch.cuda.synchronize()
        start = time.perf_counter()
        work()
        torch.cuda.synchronize()
        seconds = time.perf_counter() - start
    memory = torch.cuda.max_memory_allocated() / 1e9
    print(f"{prepare.__name__}: {seconds:.2f} s, {memory:.2f} GB")
    assert seconds <= limit
    assert memory <= 12
