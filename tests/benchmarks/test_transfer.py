"""The benchmark of region composites: its figures on a random generator, and its seam figure by hand."""

from __future__ import annotations

import pytest
import torch

from fface_hub.benchmarks import transfer
from fface_hub.progress import Step
from tests.tiny import solid_generator


def test_nothing_changes_but_the_class() -> None:
    steps: list[Step] = []
    names = tuple(solid_generator().layout.names[1:])
    figures = transfer.run(solid_generator(), steps.append, pairs=2, resolution=16, classes=names)
    rows = figures["rows"]
    assert rows and [step.index for step in steps] == [1, 2] and figures["pairs"] == 2
    assert {row["class"] for row in rows} <= set(names) and all(1 <= row["pairs"] <= 2 for row in rows)
    assert all(row["label_change"] == row["depth_change"] == 0 and row["outside"] < 0.02 for row in rows)
    assert all(0 <= row["inside_least"] <= row["inside"] <= row["inside_most"] for row in rows) and rows[0]["inside"] > 0
    assert figures["whole_label_change"] == figures["whole_depth_change"] == 0


def test_a_class_that_changes_more_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    real = transfer.transfer
    monkeypatch.setattr(transfer, "transfer", lambda generator, face, other, classes=None: real(generator, face, other, geometry=0.5))
    names = tuple(solid_generator().layout.names[1:])
    rows = transfer.run(solid_generator(), pairs=1, resolution=16, classes=names)["rows"]
    assert max(row["outside"] for row in rows) > 1 and max(row["depth_change"] for row in rows) > 0


def test_overshoot_is_what_lies_beyond_both_sides() -> None:
    inside = torch.zeros(24, 24, dtype=torch.bool)
    inside[:, 12:] = True
    image = torch.where(inside, 0.5, -0.5).expand(3, -1, -1).clone()
    assert transfer.overshoot(image, inside) == 0
    image[0, :, 12] = 0.7  # one column of the two that count is 0.2 too bright
    assert transfer.overshoot(image, inside) == pytest.approx(127.5 * 0.2 / 2, rel=1e-4)
    image[0, :, 12] = 0.0  # in between is no fringe
    assert transfer.overshoot(image, inside) == 0
    assert transfer.overshoot(image, torch.ones_like(inside)) == 0
