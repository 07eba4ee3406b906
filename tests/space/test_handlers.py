"""The page's handlers on a tiny generator: bad input is one sentence, visitors do not meet, and nothing is lost when work fails."""

from __future__ import annotations

import errno
import logging
import struct
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gradio as gr
import pytest
import torch
from gradio.data_classes import ImageData
from PIL import Image

from fface_hub import compute as compute_module
from fface_hub.editing.edit import EditSession, EditSettings
from fface_hub.errors import CancelledError, FaceNotFoundError, LayoutError, ModelError
from fface_hub.inversion.align import Box
from fface_hub.inversion.objective import InvertSettings
from fface_hub.progress import Step
from fface_hub.rendering.views import five_views
from space import handlers, models, views
from space.jobs import JOBS, cancel, running
from space.page import build
from space.state import Session
from tests.elsewhere import AWAY, elsewhere
from tests.space.visit import ALICE, BOB, apply, draw, quiet, strokes

PHOTO = Path(__file__).parents[2] / "examples" / "photos" / "astronaut.jpg"
pytestmark = pytest.mark.usefixtures("tiny_page")


def huge_png() -> bytes:
    """A PNG of 30,000² pixels by its header."""
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", 30000, 30000, 8, 2, 0, 0, 0)), (b"IDAT", zlib.compress(bytes(90001))), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(struct.pack(">I", len(b)) + t + b + struct.pack(">I", zlib.crc32(t + b)) for t, b in chunks)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [(b"", "zero bytes"), (b"hello", "not a picture"), (huge_png(), "too large"), (PHOTO.read_bytes()[:20_000], "cut off")],
)
def test_uploads_reach_our_own_reader(content: bytes, sentence: str, tmp_path: Path) -> None:
    file = tmp_path / "photo.png"
    file.write_bytes(content)
    upload = next(block for block in build().blocks.values() if getattr(block, "elem_id", None) == "photo")
    path = upload.preprocess(ImageData(path=str(file), orig_name="photo.png"))  # type: ignore[attr-defined]
    assert path == str(file)
    with pytest.warns(UserWarning, match=sentence):  # the toast, outside a running page
        square, photo, status = handlers.photo_chosen(path)
    assert square is None and photo is None and sentence in status  # nothing is left of an earlier photo
    assert handlers.photo_chosen(None) == (None, None, "The photo was taken away. The face that is shown stays.")


def test_every_error_is_one_sentence_and_faults_of_ours_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    def told(error: Exception) -> str:
        @handlers.plainly
        def fail() -> None:
            raise error

        @handlers.plainly_streaming
        def fail_later() -> Iterator[int]:
            yield 1
            raise error

        with pytest.raises(gr.Error) as first:
            fail()
        with pytest.raises(gr.Error) as second:
            list(fail_later())
        assert first.value.message == second.value.message and not first.value.print_exception
        return first.value.message

    assert told(FaceNotFoundError("No face.")) == "No face." and not caplog.records
    with caplog.at_level(logging.ERROR):
        assert "inside the program" in told(ZeroDivisionError("secret/path"))
        assert len(caplog.records) == 2 and caplog.records[0].exc_info
        assert "memory" in told(RuntimeError("CUDA out of memory"))
        assert "disk is full" in told(OSError(errno.ENOSPC, "No space left on device"))
    with pytest.raises(gr.Error, match="quota"):
        handlers.plainly(lambda: (_ for _ in ()).throw(gr.Error("quota", print_exception=False)))()


def test_visitors_do_not_meet_and_the_generator_stays_as_it_is() -> None:
    shared = models.generator()
    weights = {key: value.clone() for key, value in shared.state_dict().items()}  # type: ignore[attr-defined]
    assert not any(p.requires_grad for p in shared.parameters())  # type: ignore[attr-defined]
    alice, bob = draw(1), draw(2)
    kept = bob.latents.geometry.clone()
    said = apply(alice)[-1][-1]
    assert said.startswith("Done") and len(alice.edits) == 2
    assert len(bob.edits) == 1 and torch.equal(bob.latents.geometry, kept)
    assert alice.folder.name != bob.folder.name
    assert all(torch.equal(value, weights[key]) for key, value in shared.state_dict().items())  # type: ignore[attr-defined]
    handlers.undo(alice, ALICE)
    with pytest.raises(gr.Error, match="no edit to undo"):
        handlers.undo(alice, ALICE)


def test_files_of_a_session_go_with_it() -> None:
    alice = draw(1)
    folder = Path(alice.folder.name)
    assert len(list(folder.iterdir())) == 2  # picture and labels
    alice.folder.cleanup()  # what the collector does once the session is dropped
    assert not folder.exists()


@pytest.mark.parametrize("error", [RuntimeError("a fault"), LayoutError("Paint more."), CancelledError("Stopped.")])
def test_a_failed_edit_loses_nothing(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise error

    alice = draw(1)
    monkeypatch.setattr(EditSession, "apply", fail)
    steps = handlers.apply(alice, strokes(alice), True, ALICE, quiet)
    shown = next(steps)
    assert len(alice.edits) == 1 and len(shown) == len(handlers.SHOWN)
    if isinstance(error, CancelledError):
        assert shown[-1] == "Stopped." and list(steps) == []
    else:
        with pytest.raises(gr.Error):
            next(steps)


def test_cancel_reaches_only_the_own_job(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handlers, "EditSettings", lambda: EditSettings(steps=100_000, resolution=16, preview_every=1))
    alice = draw(1)
    steps = handlers.apply(alice, strokes(alice), True, ALICE, quiet)
    next(steps)
    job = JOBS["alice", "face"]
    assert cancel(BOB, ["face"]) == "Nothing is running."  # type: ignore[arg-type]
    assert cancel(ALICE, ["face"]) == gr.skip()  # type: ignore[arg-type]  # the edit itself says what became of it
    steps.close()  # type: ignore[attr-defined]
    with pytest.raises(CancelledError):
        job.result()


def test_one_edit_at_a_time_but_the_next_may_begin_while_a_stopped_one_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handlers, "EditSettings", lambda **_: EditSettings(steps=100_000, resolution=16, preview_every=1))
    alice = draw(1)
    first = handlers.apply(alice, strokes(alice), True, ALICE, quiet)
    next(first)
    assert list(handlers.apply(alice, strokes(alice), True, ALICE, quiet)) == [handlers.only()]  # pressed twice
    cancel(ALICE, ["face"])  # type: ignore[arg-type]
    second = handlers.apply(alice, strokes(alice), True, ALICE, quiet)
    assert next(second)[-1].startswith("Step")
    assert list(first)[-1][-1].startswith("Stopped")
    cancel(ALICE, ["face"])  # type: ignore[arg-type]
    assert list(second)[-1][-1].startswith("Stopped")


def test_only_what_was_edited_can_be_taken_back() -> None:
    places = slice(handlers.SHOWN.index("undo"), handlers.SHOWN.index("undo") + 2)

    def can(shown: tuple[Any, ...]) -> list[bool]:
        return [button.interactive for button in shown[places]]

    alice = draw(1)
    assert can(handlers.reset(alice, ALICE)) == [False, False]
    assert can(apply(alice)[-1]) == [True, True]
    assert can(handlers.undo(alice, ALICE)) == [False, False]


def test_cancelling_keeps_the_face(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handlers, "EditSettings", lambda: EditSettings(steps=100_000, resolution=16, preview_every=1))
    alice = draw(1)
    steps = handlers.apply(alice, strokes(alice), True, ALICE, quiet)
    next(steps)
    job = JOBS["alice", "face"]
    cancel(ALICE, ["face", "views", "turn"])  # type: ignore[arg-type]
    assert list(steps)[-1][-1].startswith("Stopped") and len(alice.edits) == 1
    with pytest.raises(CancelledError):
        job.result()


def test_cancel_stops_work_of_its_own_tab_only() -> None:
    def work(report: Callable[[Step], None]) -> None:
        while True:
            time.sleep(0.01)
            report(Step(0, 1, {}))

    with running(ALICE, work, "preview") as job:
        assert cancel(ALICE, ["fit"]) == "Nothing is running."
        assert cancel(ALICE, ["face", "preview"]) == "Stopped. The face is as it was."  # previews do not say so themselves
        with pytest.raises(CancelledError):
            job.result()


def test_a_film_of_another_face_is_taken_away() -> None:
    alice = draw(1)
    video, *_ = views.make_video_and_mesh(alice, ALICE, quiet)
    assert alice.filmed is alice.latents and Path(video).exists()
    places = slice(handlers.SHOWN.index("video"), handlers.SHOWN.index("video") + 4)
    assert handlers.reset(alice, ALICE)[places] == (gr.skip(),) * 4  # the same face
    after = apply(alice)[-1][places]
    assert after[:2] == (None, None) and all(button.value is None and not button.interactive for button in after[2:])


@pytest.mark.parametrize(
    ("name", "work"),
    [
        ("five_views", lambda alice: views.show_five_views(alice, "Picture", ALICE, quiet)),
        ("orbit_frames", lambda alice: views.make_video_and_mesh(alice, ALICE, quiet)),
    ],
)
def test_views_are_cancelled_without_an_error(name: str, work: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def endless(*arguments: Any) -> None:
        while True:
            arguments[-1](Step(0, 5, {}))
            cancel(ALICE, ["face", "views", "turn"])  # type: ignore[arg-type]

    monkeypatch.setattr(views, name, endless)
    shown = work(draw(1))
    assert (shown[:4], shown[4][:7]) == ((gr.skip(),) * 4, "Stopped") if name == "orbit_frames" else shown == gr.skip()


def test_five_views_are_shown_with_their_angles() -> None:
    shown = views.show_five_views(draw(1), "Labels", ALICE, quiet)
    assert [caption for _, caption in shown] == ["-30°", "-15°", "0°", "15°", "30°"] and len({p.tobytes() for p, _ in shown}) > 1


@pytest.mark.parametrize("name", ["../../etc", "/tmp", "nothing", "a/b/c", "file:///x"])
def test_a_layout_is_never_a_folder_of_the_server(name: str) -> None:
    with pytest.raises(gr.Error, match="no layout"):
        handlers.draw_face(1, name, None, ALICE)


@pytest.mark.parametrize(("space", "token"), [("org/space", False), (None, None)])
def test_a_space_lends_its_token_to_nobody(space: str | None, token: bool | None, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    def load(id: str, **arguments: Any) -> Any:
        """No adapter, but a note of how it was asked for."""
        asked.append(arguments["token"])
        raise ModelError("Not this one.")

    monkeypatch.setattr(models.Adapter, "from_pretrained", load)
    if space is None:
        monkeypatch.delenv("SPACE_ID", raising=False)
    else:
        monkeypatch.setenv("SPACE_ID", space)
    with pytest.raises(ModelError, match="Not this one"):
        models.find_adapter("org/private")
    assert asked == [token]


def test_a_wrong_layout_is_told_before_the_minutes_of_an_inversion(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handlers, "invert", lambda *_, **__: pytest.fail("the inversion was started"))
    photo = Image.new("RGB", (64, 64))
    with pytest.raises(gr.Error, match="cannot be reached"):
        list(handlers.invert_photo(photo, True, True, "org/nothing", None, None, ALICE, quiet))
    with pytest.raises(gr.Error, match="Tick the box"):
        list(handlers.invert_photo(photo, False, False, "", None, None, ALICE, quiet))


def test_controls_without_a_face_say_so() -> None:
    for call in (handlers.undo, handlers.reset, lambda *given: handlers.go_back(None, {"now": 0}, ALICE)):
        with pytest.raises(gr.Error, match="There is no face yet"):
            call(None, ALICE)
    with pytest.raises(gr.Error, match="There is no face yet"):
        views.make_video_and_mesh(None, ALICE, quiet)
    with pytest.raises(gr.Error, match="seed must be"):
        handlers.draw_face(None, "", None, ALICE)


def test_a_face_without_a_mesh_still_gets_its_video(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise ModelError("No surface.")

    monkeypatch.setattr(views, "extract_mesh", fail)
    monkeypatch.setattr(views, "ORBIT_FRAMES", 2)
    alice = draw(1)
    video, mesh, *_, said = views.make_video_and_mesh(alice, ALICE, quiet)
    assert Path(video).stat().st_size > 0 and mesh is None and said.endswith("No surface.")


def test_another_layout_leaves_running_work_its_own() -> None:
    """The five views of a face may be half rendered when its layout is changed; their labels are of the layout they began with."""
    session = draw(3)
    before = session.layout
    assert session.adapter is None and session.rendering is not None
    assert handlers.layout_chosen(session, "", ALICE) == handlers.only()  # the layout that it has
    session.layout_id = "another"
    changed: Session = handlers.layout_chosen(session, models.OWN_LAYOUT, ALICE)[0]
    assert changed is not session and changed.edits is session.edits and changed.folder is session.folder
    changed.adapter = object()  # type: ignore[assignment]
    assert session.layout is before


def test_the_page_computes_where_its_environment_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compute_module, "choose_device", lambda name: AWAY)
    models.compute.cache_clear()

    def there(work: Callable[..., Any]) -> Callable[..., Any]:
        def work_there(*given: Any, **named: Any) -> Any:
            with elsewhere():  # in a thread of its own
                return work(*given, **named)

        return work_there

    monkeypatch.setattr(handlers, "edit_job", there(handlers.edit_job))
    monkeypatch.setattr(views, "five_views", there(five_views))
    try:
        with elsewhere():
            session = draw(1)
            assert session.rendering is not None and session.rendering.image.device == AWAY
            assert apply(session)[-1][-1].startswith("Done")
            sides = views.show_five_views(session, "Normals", ALICE, quiet)  # type: ignore[arg-type]
            assert len(sides) == 5
            handlers.undo(session, ALICE)
    finally:
        models.compute.cache_clear()
    monkeypatch.undo()
    monkeypatch.setenv("FFACE_MEMORY", "a lot")
    with pytest.raises(ModelError, match="no amount of memory"):
        models.compute()


def test_the_page_says_which_generator_it_runs_and_offers_what_fits_it(monkeypatch: pytest.MonkeyPatch) -> None:
    assert models.layout_choices() == [models.OWN_LAYOUT] and models.first_layout() == models.OWN_LAYOUT
    assert "Generator: tiny" in models.about_the_generator()
    monkeypatch.setattr(models, "GENERATOR_ID", models.BUNDLED_ID)
    assert "rendered likeness" in models.about_the_generator()
    assert models.first_layout() == "heads-nasal-wing-17" and len(models.layout_choices()) == 5
    monkeypatch.setattr(models, "GENERATOR_ID", "org/<b>bold</b>")
    assert "<b>" not in models.about_the_generator()


def test_a_photo_may_be_held_to_the_parts_that_the_parser_sees(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[InvertSettings] = []

    def invert(model: Any, photo: Any, settings: InvertSettings, callback: Any, encoder: Any, box: Any) -> Any:
        assert box is None and encoder is None  # no encoder is this tiny generator's
        assert settings.w_steps == InvertSettings.longer().w_steps
        asked.append(settings)
        raise CancelledError("Stopped.")

    monkeypatch.setattr(handlers, "invert", invert)
    for parse in (True, False):
        steps = list(handlers.invert_photo(Image.open(PHOTO), True, parse, models.OWN_LAYOUT, None, None, ALICE, quiet))
        assert steps == [handlers.only(status="Stopped. There is no new face.")]
    assert asked[0].parser is not None and asked[1].parser is None
    labels = asked[0].parser(torch.zeros(1, 3, 64, 64))
    assert labels.shape == (1, 64, 64)


def test_the_square_of_a_photo_can_be_moved(monkeypatch: pytest.MonkeyPatch) -> None:
    square, photo, said = handlers.photo_chosen(str(PHOTO))
    assert "Drag the square" in said and square["width"] == photo.width and square["picture"].startswith("data:image/png")
    left, top, size = square["box"]
    assert square["smallest"] < size < square["largest"] and 0 < left + size / 2 < photo.width and 0 < top + size / 2 < photo.height
    boxes = []

    def invert(*given: Any, box: Any, **named: Any) -> Any:
        boxes.append(box)
        raise CancelledError("Stopped.")

    monkeypatch.setattr(handlers, "invert", invert)
    for chosen in (None, square, {"box": [left + 5, top, size]}):
        assert "Stopped" in next(handlers.invert_photo(photo, True, False, "", chosen, None, ALICE, quiet))[-1]
    assert boxes == [None, Box(left, top, size), Box(left + 5, top, size)]
    for wrong in (7, {}, {"box": [1, 2]}, {"box": [1.5, 2, 3]}, {"box": [True, 2, 3]}, {"box": [2**30, 2, 3]}, {"box": "123"}):
        with pytest.raises(gr.Error, match="no such square"):
            list(handlers.invert_photo(photo, True, False, "", wrong, None, ALICE, quiet))
