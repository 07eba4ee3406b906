"""`fface-hub train`, on balls: it goes on where a run was, and leaves a model and its figures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from fface_hub.cli import main
from fface_hub.commands import models
from fface_hub.generators.triplane import TriplaneGenerator
from fface_hub.heads.shards import HeadShards, ShardSettings
from fface_hub.heads.truth import draw_truth
from fface_hub.training.augment import Batch
from fface_hub.training.config import TrainConfig
from fface_hub.training.landmarks import LandmarkRun
from tests.training.test_landmarks import TINY

taught: list[TrainConfig] = []
"""The configs whose mappings the command taught."""


@pytest.fixture
def asked(source: Any, config: TrainConfig, monkeypatch: pytest.MonkeyPatch) -> list[ShardSettings]:
    """Balls instead of heads; the settings of the data that the command asked for."""
    wanted: list[ShardSettings] = []
    taught.clear()
    monkeypatch.setattr(models, "CONFIGS", {"balls": config})
    monkeypatch.setattr(models, "HeadSource", lambda: source)
    monkeypatch.setattr(models, "write_shards", lambda folder, settings, source: wanted.append(settings))
    monkeypatch.setattr(models, "sheet_samples", lambda source: draw_truth(source, 500, 2, 16))
    monkeypatch.setattr(models, "taught_generator", lambda config: taught.append(config) or TriplaneGenerator(**config.generator))
    return wanted


def test_train_goes_on_and_leaves_a_model(asked: list[ShardSettings], shards: HeadShards, tmp_path: Path) -> None:
    out, report = tmp_path / "run", tmp_path / "figures.json"
    command = ["train", "--config", "balls", "--heads", "33", "--data", str(shards.folder), "--out", str(out), "--device", "cpu"]
    assert main([*command, "--minutes", "0.01"]) == 0
    assert asked[0].heads == 64  # 33 heads, rounded up to two shards of 32
    first = len((out / "log.jsonl").read_text().splitlines())
    assert main([*command, "--minutes", "0.02", "--json", str(report)]) == 0
    figures = json.loads(report.read_text())
    lines = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    assert figures == lines[-1] and len(lines) > first and lines[-1]["step"] > lines[first - 1]["step"]
    assert TriplaneGenerator.from_pretrained(out / "model").num_rows > 0
    assert len(taught) == 1  # the second run goes on
    other = tmp_path / "other"
    assert main([*command[:-3], str(other), "--device", "cpu", "--minutes", "0.01", "--init", str(out / "model")]) == 0
    assert len(taught) == 1  # weights that are given know already


def test_small_networks_are_trained_in_bfloat16_only(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for config in models.SMALL_NETWORKS:
        command = ["train", "--config", config, "--minutes", "1", "--out", str(tmp_path), "--device", "cpu"]
        assert main([*command, "--dtype", "float32"]) == 2
        assert f"'{config}' is trained in bfloat16: leave out --dtype." in capsys.readouterr().err
        assert main([*command, "--init", "heads-parser"]) == 2
        assert "leave out --init" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_the_last_losses_of_a_small_network_are_told(tmp_path: Path, portraits: Batch, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models, "PORTRAIT_RUNS", {"heads-landmarks": (LandmarkRun, TINY)})
    monkeypatch.setattr(models, "write_records", lambda folder, settings, draw: None)
    monkeypatch.setattr(models, "read_records", lambda folder, settings, keys: portraits)
    report = tmp_path / "figures.json"
    command = ["train", "--config", "heads-landmarks", "--minutes", "0.01", "--dtype", "bfloat16", "--device", "cpu"]
    assert main([*command, "--out", str(tmp_path / "run"), "--json", str(report)]) == 0
    figures = json.loads(report.read_text())
    last = json.loads((tmp_path / "run" / "log.jsonl").read_text().splitlines()[-1])
    assert set(figures) == {"step", "seconds", "cursor", "loss", "five", "degrees", "rate"}
    assert (figures["step"], figures["loss"], figures["degrees"]) == (last["step"], last["loss"], last["degrees"])


def test_an_unknown_config_is_refused(asked: list[ShardSettings], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--config", "cats", "--minutes", "1", "--out", str(tmp_path), "--device", "cpu"]) == 2
    assert "no training config 'cats'" in capsys.readouterr().err and not asked
