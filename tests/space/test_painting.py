"""Painting is exact: ids survive the way through the editor's colours, and edges never invent a class."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw

from fface_hub.errors import LayoutError
from fface_hub.layouts import FINE_24, LAYOUTS, LabelClass, Layout
from space.painting import CANVAS, display_colors, editor_value, hex_color, overlay, painted_labels, palette_css


def empty() -> Image.Image:
    return Image.new("RGBA", (CANVAS, CANVAS), (0, 0, 0, 0))


def color(layout: Layout, name: str) -> tuple[int, int, int]:
    red, green, blue = (int(c) for c in display_colors(layout)[layout.index(name)])
    return red, green, blue


@pytest.mark.parametrize("name", sorted(LAYOUTS))
def test_display_colors_are_well_apart(name: str) -> None:
    colors = display_colors(LAYOUTS[name]).astype(int)
    gaps = np.abs(colors[:, None] - colors[None]).max(-1) + 1000 * np.eye(len(colors), dtype=int)
    assert gaps.min() > 10  # far more than the 2 within which a stroke is taken for a colour


def test_unknown_and_many_classes_get_different_colors() -> None:
    layout = Layout("many", tuple(LabelClass(f"class {i}", (i, 0, 0)) for i in range(64)))
    assert len({tuple(c) for c in display_colors(layout).tolist()}) == 64


def test_every_class_painted_over_the_whole_map_comes_back_exactly() -> None:
    labels = torch.randint(0, len(FINE_24), (128, 128), generator=torch.Generator().manual_seed(0))
    strokes = Image.fromarray(display_colors(FINE_24)[labels.numpy()]).resize((CANVAS, CANVAS), Image.Resampling.NEAREST).convert("RGBA")
    assert torch.equal(painted_labels([strokes], torch.zeros_like(labels), FINE_24), labels)


def test_a_rectangle_changes_its_pixels_and_no_other() -> None:
    # 512 / 128 = 4 canvas pixels a label pixel; canvas columns 40..79 are label columns 10..19, rows 80..87 are rows 20 and 21.
    layer = empty()
    ImageDraw.Draw(layer).rectangle((40, 80, 79, 87), fill=(*color(FINE_24, "lips"), 255))
    target = painted_labels([layer], torch.full((128, 128), 1), FINE_24)
    assert (target == FINE_24.index("lips")).sum() == 20
    assert (target[20:22, 10:20] == FINE_24.index("lips")).all()


def test_half_a_label_pixel_counts_and_less_does_not() -> None:
    layer = empty()
    draw = ImageDraw.Draw(layer)
    draw.rectangle((0, 0, 1, 3), fill=(*color(FINE_24, "hair"), 255))  # 2 × 4 = 8 of 16
    draw.rectangle((8, 0, 8, 3), fill=(*color(FINE_24, "hair"), 255))  # 1 × 4 = 4 of 16
    target = painted_labels([layer], torch.full((128, 128), 1), FINE_24)
    assert target[0, 0] == FINE_24.index("hair") and target[0, 2] == 1


def test_a_mixed_edge_takes_a_painted_class() -> None:
    """Between lips and teeth the mixed colour is close to others; the pixel must take one of the two neighbours."""
    layer = empty()
    first, second = color(FINE_24, "lips"), color(FINE_24, "teeth")
    mixed = tuple((a + b) // 2 for a, b in zip(first, second, strict=True))
    draw = ImageDraw.Draw(layer)
    draw.rectangle((0, 0, 15, 31), fill=(*first, 255))
    draw.rectangle((16, 0, 19, 31), fill=(*mixed, 255))
    draw.rectangle((20, 0, 31, 31), fill=(*second, 255))
    target = painted_labels([layer], torch.ones(128, 128, dtype=torch.int64), FINE_24)
    assert set(target[:8, :8].unique().tolist()) == {FINE_24.index("lips"), FINE_24.index("teeth")}


def test_strokes_in_no_class_color_are_refused() -> None:
    layer = Image.new("RGBA", (CANVAS, CANVAS), (1, 250, 2, 255))
    with pytest.raises(LayoutError, match="none of the colours"):
        painted_labels([layer], torch.zeros(128, 128, dtype=torch.int64), FINE_24)


def test_no_strokes_change_nothing_and_later_layers_win() -> None:
    labels = torch.ones(64, 64, dtype=torch.int64)
    assert torch.equal(painted_labels([], labels, FINE_24), labels)
    assert torch.equal(painted_labels([empty()], labels, FINE_24), labels)
    below = Image.new("RGBA", (CANVAS, CANVAS), (*color(FINE_24, "hair"), 255))
    above = Image.new("RGBA", (CANVAS, CANVAS), (*color(FINE_24, "nose"), 255))
    assert (painted_labels([below, above], labels, FINE_24) == FINE_24.index("nose")).all()


def test_overlay_at_full_opacity_is_the_label_colors() -> None:
    labels = torch.zeros(128, 128, dtype=torch.int64)
    labels[:, 64:] = 7
    picture = np.asarray(overlay(torch.zeros(3, 128, 128), labels, FINE_24, 1.0))
    assert picture.shape == (CANVAS, CANVAS, 3)
    assert (picture[:, :256] == display_colors(FINE_24)[0]).all() and (picture[:, 256:] == display_colors(FINE_24)[7]).all()
    assert set(editor_value(Image.fromarray(picture))) == {"background", "layers", "composite"}


def test_style_sheet_and_brush_name_the_same_color() -> None:
    red, green, blue = color(FINE_24, "nose")
    assert f"nth-of-type({FINE_24.index('nose') + 1})::before {{ background: rgb({red},{green},{blue})" in palette_css(FINE_24)
    assert hex_color(FINE_24, FINE_24.index("nose")) == f"#{red:02x}{green:02x}{blue:02x}"
