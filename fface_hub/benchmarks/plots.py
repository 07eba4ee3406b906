"""Line charts of benchmark figures as pictures, drawn with Pillow alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import ceil, floor, log10
from typing import Any

from PIL import Image, ImageDraw, ImageFont

Points = Sequence[tuple[float, float]]
Place = Callable[[float, float], tuple[float, float]]  # from values to pixels

WIDTH, HEIGHT = 420, 300
LEFT, RIGHT, TOP, BOTTOM = 50, 16, 50, 42  # around the axes
COLORS = ("#1f6fb2", "#d1631f", "#3a8f3a", "#8a4fa8", "#b02a4c", "#5b5b5b", "#b08a00", "#00888f")
INK, GRID = "#222222", "#dddddd"


@dataclass(frozen=True)
class Panel:
    """One chart: a title, the name of the x axis, and named lines of (x, y) points. The x axis starts at 0 unless a value is below, and so
    does the y axis, unless it may start at its lowest value (not `from_zero`)."""

    title: str
    x_label: str
    series: Mapping[str, Points]
    from_zero: bool = True


def draw(panels: Sequence[Panel], columns: int = 3) -> Image.Image:
    """`panels` side by side, `columns` in a row."""
    picture = Image.new("RGB", (WIDTH * min(columns, len(panels)), HEIGHT * ceil(len(panels) / columns)), "white")
    for number, panel in enumerate(panels):
        picture.paste(_draw_panel(panel), (WIDTH * (number % columns), HEIGHT * (number // columns)))
    return picture


def ticks(low: float, high: float, wanted: int = 5) -> list[float]:
    """About `wanted` round numbers (1, 2 or 5 times a power of ten apart) that span `low` to `high`."""
    spread = (high - low) or abs(high) or 1.0
    power = 10.0 ** floor(log10(spread / wanted))
    step = next(power * factor for factor in (1, 2, 5, 10) if spread / (power * factor) <= wanted)
    return [round(index * step, 12) for index in range(floor(low / step), ceil(high / step - 1e-9) + 1)]


def _draw_panel(panel: Panel) -> Image.Image:
    picture = Image.new("RGB", (WIDTH, HEIGHT), "white")
    pen, font = ImageDraw.Draw(picture), ImageFont.load_default(12)
    points = [point for line in panel.series.values() for point in line]
    x_ticks = ticks(min(0.0, *(x for x, _ in points)), max(x for x, _ in points), wanted=7)
    y_ticks = ticks(min([0.0] * panel.from_zero + [y for _, y in points]), max(y for _, y in points))

    def place(x: float, y: float) -> tuple[float, float]:
        across = (x - x_ticks[0]) / ((x_ticks[-1] - x_ticks[0]) or 1)
        up = (y - y_ticks[0]) / ((y_ticks[-1] - y_ticks[0]) or 1)
        return LEFT + across * (WIDTH - LEFT - RIGHT), HEIGHT - BOTTOM - up * (HEIGHT - TOP - BOTTOM)

    for y in y_ticks:
        pen.line([place(x_ticks[0], y), place(x_ticks[-1], y)], fill=GRID)
        pen.text((LEFT - 6, place(0, y)[1]), f"{y:g}", fill=INK, font=font, anchor="rm")
    for x in x_ticks:
        pen.text((place(x, 0)[0], HEIGHT - BOTTOM + 6), f"{x:g}", fill=INK, font=font, anchor="ma")
    pen.text((WIDTH / 2, HEIGHT - 6), panel.x_label, fill=INK, font=font, anchor="md")
    pen.text((LEFT, 8), panel.title, fill=INK, font=font)
    _draw_lines(pen, panel.series, place, font)
    return picture


def _draw_lines(pen: ImageDraw.ImageDraw, series: Mapping[str, Points], place: Place, font: Any) -> None:
    across, down = float(LEFT), TOP - 28  # of the names: two lines of them have room
    for color, (name, line) in zip(COLORS, series.items(), strict=False):
        spots = [place(x, y) for x, y in line]
        pen.line(spots, fill=color, width=2)
        for x, y in spots:
            pen.ellipse((x - 3, y - 3, x + 3, y + 3), fill=color)
        if across + pen.textlength(name, font=font) > WIDTH - RIGHT:
            across, down = float(LEFT), down + 13
        pen.text((across, down), name, fill=color, font=font)
        across += pen.textlength(name, font=font) + 14
