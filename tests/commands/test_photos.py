"""`prepare`, and what `invert` knows of prepared photos and of face parsers."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from PIL import Image
from skimage import data
from torch import Tensor

from fface_hub.cameras import look_at
from fface_hub.cli import main
from fface_hub.commands import faces
from fface_hub.heads.portraits import PortraitSettings
from fface_hub.inversion.camera_files import write_cameras

STEPS = ["--w-steps", "1", "--free-steps", "1", "--tuning-steps", "0", "--device", "cpu", "--resolution", "16"]


@pytest.fixture
def crop(tmp_path: Path) -> Path:
    """A square picture with its camera in a file one folder up."""
    path = tmp_path / "anna" / "1.png"
    path.parent.mkdir()
    Image.fromarray(data.astronaut()[21:188, 141:308]).save(path)
    write_cameras({"anna/1.png": look_at(20.0)}, tmp_path / "dataset.json")
    return path


def test_a_photo_becomes_a_crop_that_invert_takes(tiny_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    photos, out = tmp_path / "photos", tmp_path / "out"
    photos.mkdir()
    Image.fromarray(data.astronaut()).save(photos / "astronaut.jpg")
    Image.new("RGB", (64, 64)).save(photos / "nobody.png")
    assert main(["prepare", str(photos), str(out), "--generator", str(tiny_folder), "--resolution", "128"]) == 0
    told = capsys.readouterr().out
    assert "rejected 'nobody.png': No face" in told and "wrote 1 crop, rejected 1" in told
    assert Image.open(out / "astronaut.png").size == (128, 128)
    assert main(["prepare", str(photos), str(out), "--generator", str(tiny_folder), "--resolution", "128"]) == 0
    assert "2 photos were done before" in capsys.readouterr().out


def test_a_known_camera_is_used(tiny_folder: Path, crop: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    face = tmp_path / "face"
    assert main(["invert", str(crop), "--cropped", "--generator", str(tiny_folder), "--out", str(face), *STEPS]) == 0
    assert "the camera of 'anna/1.png' is that in dataset.json" in capsys.readouterr().out
    camera = torch.tensor(json.loads((face / "inversion.json").read_text())["camera"])
    # Two steps have moved it by little from 20°: x = 2.7 sin 20° = 0.923.
    assert camera[3] == pytest.approx(0.923, abs=0.1)
    other = crop.with_name("2.png")
    crop.rename(other)
    assert main(["invert", str(other), "--cropped", "--generator", str(tiny_folder), "--out", str(face), *STEPS]) == 0
    assert "does not name 'anna/2.png'" in capsys.readouterr().out


def test_labels_of_a_parser_guide(
    tiny_folder: Path, crop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[str] = []

    def load(id: str, device: torch.device) -> Callable[[Tensor], Tensor]:
        asked.append(id)
        return lambda image: torch.ones(1, *image.shape[2:], dtype=torch.int64)

    monkeypatch.setattr(faces, "load_parser", load)
    command = ["invert", str(crop), "--cropped", "--generator", str(tiny_folder), "--out", str(tmp_path / "face"), *STEPS]
    report = tmp_path / "report.json"
    assert main([*command, "--labels", "parse", "--parser", "org/parser@main", "--json", str(report)]) == 0
    assert asked == ["org/parser@main"] and 0 <= json.loads(report.read_text())["label_agreement"] <= 1
    capsys.readouterr()
    assert main([*command, "--parser", "org/parser"]) == 2
    assert "--labels parse" in capsys.readouterr().err


def test_a_missing_extra_is_one_sentence(
    tiny_folder: Path, crop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    command = ["invert", str(crop), "--cropped", "--generator", str(tiny_folder), "--out", str(tmp_path / "face"), *STEPS]
    assert main([*command, "--labels", "parse"]) == 2
    assert "pip install 'fface-hub[parse]'" in capsys.readouterr().err


def test_help_states_how_many_portraits_are_drawn(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["train", "--help"])
    assert f"({PortraitSettings().heads})" in capsys.readouterr().out
