"""The page's handlers on a tiny generator: bad input is one sentence, visitors do not meet, and nothing is lost when work fails."""

from __future__ import annotations

import errno
import logging
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gradio as gr
import pytest
import torch
from gradio.data_classes import ImageData
from PIL import Image

from fface_hub.editing.edit import EditSettings
from fface_hub.errors import CancelledError, FaceNotFoundError, LayoutError, ModelError
from fface_hub.progress import Step
from space import handlers
from space.jobs import JOBS
from space.page import build
from space.painting import CANVAS, display_colors
from space.state import Session

PHOTO = Path(__file__).parents[2] / "examples" / "photos" / "astronaut.jpg"
ALICE, BOB = SimpleNamespace(session_hash="alice"), SimpleNamespace(session_hash="bob")


def quiet(*_: Any, **__: Any) -> None:
    """A progress bar that nobody sees."""


@pytest.fixture(autouse=True)
def tiny_page(tiny_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The page on the tiny generator, with small pictures."""
    monkeypatch.setattr(handlers, "GENERATOR_ID", str(tiny_folder))
    monkeypatch.setattr(handlers, "RESOLUTION", 16)
    monkeypatch.setattr(
        handlers, "EditSettings", lambda **changed: EditSettings(**{"steps": 2, "resolution": 16, "preview_every": 1, **changed})
    )
    handlers.generator.cache_clear()
    yield
    handlers.generator.cache_clear()
    assert not JOBS


def draw(seed: int) -> Session:
    return handlers.draw_face(seed, handlers.OWN_LAYOUT, 0.5)[0]


def strokes(session: Session, name: str = "nose") -> dict[str, Any]:
    """The editor's value with one class all over."""
    color = tuple(int(c) for c in display_colors(session.layout)[session.layout.index(name)])
    return {"layers": [Image.new("RGBA", (CANVAS, CANVAS), (*color, 255))]}


def apply(session: Session, visitor: SimpleNamespace = ALICE) -> list[tuple[Any, ...]]:
    return list(handlers.apply(session, strokes(session), 0.5, True, visitor, quiet))


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
    shared = handlers.generator()
    weights = {key: value.clone() for key, value in shared.state_dict().items()}  # type: ignore[attr-defined]
    assert not any(p.requires_grad for p in shared.parameters())  # type: ignore[attr-defined]
    alice, bob = draw(1), draw(2)
    kept = bob.latents.geometry.clone()
    said = apply(alice)[-1][-1]
    assert said.startswith("Done") and len(alice.history) == 2
    assert len(bob.history) == 1 and torch.equal(bob.latents.geometry, kept)
    assert alice.folder.name != bob.folder.name
    assert all(torch.equal(value, weights[key]) for key, value in shared.state_dict().items())  # type: ignore[attr-defined]
    handlers.undo(alice, 0.5)
    with pytest.raises(gr.Error, match="no edit to undo"):
        handlers.undo(alice, 0.5)


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
    monkeypatch.setattr(handlers, "edit", fail)
    steps = handlers.apply(alice, strokes(alice), 0.5, True, ALICE, quiet)
    shown = next(steps)
    assert len(alice.history) == 1 and len(shown) == 6
    if isinstance(error, CancelledError):
        assert shown[-1] == "Stopped." and list(steps) == []
    else:
        with pytest.raises(gr.Error):
            next(steps)


def test_cancel_reaches_only_the_own_job(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handlers, "EditSettings", lambda: EditSettings(steps=100_000, resolution=16, preview_every=1))
    alice = draw(1)
    steps = handlers.apply(alice, strokes(alice), 0.5, True, ALICE, quiet)
    next(steps)
    job = JOBS["alice", "face"]
    assert handlers.cancel(BOB) == "Nothing is running."  # type: ignore[arg-type]
    assert handlers.cancel(ALICE) == "Stopping…"  # type: ignore[arg-type]
    steps.close()  # type: ignore[attr-defined]
    with pytest.raises(CancelledError):
        job.result()


def test_cancelling_keeps_the_face(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handlers, "EditSettings", lambda: EditSettings(steps=100_000, resolution=16, preview_every=1))
    alice = draw(1)
    steps = handlers.apply(alice, strokes(alice), 0.5, True, ALICE, quiet)
    next(steps)
    job = JOBS["alice", "face"]
    handlers.cancel(ALICE)  # type: ignore[arg-type]
    assert list(steps)[-1][-1].startswith("Stopped") and len(alice.history) == 1
    with pytest.raises(CancelledError):
        job.result()


@pytest.mark.parametrize(
    ("name", "work"),
    [
        ("five_views", lambda alice: handlers.show_five_views(alice, False, ALICE, quiet)),
        ("orbit_frames", lambda alice: handlers.make_video_and_mesh(alice, ALICE, quiet)),
    ],
)
def test_views_are_cancelled_without_an_error(name: str, work: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def endless(*arguments: Any) -> None:
        while True:
            arguments[-1](Step(0, 5, {}))
            handlers.cancel(ALICE)  # type: ignore[arg-type]

    monkeypatch.setattr(handlers, name, endless)
    shown = work(draw(1))
    assert (shown[:4], shown[4][:7]) == ((gr.skip(),) * 4, "Stopped") if name == "orbit_frames" else shown == gr.skip()


def test_five_views_are_shown_with_their_angles() -> None:
    shown = handlers.show_five_views(draw(1), True, ALICE, quiet)
    assert [caption for _, caption in shown] == ["-30°", "-15°", "0°", "15°", "30°"] and len({p.tobytes() for p, _ in shown}) > 1


@pytest.mark.parametrize("name", ["../../etc", "/tmp", "nothing", "a/b/c", "file:///x"])
def test_a_layout_is_never_a_folder_of_the_server(name: str) -> None:
    with pytest.raises(gr.Error, match="no layout"):
        handlers.draw_face(1, name, 0.5)


def test_a_wrong_layout_is_told_before_the_minutes_of_an_inversion(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handlers, "invert", lambda *_, **__: pytest.fail("the inversion was started"))
    photo = Image.new("RGB", (64, 64))
    with pytest.raises(gr.Error, match="cannot be reached"):
        list(handlers.invert_photo(photo, True, "org/nothing", 0.5, ALICE, quiet))
    with pytest.raises(gr.Error, match="Tick the box"):
        list(handlers.invert_photo(photo, False, "", 0.5, ALICE, quiet))


def test_controls_without_a_face_say_so() -> None:
    for call in (handlers.undo, handlers.reset, handlers.clear_strokes):
        with pytest.raises(gr.Error, match="There is no face yet"):
            call(None, 0.5)
    with pytest.raises(gr.Error, match="There is no face yet"):
        handlers.make_video_and_mesh(None, ALICE, quiet)
    with pytest.raises(gr.Error, match="seed must be"):
        handlers.draw_face(None, "", 0.5)


def test_a_face_without_a_mesh_still_gets_its_video(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise ModelError("No surface.")

    monkeypatch.setattr(handlers, "extract_mesh", fail)
    monkeypatch.setattr(handlers, "ORBIT_FRAMES", 2)
    alice = draw(1)
    video, mesh, *_, said = handlers.make_video_and_mesh(alice, ALICE, quiet)
    assert Path(video).stat().st_size > 0 and mesh is None and said.endswith("No surface.")


def test_another_layout_leaves_running_work_its_own() -> None:
    """The five views of a face may be half rendered when its layout is changed; their labels are of the layout they began with."""
    session = draw(3)
    before = session.layout
    assert session.adapter is None and session.rendering is not None
    changed: Session = handlers.layout_chosen(session, handlers.OWN_LAYOUT, 0.5)[0]
    assert changed is not session and changed.history is session.history and changed.folder is session.folder
    changed.adapter = object()  # type: ignore[assignment]
    assert session.layout is before
