"""The tables of measured figures in the README, written from what the benchmarks left in `model_cards/results`.

A table stands between `<!-- figures: NAME -->` and `<!-- end of figures -->`. `python -m fface_hub.hub.cards` fills them anew, with the
cards; a test compares, so that no figure is copied by hand.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from fface_hub.doors import read_json
from fface_hub.errors import ModelError
from fface_hub.hub.card_facts import escape, markdown_table
from fface_hub.inversion.landmarks import METRES_PER_UNIT
from fface_hub.layouts import BASE_15

RESULTS = Path(__file__).parents[2] / "model_cards" / "results"
MARKED = re.compile(r"(<!-- figures: ([\w-]+) -->\n)(?:.*?\n)??(<!-- end of figures -->)", re.DOTALL)
Row = tuple[str, Sequence[str]]


def fill_tables(text: str) -> str:
    """`text` with every marked table written anew. Raises `ModelError` for a table that nobody knows how to write."""

    def filled(match: re.Match[str]) -> str:
        if match[2] not in TABLES:
            raise ModelError(f"There is no table of figures '{match[2]}': choose among {', '.join(TABLES)}.")
        return f"{match[1]}{TABLES[match[2]]()}\n{match[3]}"

    return MARKED.sub(filled, text)


def share(value: float | None, digits: int = 2) -> str:
    """A number below one as people write it: .79; "–" where nothing was measured."""
    if value is None:
        return "–"
    text = f"{value:.{digits}f}"
    return "0" if value == 0 else text.removeprefix("0")


def decibels(value: float | None) -> str:
    """Such as 25.6 dB."""
    return "–" if value is None else f"{value:.1f} dB"


def score(row: Mapping[str, Any] | None) -> str:
    """A mean, and its range if there is one."""
    if row is None:
        return "–"
    spread = f" ({share(row['miou_min'], 3)}–{share(row['miou_max'], 3)})" if row["miou_max"] > row["miou_min"] else ""
    return f"{share(row['miou'], 3)}{spread}"


def grid_table(figures: Mapping[str, Any]) -> str:
    """What `fface-hub benchmark adapt` found, in Markdown: a line for each number of samples, and what bounds them."""
    rows = {(row["variant"], row["shots"]): row for row in figures["rows"]}
    bounds = {"fixed-layout": "the generator's own classes, of which each new one is a part", "oracle": "`full` on {shots} samples"}
    names = list(dict.fromkeys(name for name, _ in rows if name not in bounds))
    lines = []
    for shots in sorted({shots for name, shots in rows if name in names}):
        cells = [score(rows.get((name, shots))) for name in names]
        lines.append(f"| {shots} | {' | '.join(cells)} |")
    told = [f"{name} ({bounds[name].format(shots=shots)}): {score(row)}" for (name, shots), row in rows.items() if name in bounds]
    about = (
        f"Mean IoU of layout {escape(figures['layout'])} by the number of painted samples, on {figures['identities']} held-out heads from "
        f"{len(figures['cameras'])} sides (in brackets the range over seeds; <code>{escape(figures['command'])}</code>):"
    )
    return "\n\n".join([about, markdown_table(["samples", *names], lines), *([f"For comparison, {'; '.join(told)}."] if told else [])])


def _table(heads: Sequence[str], rows: Sequence[Row]) -> str:
    return markdown_table(list(heads), [f"| {' | '.join([name, *cells])} |" for name, cells in rows])


def _results(name: str) -> dict[str, Any]:
    return read_json(RESULTS / f"{name}.json")


def _fidelity() -> str:
    found = _results("heads-triplane")["fidelity"]
    millimetres = 1000 * found["depth_error"] * METRES_PER_UNIT
    return _table(
        ("figure", "value", "goal"),
        [
            ("PSNR of the picture", (decibels(found["psnr"]), "25.5 dB")),
            ("PSNR of the head alone", (decibels(found["psnr_head"]), "")),
            ("SSIM", (share(found["ssim"], 3), "")),
            ("mIoU, base-15", (share(found["miou_base15"], 3), ".72")),
            ("depth error, world units", (f"{share(found['depth_error'], 3)} ({millimetres:.0f} mm)", "")),
            ("PSNR of geometry a under appearance b", (decibels(found["swap_psnr"]), "21 dB")),
            ("labels changed by another appearance", (share(found["swap_label_change"], 3), "≤ .03")),
            ("labels changed by another face's late rows", (share(found["late_rows_label_change"], 3), "≤ .03")),
            ("colours moved by another face's late rows (L1)", (share(found["late_rows_l1"], 3), "≥ .05")),
        ],
    )


def _classes() -> str:
    scores = list(_results("heads-triplane")["fidelity"]["iou_per_class"].items())
    height = -(-len(scores) // 3)
    columns = [scores[start : start + height] for start in range(0, len(scores), height)]
    rows = []
    for line in zip(*columns, strict=True):
        cells = [cell for name, value in line for cell in (name, share(value))]
        rows.append((cells[0], cells[1:]))
    return _table(("class", "IoU") * len(columns), rows)


def _fewshot() -> str:
    rows = []
    for layout in LAYOUTS:
        found = _results(f"heads-{layout}")["fewshot"]
        own = ", ".join(f"{name} {share(value)}" for name, value in found["iou_per_class"].items() if name not in BASE_15.names)
        told = (f"{share(found['miou'], 3)} ({own})", share(found["miou_base15"], 3), share(found["generator_miou_base15"], 3))
        rows.append((f"`heads-{layout}`", (str(found["classes"]), *told)))
    return _table(("adapter", "classes", "mIoU", "mIoU merged into base-15", "the generator's own"), rows)


def _by_layouts() -> str:
    names = ("full", "original", *BOUNDS)
    rows = []
    for layout in LAYOUTS:
        found = {row["variant"]: row for row in _results(f"adapt-{layout}")["rows"] if row["shots"] == 10 or row["variant"] in BOUNDS}
        rows.append((f"`{layout}`", [score(found.get(name)) for name in names]))
    return _table(("layout", *(f"`{name}`" for name in names)), rows)


def _render(where: str = "") -> str:
    """On two cores, or `where` it was measured else ("-gpu", in thousandths of a second)."""
    rows, unit = [], "s" if not where else "ms"
    for size, case, told in (
        ("full", "random", "official sizes, random weights: fog"),
        ("full", "resampled", "official sizes, the bundled generator's planes"),
        ("demo", "demo", "the bundled generator as it is"),
    ):
        found = _results(f"render-{size}{where}")
        stages, figures = found["stages"][case], found["cases"][case]
        parts = ("backbone", "volume", "super_resolution")
        slow, fast = (sum(stages.get(f"{way}.{part}", 0.0) for part in parts) for way in ("reference", "fast"))
        seconds = [stages["reference.volume"], stages["fast.volume"], figures["volume_ratio"], slow, fast, figures["frame_ratio"]]
        times = [f"{value:.2f}" if unit == "s" else f"{1000 * value:.1f}" for value in seconds]
        cells = [f"{value:.1f}" if index % 3 == 2 else f"{times[index]} {unit}" for index, value in enumerate(seconds)]
        rows.append((told, (*cells, f"{figures['agreement_db']:.0f} dB, {figures['label_agreement']:.0%}")))
    return _table(("", "original volume", "ours", "times", "original frame", "ours", "times", "agreement"), rows)


def _transfer() -> str:
    rows = [
        (
            row["class"],
            (
                f"{share(row['inside'])} ({share(row['inside_least'])}–{share(row['inside_most'])})",
                f"{row['seam_own']:.1f}, {row['seam']:.1f}",
            ),
        )
        for row in _results("transfer")["rows"]
    ]
    return _table(("class", "share (range)", "seam"), rows)


def _edit(methods: Mapping[str, Mapping[str, Any]]) -> str:
    names = [name for name in EDIT_COLUMNS if name in methods]

    def line(told: str, cell: Callable[[Mapping[str, Any]], str]) -> Row:
        return told, [cell(methods[name]) for name in names]

    def seconds(row: Mapping[str, Any]) -> str:
        return f"{row['seconds']:.1f} ({row['seconds_p95']:.1f})" if row["steps"] else ""

    return _table(
        ("", *(EDIT_COLUMNS[name] for name in names)),
        [
            line("pairs", lambda row: str(row["pairs"])),
            line("seconds (95 of 100 below)", seconds),
            line("edited region: right changes, of all made or asked", lambda row: share(row["region_iou"])),
            line("asked pixels that have their label", lambda row: share(row["moved"])),
            line("PSNR outside the region", lambda row: "no change" if row["outside_psnr"] > 100 else decibels(row["outside_psnr"])),
            line("seam, in 255ths", lambda row: share(row["seam"])),
            line("other sides: mIoU of what changes", lambda row: share(row["truth_miou"])),
            line("other sides: PSNR around it", lambda row: decibels(row["truth_psnr"])),
        ],
    )


def _invert(found: Mapping[str, Mapping[str, Any]]) -> str:
    names = [name for name in INVERT_COLUMNS if name in found]

    def line(told: str, cell: Callable[[Mapping[str, Any]], str]) -> Row:
        return told, [cell(found[name]) for name in names]

    return _table(
        ("", *(INVERT_COLUMNS[name] for name in names)),
        [
            line("heads", lambda row: str(row["heads"])),
            line("seconds, mean", lambda row: f"{row['seconds']:.{1 if row['seconds'] > 1 else 2}f}"),
            line("PSNR at the picture's view", lambda row: decibels(row["input_psnr"])),
            line("PSNR at ±30° and ±60°", lambda row: decibels(row["side_psnr"])),
            line("LPIPS (`heads-parser`) there", lambda row: share(row["side_lpips"])),
            line("mIoU of hair, face, clothes, background, at the picture's view", lambda row: share(row["input_miou_merged"])),
            line("— at ±30° and ±60°", lambda row: share(row["side_miou_merged"])),
            line("depth error at ±30° and ±60°, world units", lambda row: share(row["side_depth_error"], 3)),
            line("error of the camera", lambda row: f"{row['camera_error_degrees']:.1f}°"),
        ],
    )


def _encoder_views() -> str:
    means = {bool(row["consistency"]): row for row in _results("encoder-views")["means"]}
    both = (means[True], means[False])
    return _table(
        ("means over all yaws up to ±63°", "with the multi-view term", "without it"),
        [
            ("error of the geometry (mean face: 1)", [share(row["geometry"], 3) for row in both]),
            ("difference from what is found in the front view", [share(row["disagreement"], 3) for row in both]),
            ("mIoU of the labels from the front, base-15", [share(row["front_miou"], 3) for row in both]),
            ("error of the camera", [f"{row['camera_error_degrees']:.1f}°" for row in both]),
        ],
    )


LAYOUTS = ("nasal-wing-17", "eyes-19", "nose-19", "chin-20")
BOUNDS = ("oracle", "fixed-layout")
EDIT_COLUMNS = {
    "no-edit": "untouched",
    "original": "FFaceNeRF's",
    "original-no-overlap": "— without overlap loss",
    "ours-preview": "preview",
    "ours-converged": "converged",
    "ours-no-overlap": "— without overlap loss",
    "ours-no-keep": "— nothing kept",
    "oracle": "oracle",
}
INVERT_COLUMNS = {
    "encoder": "encoder",
    "original": "original",
    "original-posed": "original, true camera",
    "pivotal": "pivotal tuning",
    "ours": "`invert`",
    "ours-60s": "`invert`, 60 s",
    "oracle": "oracle",
}
TABLES: dict[str, Callable[[], str]] = {
    "fidelity": _fidelity,
    "classes": _classes,
    "fewshot": _fewshot,
    "samples": lambda: grid_table(_results("adapt-nasal-wing-17")),
    "layouts": _by_layouts,
    "render": _render,
    "render-gpu": lambda: _render("-gpu"),
    "transfer": _transfer,
    "edit": lambda: _edit(_results("edit")["methods"]),
    "edit-original": lambda: _edit(_results("edit-original")["methods"]),
    "edit-gpu": lambda: _edit(_results("edit-gpu")["methods"]),
    "invert": lambda: _invert(_results("invert")["methods"]),
    "invert-pivotal": lambda: _invert(_results("invert-pivotal")["methods"]),
    "encoder-views": _encoder_views,
    "invert-original": lambda: _invert(_results("invert-original")["methods"]),
}
