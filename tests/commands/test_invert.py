"""`fface-hub invert` of one photo and of several, and `fface-hub benchmark invert`: what options become of."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from PIL import Image

from fface_hub import benchmarks
from fface_hub.benchmarks.invert import Plan
from fface_hub.cameras import Camera, look_at
from fface_hub.cli import main
from fface_hub.commands import faces
from fface_hub.errors import CancelledError
from fface_hub.inversion.camera_files import read_cameras, write_cameras
from fface_hub.inversion.inversion import RETOUCH_FILE, Inversion
from fface_hub.inversion.objective import InvertSettings

SMALL = ["--device", "cpu", "--resolution", "16"]
STEPS = ["--w-steps", "1", "--free-steps", "1", "--tuning-steps", "1"]


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder as `prepare` makes it: two crops of one person, and the camera of one of them above."""
    folder = tmp_path / "prepared" / "anna"
    folder.mkdir(parents=True)
    for name, color in (("a", "grey"), ("b", "white")):
        Image.new("RGB", (24, 24), color).save(folder / f"{name}.png")
    (folder / "notes.txt").write_text("no picture")
    write_cameras({"anna/b.png": look_at(20.0)}, tmp_path / "prepared" / "dataset.json")
    return folder


def test_a_folder_is_one_person(
    photos: Path, tiny_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "face"
    read: list[Path] = []
    monkeypatch.setattr(faces, "read_cameras", lambda path: read.append(path) or read_cameras(path))
    assert main(["invert", str(photos), "--cropped", "--generator", str(tiny_folder), "--out", str(out), *STEPS, *SMALL]) == 0
    assert len(read) == 1  # one file for all photos
    said = capsys.readouterr().out
    assert "starts from the mean face" in said and "'anna/b.png' is that in dataset.json" in said and "taken as frontal" in said
    assert (out / RETOUCH_FILE).is_file() and len(json.loads((out / "inversion.json").read_text())["others"]) == 1
    assert main(["render", str(out), "--only", "views", "--out", str(tmp_path / "views"), *SMALL]) == 0


def test_options_become_photos_cameras_and_settings(
    photos: Path, tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []

    def invert(generator: Any, pictures: Any, cameras: Camera | None, settings: InvertSettings, callback: Any, encoder: Any) -> Inversion:
        asked.append((pictures, cameras, settings, encoder))
        raise CancelledError("That is enough.")

    monkeypatch.setattr(faces, "invert_photo", invert)
    command = ["--generator", str(tiny_folder), "--out", str(tmp_path / "face"), "--seed", "3", *SMALL]
    for words in ([str(photos), "--cropped"], [str(photos / "a.png"), "--tuning", "weights", "--free-steps", "7"]):
        assert main(["invert", *words, *command]) == 2
    crops, cameras, settings, encoder = asked[0]
    assert [tuple(crop.shape) for crop in crops] == [(1, 3, 24, 24)] * 2 and encoder is None
    assert cameras is not None and torch.allclose(cameras.cam2world[1], look_at(20.0).cam2world[0], atol=1e-5)
    assert settings == InvertSettings.longer(seed=3)  # without an encoder
    pictures, cameras, settings, _ = asked[1]
    assert isinstance(pictures[0], Image.Image) and cameras is None and settings == InvertSettings.pivotal(seed=3, free_steps=7)
    monkeypatch.setattr(faces, "bundled_encoder", lambda generator: ("encoder", "There is one."))
    assert main(["invert", str(photos / "a.png"), *command]) == 2
    assert asked[2][2:] == (InvertSettings(seed=3), "encoder")


def test_photos_that_cannot_be_taken(photos: Path, tiny_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def refused(*words: str) -> str:
        assert main(["invert", *words, "--generator", str(tiny_folder), "--out", str(tmp_path / "face"), *SMALL]) == 2
        return capsys.readouterr().err

    empty = tmp_path / "empty"
    empty.mkdir()
    assert "no pictures in" in refused(str(empty))
    Image.new("RGB", (24, 20)).save(photos / "c.png")
    assert "'c.png' is 24 × 20 pixels, not square" in refused(str(photos), "--cropped")
    whole = (photos / "b.png").read_bytes()
    (photos / "b.png").write_bytes(whole[:50])
    assert "'b.png': The picture is damaged" in refused(str(photos), "--cropped")
    (photos / "b.png").write_bytes(b"")
    assert "'b.png': The picture is empty" in refused(str(photos))
    assert refused(str(photos / "d.png")).count("d.png") == 1


def test_the_benchmark_is_asked_for_by_options(
    tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: dict[str, Any] = {}

    def run(generator: Any, callback: object, **options: Any) -> dict[str, Any]:
        asked.update(options)
        return {"methods": {"ours": {"heads": 3, "input_psnr": 30.0}}, "heads": 3, "settings": {}}

    monkeypatch.setattr(benchmarks, "import_module", lambda name: SimpleNamespace(run=run))
    report = tmp_path / "f.json"
    words = ["benchmark", "invert", "--generator", str(tiny_folder), "--device", "cpu", "--json", str(report)]
    assert main([*words, "--limit", "3", "--methods", "ours, original"]) == 0
    assert asked["plan"] == Plan(("ours", "original"), 3) and asked["progress_file"] == tmp_path / "f.json.progress.jsonl"
    assert json.loads(report.read_text())["command"] == shlex.join(["fface-hub", *words, "--limit", "3", "--methods", "ours, original"])
    assert "method ours  heads 3  input_psnr 30.0000" in capsys.readouterr().out
    assert main([*words, "--limit", "0"]) == 2 and "at least one head" in capsys.readouterr().err
    assert main([*words, "--methods", "best"]) == 2 and "no method 'best'" in capsys.readouterr().err
