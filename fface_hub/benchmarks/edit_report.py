"""The tables of the edit benchmark, made of its rows."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median
from typing import Any

import numpy as np

from fface_hub.benchmarks import EDIT_METHODS

QUALITY = (
    "region_iou", "moved", "class_miou", "outside_psnr", "outside_ssim", "outside_lpips", "seam",
    "truth_miou", "truth_psnr", "truth_depth_error",
)  # fmt: skip
WAY = ("region_iou", "moved", "truth_miou", "truth_psnr")
"""Figures that the untouched face bounds from below and the oracle's from above."""
BY_SIZE = ("region_iou", "moved", "outside_psnr", "seam", "truth_miou", "truth_psnr")

Row = dict[str, Any]
Rows = dict[str, Row]


def report(pairs: Sequence[Rows]) -> dict[str, Any]:
    """All tables of `pairs`, each the rows of its methods and "pair". Medians, but `seconds_p95` and the counts `pairs` and `refused`.

    `comparison` is over the pairs that every method ran that ran any; its `way` says for `WAY` how far its medians are on the way from
    no-edit's to the oracle's. `by_size` has the medians of each size of region, `by_class` those of a class's IoU, over the pairs that
    change it.
    """
    ran = [method for method in EDIT_METHODS if any(method in rows for rows in pairs)]
    common = [rows for rows in pairs if all(method in rows for method in ran)]
    sizes = {name: [rows for rows in pairs if rows["pair"]["size"] == name] for name in ("tiny", "small", "medium", "large")}
    return {
        "methods": _table(pairs, ran),
        "pairs": len(pairs),
        "comparison": {"methods": _table(common, ran), "pairs": len(common), "way": _ways(common, ran)},
        "by_size": {name: {"pairs": len(some), "methods": _table(some, ran, BY_SIZE)} for name, some in sizes.items() if some},
        "by_class": _by_class(pairs, ran),
        "edits": [_edit(rows, ran) for rows in pairs],
    }


def _table(pairs: Sequence[Rows], methods: Sequence[str], names: Sequence[str] = ()) -> dict[str, Row]:
    """Of each method that ran any of `pairs` its medians: those of `names`, or else everything."""
    table = {}
    for method in methods:
        rows = [one[method] for one in pairs if method in one]
        if not rows:
            continue
        seconds = [row["seconds"] for row in rows]
        time = {"seconds": median(seconds), "seconds_p95": float(np.percentile(seconds, 95)), "steps": median(row["steps"] for row in rows)}
        counts = {"pairs": len(rows), "refused": sum(row["refused"] is not None for row in rows)}
        quality = {name: _median(row[name] for row in rows) for name in names or QUALITY}
        table[method] = quality if names else {**time, **quality, **counts}
    return table


def _median(values: Any) -> float | None:
    known = [value for value in values if value is not None]
    return median(known) if known else None


def _ways(pairs: Sequence[Rows], methods: Sequence[str]) -> dict[str, dict[str, float | None]]:
    """Of each method the share of the way between the floor's medians and the ceiling's; None where both are the same."""
    if not pairs or not {"no-edit", "oracle"} <= set(methods):
        return {}
    table = _table(pairs, methods, WAY)

    def way(method: str, name: str) -> float | None:
        """How far one figure is."""
        low, here, high = (table[one][name] for one in ("no-edit", method, "oracle"))
        return None if None in (low, here, high) or low == high else (here - low) / (high - low)

    return {method: {name: way(method, name) for name in WAY} for method in methods if method not in ("no-edit", "oracle")}


def _by_class(pairs: Sequence[Rows], methods: Sequence[str]) -> dict[str, Row]:
    names = dict.fromkeys(name for rows in pairs for method in methods if method in rows for name in rows[method]["class_iou"])
    found = {}
    for name in names:
        scores = {m: [r[m]["class_iou"][name] for r in pairs if m in r and name in r[m]["class_iou"]] for m in methods}
        found[name] = {"pairs": max(map(len, scores.values())), **{m: median(values) for m, values in scores.items() if values}}
    return found


def _edit(rows: Rows, methods: Sequence[str]) -> Row:
    """One pair: what it is, and the figures of every method."""
    told = {name: value for name, value in rows["pair"].items() if name not in ("key", "method", "window", "pictures")}
    figures = {
        method: {name: rows[method][name] for name in ("seconds", "steps", "refused", *QUALITY, "class_iou")}
        for method in methods
        if method in rows
    }
    return {**told, "methods": figures}
