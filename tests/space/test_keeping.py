"""What a visitor keeps: earlier faces of the visit, and a session file that reopens exactly."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gradio as gr
import pytest
import torch

from space import handlers, keeping, limits, models, saved, strength
from space.painting import read_painted
from space.state import Session
from tests.space.visit import ALICE, apply, draw, strokes

pytestmark = pytest.mark.usefixtures("tiny_page")


def said(shown: tuple[Any, ...], name: str) -> Any:
    return shown[handlers.SHOWN.index(name)]


def next_face(before: Session, seed: int) -> tuple[Any, ...]:
    return handlers.draw_face(seed, "", before, ALICE)


def test_a_session_reopens_exactly() -> None:
    alice = draw(1)
    apply(alice, name="nose")
    strength.weigh(alice, {"strength": 60}, ALICE)
    apply(alice, name="hair")
    shown = handlers.go_back(alice, {"now": 1}, ALICE)
    painted = strokes(alice, "lips")
    path, text = keeping.save_session(alice, painted)
    assert "holds no photo" in text and "likeness" in text
    *opened, layout = keeping.open_session(path, None, ALICE)
    bob = opened[0]
    assert layout == models.OWN_LAYOUT and len(bob.edits) == 3
    assert all(torch.equal(a.shown.geometry, b.shown.geometry) for a, b in zip(alice.edits, bob.edits, strict=True))
    assert torch.equal(alice.labels, bob.labels) and torch.equal(alice.first_image, bob.first_image)  # type: ignore[arg-type]
    for name in ("picture_file", "labels_file"):
        assert Path(said(shown, name)).read_bytes() == Path(said(tuple(opened), name)).read_bytes()
    for name in ("history", "strength"):
        assert said(shown, name) == said(tuple(opened), name)
    sheet = said(tuple(opened), "canvas")
    target, _ = read_painted({**sheet, "labels": sheet["painted"]}, bob.labels, bob.layout)
    assert (target == bob.layout.index("lips")).all()
    handlers.go_back(bob, {"now": 2}, ALICE)
    undone = handlers.undo(bob, ALICE)  # the strokes of an edit are there, too
    sheet = said(undone, "canvas")
    target, _ = read_painted({**sheet, "labels": sheet["painted"]}, bob.labels, bob.layout)
    assert (target == bob.layout.index("hair")).all()
    again, _ = keeping.save_session(bob, said(undone, "canvas"))
    assert saved.load(Path(again), handlers.generator(), 16, 64)[1] is None  # nothing lies on the canvas


def test_what_was_opened_is_told_with_its_edits() -> None:
    def told(face: Any) -> str:
        return said(keeping.open_session(keeping.save_session(face, handlers.show(face))[0], None, ALICE), "status")

    alice = draw(1)
    assert told(alice) == "Opened: seed 1."
    apply(alice)
    assert told(alice) == "Opened: seed 1, edit 1 of 1."
    handlers.reset(alice, ALICE)
    assert told(alice) == "Opened: seed 1, before its edit."


def test_opening_needs_a_file_and_keeps_the_face_where_it_fails(tmp_path: Path) -> None:
    alice = draw(1)
    with pytest.raises(gr.Error, match="no file yet"):
        keeping.open_session(None, alice, ALICE)
    (tmp_path / "photo.zip").write_bytes(b"no zip")
    with pytest.raises(gr.Error, match="no whole session file"):
        keeping.open_session(str(tmp_path / "photo.zip"), alice, ALICE)
    assert alice.rendering is not None and alice.earlier == []
    with pytest.raises(gr.Error, match="There is no face yet"):
        keeping.save_session(None, None)


def test_a_session_that_renders_to_nothing_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    alice = next_face(draw(1), 2)[0]
    path, _ = keeping.save_session(alice, handlers.show(alice))
    usual, earlier = handlers.render, list(alice.earlier)

    def broken(*given: Any, **named: Any) -> Any:
        rendering = usual(*given, **named)
        return rendering.with_image(rendering.image * torch.nan)

    with monkeypatch.context() as patch:
        patch.setattr(handlers, "render", broken)
        with pytest.raises(gr.Error, match="no whole session file"):
            keeping.open_session(path, alice, ALICE)
    assert alice.rendering is not None and alice.earlier == earlier != []  # the face before is as it was
    assert apply(alice)[-1][-1].startswith("Done")


def test_earlier_faces_are_gone_back_to_as_they_were_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "EARLIER", 2)
    first = draw(1)
    apply(first)
    labels = first.labels.clone()
    handlers.preview(first, strokes(first, "lips"), True, False, ALICE)  # painted, and left
    second = next_face(first, 2)[0]
    shown = next_face(second, 3)
    third = shown[0]
    assert [entry["caption"] for entry in said(shown, "faces")["entries"]] == ["seed 2", "seed 1"]
    assert third.earlier == [second, first] and second.earlier == [] and first.rendering is None and first._scene is None
    *back, layout = keeping.back_to_face(third, {"now": 1}, ALICE)
    assert back[0] is first and layout == models.OWN_LAYOUT and torch.equal(first.labels, labels) and len(first.edits) == 2
    assert first.earlier == [third, second]
    left, _ = read_painted({**back[1], "labels": back[1]["painted"]}, first.labels, first.layout)
    assert (left == first.layout.index("lips")).all()
    fourth = next_face(first, 4)[0]
    assert fourth.earlier == [first, third]  # the oldest goes
    for chosen in (None, {"now": 2}, {"now": True}, {"now": "0"}):
        with pytest.raises(gr.Error, match="no such face"):
            keeping.back_to_face(fourth, chosen, ALICE)
