"""The training loop on balls: it learns, it goes on after a kill as if nothing had happened, it starts from given weights."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from fface_hub.errors import CancelledError, ModelError
from fface_hub.generators.triplane import TriplaneGenerator
from fface_hub.heads.shards import HeadShards
from fface_hub.heads.truth import draw_truth
from fface_hub.progress import Step
from fface_hub.training.config import CONFIGS, TrainConfig
from fface_hub.training.trainer import Budget, Run, train


def losses_of(folder: Path) -> dict[int, float]:
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return {line["step"]: line["loss"] for line in lines if "loss" in line}


def test_a_killed_run_continues_with_the_losses_of_an_unbroken_one(
    source: Any, shards: HeadShards, config: TrainConfig, tmp_path: Path
) -> None:
    budget = Budget(steps=9, log=1)
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    train(Run.begin(config, whole, shards, source, "cpu"), budget, progress=False)

    def kill(step: Step) -> None:
        if step.index == 5:
            raise CancelledError("stop")

    with pytest.raises(CancelledError):
        train(Run.begin(config, broken, shards, source, "cpu"), budget, callback=kill, progress=False)
    resumed = Run.begin(config, broken, shards, source, "cpu")
    assert resumed.progress.step == 5
    train(resumed, budget, progress=False)
    assert losses_of(broken) == losses_of(whole)
    first, second = (TriplaneGenerator.from_pretrained(folder / "model").state_dict() for folder in (whole, broken))
    assert all(torch.equal(first[key], second[key]) for key in first)


def test_it_learns_and_leaves_sheets_and_a_model(source: Any, shards: HeadShards, config: TrainConfig, folder: Path) -> None:
    run = Run.begin(config, folder, shards, source, "cpu")
    model = train(run, Budget(steps=60, log=10), draw_truth(source, 500, 2, 16), progress=False)
    losses = losses_of(folder)
    assert losses[60] < 0.6 * losses[1]
    assert [path.name for path in (folder / "sheets").iterdir()] == ["step-000060.png"]
    generator = TriplaneGenerator.from_pretrained(model)
    assert all(torch.equal(generator.get_parameter(key), value) for key, value in run.average.items())
    last = json.loads((folder / "log.jsonl").read_text().splitlines()[-1])
    assert {"psnr", "miou_base15", "swap_psnr"} <= set(last)


def test_a_run_starts_from_given_weights(source: Any, shards: HeadShards, config: TrainConfig, folder: Path) -> None:
    init = TriplaneGenerator(**config.generator)
    run = Run.begin(config, folder, shards, source, "cpu", init)
    assert all(torch.equal(a, b) for a, b in zip(run.generator.parameters(), init.parameters(), strict=True))
    other = replace(config, generator={**config.generator, "decoder_hidden": 8})
    with pytest.raises(ModelError, match="another configuration"):
        Run.begin(other, folder, shards, source, "cpu", init)


def test_a_checkpoint_of_another_model_is_refused(source: Any, shards: HeadShards, config: TrainConfig, folder: Path) -> None:
    Run.begin(config, folder, shards, source, "cpu").save()
    other = replace(config, generator={**config.generator, "decoder_hidden": 8})
    with pytest.raises(ModelError, match="another model"):
        Run.begin(other, folder, shards, source, "cpu")


def test_configs_survive_json_and_refuse_unknown_keys(tmp_path: Path) -> None:
    for config in CONFIGS.values():
        config.to_json(tmp_path / "config.json")
        assert TrainConfig.from_json(tmp_path / "config.json") == config
    with pytest.raises(ModelError):
        TrainConfig.from_dict({"name": "x", "generator": {}, "batch": 3})


def test_a_budget_is_minutes_or_steps() -> None:
    assert Budget(minutes=2).progress(0, 60) == pytest.approx(0.5)
    assert Budget(steps=10).progress(5, 1e9) == pytest.approx(0.5)
    with pytest.raises(ValueError, match="either"):
        Budget()
