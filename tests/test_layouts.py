"""Layouts: the published ones, their rules, and conversion between them."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from fface_hub.errors import LayoutError
from fface_hub.layouts import BASE_15, CHIN_20, EYES_19, FINE_24, LAYOUTS, NASAL_WING_17, NOSE_19, LabelClass, Layout


def layout(*classes: LabelClass) -> Layout:
    return Layout("test", (LabelClass("background", (0, 0, 0)), *classes))


def test_the_published_layouts_have_their_sizes_and_begin_with_base_15() -> None:
    sizes = {"base-15": 15, "nasal-wing-17": 17, "eyes-19": 19, "nose-19": 19, "chin-20": 20, "fine-24": 24}
    assert {name: len(item) for name, item in LAYOUTS.items()} == sizes
    assert all(item.names[:15] == BASE_15.names for item in LAYOUTS.values())
    assert set(FINE_24.names) == {name for item in LAYOUTS.values() for name in item.names}


@pytest.mark.parametrize(
    ("source", "name", "target", "expected"),
    [
        (NASAL_WING_17, "ala", BASE_15, "nose"),
        (EYES_19, "pupil", NASAL_WING_17, "iris"),  # the nearest ancestor, not the last
        (EYES_19, "pupil", BASE_15, "eye"),
        (NOSE_19, "nostril", BASE_15, "nose"),
        (CHIN_20, "teeth", BASE_15, "mouth"),
        (CHIN_20, "jaw", EYES_19, "skin"),
        (FINE_24, "eyelid", CHIN_20, "skin"),
        (FINE_24, "hair", EYES_19, "hair"),
    ],
)
def test_a_class_goes_to_its_nearest_ancestor(source: Layout, name: str, target: Layout, expected: str) -> None:
    labels = torch.full((1, 2, 2), source.index(name))
    assert (source.convert(labels, target) == target.index(expected)).all()


def test_a_class_of_ones_own_goes_through_published_parents() -> None:
    # 'iris' is not of this layout, but where it merges is known: spot → iris → eye.
    own = layout(LabelClass("eye", (1, 1, 1)), LabelClass("spot", (2, 2, 2), parent="iris"))
    assert own.table_to(BASE_15).tolist() == [0, BASE_15.index("eye"), BASE_15.index("eye")]
    assert own.table_to(NASAL_WING_17)[2] == NASAL_WING_17.index("iris")


def test_a_class_without_an_ancestor_cannot_be_converted() -> None:
    with pytest.raises(LayoutError, match=r"'tattoo'.*has no parent in layout 'base-15'"):
        layout(LabelClass("tattoo", (1, 1, 1))).table_to(BASE_15)


def test_a_layout_survives_its_json_form() -> None:
    assert Layout.from_dict(EYES_19.to_dict()) == EYES_19


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        ([LabelClass("nose", (1, 1, 1)), LabelClass("NOSE", (2, 2, 2))], "called 'NOSE'"),
        ([LabelClass("nose", (0, 0, 0))], "same colour"),
        ([LabelClass("nose", (0, 0, 256))], "from 0 to 255"),
        ([LabelClass("nose", (0, 0, 1.0))], "from 0 to 255"),  # pyright: ignore[reportArgumentType]
        ([LabelClass(" ", (1, 1, 1))], "printable"),
        ([LabelClass("a\nb", (1, 1, 1))], "printable"),
        ([LabelClass("nose", (1, 1, 1)), LabelClass("nose ", (2, 2, 2))], "without spaces"),
        ([LabelClass("n" * 41, (1, 1, 1))], "1 to 40"),
        ([LabelClass("L:eye", (1, 1, 1))], "looks like a path"),  # no adapter of it could be saved
        ([LabelClass("wait..", (1, 1, 1))], "looks like a path"),
        ([LabelClass("a\\b", (1, 1, 1))], "looks like a path"),
        ([LabelClass("a", (1, 1, 1), "b"), LabelClass("b", (2, 2, 2), "a")], "ring"),
        ([LabelClass("a", (1, 1, 1), "a")], "ring"),
        ([LabelClass(f"c{i}", (i // 256, i % 256, 1)) for i in range(300)], "between 1 and 64"),
    ],
)
def test_a_broken_layout_is_refused(classes: list[LabelClass], message: str) -> None:
    with pytest.raises(LayoutError, match=message):
        layout(*classes)


def test_a_layout_needs_a_class() -> None:
    with pytest.raises(LayoutError, match="has 0"):
        Layout("empty", ())


@pytest.mark.parametrize(
    "data",
    [
        None,
        [],
        {"name": "x"},
        {"name": "x", "classes": [], "more": 1},
        {"name": "x", "classes": [{"name": "a"}]},
        {"name": "x", "classes": [{"name": "a", "color": "red"}]},
        {"name": "x", "classes": [{"name": "a", "color": [0, 0]}]},
        {"name": "x", "classes": [{"name": 3, "color": [0, 0, 0]}]},
        {"name": "x", "classes": [{"name": "a", "color": [0, 0, 0], "parent": 3}]},
        {"name": "x", "classes": [{"name": "a", "color": [0, 0, 0], "code": "x"}]},
    ],
)
def test_json_of_another_form_is_refused(data: Any) -> None:
    with pytest.raises(LayoutError):
        Layout.from_dict(data)


def test_an_unknown_class_is_named_in_the_error() -> None:
    with pytest.raises(LayoutError, match="no class 'moustache'"):
        BASE_15.index("moustache")


@pytest.mark.parametrize(
    "entry", [{"name": "a", "color": [1] * 1000}, {"name": "a" * 1000, "color": 1}, {"name": ["a"] * 1000, "color": 1}]
)
def test_the_sentence_about_an_endless_entry_is_short(entry: dict) -> None:
    with pytest.raises(LayoutError) as told:
        Layout.from_dict({"name": "x", "classes": [entry]})
    assert len(str(told.value)) < 200
