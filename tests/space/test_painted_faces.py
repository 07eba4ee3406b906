"""Painted faces as a file: they are gone on with as they were, nothing that is painted is thrown away, and strangers' files are refused."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import gradio as gr
import pytest
import torch
from PIL import Image

from fface_hub.adapters.samples import SampleSet
from fface_hub.errors import FFaceError
from fface_hub.generators.triplane import TriplaneGenerator
from fface_hub.layouts import BASE_15, NASAL_WING_17
from space import layouts, limits, models, painted_faces
from space.drafts import Own, read_classes, rows_of
from space.layout_files import read_samples
from tests.space.test_drafts import three
from tests.space.test_layout_files import Files, zipped
from tests.space.test_layouts import draft_of, paint, painted, propose
from tests.space.visit import ALICE, quiet

pytestmark = pytest.mark.usefixtures("tiny_page")


def opened(path: str | Path | None, own: Own | None = None, start: str = models.OWN_LAYOUT, canvas: Any = None) -> tuple[Any, ...]:
    return painted_faces.open_faces(own, None if path is None else str(path), start, canvas, ALICE)


def test_faces_are_saved_and_gone_on_with(tmp_path: Path) -> None:
    own = painted(propose(count=4)[-1][0], 0)
    made = draft_of(own)
    _, path, told = painted_faces.save_faces(own, paint(own, 2))  # with the last strokes, which nobody has kept yet
    assert "2 painted faces" in told and path.endswith("-faces.zip") and [face.number for face in made.painted] == [0, 2]
    with zipfile.ZipFile(path) as archive:
        archive.extractall(tmp_path)
    samples = SampleSet.load(tmp_path / "mine-faces")
    samples.check(models.generator())
    assert len(samples) == 2 and torch.equal(samples.samples[1].labels, made.faces[2].labels.long())

    other, rows, name, strip, sheet, said = opened(path)
    found = draft_of(other)
    assert name == "mine" and "All 2 faces are painted" in said and [face.number for face in found.faces] == [0, 2]
    assert [entry["painted"] for entry in strip["entries"]] == [True, True] and sheet["size"] == 16
    assert all(torch.equal(new.labels, old.labels) for new, old in zip(found.faces, made.painted, strict=True))
    assert [item["name"] for item in rows["rows"]] == list(made.layout.names)
    # More faces are proposed: those that are there are not drawn again, and stay as they are.
    more = list(layouts.propose(other, rows, name, models.OWN_LAYOUT, 4, None, ALICE, quiet))[-1]
    assert "4 faces are here" in more[3]
    whole = draft_of(other)
    assert [face.number for face in whole.faces] == [0, 1, 2, 3] and [face.number for face in whole.painted] == [0, 2]
    assert torch.equal(whole.faces[2].labels, made.faces[2].labels) and whole.layout.names == made.layout.names
    everyone = propose(count=4)[-1][0]
    assert torch.equal(whole.faces[1].latents.geometry, draft_of(everyone).faces[1].latents.geometry)


def test_what_is_painted_here_is_not_thrown_away() -> None:
    own = painted(propose()[-1][0], 0)
    with pytest.raises(gr.Error, match="1 painted face here would be lost"):
        opened("any.zip", own)
    _, path, _ = painted_faces.save_faces(own, None)
    with pytest.raises(gr.Error, match="2 painted faces here would be lost"):
        opened(path, own, canvas=paint(own, 1))  # on the canvas, and not saved
    _, path, _ = painted_faces.save_faces(own, None)
    assert len(draft_of(opened(path, own)[0]).faces) == 2


def test_nothing_is_opened_while_faces_are_drawn() -> None:
    mine, path, _ = painted_faces.save_faces(painted(propose()[-1][0], 0), None)
    drawing = layouts.propose(None, three(), "other", models.OWN_LAYOUT, 3, None, ALICE, quiet)
    own = next(drawing)[0]
    with pytest.raises(gr.Error, match="press Cancel first"):
        opened(path, own)
    list(drawing)
    assert draft_of(opened(path, own)[0]).layout.name == "mine" and mine is not own


def test_without_painted_faces_everything_says_so() -> None:
    with pytest.raises(gr.Error, match="press Propose faces"):
        painted_faces.save_faces(None, None)
    with pytest.raises(gr.Error, match="No face is painted yet"):
        painted_faces.save_faces(propose()[-1][0], None)
    with pytest.raises(gr.Error, match="choose a zip"):
        opened(None)


def test_faces_from_elsewhere_get_numbers_beyond() -> None:
    own = painted(propose()[-1][0], 0, 1)
    made, model = draft_of(own), models.generator()
    samples = made.samples(model, made.painted)
    assert painted_faces.numbers(samples, model) == [0, 1]
    twice = SampleSet(samples.layout, (samples.samples[1], samples.samples[1]))
    assert painted_faces.numbers(twice, model) == [1, limits.MOST_FACES + 1]
    made.face.latents = model.sample(1, 12345)
    assert painted_faces.numbers(made.samples(model, [made.face]), model) == [limits.MOST_FACES]


def test_a_layout_that_is_there_begins_from_another() -> None:
    rows = rows_of(NASAL_WING_17, BASE_15)["rows"]
    by_name = {item["name"]: item for item in rows}
    assert by_name["nose"]["takes"] == ["nose"] and by_name["background"]["takes"] == ["background"]
    assert by_name["ala"]["takes"] == [] and rows[by_name["ala"]["part"]]["name"] == "nose"
    classes = read_classes({"rows": rows, "list": "x"}, NASAL_WING_17.name, BASE_15, BASE_15)
    assert classes.layout.names == NASAL_WING_17.names
    assert [item.parent for item in classes.layout.classes] == [item.parent for item in NASAL_WING_17.classes]


@pytest.fixture
def files() -> Files:
    """What the zip of two painted faces holds."""
    own = painted(propose()[-1][0], 0, 1)
    with zipfile.ZipFile(painted_faces.save_faces(own, None)[1]) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def picture(side: int) -> bytes:
    """A PNG of that many pixels a side."""
    data = io.BytesIO()
    Image.new("RGB", (side, side)).save(data, "PNG")
    return data.getvalue()


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda files: {**files, "../evil.png": b""}, "no part of painted faces"),
        (lambda files: {**files, "a/b/c.png": b""}, "no part of painted faces"),
        (lambda files: {**files, "mine-faces/run.py": b""}, "no part of painted faces"),
        (lambda files: {**files, "mine-faces/": b""}, "no part of painted faces"),
        (lambda files: {**files, "other/0000.png": b""}, "no file of painted faces"),
        (lambda files: {name: data for name, data in files.items() if "metadata" not in name}, "no file of painted faces"),
        (lambda files: {}, "no file of painted faces"),
        (lambda files: {**files, **{f"x/{k}.png": b"" for k in range(200)}}, "more files in this zip"),
        (lambda files: {**files, "mine-faces/0000.png": bytes(2_000_001)}, "unpacks to more than 2 MB"),
        (lambda files: {**files, "mine-faces/0000.png": picture(600)}, "too large"),
        (lambda files: {**files, "mine-faces/0000.png": b"x"}, "not a picture"),
        (lambda files: {**files, "mine-faces/0001.safetensors": b"x"}, "safetensors"),
        (lambda files: {**files, "mine-faces/layout.json": b"{}"}, "layout"),
    ],
)
def test_what_is_no_file_of_painted_faces_is_refused(
    change: Any, sentence: str, files: Files, tiny_generator: TriplaneGenerator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "LAYOUT_BYTES", 2_000_000)
    with pytest.raises(FFaceError, match=sentence):
        read_samples(zipped(tmp_path / "changed.zip", change(files)), tiny_generator)
    assert [item.name for item in tmp_path.iterdir()] == ["changed.zip"] and not (tmp_path.parent / "evil.png").exists()
