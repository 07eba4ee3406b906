"""What a face takes from another on the page: the same as the library's transfer gives, kept as an edit, and refused in plain words."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gradio as gr
import pytest
import torch
from PIL import Image

from fface_hub.editing.transfer import transfer
from fface_hub.errors import CancelledError, ModelError
from fface_hub.inversion.align import Box
from fface_hub.inversion.inversion import Inversion
from fface_hub.inversion.objective import InvertSettings
from space import appearance, examples, handlers
from space.appearance import Blend, Other, same
from space.jobs import JOBS
from space.page import build
from space.state import Session
from tests.space.visit import ALICE, apply, draw, quiet

pytestmark = pytest.mark.usefixtures("tiny_page")
OTHER = 5
NOTHING = (gr.skip(), gr.skip(), gr.skip())
"""What changes no output; what yields nothing would empty them."""


def blend(session: Session, classes: list[str], colors: float, shape: float, other: Other | None = None) -> list[tuple[Any, Any, Any]]:
    return list(appearance.blend(session, other or appearance.drawn(OTHER), classes, colors, shape, ALICE))


@pytest.mark.parametrize(("colors", "shape"), [(100, 0), (0, 100), (30, 70)])
def test_colors_and_shape_of_the_whole_face(colors: float, shape: float) -> None:
    session = draw(1)
    own, lent = session.latents, appearance.drawn(OTHER).latents
    ((made, picture, said),) = blend(session, [], colors, shape)
    assert torch.allclose(made.latents.appearance, torch.lerp(own.appearance, lent.appearance, colors / 100))
    assert torch.allclose(made.latents.geometry, torch.lerp(own.geometry, lent.geometry, shape / 100))
    assert picture.size == (512, 512) and picture.tobytes() != appearance.enlarged(session.rendering.image[0]).tobytes()  # type: ignore[union-attr]
    assert (f"{colors:.0f} % of the colours" in said) == (colors > 0) and (f"{shape:.0f} % of the shape" in said) == (shape > 0)
    assert "seed 5" in said


def test_colors_of_parts_are_kept_and_edited_on() -> None:
    """A face with a colour for each class is an entry like any other: shown, painted on, gone back to."""
    session = draw(1)
    first = session.latents
    looks = blend(session, ["hair", "skin"], 100, 0)
    made = looks[-1][0]
    assert len(looks) == 2 and "first look" in looks[0][2] and "of hair, skin come" in looks[1][2]
    assert same(made.latents, transfer(session.generator, first, appearance.drawn(OTHER).latents, classes=["hair", "skin"]))
    assert made.latents.appearance.shape[1] == len(session.generator.layout)

    before, labels = session.rendering.image, session.labels  # type: ignore[union-attr]
    shown = appearance.use(session, made, ALICE)
    assert same(session.latents, made.latents) and shown[-1].startswith("100 % of the colours of hair, skin")
    changed = (session.rendering.image - before).abs().amax(1)[0] > 1e-4  # type: ignore[union-attr]
    assert torch.equal(session.labels, labels) and set(labels[changed].tolist()) == {session.layout.index("hair")}  # it has no skin

    assert apply(session)[-1][-1].startswith("Done") and len(session.edits) == 3
    assert torch.equal(session.latents.appearance, made.latents.appearance)
    handlers.undo(session, ALICE)
    said = handlers.undo(session, ALICE)[-1]
    assert same(session.latents, first) and "strokes" not in said  # nothing was painted for it


def test_a_photographed_face_keeps_its_photo(tiny_generator: Any) -> None:
    session = draw(1)
    session.inversion = Inversion(session.latents, session.camera, session.generator)
    ((made, _, _),) = blend(session, [], 100, 0)
    appearance.use(session, made, ALICE)
    assert session.inversion is not None and same(session.face().latents, made.latents)
    assert session.face().camera is session.camera


def test_only_what_is_shown_of_this_face_can_be_used() -> None:
    session = draw(1)
    with pytest.raises(gr.Error, match="The face has changed"):
        appearance.use(session, None, ALICE)
    ((made, _, _),) = blend(session, [], 100, 0)
    appearance.use(session, made, ALICE)
    with pytest.raises(gr.Error, match="The face has changed"):
        appearance.use(session, made, ALICE)
    ((same_face, _, said),) = blend(session, [], 0, 0)
    assert said.startswith("Nothing comes")
    with pytest.raises(gr.Error, match="move a slider first"):
        appearance.use(session, same_face, ALICE)
    assert len(session.edits) == 2


def test_the_tab_opens_with_both_faces_and_the_classes_of_each_kind() -> None:
    session = draw(1)
    own, other, picture, colored, shaped, said = appearance.opened(session, None, [], ["gone", "nose"])
    assert own.size == picture.size == (512, 512) and "seed 32" in said
    names = session.layout.names[1:]
    assert [name for name, _ in colored.choices] == list(names) and shaped.value == ["nose"]
    again = appearance.opened(session, other, [], [])
    assert again[1] is other and again[2] == gr.skip()  # the other face stays
    assert "no face yet" in appearance.opened(None, None, [], [])[-1]
    assert blend(None, [], 100, 0) == [NOTHING]  # type: ignore[arg-type]


def test_the_other_face_comes_from_a_seed_or_an_agreed_photo(monkeypatch: pytest.MonkeyPatch) -> None:
    other, picture, _ = appearance.draw_other(9)
    assert same(other.latents, draw(9).latents) and picture.size == (512, 512)
    with pytest.raises(gr.Error, match="seed must be"):
        appearance.draw_other(-1)

    asked: list[InvertSettings] = []
    boxes: list[Box | None] = []

    def found(model: Any, photo: Any, settings: InvertSettings, callback: Any, encoder: Any, box: Any) -> Inversion:
        asked.append(settings)
        boxes.append(box)
        return Inversion(model.sample(1, 3), model.default_camera, model, seconds=2.0)

    monkeypatch.setattr(handlers, "invert", found)
    photo = Image.new("RGB", (64, 64))
    for given, consent, sentence in ((None, True, "no photo yet"), (photo, False, "Tick the box")):
        with pytest.raises(gr.Error, match=sentence):
            list(appearance.invert_other(given, consent, None, ALICE, quiet))
    with pytest.raises(gr.Error, match="no such square"):
        list(appearance.invert_other(photo, True, {"box": [1, 2]}, ALICE, quiet))
    assert not asked
    ((other, _, said),) = list(appearance.invert_other(photo, True, {"box": [3, 4, 50]}, ALICE, quiet))
    assert said.startswith("Found in 2 s") and asked[0].tuning_steps == 0 and not asked[0].backdrop
    ((made, _, _),) = blend(draw(1), [], 100, 0, other)
    assert torch.equal(made.latents.appearance, other.latents.appearance)
    assert next(appearance.invert_example(ALICE, quiet))[2].startswith("Found")  # nobody has to be asked for that photo
    assert boxes == [Box(3, 4, 50), None]


def test_both_tabs_show_the_square_of_a_photo() -> None:
    """As gradio hands it over, with what the handler gives where there is a face and where there is none."""
    square, photo, _ = handlers.photo_chosen(str(examples.PHOTO))
    events = [event for event in build().fns.values() if event.name == "photo_chosen"]
    assert [event.outputs[0].elem_id for event in events] == ["square", "other-square"]
    for event in events:
        component: Any = event.outputs[0]
        assert component.postprocess(square) == square and component.postprocess(None) is None
        assert component.preprocess({"box": square["box"]}) == {"box": square["box"]}
        assert type(event.inputs[0]) is gr.Image and isinstance(event.outputs[1], gr.State)
    assert photo.size == (square["width"], square["height"])


def test_the_outline_of_parts_becomes_an_edit() -> None:
    session = draw(1)
    start = session.latents
    shown = list(appearance.take_shape(session, appearance.drawn(OTHER), ["hair"], ALICE, quiet))
    assert all(len(each) == len(handlers.SHOWN) + 2 for each in shown) and shown[0][-1].startswith("Step")
    assert "Shape of hair" in shown[-1][-1] and "newest edit" in shown[-1][-1] and len(session.edits) == 2
    assert not torch.equal(session.latents.geometry, start.geometry)
    assert torch.equal(session.latents.appearance, start.appearance)


@pytest.mark.parametrize(
    ("classes", "error", "sentence"),
    [
        ([], None, "Name at least one class"),
        (["nose"], ModelError("<b>No</b>."), "&lt;b&gt;No"),
        (["nose"], CancelledError("Stopped."), ""),
    ],
)
def test_a_shape_that_is_not_taken_loses_nothing(
    classes: list[str], error: Exception | None, sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise error  # type: ignore[misc]

    session = draw(1)
    if error is not None:
        monkeypatch.setattr(appearance, "transfer_geometry", fail)
    steps = appearance.take_shape(session, appearance.drawn(OTHER), classes, ALICE, quiet)
    *_, picture, said = next(steps)
    assert picture.tobytes() == appearance.enlarged(session.rendering.image[0]).tobytes()  # type: ignore[union-attr]
    if isinstance(error, CancelledError):
        assert said == "Stopped." and list(steps) == []
    else:
        with pytest.raises(gr.Error, match=sentence):
            next(steps)
    assert len(session.edits) == 1


def test_a_newer_wish_stops_the_older(monkeypatch: pytest.MonkeyPatch) -> None:
    session, newer, usual = draw(1), [], appearance.render

    def first(*given: Any, **named: Any) -> Any:
        monkeypatch.setattr(appearance, "render", usual)
        newer.extend(blend(session, [], 50, 0))  # comes while the first one is at work
        return usual(*given, **named)

    monkeypatch.setattr(appearance, "render", first)
    assert blend(session, [], 100, 0) == [NOTHING]
    ((made, _, said),) = newer
    assert said.startswith("50 %") and isinstance(made, Blend) and not JOBS


@pytest.mark.parametrize(
    "call", [lambda: appearance.use(None, None, ALICE), lambda: list(appearance.take_shape(None, None, [], ALICE, quiet))]
)
def test_without_a_face_there_is_nothing_to_take(call: Callable[[], Any]) -> None:
    with pytest.raises(gr.Error, match="There is no face yet"):
        call()
