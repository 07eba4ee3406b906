"""How much of an edit is shown: a straight way between the faces before and after it, and nothing else moves."""

from __future__ import annotations

from typing import Any

import gradio as gr
import numpy as np
import pytest
import torch

from fface_hub.latents import Latents
from space import handlers, strength
from space.state import Edit
from tests.space.visit import ALICE, apply, draw

pytestmark = pytest.mark.usefixtures("tiny_page")


def latents(value: float) -> Latents:
    return Latents(torch.full((1, 1, 1), value), torch.zeros(1, 1, 1, 1))


def test_an_edit_is_weighed_between_before_and_after() -> None:
    entry = Edit(latents(8.0), 0, before=latents(4.0))
    assert entry.shown is entry.latents
    entry.thumbnail = "old"
    entry.weigh(0.25)
    assert entry.shown.geometry.item() == 5.0 and entry.latents.geometry.item() == 8.0 and entry.thumbnail == ""
    assert entry.at(0).geometry.item() == 4.0
    entry.weigh(1.0)
    assert entry.shown is entry.latents  # to the last bit
    assert Edit(latents(1.0)).at(0.5).geometry.item() == 1.0  # the face as it came


def said(shown: tuple[Any, ...], name: str) -> Any:
    return shown[handlers.SHOWN.index(name)]


def test_a_weaker_edit_is_shown_and_the_next_one_begins_there() -> None:
    alice = draw(1)
    start, start_labels = alice.latents, alice.labels.clone()
    assert not said(handlers.reset(alice, ALICE), "strength")["can"]
    made = apply(alice)[-1]
    assert said(made, "strength") == {"strength": 100, "can": True}
    full, thumbnail = alice.latents, alice.edits[1].thumbnail
    half = strength.weigh(alice, {"strength": 50}, ALICE)
    torch.testing.assert_close(alice.latents.geometry, (start.geometry + full.geometry) / 2)
    assert said(half, "strength")["strength"] == 50 and "50%" in half[-1] and len(alice.edits) == 2
    assert said(half, "canvas")["keep"] == 0 and alice.edits[1].thumbnail != thumbnail != ""
    strength.weigh(alice, {"strength": 0}, ALICE)
    assert torch.equal(alice.labels, start_labels)
    strength.weigh(alice, {"strength": 50}, ALICE)
    middle = alice.latents
    apply(alice, name="hair")
    assert alice.edits[2].before is middle
    handlers.go_back(alice, {"now": 1}, ALICE)
    strength.weigh(alice, {"strength": 100}, ALICE)
    assert alice.latents is full and alice.edits[2].before is middle  # what was made from it stays as it was


def test_a_small_picture_shows_it_while_the_slider_moves() -> None:
    alice = draw(1)
    apply(alice)
    rendering = alice.rendering
    pictures = [np.array(strength.look_at_strength(alice, {"strength": percent}, ALICE)[1]) for percent in (0, 100)]
    assert (pictures[0] != pictures[1]).any() and alice.edits[1].strength == 1 and alice.rendering is rendering


@pytest.mark.parametrize(
    "chosen", [None, 50, {}, {"strength": "50"}, {"strength": 50.0}, {"strength": True}, {"strength": 101}, {"strength": -1}]
)
def test_only_whole_percents_of_an_edit(chosen: Any) -> None:
    alice = draw(1)
    with pytest.raises(gr.Error, match="no edit to weaken"):
        strength.weigh(alice, chosen, ALICE)
    apply(alice)
    for handler in (strength.weigh, strength.look_at_strength):
        with pytest.raises(gr.Error, match="from 0 to 100"):
            handler(alice, chosen, ALICE)
