"""Folders of photos: crops, cameras, people, rejected files, and runs that were stopped."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from fface_hub.cameras import look_at
from fface_hub.errors import FaceNotFoundError, ImageError, ModelError
from fface_hub.inversion import prepare as module
from fface_hub.inversion.align import Box, FaceCrop
from fface_hub.inversion.camera_files import read_cameras
from fface_hub.inversion.prepare import PrepareSettings, prepare
from fface_hub.progress import Step

SETTINGS = PrepareSettings(resolution=16)
FACE = FaceCrop(Box(4, 2, 8), ((6.0, 5.0), (9.0, 5.0)), 10.0, 0.0, 0.0, "haar", 1, "a note")


@pytest.fixture
def looked_at(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """Sizes of the photos in which a face was looked for; black ones have none."""
    sizes: list[tuple[int, int]] = []

    def find(image: Image.Image, metres_per_unit: float) -> FaceCrop:
        sizes.append(image.size)
        if not np.asarray(image).any():
            raise FaceNotFoundError("No face was found.")
        return FACE

    monkeypatch.setattr(module, "find_face", find)
    return sizes


def photo(path: Path, width: int = 20, level: int = 200) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (width, 16), (level,) * 3).save(path)


def test_a_folder_becomes_crops_and_cameras(tmp_path: Path, looked_at: Any) -> None:
    photos, out, steps = tmp_path / "photos", tmp_path / "out", list[Step]()
    for name in ("me.jpg", "anna/1.png", "anna/2.webp", "ben/1.png", "ben/1.jpg"):
        photo(photos / name)
    photo(photos / "dark.png", level=0)
    (photos / "broken.png").write_bytes(b"no picture")
    (photos / "notes.txt").write_text("not looked at")
    photo(photos / ".hidden.png")
    prepared = prepare(photos, out, SETTINGS, steps.append)
    assert list(prepared.cameras) == ["anna/1.png", "anna/2.png", "ben/1.png", "ben/1-png.png", "me.png"]
    assert prepared.people == {"anna": ("anna/1.png", "anna/2.png"), "ben": ("ben/1.png", "ben/1-png.png")}
    assert prepared.rejected["dark.png"] == "No face was found." and "not a picture" in prepared.rejected["broken.png"]
    assert [(step.index, step.total) for step in steps] == [(n, 7) for n in range(1, 8)]
    for name in prepared.cameras:
        with Image.open(out / name) as crop:
            assert crop.size == (16, 16) and crop.getpixel((8, 8)) == (200, 200, 200)
    labels = json.loads((out / "dataset.json").read_text())["labels"]
    assert [name for name, _ in labels] == list(prepared.cameras)
    torch.testing.assert_close(torch.tensor(labels[0][1]), look_at(10.0).to_vector()[0])
    report = json.loads((out / "report.json").read_text())
    assert report["accepted"] == 5 and set(report["rejected"]) == {"dark.png", "broken.png"}
    assert report["people"]["anna"] == ["anna/1.png", "anna/2.png"] and report["notes"]["me.png"] == "a note"


def test_a_stopped_run_goes_on_where_it_was(tmp_path: Path, looked_at: list[tuple[int, int]]) -> None:
    photos, out = tmp_path / "photos", tmp_path / "out"
    for index in range(4):
        photo(photos / f"{index}.png", width=20 + index)

    def stop(step: Step) -> None:
        if step.index == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepare(photos, out, SETTINGS, stop)
    with (out / "prepare.jsonl").open("a") as record:
        record.write('{"source": "2.p')  # as a kill in the middle of a line leaves it
    prepared = prepare(photos, out, SETTINGS)
    assert prepared.reused == 2 and len(prepared.cameras) == 4
    assert looked_at == [(20, 16), (21, 16), (22, 16), (23, 16)]
    # Nothing to do; then one photo is another, and one crop is gone.
    assert prepare(photos, out, SETTINGS).reused == 4
    photo(photos / "0.png", width=40)
    (out / "3.png").unlink()
    assert prepare(photos, out, SETTINGS).reused == 2
    assert looked_at[4:] == [(40, 16), (23, 16)]
    with pytest.raises(ModelError, match="other settings"):
        prepare(photos, out, PrepareSettings(resolution=32))


def test_pictures_with_known_cameras_are_not_looked_at(tmp_path: Path, looked_at: list[tuple[int, int]]) -> None:
    photos, out = tmp_path / "photos", tmp_path / "out"
    photo(photos / "known.png", width=16)
    photo(photos / "wide.png", width=24)
    photo(photos / "new.png", width=20)
    vector = look_at(-20.0).to_vector()[0].tolist()
    (photos / "cameras.json").write_text(json.dumps({"00000/known": vector, "wide.jpg": vector}))
    prepared = prepare(photos, out, SETTINGS)
    assert looked_at == [(20, 16)] and set(prepared.cameras) == {"known.png", "new.png"}
    assert "not square" in prepared.rejected["wide.png"]
    torch.testing.assert_close(prepared.cameras["known.png"].to_vector()[0], torch.tensor(vector))
    assert read_cameras(out / "dataset.json").find("known.png") is not None


def test_folders_without_a_usable_photo_are_refused(tmp_path: Path, looked_at: Any) -> None:
    with pytest.raises(ImageError, match="no folder"):
        prepare(tmp_path / "missing", tmp_path / "out", SETTINGS)
    (tmp_path / "photos").mkdir()
    with pytest.raises(ImageError, match="no pictures"):
        prepare(tmp_path / "photos", tmp_path / "out", SETTINGS)
    photo(tmp_path / "photos" / "dark.png", level=0)
    with pytest.raises(FaceNotFoundError, match=r"None of the 1 photos could be used; 'dark\.png': No face was found\."):
        prepare(tmp_path / "photos", tmp_path / "photos" / "out", SETTINGS)
    assert json.loads((tmp_path / "photos" / "out" / "report.json").read_text())["rejected"] == {"dark.png": "No face was found."}
