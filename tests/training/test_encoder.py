"""Training of the encoder and the editor on a few records of a tiny generator, and the metric that judges them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from fface_hub.inversion.encoder import LatentBasis
from fface_hub.layouts import FINE_24
from fface_hub.models import Model
from fface_hub.training import encoder as module
from fface_hub.training.augment import Batch
from fface_hub.training.encoder import EditorRun, EncoderRun, MoveRun
from fface_hub.training.metric import RIDGE, _seen, picture_metric
from fface_hub.training.portraits import train_on_portraits
from fface_hub.training.trainer import Budget
from tests.moves import NETWORK, heads_generator, moved_records


@pytest.fixture
def records() -> Batch:
    return moved_records()


def test_the_metric_is_what_small_steps_change(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = heads_generator()
    basis = LatentBasis.of(generator, 3, samples=64)
    metric = picture_metric(generator, basis, faces=1)
    assert metric.shape == (6, 6) and torch.allclose(metric, metric.T, atol=1e-5)
    assert float(metric.diagonal().mean()) == pytest.approx(1 + RIDGE, rel=1e-4)
    monkeypatch.setattr("fface_hub.training.metric.LABELS", 0.0)
    plain = picture_metric(generator, basis, faces=1)
    start = basis.coordinates(generator.sample(1, 1, 1.0).geometry)
    changes = []
    for index in range(6):
        moved = start.clone()
        moved.view(-1)[index] += 0.4
        changes.append(float((_seen(generator, basis, moved)[0] - _seen(generator, basis, start)[0]).square().sum()))
    wanted = torch.tensor(changes) / np.mean(changes) + RIDGE
    assert torch.allclose(plain.diagonal(), wanted, rtol=1e-2, atol=1e-3)


def test_layouts_merge_both_maps_alike() -> None:
    fine = torch.arange(24).repeat(6, 1).view(6, 4, 6)
    before, after = EditorRun.relabelled(fine, fine.clone(), torch.Generator().manual_seed(0))
    assert torch.equal(before, after)
    ala = before.view(6, 24)[:, FINE_24.index("ala")]
    assert set(ala.tolist()) <= {FINE_24.index("ala"), FINE_24.index("nose")}
    assert bool((before.view(6, 24)[:, :15] == torch.arange(15)).all())


@pytest.mark.parametrize(
    ("kind", "config", "figure"), [(EncoderRun, module.HEADS_ENCODER, "degrees"), (EditorRun, module.HEADS_EDITOR, "left")]
)
def test_a_run_learns_and_its_model_loads(
    tmp_path: Path, records: Batch, kind: type[MoveRun], config: module.EncoderConfig, figure: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "AXES", 3)
    monkeypatch.setattr(module, "picture_metric", lambda generator, basis: torch.eye(6))
    config = replace(config, network=NETWORK, batch=4, warmup=3, learning_rate=4 * config.learning_rate)
    run = kind(config, tmp_path, records, heads_generator())
    model = train_on_portraits(run, Budget(steps=30, log=10), progress=False)
    found = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert found[-1]["loss"] < found[0]["loss"] and figure in found[-1]
    network = Model.from_pretrained(model)
    assert network.fits(heads_generator())  # pyright: ignore
    assert torch.allclose(network.axes, run.basis.axes, atol=2e-3)  # pyright: ignore
