"""Files of cameras in all their forms, and broken ones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from fface_hub.cameras import Camera, look_at
from fface_hub.errors import ModelError
from fface_hub.inversion.camera_files import CameraFile, cameras_beside, read_cameras, write_cameras

CAMERA = look_at(12.0, -5.0)
NUMBERS = CAMERA.to_vector()[0].tolist()
POSE, INTRINSICS = NUMBERS[:16], NUMBERS[16:]
ROWS = [POSE[0:4], POSE[4:8], POSE[8:12], POSE[12:16]]


def read(tmp_path: Path, value: Any) -> CameraFile:
    path = tmp_path / "dataset.json"
    path.write_text(json.dumps(value))
    return read_cameras(path)


@pytest.mark.parametrize(
    "value",
    [
        {"labels": [["a/x.png", NUMBERS]]},
        {"labels": {"a/x.png": NUMBERS}},
        {"a/x.png": NUMBERS},
        [["a/x.png", NUMBERS]],
        [{"file_name": "a/x.png", "camera": NUMBERS}],
        {"a\\x.png": {"pose": ROWS, "intrinsics": [INTRINSICS[0:3], INTRINSICS[3:6], INTRINSICS[6:9]]}},
        {"a/x.png": {"pose": POSE, "intrinsics": INTRINSICS}},
    ],
)
def test_every_form_is_read(tmp_path: Path, value: Any) -> None:
    cameras = read(tmp_path, value)
    assert len(cameras) == 1
    for name in ("a/x.png", "a/x.jpg", "a/x", "x.png", "x.jpg", "b/x.png"):
        found = cameras.find(name)
        assert found is not None, name
        torch.testing.assert_close(found.to_vector(), CAMERA.to_vector(), atol=1e-6, rtol=0)
    assert cameras.find("y.png") is None


def test_the_name_that_says_most_is_taken() -> None:
    cameras = CameraFile({"a/x.png": NUMBERS, "b/x.png": look_at(30.0).to_vector()[0].tolist()})
    found = cameras.find("b/x.jpg")
    assert found is not None and found.cam2world[0, 0, 3] == pytest.approx(1.35)  # 2.7 sin 30°
    with pytest.raises(ModelError, match=r"may both be 'c/x\.png'"):
        cameras.find("c/x.png")


@pytest.mark.parametrize("value", [[], {}, {"labels": None}, 3, ["x.png"], {"labels": [[1, NUMBERS]]}, {"": NUMBERS}])
def test_what_names_no_cameras_is_refused(tmp_path: Path, value: Any) -> None:
    with pytest.raises(ModelError, match="holds no cameras"):
        read(tmp_path, value)


@pytest.mark.parametrize("numbers", [NUMBERS[:24], [*NUMBERS, 0.0], [2 * x for x in NUMBERS], ["1"] * 25, None, {"pose": POSE}, [[[1]]]])
def test_numbers_that_are_no_camera_are_refused_by_name(tmp_path: Path, numbers: Any) -> None:
    with pytest.raises(ModelError, match=r"camera of 'x\.png' cannot be used"):
        read(tmp_path, {"x.png": numbers, "y.png": NUMBERS}).find("x.png")


def test_a_picture_that_is_named_twice_and_json_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="twice"):
        read(tmp_path, [["x.png", NUMBERS], ["x.png", NUMBERS]])
    (tmp_path / "cameras.json").write_text('{"x.png": [NaN]}')
    with pytest.raises(ModelError, match="not valid JSON"):
        read_cameras(tmp_path / "cameras.json")


def test_rounded_rotations_are_made_exact(tmp_path: Path) -> None:
    rounded = [round(x, 3) for x in NUMBERS]
    found = read(tmp_path, {"x.png": rounded}).find("x.png")
    assert found is not None
    rotation = found.cam2world[0, :3, :3]
    torch.testing.assert_close(rotation @ rotation.T, torch.eye(3), atol=1e-6, rtol=0)


def test_what_is_written_is_eg3ds_form_and_read_again(tmp_path: Path) -> None:
    cameras = {"anna/1.png": CAMERA, "2.png": look_at(-30.0)}
    write_cameras(cameras, tmp_path / "dataset.json")
    told = json.loads((tmp_path / "dataset.json").read_text())
    assert [name for name, _ in told["labels"]] == ["anna/1.png", "2.png"] and len(told["labels"][0][1]) == 25
    again = read_cameras(tmp_path / "dataset.json")
    for name, camera in cameras.items():
        found = again.find(name)
        assert isinstance(found, Camera)
        torch.testing.assert_close(found.to_vector(), camera.to_vector(), atol=1e-6, rtol=0)
    # Beside a photo, or one folder up.
    (tmp_path / "anna").mkdir()
    found_beside = cameras_beside(tmp_path / "anna" / "1.png")
    assert found_beside is not None and found_beside[1] == "anna/1.png" and found_beside[2] == tmp_path / "dataset.json"
    assert cameras_beside(tmp_path / "a" / "b" / "c" / "1.png") is None
