"""Going back and looking ahead: every edit stays in reach, undoing one brings its strokes back, and previews change nothing."""

from __future__ import annotations

import dataclasses
from typing import Any

import gradio as gr
import pytest
import torch

from fface_hub.editing.edit import EditSettings
from fface_hub.latents import Latents
from space import handlers, limits
from space.jobs import JOBS
from space.painting import read_painted
from space.state import Edit, Session
from tests.space.visit import ALICE, BOB, apply, draw, quiet, strokes

pytestmark = pytest.mark.usefixtures("tiny_page")


def captions(shown: tuple[Any, ...]) -> tuple[list[str], int]:
    strip = shown[2]
    assert all(entry["picture"].startswith("data:image/png;base64,") for entry in strip["entries"])
    return [entry["caption"] for entry in strip["entries"]], strip["now"]


def test_every_edit_stays_in_reach() -> None:
    alice = draw(1)
    first = apply(alice, name="nose")[-1]
    assert captions(first) == (["Start", "Edit 1"], 1)
    apply(alice, name="hair")
    third = alice.latents
    assert captions(handlers.go_back(alice, {"now": 1}, ALICE)) == (["Start", "Edit 1", "Edit 2"], 1)
    assert torch.equal(alice.latents.geometry, alice.edits[1].latents.geometry)
    branched = apply(alice, name="lips")[-1]
    assert captions(branched) == (["Start", "Edit 1", "Edit 2", "Edit 3 of 1"], 3)
    handlers.go_back(alice, {"now": 2}, ALICE)
    assert alice.latents is third
    assert captions(handlers.reset(alice, ALICE))[1] == 0 and len(alice.edits) == 4


def test_undoing_an_edit_brings_its_strokes_back() -> None:
    alice = draw(1)
    before = alice.labels.clone()
    apply(alice, name="hair")
    shown = handlers.undo(alice, ALICE)
    assert torch.equal(alice.labels, before) and alice.now == 0
    again, _ = read_painted({**shown[1], "labels": shown[1]["painted"]}, alice.labels, alice.layout)
    assert (again == alice.layout.index("hair")).all()
    with pytest.raises(gr.Error, match="no edit to undo"):
        handlers.undo(alice, ALICE)


def test_strokes_that_are_not_applied_stay_on_the_way_back() -> None:
    alice = draw(1)
    apply(alice, name="hair")
    for shown in (handlers.go_back(alice, {"now": 0}, ALICE), handlers.go_back(alice, {"now": 1}, ALICE), handlers.undo(alice, ALICE)):
        assert shown[1]["keep"] == 0


@pytest.mark.parametrize("chosen", [None, "0", 0, {}, {"now": "0"}, {"now": True}, {"now": -1}, {"now": 1}, {"now": 0.0}])
def test_only_edits_of_the_strip_can_be_gone_back_to(chosen: Any) -> None:
    with pytest.raises(gr.Error, match="no such edit"):
        handlers.go_back(draw(1), chosen, ALICE)


def test_the_oldest_edit_goes_when_there_are_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "EDITS", 3)
    faces = [Latents(torch.full((1, 1, 1), float(k)), torch.zeros(1, 1, 1, 1)) for k in range(5)]
    model: Any = handlers.generator()
    session = Session(model, model.default_camera, [Edit(faces[0])])
    for face in faces[1:]:
        session.add(face, torch.zeros(2, 2))
    assert [edit.latents.geometry.item() for edit in session.edits] == [0, 3, 4] and session.now == 2
    assert [edit.parent for edit in session.edits] == [None, 0, 1]


def test_a_new_sheet_says_which_strokes_it_has_seen() -> None:
    alice = draw(1)
    shown = list(handlers.apply(alice, strokes(alice, revision=7), True, ALICE, quiet))  # type: ignore[arg-type]
    assert shown[-1][1]["keep"] == 7 and alice.edits[1].painted is not None
    alice.layout_id = "another"
    assert handlers.layout_chosen(alice, "", ALICE)[1]["keep"] == 0  # all of them
    assert draw(2).now == 0 and handlers.draw_face(2, "", None, ALICE)[1]["keep"] is None  # another face: none


def preview(session: Session | None, painted: Any, live: bool = True, visitor: Any = ALICE) -> tuple[Any, Any]:
    return handlers.preview(session, painted, True, live, visitor)


def test_a_preview_is_an_edit_of_few_steps_that_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handlers, "EditSettings", EditSettings)
    assert handlers.edit_settings(True, quick=True).steps <= 10 < handlers.edit_settings(True).steps
    monkeypatch.setattr(handlers, "edit_settings", lambda overlap, quick, locks: EditSettings(steps=2, resolution=16))
    alice = draw(1)
    rendering, edits = alice.rendering, list(alice.edits)
    (before, after), said = preview(alice, strokes(alice))
    assert "preview" in said and before.size == after.size and before.tobytes() != after.tobytes()
    assert alice.rendering is rendering and alice.edits == edits


def test_a_preview_of_nothing_shows_the_face_as_it_is() -> None:
    alice = draw(1)
    shown = handlers.show(alice)
    (before, after), said = preview(alice, {**shown, "revision": 0})
    assert said == "Nothing is painted." and before.tobytes() == after.tobytes()


def test_what_comes_too_late_or_is_not_wanted_is_no_preview() -> None:
    alice = draw(1)
    nothing = (gr.skip(), gr.skip())
    assert preview(None, None) == preview(alice, strokes(alice), live=False) == nothing
    assert preview(alice, {**strokes(alice), "id": "0" * 16}) == preview(alice, "<script>") == nothing


def test_a_newer_stroke_stops_the_preview_of_the_one_before(monkeypatch: pytest.MonkeyPatch) -> None:
    alice, shown = draw(1), []
    short = dataclasses.replace(EditSettings(), steps=2, resolution=16)
    monkeypatch.setattr(handlers, "edit_settings", lambda overlap, quick, locks: short)

    def first(*given: Any) -> Any:
        monkeypatch.setattr(handlers, "edit_job", usual)
        shown.append(preview(alice, strokes(alice, "hair")))  # comes while the first one is at work
        return usual(*given)

    usual = handlers.edit_job
    monkeypatch.setattr(handlers, "edit_job", first)
    assert preview(alice, strokes(alice)) == (gr.skip(), gr.skip())
    assert "preview" in shown[0][1] and not JOBS


def test_no_preview_runs_beside_the_edit_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handlers, "EditSettings", lambda **_: EditSettings(steps=100_000, resolution=16, preview_every=1))
    alice = draw(1)
    steps = handlers.apply(alice, strokes(alice), True, ALICE, quiet)  # type: ignore[arg-type]
    next(steps)
    assert preview(alice, strokes(alice)) == (gr.skip(), gr.skip())
    handlers.go_back(alice, {"now": 0}, BOB)  # somebody else's click does not stop it
    assert not JOBS["alice", "face"]._cancel.is_set()
    handlers.go_back(alice, {"now": 0}, ALICE)
    assert list(steps)[-1][-1].startswith("Stopped")
