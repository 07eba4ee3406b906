"""Tables and sheets of the edit benchmark from rows that are made up."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from fface_hub.benchmarks import edit_gallery
from fface_hub.benchmarks.edit_gallery import CELL, GAP, TEXT, front_window, pack, unpack, write_gallery
from fface_hub.benchmarks.edit_report import QUALITY, report


def row(iou: float, seconds: float = 1.0, refused: str | None = None, **changes: Any) -> dict[str, Any]:
    """A row whose figures are all `iou`, but `changes`."""
    figures = dict.fromkeys(QUALITY, iou)
    picture = pack(torch.full((3, 32, 32), 2 * iou - 1))
    rest = {"seconds": seconds, "steps": 5, "refused": refused, "class_iou": {"nose": iou}, "pictures": {"front": picture, "side": picture}}
    return {**figures, **rest, **changes}


def pair(size: str, **rows: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """A pair of that size, and its rows (names with underscores)."""
    picture = pack(torch.zeros(3, 32, 32))
    pictures = dict.fromkeys(("before", "target", "truth", "side"), picture)
    told = {"key": "k", "method": "pair", "pair": "smile+", "edit": "smile", "seed": 1, "layout": "base-15", "region": 40, "size": size}
    return {"pair": {**told, "window": [0, 0, 16], "pictures": pictures}, **{name.replace("_", "-"): value for name, value in rows.items()}}


PAIRS = [
    pair("tiny", no_edit=row(0.2), original=row(0.5, 100.0), oracle=row(0.8)),
    pair("tiny", no_edit=row(0.4), original=row(0.6, 300.0, truth_psnr=None), oracle=row(0.9)),
    pair("large", no_edit=row(0.1), oracle=row(0.7, refused="no")),
]


def test_methods_are_told_by_medians_over_what_each_one_ran() -> None:
    tables = report(PAIRS)
    assert list(tables["methods"]) == ["no-edit", "original", "oracle"] and tables["pairs"] == 3
    original = tables["methods"]["original"]
    # Seconds of 100 and 300: the 95th percentile lies at 95 % of the way between them.
    assert (original["seconds"], original["seconds_p95"], original["steps"], original["pairs"]) == (200, pytest.approx(290), 5, 2)
    assert original["region_iou"] == pytest.approx(0.55) and original["truth_psnr"] == 0.5  # of the one that is known
    assert tables["methods"]["no-edit"]["region_iou"] == 0.2 and tables["methods"]["oracle"]["refused"] == 1


def test_methods_are_compared_on_the_pairs_that_all_of_them_ran() -> None:
    comparison = report(PAIRS)["comparison"]
    assert comparison["pairs"] == 2
    assert comparison["methods"]["no-edit"]["region_iou"] == pytest.approx(0.3)
    # From .3 to .85, and the original is at .55.
    assert comparison["way"]["original"]["region_iou"] == pytest.approx(0.25 / 0.55)
    assert set(comparison["way"]) == {"original"}
    assert report([pair("tiny", original=row(0.5))])["comparison"]["way"] == {}


def test_tables_by_size_class_and_edit() -> None:
    tables = report(PAIRS)
    assert list(tables["by_size"]) == ["tiny", "large"]
    assert tables["by_size"]["large"]["methods"]["oracle"]["region_iou"] == 0.7 and "original" not in tables["by_size"]["large"]["methods"]
    assert tables["by_class"] == {"nose": {"pairs": 3, "no-edit": 0.2, "original": pytest.approx(0.55), "oracle": 0.8}}
    first = tables["edits"][0]
    assert first["edit"] == "smile" and first["methods"]["original"]["seconds"] == 100
    assert not {"pictures", "window", "key"} & (set(first) | set(first["methods"]["oracle"]))


def test_fronts_are_cut_out_around_the_region() -> None:
    region = torch.zeros(128, 128, dtype=torch.bool)
    region[60:64, 20:24] = True
    # 4 pixels and twice 8 are less than 44; in the middle of columns 0 to 43 and rows 40 to 83.
    assert front_window(region) == [0, 40, 44]
    region[60:64, 90:100] = True  # 80 columns and twice 8
    assert front_window(region) == [12, 14, 96]
    assert front_window(torch.ones(128, 128, dtype=torch.bool)) == [0, 0, 128]


def test_pictures_as_text_are_pictures_again() -> None:
    picture = torch.tensor([-1.0, 0.0, 1.0])[:, None, None].expand(3, 8, 8)
    assert unpack(pack(picture, lossless=True)).getpixel((4, 4)) == (0, 128, 255)
    assert unpack(pack(torch.zeros(3, 8, 8))).getpixel((4, 4)) == pytest.approx((128, 128, 128), abs=3)


def test_sheets_hold_so_many_pairs_and_are_blank_where_a_method_did_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert write_gallery(tmp_path / "new" / "one.png", PAIRS) == [tmp_path / "new" / "one.png"]
    picture = Image.open(tmp_path / "new" / "one.png")

    def at(column: int, line: int) -> Any:
        return picture.getpixel((TEXT + (CELL + GAP) * column + 20, edit_gallery.HEAD + (CELL + GAP) * line + 20))

    assert at(2, 0) == pytest.approx((128, 128, 128), abs=3) and at(2, 2) == at(3, 0) == (0xEE,) * 3
    assert at(5, 0) == pytest.approx((204, 204, 204), abs=3)  # the oracle's .8
    monkeypatch.setattr(edit_gallery, "ROWS", 2)
    assert write_gallery(tmp_path / "two.jpg", PAIRS) == [tmp_path / "two-1.jpg", tmp_path / "two-2.jpg"]
    assert Image.open(tmp_path / "two-2.jpg").format == "JPEG"
