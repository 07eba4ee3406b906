"""Layouts in the making: what a list of classes means, that paint follows its class, and that suggestions leave strokes alone."""

from __future__ import annotations

import base64
from typing import Any

import pytest
import torch

from fface_hub.adapters.adapter import Adapter
from fface_hub.adapters.samples_new import propose
from fface_hub.errors import LayoutError
from fface_hub.generators.triplane import TriplaneGenerator
from fface_hub.layouts import BASE_15, EYES_19, Layout
from space import limits
from space.drafts import Draft, Own, class_list, file_name, read_classes
from space.painting import display_colors, sheet_id

NOSE, SKIN, HAIR = (BASE_15.index(name) for name in ("nose", "skin", "hair"))


def row(key: int, name: str, part: int | None = None, takes: tuple[str, ...] = (), color: tuple[int, ...] | None = None) -> dict[str, Any]:
    return {"key": key, "name": name, "color": list(color or (40 * key, 90, 0)), "part": part, "takes": list(takes)}


def three() -> dict[str, Any]:
    """Background and hair as they are known, and everything of the face as one."""
    faces = ("skin", "brow", "eye", "nose")
    return {"list": "a", "rows": [row(0, "background"), row(1, " whole  face ", takes=faces), row(2, "hair", takes=("hair",))]}


def draft(generator: TriplaneGenerator, rows: dict[str, Any], count: int = 2) -> Draft:
    found = Draft("base", BASE_15, read_classes(rows, "mine", BASE_15, BASE_15), rows["list"])
    for number, sample in enumerate(propose(generator, BASE_15, count, resolution=16)):
        found.add(sample, number)
    return found


def sent(made: Draft, labels: torch.Tensor, revision: int = 1) -> dict[str, Any]:
    """What the canvas sends for the face that is on it."""
    text = base64.b64encode(bytes(labels.to(torch.uint8).flatten().tolist())).decode()
    return {"id": sheet_id(made.face.start, made.layout, str(made.now)), "size": 16, "revision": revision, "labels": text}


def test_a_list_becomes_a_layout_with_parents_and_a_start() -> None:
    rows = three()
    rows["rows"].append(row(3, "beard", part=1))
    classes = read_classes(rows, "  my  layout ", BASE_15, BASE_15)
    assert classes.layout.name == "my layout" and classes.layout.names == ["background", "whole face", "hair", "beard"]
    assert [item.parent for item in classes.layout.classes] == [None, "skin", None, "whole face"]
    assert classes.keys == (0, 1, 2, 3)
    table = classes.table.tolist()
    assert table[NOSE] == table[SKIN] == 1 and table[HAIR] == 2 and table[0] == table[BASE_15.index("neck")] == 0
    assert int(classes.layout.table_to(BASE_15)[3]) == SKIN  # so it fits what the generator knows


def test_a_part_that_the_generator_does_not_know_goes_to_what_it_is_part_of() -> None:
    rows = {"rows": [row(0, "background"), row(1, "hole", takes=("pupil",)), row(2, "iris", takes=("iris",))]}
    classes = read_classes(rows, "eyes", EYES_19, BASE_15)
    assert [item.parent for item in classes.layout.classes] == [None, "iris", "eye"]


def test_a_new_list_shows_the_colours_of_the_page() -> None:
    given = class_list(BASE_15, BASE_15.names)
    classes = read_classes(given, "copy", BASE_15, BASE_15)
    assert classes.layout.names == BASE_15.names and classes.table.tolist() == list(range(15))
    assert torch.equal(classes.layout.colors, torch.from_numpy(display_colors(BASE_15)))
    assert display_colors(classes.layout).tolist() == classes.layout.colors.tolist()  # what is chosen is what is shown


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"rows": None}, "damaged"),
        ({"rows": [1, 2]}, "damaged"),
        ({"rows": [row(0, "a"), {**row(1, "b"), "key": "1"}]}, "damaged"),
        ({"rows": [row(0, "a"), {**row(1, "b"), "takes": [1]}]}, "damaged"),
        ({"rows": [row(0, "a"), row(0, "b", color=(1, 1, 1))]}, "damaged"),
        ({"rows": [row(k, f"c{k}", color=(k, 0, 0)) for k in range(65)]}, "damaged"),
        ({"rows": [row(0, "a")]}, "at least two"),
        ({"rows": [row(0, "a"), row(1, " ")]}, "Class 1 has no name"),
        ({"rows": [row(0, "a"), row(1, "A")]}, "rename one"),
        ({"rows": [row(0, "a"), row(1, "b" * 41)]}, "1 to 40 printable"),
        ({"rows": [row(0, "a"), row(1, "b\u202ec")]}, "printable"),
        ({"rows": [row(0, "a", color=(1, 2, 3)), row(1, "b", color=(1, 2, 3))]}, "same colour"),
        ({"rows": [row(0, "a"), row(1, "b", color=(1, 2, 300))]}, "0 to 255"),
        ({"rows": [row(0, "a", part=1), row(1, "b", part=0)]}, "ring"),
    ],
)
def test_a_list_from_a_stranger_is_checked(change: dict[str, Any], sentence: str) -> None:
    with pytest.raises(LayoutError, match=sentence):
        read_classes({**three(), **change}, "mine", BASE_15, BASE_15)


def test_paint_is_kept_for_its_own_face_only(tiny_generator: TriplaneGenerator) -> None:
    made = draft(tiny_generator, three())
    first = made.face
    painted = first.start.long()
    painted[:4] = 2
    value = sent(made, painted, revision=5)
    assert made.keep(value) == 5 and torch.equal(first.labels.long(), painted) and first.painted and made.version == 1
    assert made.keep(value) == 5 and made.version == 1  # nothing new
    made.now = 1
    made.face.start = made.face.labels = first.start.clone()  # labels of faces can start alike
    assert made.keep(value) is None and not made.face.painted
    with pytest.raises(LayoutError, match="no label map"):
        made.keep({**sent(made, painted), "labels": "AAAA"})
    assert made.keep({"id": 1}) is None and made.keep(None) is None


def test_suggestions_go_under_the_strokes(tiny_generator: TriplaneGenerator) -> None:
    made = draft(tiny_generator, three(), 1)
    face = made.face
    painted = face.start.long()
    painted[0] = 1 - painted[0].clamp(max=1)  # something else than it was
    made.keep(sent(made, painted))
    face.suggest(torch.full((16, 16), 2))
    assert torch.equal(face.labels[0].long(), painted[0]) and bool((face.labels[1:] == 2).all()) and bool((face.start == 2).all())
    assert face.painted and face.advised


def test_paint_follows_its_class(tiny_generator: TriplaneGenerator) -> None:
    made = draft(tiny_generator, three())
    painted = made.face.start.long()
    painted[0], painted[1] = 1, 2
    made.keep(sent(made, painted))
    face, old = made.face, made.face.start.clone()
    rows = {"list": "a", "rows": [row(0, "rest"), row(2, "locks", takes=("hair",)), row(4, "skin", takes=("skin",))]}  # 1 is gone
    made.change("base", BASE_15, read_classes(rows, "mine", BASE_15, BASE_15), "a")
    was_hair = painted[1] != old[1].long()
    assert was_hair.any() and bool((face.labels[1][was_hair] == 1).all())
    assert torch.equal(face.labels[0], face.start[0]) and face.start.max() <= 2
    fresh = [item for item in made.faces if not item.painted]
    assert fresh and all(torch.equal(item.start, made.classes.table[item.known.long()].to(torch.uint8)) for item in fresh)


def test_another_start_keeps_what_is_painted_and_drops_the_rest(tiny_generator: TriplaneGenerator) -> None:
    made = draft(tiny_generator, three())
    made.now = 1
    made.finish()
    before = made.face.labels.clone()
    rows = {"list": "b", "rows": [row(0, "background"), row(1, "hair", takes=("hair",)), row(2, "whole face")]}
    made.change("eyes", EYES_19, read_classes(rows, "mine", EYES_19, BASE_15), "b")
    assert [face.number for face in made.faces] == [1]
    moved = torch.tensor([0, 2, 1], dtype=torch.uint8)  # by name: the list is another
    assert torch.equal(made.face.labels, moved[before.long()])


def test_few_layouts_are_remembered_and_the_oldest_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "LAYOUTS", 2)
    own = Own()
    adapters = [Adapter(Layout(name, BASE_15.classes).to_dict(), "x", "0" * 64) for name in ("a", "b", "a", "c")]
    for adapter in adapters:
        own.add(adapter)
    assert list(own.adapters) == ["a (yours, 2)", "c (yours)"] and own.adapters["a (yours, 2)"] is adapters[2]
    assert file_name(Layout("Nasen & Flügel", BASE_15.classes)) == "nasen-fl-gel" and file_name(Layout("鼻", BASE_15.classes)) == "layout"
