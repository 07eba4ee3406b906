"""Painting is exact: ids survive the way to the browser and back, what comes back is checked, and colours can be told apart."""

from __future__ import annotations

import base64
import json
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from fface_hub.errors import LayoutError
from fface_hub.layouts import FINE_24, LAYOUTS, LabelClass, Layout
from space.painting import SIDE, display_colors, outcome, overlay, read_painted, sheet

# How a colour (linear RGB) looks to who lacks one kind of cone: Machado, Oliveira and Fernandes 2009, table 1, severity 1.
VISIONS = {
    "normal": np.eye(3),
    "protanopia": np.array([[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]),
    "deuteranopia": np.array([[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]),
    "tritanopia": np.array([[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]]),
}
MEETING = ("skin nose", "skin brow", "skin eye", "skin lips", "skin hair", "skin ear", "skin neck", "lips mouth", "neck cloth", "hair hat")


def lab(colors: NDArray[Any], vision: str) -> NDArray[Any]:
    """sRGB `[K,3]` in 255ths → CIELAB (D65), as seen with that vision."""
    unit = colors / 255
    linear = np.where(unit <= 0.04045, unit / 12.92, ((unit + 0.055) / 1.055) ** 2.4)
    seen = np.clip(linear @ VISIONS[vision].T, 0, 1)
    to_xyz = np.array([[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]])
    xyz = seen @ to_xyz.T / (0.95047, 1.0, 1.08883)
    x, y, z = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116).T
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1)


@pytest.mark.parametrize("vision", VISIONS)
@pytest.mark.parametrize("name", sorted(LAYOUTS))
def test_classes_can_be_told_apart_with_any_colour_vision(name: str, vision: str) -> None:
    layout = LAYOUTS[name]
    seen = lab(display_colors(layout).astype(float), vision)
    distance = np.linalg.norm(seen[:, None] - seen[None], axis=-1) + 1000 * np.eye(len(seen))
    assert distance.min() > 15  # a difference of 2 can just be seen
    for first, second in (pair.split() for pair in MEETING):
        assert distance[layout.index(first), layout.index(second)] > 30, (first, second)


def test_unknown_and_many_classes_get_different_colors() -> None:
    layout = Layout("many", tuple(LabelClass(f"class {i}", (i, 0, 0)) for i in range(64)))
    assert len({tuple(c) for c in display_colors(layout).tolist()}) == 64


def test_a_layouts_own_colors_are_shown_where_they_can_be_told_apart() -> None:
    def shown(*colors: tuple[int, int, int]) -> list[list[int]]:
        return display_colors(Layout("own", tuple(LabelClass(f"class {k}", c) for k, c in enumerate(colors)))).tolist()

    assert shown((0, 0, 0), (45, 0, 0)) == [[0, 0, 0], [45, 0, 0]] and shown((9, 9, 9)) == [[9, 9, 9]]
    assert shown((0, 0, 0), (44, 0, 0)) != [[0, 0, 0], [44, 0, 0]]


def test_marks_tell_sheets_apart() -> None:
    labels = torch.zeros(4, 4, dtype=torch.int64)
    given = sheet(torch.zeros(3, 4, 4), labels, FINE_24, mark="1")
    assert torch.equal(read_painted({**given, "revision": 3}, labels, FINE_24, "1")[0], labels)
    with pytest.raises(LayoutError, match="has changed since"):
        read_painted(given, labels, FINE_24, "2")


@pytest.mark.parametrize("size", [128, 256, 512])
def test_no_pixel_is_altered_on_the_way_there_and_back(size: int) -> None:
    labels = torch.randint(0, len(FINE_24), (size, size), generator=torch.Generator().manual_seed(0))
    given = json.loads(json.dumps(sheet(torch.zeros(3, size, size), labels, FINE_24, painted=labels)))
    assert given["labels"] == given["painted"] and given["picture"].startswith("data:image/png;base64,")
    painted, revision = read_painted(given, labels, FINE_24)
    assert painted.dtype == torch.int64 and int((painted != labels).sum()) == 0 and revision == 0


def test_ids_are_one_byte_each_from_left_to_right() -> None:
    labels = torch.tensor([[0, 1], [2, 23]])
    assert base64.b64decode(sheet(torch.zeros(3, 2, 2), labels, FINE_24)["labels"]) == bytes([0, 1, 2, 23])


def painted_value(**changed: Any) -> Any:
    """What a browser sends of an untouched 2 × 2 map, with something `changed`."""
    value = {**sheet(torch.zeros(3, 2, 2), torch.zeros(2, 2, dtype=torch.int64), FINE_24), "revision": 3, **changed}
    return {key: item for key, item in value.items() if item is not ...}


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        *[
            (value, "no label map of 2 × 2 pixels")
            for value in (None, "", [], 7, {}, painted_value(labels=None), painted_value(labels=...))
        ],
        *[
            (painted_value(labels=text), "no label map")
            for text in ("AAAA", "AAAAAAAA", "AAAA=A==", "ÄAAAAA==", "AAAAAA=" + chr(0), "A" * 99)
        ],
        *[(painted_value(size=size), "no label map") for size in (3, "2", None, 2.5)],
        *[(painted_value(revision=revision), "no label map") for revision in (-1, "1", None, True, 1.5)],
        *[(painted_value(id=name), "has changed since") for name in ("", None, 7, "0" * 16)],
        (painted_value(labels=base64.b64encode(bytes([0, 0, 0, 24])).decode()), "classes beyond the 24"),
    ],
)
def test_what_a_browser_sends_is_not_believed(value: Any, sentence: str) -> None:
    with pytest.raises(LayoutError, match=sentence):
        read_painted(value, torch.zeros(2, 2, dtype=torch.int64), FINE_24)


def test_a_map_of_another_layout_with_equal_ids_is_another() -> None:
    labels = torch.zeros(2, 2, dtype=torch.int64)
    with pytest.raises(LayoutError, match="has changed since"):
        read_painted(painted_value(), labels, LAYOUTS["base-15"])


def test_overlay_at_full_opacity_is_the_label_colors() -> None:
    labels = torch.zeros(128, 128, dtype=torch.int64)
    labels[:, 64:] = 7
    picture = np.asarray(overlay(torch.zeros(3, 128, 128), labels, FINE_24, 1.0))
    assert picture.shape == (SIDE, SIDE, 3)
    assert (picture[:, :256] == display_colors(FINE_24)[0]).all() and (picture[:, 256:] == display_colors(FINE_24)[7]).all()


def test_an_edit_that_achieved_little_is_told_as_such() -> None:
    assert outcome(203, 0.74) == "Done: 203 label pixels painted, 74% of the edited region has the label you asked for."
    assert outcome(1, 0.0).startswith("Done: 1 label pixel painted, 0% of") and "That is little: try a larger stroke" in outcome(1, 0.0)
