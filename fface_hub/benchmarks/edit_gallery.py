"""Sheets of edits for eyes: a row for each pair, small enough to be kept beside the figures."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from fface_hub.doors import to_image
from fface_hub.editing.windows import Window

CELL, GAP, TEXT, HEAD = 64, 2, 146, 30
"""Pixels: a picture's side, what is between two, the column of words, the line of titles."""
ROWS = 24
"""Pairs on a sheet."""
MARGIN, LEAST_WINDOW = 8, 44
"""Fronts are cut out around the region, this much larger, and not smaller than that (of 128 pixels)."""
QUALITY = 70
"""Of what is saved with losses: all 72 pairs take about 550 kB as WebP."""
FRONTS = (
    ("pair", "before", "before"),
    ("pair", "target", "target"),
    ("original", "front", "original"),
    ("ours-preview", "front", "preview"),
    ("ours-converged", "front", "converged"),
    ("oracle", "front", "oracle"),
    ("pair", "truth", "truth"),
)
"""Row, picture and title of the columns from the front."""
SIDES = (("ours-converged", "side", "converged"), ("oracle", "side", "oracle"), ("pair", "side", "truth"))
"""Those from the side."""
INK, PALE = "#222222", "#eeeeee"
SUFFIXES = (".webp", ".jpg", ".jpeg", ".png")


def front_window(region: Tensor) -> list[int]:
    """Left, top and side, in pixels, of the square of a picture that shows `region [h,h]` (bool)."""
    size = region.shape[0]
    window = Window.around(region, MARGIN * size // 128, LEAST_WINDOW * size // 128)
    return [window.left, window.top, window.side]


def pack(picture: Tensor, lossless: bool = False) -> str:
    """Picture `[3,h,h]` in [-1, 1] as text: a JPEG (PNG if `lossless`) in base 64."""
    buffer = io.BytesIO()
    to_image(picture).save(buffer, "PNG" if lossless else "JPEG", quality=90)
    return base64.b64encode(buffer.getvalue()).decode()


def unpack(text: str) -> Image.Image:
    """Inverse of `pack`."""
    return Image.open(io.BytesIO(base64.b64decode(text))).convert("RGB")


def write_gallery(path: Path, pairs: Sequence[Mapping[str, Mapping[str, Any]]]) -> list[Path]:
    """Sheets of `pairs` (see `edit_report`), 24 each, into `path`, or into NAME-1, NAME-2 … beside it if one does not hold them all.

    Its suffix says in which format: .webp is the smallest, .jpg takes half as much again, .png five times as much. Returns the files.
    `OSError`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    parts = [pairs[start : start + ROWS] for start in range(0, len(pairs), ROWS)]
    files = [path if len(parts) == 1 else path.with_stem(f"{path.stem}-{number}") for number in range(1, len(parts) + 1)]
    for file, part in zip(files, parts, strict=True):
        sheet(part).save(file, quality=QUALITY, optimize=True, method=6)
    return files


def sheet(pairs: Sequence[Mapping[str, Mapping[str, Any]]]) -> Image.Image:
    """One row for each of `pairs`, a line of titles above; where a method did not run there is nothing."""
    columns = [*FRONTS, *SIDES]
    picture = Image.new("RGB", (TEXT + (CELL + GAP) * len(columns) + 3 * GAP, HEAD + (CELL + GAP) * len(pairs)), "white")
    pen, font = ImageDraw.Draw(picture), ImageFont.load_default(10)
    for number, (_, kind, title) in enumerate(columns):
        pen.text((_left(number), HEAD - 14), title, INK, font)
        if kind == "side" and number == len(FRONTS):
            pen.text((_left(number), 2), "30\N{DEGREE SIGN} to the side", INK, font)
    for index, rows in enumerate(pairs):
        top = HEAD + (CELL + GAP) * index
        pen.multiline_text((3, top + 2), _words(rows), INK, font, spacing=1)
        for number, (method, kind, _) in enumerate(columns):
            if method not in rows:
                pen.rectangle((_left(number), top, _left(number) + CELL - 1, top + CELL - 1), PALE)
                continue
            cell = unpack(rows[method]["pictures"][kind])
            if number < len(FRONTS):
                left, upper, side = rows["pair"]["window"]
                cell = cell.crop((left, upper, left + side, upper + side))
            how = Image.Resampling.NEAREST if kind == "target" else Image.Resampling.BICUBIC
            picture.paste(cell.resize((CELL, CELL), how), (_left(number), top))
    return picture


def _left(number: int) -> int:
    return TEXT + (CELL + GAP) * number + (3 * GAP if number >= len(FRONTS) else 0)


def _words(rows: Mapping[str, Mapping[str, Any]]) -> str:
    """What is edited, and the IoU of the region by method."""
    pair = rows["pair"]
    named = (("original", "original"), ("preview", "ours-preview"), ("conv.", "ours-converged"), ("oracle", "oracle"))
    scores = [f"{title} {rows[method]['region_iou']:.2f}".replace(" 0.", " .") for title, method in named if method in rows]
    lines = [pair["edit"], f"{pair['region']} px, {pair['layout']}"]
    return "\n".join([*lines, *(", ".join(scores[start : start + 2]) for start in range(0, len(scores), 2))])
