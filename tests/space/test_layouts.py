"""The handlers of the New layout tab on a tiny generator: a layout from names to files, whatever a visitor presses in between."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gradio as gr
import pytest
import torch

from fface_hub.adapters.adapter import Adapter
from fface_hub.adapters.mixing import Mixing
from fface_hub.adapters.plan import FitSettings
from fface_hub.errors import CancelledError, ModelError
from fface_hub.layouts import BASE_15
from space import fitting, handlers, layout_results, layouts, limits, models, painted_faces
from space.drafts import Draft, Own, class_list
from space.jobs import cancel
from space.layout_files import write_layout
from tests.space.test_drafts import row, sent, three
from tests.space.visit import ALICE, BOB, draw, quiet

FIT = FitSettings(steps=4, batch=2, rays=32, coarse=8, fine=8, mixing=Mixing(mixes=1), distillation=None)


@pytest.fixture(autouse=True)
def small(tiny_page: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in ("quick_settings", "fit_settings"):
        monkeypatch.setattr(fitting, name, lambda: FIT)
    monkeypatch.setattr(fitting, "MEASURE_EVERY", 2)
    yield


def propose(own: Own | None = None, rows: Any = None, count: float = 3, name: str = "mine", start: str = layouts.SCRATCH) -> list[Any]:
    return list(layouts.propose(own, rows or three(), name, start, count, None, ALICE, quiet))


def draft_of(own: Own) -> Draft:
    assert own.draft is not None
    return own.draft


def paint(own: Own, number: int) -> dict[str, Any]:
    """Open a face and paint its upper half as one class; what the canvas would send."""
    made = draft_of(own)
    made.now = number
    painted = made.face.start.long()
    painted[:8] = 1
    painted[8:12] = 2
    return sent(made, painted)


def painted(own: Own, *numbers: int) -> Own:
    for number in numbers:
        layouts.keep_strokes(own, paint(own, number))
    return own


def test_faces_come_one_by_one_and_go_on_where_they_were_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    steps = propose()
    own = steps[0][0]
    assert steps[0][2]["id"] and len(steps[-1][1]["entries"]) == 3  # the first face is on the canvas before the last is drawn
    assert all(step[2] == gr.skip() for step in steps[1:])  # and nothing moves it while somebody paints on it
    assert [face.number for face in draft_of(own).faces] == [0, 1, 2]
    kept = draft_of(painted(own, 1)).face.labels.clone()
    more = propose(own, count=5)
    assert [face.number for face in draft_of(own).faces] == [0, 1, 2, 3, 4] and len(more) >= 1
    fewer = propose(own, {**three(), "list": "b"}, count=3)[-1]
    assert [face.number for face in draft_of(own).faces] == [0, 1, 2] and "3 faces are here" in fewer[-1]
    draft_of(own).now = 1
    assert torch.equal(draft_of(own).face.labels, kept)  # painted faces stay as they are


def test_faces_that_are_stopped_before_the_first_leave_none(monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped(*_: Any, **__: Any) -> Iterator[Any]:
        raise CancelledError("Stopped.")
        yield

    monkeypatch.setattr(layouts, "propose_faces", stopped)
    ((own, strip, sheet, told),) = propose()
    assert isinstance(own, Own) and strip == sheet == gr.skip() and told == "Stopped. There are no faces yet."


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"count": 2}, "from 3 to 30"),
        ({"count": None}, "from 3 to 30"),
        ({"name": ""}, "1 to 40 printable"),
        ({"rows": {"rows": [row(0, "a")], "list": "a"}}, "at least two"),
        ({"rows": {"rows": [row(0, "a"), row(1, "~b")], "list": "a"}}, "path or an address"),  # or its adapter could not be saved
        ({"start": "no such"}, "There is no layout"),
        ({"start": "/etc"}, "There is no layout"),
    ],
)
def test_bad_input_is_one_sentence(changed: dict[str, Any], sentence: str) -> None:
    with pytest.raises(gr.Error, match=sentence):
        propose(**changed)


def test_without_faces_everything_says_so() -> None:
    for call in (
        lambda: layouts.open_face(None, {"now": 0}, None),
        lambda: layouts.next_face(Own(), None),
        lambda: list(layouts.suggest_here(None, None, ALICE, quiet)),
        lambda: list(layout_results.fit_layout(None, None, "", None, ALICE, quiet)),
    ):
        with pytest.raises(gr.Error, match="There are no faces to paint yet"):
            call()
    for call in (lambda: layout_results.use_it(None), lambda: layout_results.push(Own(), "org/x", "t", None)):
        with pytest.raises(gr.Error, match="There is no layout to use yet"):
            call()
    assert layouts.keep_strokes(None, None) == (gr.skip(), gr.skip())
    assert list(layouts.suggest_next(None, None, ALICE, quiet)) == [(gr.skip(),) * 3]  # what yields nothing would empty the state


def test_strokes_are_kept_when_another_face_is_opened() -> None:
    own = propose()[-1][0]
    value = paint(own, 0)
    _, strip, sheet, _ = layouts.open_face(own, {"now": 2}, value)
    assert [entry["painted"] for entry in strip["entries"]] == [True, False, False] and strip["now"] == 2
    assert sheet["labels"] == sheet["painted"]
    _, _, sheet, _ = layouts.open_face(own, {"now": 0}, value)  # the canvas of a face that has gone says nothing
    assert sheet["painted"] == value["labels"] and not draft_of(own).faces[2].painted
    _, strip, _, status = layouts.next_face(own, None)
    assert strip["now"] == 1 and "Face 2" in status
    for place in (3, -1, "0", None):
        with pytest.raises(gr.Error, match="There is no such face"):
            layouts.open_face(own, {"now": place}, None)


def test_suggestions_begin_with_the_third_face_and_leave_strokes_alone() -> None:
    own = painted(propose()[-1][0], 0)
    draft_of(own).now = 1
    assert list(layouts.suggest_next(own, None, ALICE, quiet)) == [(gr.skip(),) * 3]
    with pytest.raises(gr.Error, match="Paint 2 faces first"):
        list(layouts.suggest_here(own, None, ALICE, quiet))
    painted(own, 1)
    draft_of(own).now = 2
    state, sheet, told = list(layouts.suggest_next(own, None, ALICE, quiet))[-1]
    adviser = draft_of(own).adviser
    assert state is own and sheet["labels"] == sheet["painted"] and "2 painted faces" in told
    assert adviser is not None and adviser.numbers == (0, 1) and not draft_of(own).face.painted
    assert list(layouts.suggest_next(own, None, ALICE, quiet)) == [(gr.skip(),) * 3]  # once is enough
    value = paint(own, 2)
    _, sheet, _ = list(layouts.suggest_here(own, value, ALICE, quiet))[-1]
    again = draft_of(own).adviser
    assert again is not None and again.numbers == (0, 1, 2) and sheet["keep"] == 1
    assert bool((draft_of(own).face.labels[:8] == 1).all())


def fitted(own: Own, rows: Any = None, name: str = "mine") -> list[Any]:
    return list(layout_results.fit_layout(own, rows or three(), name, None, ALICE, quiet))


def test_a_fit_is_watched_scored_and_saved(tmp_path: Path) -> None:
    own = painted(propose(count=4)[-1][0], 0, 1, 2)
    steps = fitted(own)
    assert any("mean IoU on left-out faces" in step[2] for step in steps) and any("loss" in step[2] for step in steps)
    _, _, told, curve, picture, table, layout_file = steps[-1]
    assert "each face left out once" in told and picture.size == (648, 320) and table.count("<tr>") == 1 + 3
    result = draft_of(own).fitted
    assert result is not None and result.numbers == (0, 1, 2) and result.scores.shape == (3, 3)
    assert all(labels.shape == (fitting.JUDGED, fitting.JUDGED) for labels in result.labels)
    means = [f"<td>{float(column.nanmean()):.2f}</td>" for column in result.scores.T if not column.isnan().all()]
    assert all(mean in table for mean in means)
    points = [(number, name) for number, loss, name in curve["data"] if loss is not None]  # steps that nobody saw are left out
    assert points == sorted(points, key=lambda point: (layout_results.Curve.NAMES.index(point[1]), point[0]))
    assert points[-1] == (FIT.steps, "all faces")
    with zipfile.ZipFile(layout_file.value["path"]) as archive:
        archive.extractall(tmp_path / "layout")
    assert Adapter.from_pretrained(tmp_path / "layout").fingerprint == result.adapter.fingerprint


def test_a_fit_needs_two_faces_and_every_class() -> None:
    own = painted(propose()[-1][0], 0)
    with pytest.raises(gr.Error, match="Paint at least 2 faces first; 1 of 3"):
        fitted(own)
    rows = three()
    rows["rows"].append(row(3, "beard", part=1))
    own = painted(propose(rows=rows)[-1][0], 0, 1)
    with pytest.raises(gr.Error, match="Nobody has painted the class 'beard'"):
        fitted(own, rows)


def test_a_fit_is_of_the_classes_that_are_listed() -> None:
    own = painted(propose()[-1][0], 0, 1)
    renamed = three()
    renamed["rows"][2]["name"] = "wig"
    for rows, name in ((renamed, "mine"), (three(), "other"), ({**three(), "list": "b"}, "mine"), (None, "mine")):
        with pytest.raises(gr.Error, match="classes have changed: press Propose faces"):
            list(layout_results.fit_layout(own, rows, name, None, ALICE, quiet))
    fitted(own)
    propose(own)  # more faces of the same classes leave the fit, others take it away
    assert draft_of(own).fitted is not None
    propose(own, renamed)
    with pytest.raises(gr.Error, match="There is no layout to use yet"):
        layout_results.use_it(own)
    fitted(own, renamed)
    assert layout_results.use_it(own)[0].value == "mine (yours, 2)"


def test_faces_that_were_opened_are_fitted_at_once() -> None:
    _mine, path, _ = painted_faces.save_faces(painted(propose()[-1][0], 0, 1), None)  # whose folder goes with it
    own, rows, name, *_ = painted_faces.open_faces(None, path, models.OWN_LAYOUT, None, ALICE)
    assert fitted(own, json.loads(json.dumps(rows)), name)[-1][2].startswith("Done: mine")


def test_another_fit_is_another_choice() -> None:
    own = painted(propose()[-1][0], 0, 1)
    fitted(own)
    first = draft_of(own).fitted
    session = draw(1)
    session = handlers.layout_chosen(session, layout_results.use_it(own)[0].value, ALICE)[0]
    draft_of(own).now = 2
    painted(own, 2)
    fitted(own)
    choice = layout_results.use_it(own)[0].value
    assert choice == "mine (yours, 2)" and list(own.adapters) == ["mine (yours)", choice]
    again = handlers.layout_chosen(session, choice, ALICE)[0]
    assert first is not None and session.adapter is first.adapter and again.adapter is draft_of(own).fitted.adapter  # type: ignore[union-attr]


def test_a_stopped_fit_loses_nothing() -> None:
    own = painted(propose()[-1][0], 0, 1)
    steps = layout_results.fit_layout(own, three(), "mine", None, ALICE, quiet)
    next(steps)
    cancel(ALICE, ["fit"])  # before it began
    next(steps)
    cancel(ALICE, ["fit"])
    assert "Your painted faces are as they were" in list(steps)[-1][2]
    assert draft_of(own).fitted is None and len(draft_of(own).painted) == 2


def test_the_layout_is_used_by_its_own_visitor_only() -> None:
    own = painted(propose()[-1][0], 0, 1)
    fitted(own)
    picker, start, tabs = layout_results.use_it(own)
    assert picker.value == "mine (yours)" and tabs.selected == "edit" and layouts.SCRATCH in [choice for choice, _ in start.choices]
    session = draw(1)
    shown = handlers.layout_chosen(session, "mine (yours)", ALICE)
    assert [item["name"] for item in shown[1]["classes"]] == ["background", "whole face", "hair"]
    with pytest.raises(gr.Error, match="There is no layout 'mine"):
        handlers.layout_chosen(session, "mine (yours)", BOB)
    rows = layouts.start_chosen("mine (yours)", ALICE)
    assert rows["known"] == ["background", "whole face", "hair"]
    shown, own, session = None, None, None  # what held it is gone
    with pytest.raises(ModelError, match="There is no layout"):
        models.find_adapter("mine (yours)", "alice")


def test_a_file_is_opened_for_its_visitor(tmp_path: Path) -> None:
    adapter = Adapter(BASE_15.to_dict(), "tiny", models.generator().fingerprint, 8)
    write_layout(adapter, "base", tmp_path / "base.zip", {})
    own, picker, _, told = layout_results.open_layout(None, str(tmp_path / "base.zip"), BOB)
    assert picker.value == "base-15 (yours)" and "15 classes was opened" in told
    assert models.find_adapter("base-15 (yours)", "bob") is own.adapters["base-15 (yours)"]
    (tmp_path / "none.zip").write_bytes(b"")
    with pytest.raises(gr.Error, match="no layout file"):
        layout_results.open_layout(own, str(tmp_path / "none.zip"), BOB)


def test_a_push_uses_the_visitors_right_and_never_the_servers(monkeypatch: pytest.MonkeyPatch) -> None:
    own = painted(propose()[-1][0], 0, 1)
    fitted(own)
    calls: list[Any] = []

    def pushed(self: Adapter, repository: str, **options: Any) -> str:
        calls.append((repository, options["token"]))
        return "https://hub.test/org/mine"

    monkeypatch.setattr(Adapter, "push_to_hub", pushed)
    monkeypatch.setenv("HF_TOKEN", "hf_of_the_server")
    with pytest.raises(gr.Error, match="sign in with Hugging Face"):
        layout_results.push(own, "org/mine", " ", None)
    told, box = layout_results.push(own, " org/mine ", " hf_typed ", None)
    assert told == "mine is at [https://hub.test/org/mine](https://hub.test/org/mine)." and box == ""
    signed_in: Any = SimpleNamespace(token="hf_signed_in")
    layout_results.push(own, "org/mine", "", signed_in)
    assert calls == [("org/mine", "hf_typed"), ("org/mine", "hf_signed_in")]
    monkeypatch.undo()


def test_a_push_without_a_network_says_so() -> None:
    own = painted(propose()[-1][0], 0, 1)
    fitted(own)
    with pytest.raises(gr.Error, match="cannot be reached"):
        layout_results.push(own, "org/mine", "hf_typed", None)
    with pytest.raises(gr.Error, match="not a valid Hub id"):
        layout_results.push(own, "mine", "hf_typed", None)


def test_the_list_starts_with_all_classes_or_the_first() -> None:
    assert [item["name"] for item in layouts.start_chosen(layouts.SCRATCH, ALICE)["rows"]] == ["background"]
    every = layouts.start_chosen(models.OWN_LAYOUT, ALICE)
    assert every["known"] == BASE_15.names and every["rows"] == class_list(BASE_15, BASE_15.names)["rows"]
    assert every["list"] != layouts.start_chosen(models.OWN_LAYOUT, ALICE)["list"]
    assert layouts.tab_opened(models.OWN_LAYOUT, None, ALICE)["rows"] == every["rows"]
    assert layouts.tab_opened(models.OWN_LAYOUT, every, ALICE) == gr.skip()
    assert limits.FEWEST_FACES <= limits.FACES <= limits.MOST_FACES
