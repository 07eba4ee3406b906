"""The study of style rows: nothing changes where nothing is mixed, and every row has its figures."""

from __future__ import annotations

import pytest

from fface_hub.benchmarks import adapt_layers
from fface_hub.progress import Step
from tests.tiny import solid_generator


def test_every_row_is_mixed_alone() -> None:
    steps: list[Step] = []
    figures = adapt_layers.run(solid_generator(), steps.append, identities=2, resolution=12)
    rows = figures["rows"]
    assert [row["row"] for row in rows] == list(range(solid_generator().num_rows))
    assert all(row["l1"] > 0 and 0 < row["miou"] <= 1 for row in rows) and min(row["miou"] for row in rows) < 1
    assert figures["mixed_by_lmta"] == list(solid_generator().late_rows)
    best = sorted(rows, key=lambda row: -row["miou"])[: len(figures["mixed_by_lmta"])]
    assert figures["best_kept"] == sorted(row["row"] for row in best)
    assert [step.index for step in steps] == [1, 2]
    panels = adapt_layers.panels(figures)
    assert panels[0].series["mIoU"][1] == (1, rows[1]["miou"]) and panels[1].series["L1"][0] == (0, rows[0]["l1"])


def test_nothing_changes_where_nothing_is_mixed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adapt_layers, "AMOUNT", 0.0)
    figures = adapt_layers.run(solid_generator(), identities=1, resolution=12)
    assert all(row["miou"] == 1 and row["l1"] == 0 for row in figures["rows"])
