"""Fits on a tiny random generator: they find a layout that is a function of geometry, repeat themselves, and agree with their slow twin."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import pytest
import torch
from torch import Tensor

from fface_hub.adapters import fit as fit_module
from fface_hub.adapters.adapter import Adapter
from fface_hub.adapters.cache import RayCache, Views
from fface_hub.adapters.distillation import Distillation
from fface_hub.adapters.fit import MEASURE_EVERY, _pull_back, fit, fit_reference
from fface_hub.adapters.learner import Form, Learner
from fface_hub.adapters.mixing import Mixing
from fface_hub.adapters.plan import FitSettings, Objective
from fface_hub.adapters.samples import Sample, SampleSet
from fface_hub.cameras import Camera, look_at
from fface_hub.errors import CancelledError, LayoutError, ModelError, OptimisationError
from fface_hub.generators.base import Generator
from fface_hub.generators.triplane import UNLABELLED, TriplaneGenerator
from fface_hub.latents import Latents
from fface_hub.layouts import LabelClass, Layout
from fface_hub.losses import cross_entropy
from fface_hub.progress import Step
from fface_hub.rendering.renderer import render
from fface_hub.rendering.sampling import Sampling
from fface_hub.rendering.views import labels_to_image
from tests.tiny import new_solid_generator

LAYOUT = Layout("halves", (LabelClass("background", (0, 0, 0)), LabelClass("first", (255, 0, 0)), LabelClass("second", (0, 255, 0))))
SIZE = 16
UNPAINTED = Distillation(faces=4, resolution=SIZE, kept=64, batch=2, rays=32)
QUICK = FitSettings(
    steps=200,
    batch=4,
    rays=128,
    kept=None,
    coarse=8,
    fine=8,
    learning_rate=0.03,
    mixing=Mixing(mixes=1),
    distillation=None,
    seed=1,
)


@cache
def solid_generator() -> TriplaneGenerator:
    """One whose heads have clear edges, so that there is something to find."""
    return new_solid_generator(density=40.0, bias=-8.0)


def truth(latents: Latents, yaw: float) -> tuple[Tensor, Tensor]:
    """Picture and labels of a layout that the generator does not have: which of two of its logits is larger, where there is anything."""
    with torch.no_grad():
        view = render(solid_generator().scene(latents), look_at(yaw), SIZE, Sampling(8, 8))
    labels = torch.where(view.logits[0, 3] > view.logits[0, 5], 1, 2)
    return view.image[0], torch.where(view.opacity[0, 0] > 0.5, labels, 0)


def sample_set(count: int = 6, seed: int = 0) -> SampleSet:
    samples = []
    for number in range(count):
        latents = solid_generator().sample(1, seed + number, 1.0)
        yaw = (-23.0, 0.0, 23.0)[number % 3]
        samples.append(Sample(*truth(latents, yaw), look_at(yaw), latents))
    return SampleSet(LAYOUT, tuple(samples))


def losses_of(steps: list[Step], name: str = "loss") -> list[float]:
    """One of the losses of each step; step 0, which comes once for each view that is looked at, has none."""
    return [step.losses[name] for step in steps if step.index]


def accuracy(adapter: Adapter, seed: int) -> float:
    """Mean share of right pixels over the three classes, on faces the fit has not seen."""
    shares = []
    for number in range(3):
        latents = solid_generator().sample(1, seed + number, 1.0)
        _, labels = truth(latents, 10.0)
        found = render(solid_generator().scene(latents), look_at(10.0), SIZE, Sampling(8, 8), adapter=adapter).labels[0]
        shares += [(found[labels == k] == k).float().mean() for k in range(3) if (labels == k).any()]
    return float(torch.stack(shares).mean())


def test_fit_finds_a_layout_that_is_a_function_of_geometry() -> None:
    steps: list[Step] = []
    adapter = fit(solid_generator(), sample_set(), settings=QUICK, callback=steps.append)
    losses = losses_of(steps, "cross_entropy")
    untrained = Adapter(LAYOUT.to_dict(), "a", solid_generator().fingerprint, 8)
    untrained.initialise(torch.Generator().manual_seed(0))
    assert len(losses) == QUICK.steps
    assert sum(losses[-20:]) < 0.4 * sum(losses[:20])
    assert accuracy(adapter, seed=100) > 0.78
    assert accuracy(untrained, seed=100) < 0.6
    adapter.check(solid_generator())
    assert not adapter.training


@pytest.mark.parametrize(("release", "kept"), [(None, None), ("eg3d", "eg3d"), ("ffacenerf", "nerffaceediting")])
def test_the_licence_of_a_generator_goes_on_to_its_adapters(release: str | None, kept: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    generator = solid_generator()
    monkeypatch.setattr(generator, "release", release)
    assert fit(generator, sample_set(), settings=replace(QUICK, steps=1)).release == kept


def test_same_settings_give_the_same_adapter_and_leave_the_generator_alone() -> None:
    settings = replace(QUICK, steps=4)
    before = {key: value.clone() for key, value in solid_generator().state_dict().items()}
    first, second = (fit(solid_generator(), sample_set(3), settings=settings) for _ in range(2))
    other = fit(solid_generator(), sample_set(3), settings=replace(settings, seed=2))
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))
    assert not torch.equal(first.net[0].weight, other.net[0].weight)
    assert all(torch.equal(value, before[key]) for key, value in solid_generator().state_dict().items())
    assert all(p.requires_grad and p.grad is None for p in solid_generator().parameters())


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"form": Form("gated"), "objective": Objective(overlap_weight=0.5, overlap_start=0.5)},
        {"form": Form("none", view_direction=False), "weight_decay": 0.1, "learning_rate": 0.01},
        {"form": Form("open", warm_start=True), "balance": 0.0},
        {"form": Form("gated", warm_start=True, view_direction=False), "distillation": UNPAINTED, "weight_decay": 0.1},
    ],
    ids=lambda changes: "-".join(changes) or "default",
)
def test_losses_equal_those_of_the_slow_twin(changes: dict[str, Any]) -> None:
    settings = replace(QUICK, steps=50, rays=64, kept=200, jitter=False, epsilon=0.0, mixing=Mixing(mixes=3), **changes)
    fast: list[Step] = []
    slow: list[Step] = []
    adapter = fit(solid_generator(), sample_set(3), settings=settings, callback=fast.append)
    twin = fit_reference(solid_generator(), sample_set(3), settings=settings, callback=slow.append)
    assert losses_of(fast) == pytest.approx(losses_of(slow), rel=0, abs=1e-4)
    assert losses_of(fast, "cross_entropy")[-1] < losses_of(fast, "cross_entropy")[0]
    for a, b in zip(adapter.parameters(), twin.parameters(), strict=True):
        assert torch.allclose(a, b, atol=1e-3)


def test_the_generators_own_classes_count_the_less_the_more_is_painted() -> None:
    for count in (1, 3):
        steps: list[Step] = []
        settings = replace(QUICK, steps=10, objective=Objective(overlap_weight=0.5), distillation=replace(UNPAINTED, weight=2.0))
        fit(solid_generator(), sample_set(count), settings=settings, callback=steps.append)
        figures = steps[-1].losses
        expected = figures["cross_entropy"] + 0.5 * figures["overlap"] + 2 / count * figures["distillation"]
        assert figures["loss"] == pytest.approx(expected)


def test_a_generator_without_classes_teaches_nothing() -> None:
    for layout, taught in ((solid_generator().layout, True), (UNLABELLED, False)):
        generator, samples = new_solid_generator(), sample_set(1)
        generator.layout = layout
        steps: list[Step] = []
        fit(generator, samples, settings=replace(QUICK, steps=2, distillation=UNPAINTED), callback=steps.append)
        assert ("distillation" in steps[-1].losses) == taught


def test_weights_are_pulled_back_to_where_they_started() -> None:
    learner = Learner(Adapter(LAYOUT.to_dict(), "a", "0" * 64, 8), Form("gated"))
    origins = [parameter.detach() - 1 for parameter in learner.parameters()]
    _pull_back(learner, origins, 0.25)
    for parameter, origin in zip(learner.parameters(), origins, strict=True):
        assert torch.allclose(parameter.detach(), origin + 0.75, atol=1e-6)  # 1 − ¼ of the way is left


def test_gap_to_the_slow_twin_at_the_shipped_epsilon_is_small() -> None:
    settings = replace(QUICK, steps=50, rays=64, jitter=False)
    assert settings.epsilon == FitSettings().epsilon > 0
    fast: list[Step] = []
    slow: list[Step] = []
    fit(solid_generator(), sample_set(3), settings=settings, callback=fast.append)
    fit_reference(solid_generator(), sample_set(3), settings=settings, callback=slow.append)
    gaps = [abs(a - b) / b for a, b in zip(losses_of(fast), losses_of(slow), strict=True)]
    assert 0 < max(gaps) < 0.01


@pytest.mark.parametrize(("half", "limit", "expected"), [(None, 512, True), (None, 513, False), (True, 513, True), (False, 512, False)])
def test_large_caches_are_in_half_precision(half: bool | None, limit: int, expected: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[float] = []

    def size(step: Step) -> None:
        sizes.append(step.losses.get("cache_mb", 0))  # twice of the samples; what is shown and the step itself have none

    monkeypatch.setattr(fit_module, "HALVED", limit)
    settings = replace(QUICK, steps=1, half=half)  # two samples of 16² rays
    fit(solid_generator(), sample_set(2), settings=settings, callback=size)
    whole = list(sizes)
    fit(solid_generator(), sample_set(2), settings=replace(settings, half=False), callback=size)
    assert len(whole) == 4 and (whole[1] < 0.7 * sizes[-3]) == expected


def test_overlap_joins_after_its_share_of_the_steps() -> None:
    steps: list[Step] = []
    objective = Objective(overlap_weight=0.5, overlap_start=0.4)
    fit(solid_generator(), sample_set(2), settings=replace(QUICK, steps=5, objective=objective), callback=steps.append)
    for step in steps[3:]:  # the first three are views that are marched; 0.4 · 5: steps 3, 4 and 5 have it
        expected = step.losses["cross_entropy"] + (0.5 * step.losses["overlap"] if step.index > 2 else 0)
        assert step.losses["loss"] == pytest.approx(expected, abs=1e-6)


def test_steps_are_reported_with_a_preview_now_and_then() -> None:
    steps: list[Step] = []
    settings = replace(QUICK, steps=MEASURE_EVERY + 2, mixing=Mixing(mixes=2))
    adapter = fit(solid_generator(), sample_set(2), settings=settings, callback=steps.append)
    # Two samples in two mixes and what the preview shows, each one chunk of rays; then the steps.
    assert [step.index for step in steps] == [0] * 5 + list(range(1, settings.steps + 1))
    assert {step.index for step in steps if step.preview is not None} == {MEASURE_EVERY, settings.steps}
    preview, sample = steps[-1].preview, sample_set(2).samples[0]
    assert preview is not None and preview.shape == (3, SIZE, SIZE)
    assert sample.latents is not None
    shown = render(solid_generator().scene(sample.latents), sample.camera, SIZE, Sampling(8, 8), adapter=adapter).labels
    assert (preview == labels_to_image(shown, LAYOUT)[0]).all(dim=0).float().mean() > 0.98  # up to what ε drops


def test_left_out_samples_measure_it_and_the_best_adapter_is_kept() -> None:
    steps: list[Step] = []
    settings = replace(QUICK, steps=3 * MEASURE_EVERY, left_out=2)
    adapter = fit(solid_generator(), sample_set(), settings=settings, callback=steps.append)
    found = {step.index: step.losses["miou"] for step in steps if "miou" in step.losses}
    assert min(found) == MEASURE_EVERY and len(set(found.values())) == 3
    assert steps[-1].best is adapter
    highest = max(found.values())
    assert highest > 0.5
    first = min(index for index, miou in found.items() if miou == highest)
    assert next(step for step in steps if step.index == first).best is adapter
    again = fit(solid_generator(), sample_set(), settings=settings)
    assert all(torch.equal(a, b) for a, b in zip(adapter.parameters(), again.parameters(), strict=True))


def test_it_stops_when_the_left_out_miou_is_flat() -> None:
    steps: list[Step] = []
    settings = replace(QUICK, steps=10 * MEASURE_EVERY, left_out=1, patience=2, learning_rate=1e-9)  # nothing is learnt
    fit(solid_generator(), sample_set(2), settings=settings, callback=steps.append)
    assert steps[-1].index == 3 * MEASURE_EVERY  # the first look is the best, and two more see nothing better


def test_a_coarser_layout_merges_the_samples_classes() -> None:
    fine = Layout("parts", (*LAYOUT.classes[:2], LabelClass("third", (0, 0, 255), "first")))
    samples = SampleSet(fine, sample_set(2).samples)
    adapter = fit(solid_generator(), samples, Layout("whole", LAYOUT.classes[:2]), replace(QUICK, steps=1))
    assert adapter.layout.names == ["background", "first"]
    with pytest.raises(LayoutError):
        fit(solid_generator(), sample_set(2), Layout("whole", LAYOUT.classes[:2]), replace(QUICK, steps=1))


def test_unusable_samples_are_refused() -> None:
    samples = sample_set(2)
    unknown = SampleSet(LAYOUT, (samples.samples[0], replace(samples.samples[1], latents=None)))
    with pytest.raises(ModelError, match="Sample 2 has no latents"):
        fit(solid_generator(), unknown, settings=QUICK)
    foreign = SampleSet(LAYOUT, (replace(samples.samples[0], latents=Latents(torch.zeros(1, 3, 5), torch.zeros(1, 1, 3, 5))),))
    with pytest.raises(ModelError):
        fit(solid_generator(), foreign, settings=QUICK)
    smaller = SampleSet(LAYOUT, (samples.samples[0], replace(samples.samples[1], labels=torch.zeros(8, 8, dtype=torch.int64))))
    with pytest.raises(LayoutError, match="differ in size"):
        fit(solid_generator(), smaller, settings=QUICK)


def test_cancelling_leaves_the_adapter_so_far() -> None:
    seen: list[Step] = []

    def stop(step: Step) -> None:
        seen.append(step)
        if step.index == 3:
            raise CancelledError("Stopped.")

    with pytest.raises(CancelledError):
        fit(solid_generator(), sample_set(2), settings=QUICK, callback=stop)
    assert isinstance(seen[-1].best, Adapter)
    seen.clear()

    def stop_at_once(step: Step) -> None:
        seen.append(step)
        raise CancelledError("Stopped.")

    with pytest.raises(CancelledError):
        fit(solid_generator(), sample_set(2), settings=QUICK, callback=stop_at_once)
    assert [step.index for step in seen] == [0]  # while the views are looked at
    assert all(p.requires_grad for p in solid_generator().parameters())


def test_numbers_that_are_not_finite_stop_it() -> None:
    samples = sample_set(1)
    broken = Latents(torch.full_like(samples.samples[0].latents.geometry, torch.nan), samples.samples[0].latents.appearance)
    with pytest.raises(OptimisationError):
        fit(solid_generator(), SampleSet(LAYOUT, (replace(samples.samples[0], latents=broken),)), settings=QUICK)


@pytest.mark.slow
def test_the_shipped_epsilon_hardly_changes_what_the_bundled_generator_shows() -> None:
    generator = Generator.from_pretrained("heads-triplane")
    adapter = Adapter.from_pretrained("heads-nasal-wing-17").eval()
    latents = generator.sample(2, seed=5)
    pixels = torch.randperm(128 * 128, generator=torch.Generator().manual_seed(0))[:4096].expand(2, -1)
    views = Views(latents, Camera.from_vector(torch.cat([look_at(yaw).to_vector() for yaw in (0.0, 0.4)])), pixels, 128)
    sampling, every = replace(FitSettings(), jitter=False).sampling(), torch.arange(4096)[None]
    found = []
    for epsilon in (0.0, FitSettings().epsilon):
        cache = RayCache.build(generator, views, sampling, epsilon)
        with torch.no_grad():
            found.append(torch.cat([cache.logits(adapter, torch.tensor([view]), every) for view in (0, 1)]))
    labels = found[0].argmax(-1)
    exact, dropped = (cross_entropy(logits.transpose(1, 2), labels).item() for logits in found)
    changed = int((found[1].argmax(-1) != labels).sum())
    print(f"{changed} of 8,192 labels change at ε; their cross-entropy {exact:.4f} becomes {dropped:.4f}")
    assert changed < 32 and dropped - exact < 0.005
