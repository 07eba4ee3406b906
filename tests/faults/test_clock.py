"""A clock that jumps by a day, forwards and back, changes no result and breaks nothing; what takes long is timed by a clock that cannot."""

from __future__ import annotations

import ast
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from fface_hub.adapters.adapter import Adapter
from fface_hub.adapters.samples import Sample, SampleSet
from fface_hub.cameras import look_at
from fface_hub.cli import main
from fface_hub.layouts import BASE_15
from fface_hub.training.trainer import Budget, Run, train
from tests.balls import Balls, ball_config, ball_shards
from tests.tiny import new_solid_generator

ROOT = Path(__file__).parents[2]
DAY = 86_400.0
WALL = {"time.time", "time.time_ns", "datetime.now", "datetime.datetime.now", "datetime.utcnow", "datetime.today", "date.today"}
"""What reads the clock that jumps."""


@pytest.fixture
def jumps(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[float]]:
    """Every look at the clock finds it a day ahead of or behind the look before."""
    true, looks = time.time, [0.0]

    def jumping() -> float:
        looks.append(true() + (DAY if len(looks) % 2 else -DAY))
        return looks[-1]

    monkeypatch.setattr(time, "time", jumping)
    monkeypatch.setattr("tqdm.std.time", jumping)  # bound when it was imported
    yield looks


def test_durations_are_measured_by_clocks_that_cannot_jump() -> None:
    found = []
    for path in sorted([*(ROOT / "fface_hub").rglob("*.py"), *(ROOT / "space").rglob("*.py")]):
        calls = [node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.Attribute)]
        found += [f"{path.relative_to(ROOT)}:{node.lineno}: {ast.unparse(node)}" for node in calls if ast.unparse(node) in WALL]
    assert not found, "\n".join(found)


def test_a_training_run_is_the_same_under_a_clock_that_jumps(tmp_path: Path, jumps: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    shards, budget = ball_shards(tmp_path / "shards"), Budget(steps=6, checkpoint=0.0, log=1)
    runs = []
    for name in ("jumping", "straight"):
        if name == "straight":
            monkeypatch.undo()
        run = Run.begin(ball_config(), tmp_path / name, shards, Balls(), "cpu")
        train(run, budget)  # with its progress bar
        runs.append(run)
    assert len(jumps) > 6 and all(0 < run.progress.seconds < 600 for run in runs)
    weights = [(tmp_path / name / "model" / "diffusion_pytorch_model.safetensors").read_bytes() for name in ("jumping", "straight")]
    assert weights[0] == weights[1]


def test_a_fit_is_the_same_under_a_clock_that_jumps(tmp_path: Path, jumps: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    generator = new_solid_generator()
    generator.save_pretrained(tmp_path / "generator")
    labels = torch.randint(15, (16, 16), generator=torch.Generator().manual_seed(0))
    SampleSet(BASE_15, (Sample(torch.zeros(3, 16, 16), labels, look_at(0.0), generator.sample(1, 0)),)).save(tmp_path / "set")
    command = ["adapt", str(tmp_path / "set"), "--generator", str(tmp_path / "generator"), "--steps", "5", "--device", "cpu", "--out"]
    assert main([*command, str(tmp_path / "jumping")]) == 0
    assert len(jumps) > 5
    monkeypatch.undo()
    assert main([*command, str(tmp_path / "straight")]) == 0
    prints = [Adapter.from_pretrained(tmp_path / name).fingerprint for name in ("jumping", "straight")]
    assert prints[0] == prints[1]
