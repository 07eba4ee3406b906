"""Line charts: round ticks, and lines where they belong."""

from __future__ import annotations

import pytest
from PIL import ImageColor

from fface_hub.benchmarks.plots import BOTTOM, COLORS, HEIGHT, LEFT, RIGHT, TOP, WIDTH, Panel, draw, ticks


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0, 10, [0, 2, 4, 6, 8, 10]),
        (0, 0.9, [0, 0.2, 0.4, 0.6, 0.8, 1.0]),
        (0, 64, [0, 20, 40, 60, 80]),
        (-3, 2, [-3, -2, -1, 0, 1, 2]),
        (0, 0, [0]),
    ],
)
def test_ticks_are_round_and_span_the_values(low: float, high: float, expected: list[float]) -> None:
    assert ticks(low, high) == pytest.approx(expected)


def test_a_line_runs_where_its_points_are() -> None:
    picture = draw([Panel("one", "x", {"line": [(0, 0), (10, 10)]})])
    assert picture.size == (WIDTH, HEIGHT)
    color = ImageColor.getrgb(COLORS[0])
    left, right, low, high = LEFT, WIDTH - RIGHT, HEIGHT - BOTTOM, TOP
    for x, y in ((left, low), (right, high), ((left + right) // 2, (low + high) // 2)):
        assert picture.getpixel((x, y)) == color
    assert picture.getpixel((left + 20, high + 20)) != color


def test_panels_fill_rows_of_three() -> None:
    panel = Panel("p", "x", {"a": [(1, 2.0)], "b": [(1, 3.0)]})
    assert draw([panel] * 4).size == (3 * WIDTH, 2 * HEIGHT)
    assert draw([panel] * 2).size == (2 * WIDTH, HEIGHT)


def test_a_chart_may_start_at_its_lowest_value() -> None:
    picture = draw([Panel("high", "x", {"line": [(0, 0.8), (10, 0.9)]}, from_zero=False)])
    assert picture.getpixel((LEFT, HEIGHT - BOTTOM)) == ImageColor.getrgb(COLORS[0])
    assert draw([Panel("high", "x", {"line": [(0, 0.8), (10, 0.9)]})]).getpixel((LEFT, HEIGHT - BOTTOM)) != ImageColor.getrgb(COLORS[0])


def test_names_that_need_a_second_line_get_one() -> None:
    names = ["full", "no-injection", "no-lmta", "mix-all", "original", "fixed-layout", "oracle"]
    picture = draw([Panel("many", "x", {name: [(0, 0), (1, 1)] for name in names})])
    last = ImageColor.getrgb(COLORS[len(names) - 1])
    named = [x for x in range(WIDTH) for y in range(TOP - 15, TOP - 4) if picture.getpixel((x, y)) == last]
    assert named and max(named) < WIDTH - RIGHT
