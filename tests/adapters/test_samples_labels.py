"""Label maps from other programs: which kinds are read, and what happens to pixels in colours of no class."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from PIL import Image

from fface_hub.adapters.samples_labels import read_painted, resample_labels
from fface_hub.errors import LayoutError
from fface_hub.layouts import LabelClass, Layout

LAYOUT = Layout(
    "three",
    (LabelClass("background", (0, 0, 0)), LabelClass("a", (200, 0, 0)), LabelClass("b", (0, 0, 200)), LabelClass("c", (100, 0, 100))),
)
IDS = np.arange(400).reshape(20, 20) % 4
COLORS = LAYOUT.colors.numpy()[IDS]


def png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def halves(mixed: dict[tuple[int, int], tuple[int, int, int]]) -> bytes:
    """20 × 20 pixels, the left ten columns of class a and the right ten of class b, with `mixed` pixels (column, row)."""
    image = Image.new("RGB", (20, 20), (200, 0, 0))
    image.paste((0, 0, 200), (10, 0, 20, 20))
    for place, color in mixed.items():
        image.putpixel(place, color)
    return png(image)


def test_palette_rgb_and_opaque_rgba_pictures_say_the_same() -> None:
    rgb = Image.fromarray(COLORS)
    rgba = rgb.copy()
    rgba.putalpha(255)
    palette = Image.fromarray((3 - IDS).astype(np.uint8))  # the palette in the opposite order
    palette.putpalette(LAYOUT.colors.flip(0).numpy().tobytes())
    for image in (rgb, rgba, palette, rgb.quantize(4)):
        painted = read_painted(png(image), LAYOUT)
        assert painted.snapped == 0 and torch.equal(painted.labels, torch.from_numpy(IDS))


def test_a_blend_of_neighbours_takes_one_of_them_not_a_third_class() -> None:
    # (110, 0, 90) is 14 from class c, (127, 127) from a and (142, 142) from b; c is nowhere near, so it is a.
    painted = read_painted(halves({(9, 5): (110, 0, 90), (10, 6): (90, 0, 110)}), LAYOUT)
    assert painted.snapped == 2
    assert painted.labels[5, 9] == 1 and painted.labels[6, 10] == 2
    assert set(painted.labels.unique().tolist()) == {1, 2}


def test_a_blend_without_neighbours_takes_the_nearest_of_all_classes() -> None:
    small = Image.new("RGB", (1, 1), (110, 0, 90))
    with pytest.raises(LayoutError, match="1 of 1 pixels"):
        read_painted(png(small), LAYOUT)  # one of one is 100 %
    # In a 50 × 50 picture 25 pixels are 1 %: a 5 × 5 block, whose middle has no neighbour of a class.
    image = Image.new("RGB", (50, 50), (0, 0, 200))
    image.paste((99, 0, 99), (20, 20, 25, 25))
    painted = read_painted(png(image), LAYOUT)
    assert painted.snapped == 25
    assert painted.labels[22, 22] == 3 and painted.labels[20, 20] == 2


def test_more_than_one_percent_is_refused_with_the_count() -> None:
    place = [(x, 0) for x in range(5)]
    read_painted(halves(dict.fromkeys(place[:4], (190, 0, 0))), LAYOUT)  # 4 of 400 are 1 %
    with pytest.raises(LayoutError, match=r"5 of 400 pixels \(1.2%\) .* column 0, row 0 with \(190, 0, 0\)"):
        read_painted(halves(dict.fromkeys(place, (190, 0, 0))), LAYOUT)


def test_transparent_pixels_are_refused_with_the_count() -> None:
    image = Image.fromarray(COLORS).convert("RGBA")
    image.putpixel((3, 3), (200, 0, 0, 254))
    with pytest.raises(LayoutError, match="has 1 transparent pixels"):
        read_painted(png(image), LAYOUT)


def test_a_square_of_a_label_map_at_another_resolution() -> None:
    labels = torch.arange(16).reshape(4, 4)
    # Centres of two new pixels across four old ones: 1 and 3.
    assert resample_labels(labels, 0, 0, 4, 2).tolist() == [[5, 7], [13, 15]]
    # From column −1, row 2, three pixels wide: columns −1, 0, 1 (the first one repeats column 0) and rows 2, 3, 4 (4 repeats 3).
    assert resample_labels(labels, -1, 2, 3, 3).tolist() == [[8, 8, 9], [12, 12, 13], [12, 12, 13]]
