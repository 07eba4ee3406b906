"""The landmark trainer on a few drawn dots: it learns, it goes on after a stop as if there had been none, and its model loads."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from fface_hub.errors import ModelError
from fface_hub.inversion.landmarks import LandmarkNet
from fface_hub.training.augment import Batch
from fface_hub.training.landmarks import HEADS_LANDMARKS, LandmarkRun
from fface_hub.training.portraits import train_on_portraits
from fface_hub.training.trainer import Budget

TINY = replace(HEADS_LANDMARKS, network={"side": 32, "channels": [4, 6, 8, 8], "hidden": 16}, batch=8, warmup=3)


def losses(folder: Path) -> list[float]:
    return [json.loads(line)["loss"] for line in (folder / "log.jsonl").read_text().splitlines()]


def test_the_rate_warms_up_and_falls_to_zero() -> None:
    assert TINY.rate(0.0, 0) == pytest.approx(TINY.learning_rate / 3)
    assert TINY.rate(0.5, 100) == pytest.approx(TINY.learning_rate / 2)
    assert TINY.rate(1.0, 100) == pytest.approx(0)


def test_a_run_learns_and_its_model_loads(tmp_path: Path, portraits: Batch) -> None:
    run = LandmarkRun(TINY, tmp_path, portraits)
    model = train_on_portraits(run, Budget(steps=40, log=10), progress=False)
    found = losses(tmp_path)
    assert len(found) == 4 and found[-1] < found[0]
    network = LandmarkNet.from_pretrained(model)
    assert network.config["side"] == 32 and not network.training
    again = run.averaged()
    torch.testing.assert_close(network.turn[0].weight, again.turn[0].weight.half().float())
    assert json.loads((tmp_path / "config.json").read_text())["network"]["hidden"] == 16


def test_a_line_of_the_log_is_the_mean_of_the_steps_since_the_last_one(tmp_path: Path, portraits: Batch) -> None:
    budget = Budget(steps=11, log=4)
    run = LandmarkRun(TINY, tmp_path, portraits)
    for _ in range(2):
        run.step(budget)
    seen: list[float] = []
    step = run.step

    def told(budget: Budget) -> dict[str, float]:
        seen.append(step(budget)["loss"])
        return {"loss": seen[-1]}

    run.step = told
    train_on_portraits(run, budget, progress=False)
    # Two steps were made before, so the first line is of two, and the last one of the three that are left.
    assert losses(tmp_path) == pytest.approx([sum(seen[:2]) / 2, sum(seen[2:6]) / 4, sum(seen[6:]) / 3], abs=1e-6)


@pytest.mark.parametrize(("name", "damage"), [("state.json", b"{}"), ("state.json", b""), ("state.safetensors", b"")])
def test_a_damaged_checkpoint_is_told(tmp_path: Path, portraits: Batch, name: str, damage: bytes) -> None:
    train_on_portraits(LandmarkRun(TINY, tmp_path, portraits), Budget(steps=1), progress=False)
    (tmp_path / "checkpoint" / name).write_bytes(damage)
    with pytest.raises(ModelError):
        LandmarkRun(TINY, tmp_path, portraits)


def test_a_stopped_run_is_the_unbroken_one(tmp_path: Path, portraits: Batch) -> None:
    whole = LandmarkRun(TINY, tmp_path / "whole", portraits)
    train_on_portraits(whole, Budget(steps=12, log=4), progress=False)
    first = LandmarkRun(TINY, tmp_path / "parts", portraits)
    for _ in range(8):
        first.step(Budget(steps=12, log=4))
    first.save()
    second = LandmarkRun(TINY, tmp_path / "parts", portraits)
    assert second.progress.step == 8
    train_on_portraits(second, Budget(steps=12, log=4), progress=False)
    assert losses(tmp_path / "parts")[-1] == pytest.approx(losses(tmp_path / "whole")[-1], rel=1e-6)
    for key, value in whole.average.items():
        torch.testing.assert_close(second.average[key], value)
