"""The benchmark of rendering, on networks small enough for a test."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from fface_hub.benchmarks import render as module
from fface_hub.benchmarks.render import random_model, run
from fface_hub.errors import ModelError
from fface_hub.generators.base import Scene
from fface_hub.progress import Step
from fface_hub.rendering.renderer import render, render_rays
from tests.golden.weights import golden_tensor
from tests.tiny import PAIR, SIZES, random_generator

FULL: dict[str, Any] = {**SIZES, "z_dim": 8, "plane_resolution": 32, "color_channels": 5}
STAGES = {"reference.backbone", "reference.volume", "reference.super_resolution", "fast.baking", "fast.volume", "fast.super_resolution"}


def small() -> Any:
    return random_generator(**PAIR)


def test_the_generator_as_it_is() -> None:
    seen: list[float] = []
    figures = run(small(), lambda step: seen.append(step.fraction), "demo", (0.0, 10.0), 12)
    assert figures["size"] == "demo" and set(figures["stages"]) == {"demo"} and set(figures["stages"]["demo"]) == STAGES
    assert figures["volume_ratio"] > 0 and figures["frame_ratio"] > 0 and figures["peak_memory_mb"] > 10
    assert figures["agreement_db"] > 60 and figures["label_agreement"] > 0.99
    assert figures["bfloat16"] is None, "nothing is super-resolved here"
    assert seen == pytest.approx([1 / 3, 2 / 3, 1])
    assert set(figures["step"]) == {"exact_seconds", "seconds", "ratio", "gradient_cosine"}
    json.dumps(figures)


def test_both_scenes_of_full_size_and_the_worse_counts() -> None:
    steps: list[Step] = []
    figures = run(small(), steps.append, "full", (0.0,), 12, FULL)
    assert [step.index for step in steps] == [1, 2, 3, 4] and {step.total for step in steps} == {4}
    assert set(figures["cases"]) == {"random", "resampled"} == set(figures["stages"])
    for name in ("volume_ratio", "frame_ratio", "agreement_db", "label_agreement"):
        assert figures[name] == min(case[name] for case in figures["cases"].values())
    assert figures["agreement_db"] > 60 and figures["step"] is None


def test_a_step_with_all_samples_and_with_those_that_show(monkeypatch: pytest.MonkeyPatch) -> None:
    step = module._step(small(), (0.0,))
    assert step["gradient_cosine"] > 0.999 and step["ratio"] == pytest.approx(step["exact_seconds"] / step["seconds"])

    def wrong(scene: Scene, *given: Any, exact: bool) -> Any:
        seen = render_rays(scene, *given, exact=exact)
        return seen if exact else replace(seen, color=1 - 2 * seen.color)

    monkeypatch.setattr(module, "render_rays", wrong)
    assert module._step(small(), (0.0,))["gradient_cosine"] < 0.99


def test_a_fast_way_that_is_wrong_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    def dark(scene: Scene, *given: Any, **named: Any) -> Any:
        view = render(scene, *given, **named)
        return view.with_image(view.image - 1) if not named else type(view)(view.image, view.raw - 1, *(
            getattr(view, name) for name in ("logits", "labels", "depth", "opacity")
        ))  # fmt: skip

    monkeypatch.setattr(module, "render", dark)
    figures = run(small(), None, "demo", (0.0,), 12)
    assert figures["agreement_db"] == pytest.approx(10 * torch.log10(torch.tensor(4.0)).item(), abs=0.01)


def test_resampled_planes_show_the_same_head() -> None:
    """A generator of twice its planes' size: raw picture and labels barely move, and colours beyond the first three are the decoder's 0."""
    generator = small()
    subject = module._resampled(generator, FULL)
    with torch.no_grad():
        scene = subject.scene(subject.generator.scene(subject.latents))
        own = generator.scene(generator.sample(1, 0))
        large, view = render(scene, generator.default_camera, 16, finish=False), render(own, generator.default_camera, 16)
    assert scene.planes.shape == (1, 3, 8, 32, 32) and large.raw.shape[1] == 5
    assert float((large.image - view.image).abs().mean()) < 0.05
    assert float((large.labels == view.labels).float().mean()) > 0.9
    torch.testing.assert_close(large.raw[:, 3:], torch.zeros(1, 2, 16, 16), atol=1e-3, rtol=0)


def test_full_size_needs_the_official_channels() -> None:
    with pytest.raises(ModelError, match="heads-triplane"):
        run(small(), None, "full", (0.0,), 12, {**FULL, "plane_channels": 4})


def test_random_weights_are_the_golden_ones() -> None:
    model = random_model({**FULL, "decoder": "eg3d", "color_channels": 4})
    for key, value in model.state_dict().items():
        assert torch.equal(value, torch.as_tensor(golden_tensor(key, tuple(value.shape)))), key


def test_the_page_of_figures_is_of_this_benchmark() -> None:
    """What the cards and README quote was measured at the official sizes and holds the bars."""
    root = Path(__file__).resolve().parents[2] / "model_cards" / "results"
    full, demo = (json.loads((root / f"render-{size}.json").read_text()) for size in ("full", "demo"))
    assert set(full["cases"]) == {"random", "resampled"}
    assert full["volume_ratio"] >= 4 and full["frame_ratio"] >= 1.7 and demo["frame_ratio"] >= 4
    for figures in (full, demo):
        assert figures["agreement_db"] >= 40 and figures["label_agreement"] >= 0.999 and figures["peak_memory_mb"] <= 3000
        assert figures["threads"] == 2 and figures["command"].startswith("fface-hub benchmark render")
