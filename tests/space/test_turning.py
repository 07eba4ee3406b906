"""The face turned by dragging: what a browser may ask for, what a view shows, and which scenes are kept for the next one."""

from __future__ import annotations

import base64
import io
from typing import Any

import gradio as gr
import numpy as np
import pytest
import torch
from PIL import Image

from fface_hub.cameras import look_at
from fface_hub.generators.base import Rendering
from fface_hub.layouts import LAYOUTS
from space import handlers, limits, turning
from space.painting import display_colors
from space.state import Session
from tests.space.visit import ALICE, apply, draw

pytestmark = pytest.mark.usefixtures("tiny_page")


def turn(session: Session | None, show: str = "Picture", **asked: Any) -> dict[str, Any]:
    return turning.turn(session, {"number": 3, "yaw": 0.0, "pitch": 0.0, "side": 0, **asked}, show, ALICE)


def seen(answer: dict[str, Any]) -> np.ndarray:
    data = base64.b64decode(answer["picture"].removeprefix("data:image/png;base64,"))
    return np.array(Image.open(io.BytesIO(data)))


def test_a_turned_face_is_seen_from_there() -> None:
    alice = draw(1)
    front, left = turn(alice), turn(alice, yaw=-30)
    assert front["number"] == 3 and (left["yaw"], left["pitch"]) == (-30, 0)
    assert seen(front).shape == (16, 16, 3) and seen(turn(alice, side=40)).shape == (40, 40, 3)
    view = handlers.render(alice.scene(), look_at(-30), 16, handlers.SAMPLING)
    assert np.array_equal(seen(left), np.array(handlers.to_image(view.image[0])))
    assert not np.array_equal(seen(front), seen(left))
    far = turn(alice, yaw=90, pitch=-1e9)
    assert (far["yaw"], far["pitch"]) == (turning.FARTHEST["yaw"], -turning.FARTHEST["pitch"])


@pytest.mark.parametrize(
    "asked",
    [None, 7, [], {}, {"number": 1}]
    + [
        {"number": 1, "yaw": 0.0, "pitch": 0.0, "side": 0, **changed}
        for changed in (
            {"yaw": "0"},
            {"yaw": float("nan")},
            {"pitch": None},
            {"side": 31},
            {"side": 10**6},
            {"number": "1"},
            {"side": True},
        )
    ],
)
def test_no_other_view_can_be_asked_for(asked: Any) -> None:
    with pytest.raises(gr.Error, match="no such view"):
        turning.turn(draw(1), asked, "Picture", ALICE)


def test_what_is_not_seen_yet_is_not_drawn_and_without_a_face_there_is_nothing_to_see() -> None:
    shown = handlers.draw_face(1, "", None, ALICE)
    anew = shown[handlers.SHOWN.index("viewer")]
    assert anew["anew"] and turning.turn(shown[0], anew, "Picture", ALICE) == gr.skip()
    with pytest.raises(gr.Error, match="There is no face yet"):
        turn(None)
    with pytest.raises(gr.Error, match="shows one of these"):
        turn(shown[0], "Everything")


def test_a_newer_view_stops_the_one_before(monkeypatch: pytest.MonkeyPatch) -> None:
    alice, newer, usual = draw(1), [], turning.render

    def first(*given: Any, **named: Any) -> Any:
        monkeypatch.setattr(turning, "render", usual)
        newer.append(turn(alice, number=4, side=32))
        return usual(*given, **named)

    monkeypatch.setattr(turning, "render", first)
    assert turn(alice)["picture"] is None and newer[0]["picture"] is not None


def test_a_view_shows_picture_labels_depth_or_normals() -> None:
    # Two pixels side by side seen from the front: the left one solid and of the class nose (7), the right one air.
    layout, two = LAYOUTS["base-15"], torch.ones(1, 1, 2, 2)
    opacity = torch.tensor([[[[1.0, 0.0], [1.0, 0.0]]]])
    labels = torch.tensor([[[7, 0], [7, 0]]])
    view = Rendering(-torch.ones(1, 3, 2, 2), two, two, labels, 2.5 * two, opacity)

    def shows(choice: str) -> np.ndarray:
        return np.array(turning.pictures(view, look_at(0.0), choice, layout, 2)[0])[0]

    assert shows("Picture").tolist() == [[0, 0, 0], [0, 0, 0]]
    # A quarter of the black face and three quarters of the class's colour.
    assert np.abs(shows("Labels")[0] - 0.75 * display_colors(layout)[7]).max() <= 1
    assert shows("Depth").tolist() == [[51, 51, 51], [0, 0, 0]]  # near and far are one: the far end's dark grey, 0.2 · 255
    normals = shows("Normals")
    assert normals[0, 2] > 250 and normals[1].tolist() == [0, 0, 0]  # blue faces the camera


def test_a_scene_is_kept_from_view_to_view_and_the_oldest_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "SCENES", 3)
    alice, bob, carol, dave = (draw(seed) for seed in (1, 2, 3, 4))
    assert alice._scene is None and bob._scene is not None and carol.scene() is carol.scene()
    turn(alice)
    assert alice._scene is not None and bob._scene is None and carol._scene is not None and dave._scene is not None
    before = alice.scene()
    apply(alice)
    # Another face, of two scenes: there is room for one more.
    assert alice.latents.kept is not None and alice.scene() is not before
    assert carol._scene is None and dave._scene is not None
    handlers.reset(alice, ALICE)
    assert torch.equal(alice.scene().planes, before.planes)  # type: ignore[attr-defined]
