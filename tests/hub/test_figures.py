"""The README's tables: written from results, and never by hand."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fface_hub.errors import ModelError
from fface_hub.hub import figures
from fface_hub.hub.figures import fill_tables, grid_table, share


def test_shares_are_written_without_their_nought() -> None:
    assert [share(value) for value in (0.794, 0.0, 1.0, -0.25, None)] == [".79", "0", "1.00", "-0.25", "–"]
    assert share(0.0042, 3) == ".004"


def test_a_grid_of_fits_is_a_table_by_samples() -> None:
    def row(variant: str, shots: int, miou: float, half: float = 0.0) -> dict[str, object]:
        return {"variant": variant, "shots": shots, "miou": miou, "miou_min": miou - half, "miou_max": miou + half}

    rows = [
        row("fixed-layout", 0, 0.5),
        row("full", 10, 0.8),
        row("full", 1, 0.75, 0.01),
        row("original", 10, 0.7),
        row("oracle", 500, 0.9),
    ]
    told = {"layout": "eyes-19", "identities": 40, "cameras": [[0, 0], [1, 0]], "command": "fface-hub <b>", "seeds": 3}
    text = grid_table({"rows": rows, **told})
    assert "| samples | full | original |\n| --- | --- | --- |\n| 1 | .750 (.740–.760) | – |\n| 10 | .800 | .700 |" in text
    assert "which each new one is a part): .500; oracle (`full` on 500 samples): .900." in text
    assert "40 held-out heads from 2 sides" in text and "<b>" not in text and "<code>fface-hub &#60;b&#62;</code>" in text


def test_only_what_stands_between_the_marks_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(figures, "RESULTS", tmp_path)
    row = {"class": "hair", "inside": 0.888, "inside_least": 0.59, "inside_most": 0.977, "seam_own": 3.87, "seam": 5.97}
    (tmp_path / "transfer.json").write_text(json.dumps({"rows": [row]}))
    text = "before\n<!-- figures: transfer -->\nold\n<!-- end of figures -->\nafter\n"
    table = "| class | share (range) | seam |\n| --- | --- | --- |\n| hair | .89 (.59–.98) | 3.9, 6.0 |"
    assert fill_tables(text) == text.replace("old", table)
    # An empty one does not end at the next one's mark.
    assert fill_tables(text.replace("old\n", "") + text) == 2 * text.replace("old", table)
    with pytest.raises(ModelError, match="no table of figures 'colours'"):
        fill_tables(text.replace("transfer", "colours"))


def test_edits_have_a_column_for_each_method_that_ran(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(figures, "RESULTS", tmp_path)
    quality = {"region_iou": 0.25, "moved": 0.5, "seam": 0.3, "truth_miou": 0.4, "truth_psnr": 26.04}
    none = {"pairs": 3, "seconds": 0.0, "seconds_p95": 0.0, "steps": 0.0, "outside_psnr": 106.02, **quality}
    ours = {"pairs": 2, "seconds": 1.64, "seconds_p95": 1.96, "steps": 4.0, "outside_psnr": 43.88, **quality}
    (tmp_path / "edit.json").write_text(json.dumps({"methods": {"ours-preview": ours, "no-edit": none}}))
    text = fill_tables("<!-- figures: edit -->\n\n<!-- end of figures -->")
    assert "|  | untouched | preview |" in text and "| pairs | 3 | 2 |" in text
    assert "| seconds (95 of 100 below) |  | 1.6 (2.0) |" in text and "| PSNR outside the region | no change | 43.9 dB |" in text
