"""The study of the multi-view term on a tiny generator: its figures, what differs between the two runs, and that they are kept."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fface_hub.benchmarks import encoder_views
from fface_hub.benchmarks.encoder_views import Plan, panels, run
from fface_hub.cameras import look_at
from fface_hub.errors import ModelError
from fface_hub.heads.head import head_latents
from fface_hub.training import encoder as training
from tests.balls import Balls
from tests.moves import NETWORK, heads_generator, moved_records
from tests.tiny import solid_generator

TINY = replace(training.HEADS_ENCODER, network=NETWORK, batch=4, warmup=3)
PLAN = Plan(heads=64, steps=3, held_out=2, every=31.5, resolution=16, config=TINY)


class Heads(Balls):
    """Balls with the latents of heads."""

    def latents(self, seed: int) -> tuple[np.ndarray, np.ndarray]:
        head = head_latents(seed)
        return head.geometry_z, head.appearance_z

    def trace(self, geometry_z: np.ndarray) -> Any:
        return super().trace(geometry_z[:2])

    def shade(self, hits: tuple[np.ndarray, np.ndarray], appearance_z: np.ndarray) -> np.ndarray:
        return super().shade(hits, appearance_z[:2])


def test_yaws_go_from_side_to_side() -> None:
    assert PLAN.yaws() == [-63.0, -31.5, 0.0, 31.5, 63.0] and len(Plan().yaws()) == 13
    assert PLAN.weights() == (training.HEADS_ENCODER.consistency, 0.0)


def test_two_runs_that_differ_in_the_term_are_measured_alike(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = []
    monkeypatch.setattr(training, "AXES", 3)
    metrics = iter([torch.eye(6), AssertionError])
    monkeypatch.setattr(training, "picture_metric", lambda generator, basis: next(metrics))
    monkeypatch.setattr(encoder_views, "write_records", lambda *given: drawn.append(given[1].heads))
    monkeypatch.setattr(encoder_views, "read_records", lambda *given: moved_records())
    generator, steps = heads_generator(), []
    found = run(generator, steps.append, PLAN, tmp_path, Heads())
    assert drawn == [64] and [step.index for step in steps] == [1, 2]
    rows = found["rows"]
    assert [(row["consistency"], row["yaw"]) for row in rows] == [(weight, yaw) for weight in (0.5, 0.0) for yaw in PLAN.yaws()]
    assert all(row["disagreement"] == 0 for row in rows if row["yaw"] == 0)  # the front against itself
    assert all(row["geometry"] > 0 and 0 <= row["front_miou"] <= 1 and row["camera_error_degrees"] > 0 for row in rows)
    for mean in found["means"]:
        own = [row["geometry"] for row in rows if row["consistency"] == mean["consistency"]]
        assert mean["geometry"] == pytest.approx(sum(own) / len(own))
    # By hand, the first head from the side of the second run: what its model says, by the identity as metric.
    weight, trained, encoder = encoder_views._train(generator, PLAN, tmp_path)[1]  # kept: no step is left
    assert weight == trained.config.consistency == 0 and trained.progress.step == 3
    pictures = encoder_views._Pictures(generator, PLAN, Heads())
    views = pictures.of(0)
    first = pictures.measured(0, views, trained, encoder)[0]
    coordinates, _ = encoder(views[0].image[None])
    head = head_latents(PLAN.first)
    z = [torch.from_numpy(part)[None].float() for part in (head.geometry_z, head.appearance_z)]
    wanted = encoder.basis.coordinates(generator.map(z[0], z[1]).geometry)[:, 0]
    off = (coordinates[:, 0] - wanted).square().sum() / wanted.square().sum()
    assert first["yaw"] == -63 and first["geometry"] == pytest.approx(off.item(), rel=1e-4)
    camera = encoder.encode(views[0].image[None])[1]
    assert first["camera_error_degrees"] == pytest.approx(encoder_views.rotation_error(camera, look_at(-63.0)))
    drawings = panels(found)
    assert [len(panel.series) for panel in drawings] == [2] * 4
    assert drawings[0].series["without it"][0] == (-63.0, rows[5]["geometry"])


def test_other_generators_are_refused() -> None:
    with pytest.raises(ModelError, match="not trained on rendered heads"):
        run(solid_generator(), plan=PLAN)
