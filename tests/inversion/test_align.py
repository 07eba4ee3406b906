"""Framing and camera arithmetic by hand, and detection on the astronaut's portrait."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps
from skimage import data

from fface_hub.cameras import FOCAL, Camera, look_at
from fface_hub.errors import FaceNotFoundError, ImageError
from fface_hub.inversion import align, pose
from fface_hub.inversion.align import Box, FaceCrop, adjust_camera, crop, find_face
from fface_hub.inversion.detect import Detection
from fface_hub.inversion.landmarks import FIVE, Landmarks, Square, mean_head
from fface_hub.inversion.pose import roll_camera


def project(camera: Camera, point: tuple[float, float, float]) -> tuple[float, float]:
    """Picture position (right, down) in [0, 1] of a world point."""
    local = camera.cam2world[0, :3, :3].T @ (torch.tensor(point) - camera.cam2world[0, :3, 3])
    k = camera.intrinsics[0]
    return float(k[0, 0] * local[0] / local[2] + k[0, 2]), float(k[1, 1] * local[1] / local[2] + k[1, 2])


@pytest.mark.parametrize("turn", [(0.0, 0.0, 0.0), (25.0, -5.0, 0.0), (-20.0, 8.0, 12.0)])
def test_the_square_puts_the_points_where_the_turned_camera_sees_the_mean_head(
    turn: tuple[float, float, float], monkeypatch: pytest.MonkeyPatch
) -> None:
    points = np.array([30.0, 12.0]) + 150 * pose.project(pose.turned_camera(*turn), mean_head()).numpy()
    monkeypatch.setattr(align, "look", lambda photo, square, network: Landmarks(points, turn))
    five, fit = align.locate_head(np.zeros((200, 200, 3), np.uint8), Detection(Square((0.0, 0.0), 1.0)))
    np.testing.assert_allclose(five, points[:FIVE])
    assert (fit.left, fit.top, fit.side) == pytest.approx((30, 12, 150), abs=0.5)
    assert (fit.yaw, fit.pitch, fit.roll) == pytest.approx(turn, abs=0.1)
    # A detector's own points count instead of the network's: they lie 10 px further to the right here, and so does the square.
    shifted = points[:FIVE] + np.array([10.0, 0.0])
    moved, other = align.locate_head(np.zeros((200, 200, 3), np.uint8), Detection(Square((0.0, 0.0), 1.0), shifted))
    np.testing.assert_allclose(moved, shifted)
    assert other.left == pytest.approx(40, abs=3)


def test_the_unit_of_a_generator() -> None:
    assert align.unit_of(object()) == 0.42
    assert align.unit_of(type("Converted", (), {"config": {"metres_per_unit": 0.37}})()) == 0.37


def test_another_square_is_seen_by_another_camera() -> None:
    found = FaceCrop(Box(100, 50, 200), ((170.0, 120.0), (230.0, 120.0)), 20.0, -5.0, 3.0, "yunet", 1, "")
    same = found.within(Box(100, 50, 200))
    assert torch.equal(same.camera.to_vector(), found.camera.to_vector())
    # The photo's pixel (160, 90) is at (0.3, 0.2) of the found square; of (80, 40) + 250 it is at (80 / 250, 50 / 250).
    moved = found.within(Box(80, 40, 250))
    point = (0.01, 0.03, 0.2)
    u, v = project(found.camera, point)
    there = project(moved.camera, point)
    assert there == pytest.approx(((100 + 200 * u - 80) / 250, (50 + 200 * v - 40) / 250), abs=1e-5)
    assert torch.equal(moved.camera.cam2world, found.camera.cam2world) and moved.eyes == found.eyes
    back = moved.within(Box(100, 50, 200))
    torch.testing.assert_close(back.camera.to_vector(), found.camera.to_vector())
    assert found.sizes == (120, 340) == moved.sizes
    for box in (Box(100, 50, 119), Box(100, 50, 341), Box(201, 50, 200), Box(-1, 50, 200), Box(100, 151, 200)):
        with pytest.raises(ImageError, match="does not hold the face"):
            moved.within(box)
    found.within(Box(200, 150, 200))  # its middle is the corner of the found one


def test_a_crop_beyond_the_photo_repeats_its_border() -> None:
    pixels = np.zeros((4, 6, 3), dtype=np.uint8)
    pixels[:, 0], pixels[:, 5] = (255, 0, 0), (0, 0, 255)
    picture = np.asarray(crop(Image.fromarray(pixels), Box(-4, -3, 10), resolution=10))
    assert picture.shape == (10, 10, 3)
    assert (picture[:, :5] == (255, 0, 0)).all()  # columns −4 … 0
    assert (picture[:, 9] == (0, 0, 255)).all()  # column 5
    assert (picture[:, 6:9] == 0).all()
    outside = np.asarray(crop(Image.fromarray(pixels), Box(20, 20, 4), resolution=4))
    assert (outside == (0, 0, 255)).all()


def test_a_large_crop_is_the_crop_of_the_shrunken_photo() -> None:
    # A ramp of 1 grey level per 4 pixels, cut from column 100 over 800 pixels to 16: the middle of cell i is at 100 + 50 (i + ½).
    pixels = np.repeat((np.arange(1000) // 4).astype(np.uint8)[None, :, None], 900, axis=0).repeat(3, axis=2)
    picture = np.asarray(crop(Image.fromarray(pixels), Box(100, 40, 800), resolution=16))[8, 1:-1, 0].astype(float)
    expected = (100 + 50 * (np.arange(16) + 0.5))[1:-1] / 4
    # The photo is shrunk by 800 // 64 = 12, so the box is rounded by up to 6 columns, 1.5 levels; the ramp's whole numbers cost up to 0.5.
    assert np.abs(picture - expected).max() <= 2


def test_a_rolled_camera_turns_the_picture_anticlockwise() -> None:
    right, down = project(roll_camera(look_at(0.0), torch.tensor([90.0])), (0.1, 0.0, 0.2))
    # What was on the right by 4.2647·0.1/2.5 = 0.1706 is now above the middle.
    assert (right, down) == (pytest.approx(0.5, abs=1e-5), pytest.approx(0.5 - FOCAL * 0.1 / 2.5, abs=1e-5))


def test_adjusting_moves_yaw_pitch_scale_and_shift() -> None:
    camera = look_at(0.0)
    same = adjust_camera(camera, torch.zeros(6))
    torch.testing.assert_close(same.to_vector(), camera.to_vector())
    turned = adjust_camera(camera, torch.tensor([30.0, 0.0, 0.0, 0.0, 0.0, 0.0])).cam2world[0, :3, 3]
    # Around (0, 0, 0.2) at distance 2.5: x = 2.5·sin 30° = 1.25, z = 0.2 + 2.5·cos 30°.
    torch.testing.assert_close(turned, torch.tensor([1.25, 0.0, 0.2 + 2.5 * math.cos(math.pi / 6)]))
    raised = adjust_camera(camera, torch.tensor([0.0, 30.0, 0.0, 0.0, 0.0, 0.0])).cam2world[0, :3, 3]
    torch.testing.assert_close(raised, torch.tensor([0.0, 1.25, 0.2 + 2.5 * math.cos(math.pi / 6)]))
    changed = adjust_camera(camera, torch.tensor([0.0, 0.0, 0.0, math.log(2.0), 0.1, -0.05]))
    # Twice the focal length, then 0.1 to the right and 0.05 up.
    assert project(changed, (0.0, 0.0, 0.0)) == (pytest.approx(0.6, abs=1e-5), pytest.approx(0.45, abs=1e-5))
    assert project(changed, (0.1, 0.0, 0.2))[0] == pytest.approx(0.6 + 2 * FOCAL * 0.1 / 2.5, abs=1e-5)


def test_the_camera_can_be_learnt() -> None:
    change = torch.zeros(6, requires_grad=True)
    adjust_camera(look_at(10.0, 5.0), change).to_vector().square().sum().backward()
    assert change.grad is not None and bool((change.grad[3:].abs() > 0).all())


@pytest.fixture(scope="module")
def astronaut() -> Image.Image:
    return Image.fromarray(data.astronaut())


def test_the_astronauts_points_lie_on_her_face(astronaut: Image.Image) -> None:
    found = find_face(astronaut)
    assert found.detector == "haar" and "fallback" in found.note and found.faces == 1
    # By eye: pupils, tip of the nose and corners of the mouth of 512 pixels; she laughs straight into the camera.
    seen = [[203, 102], [246, 104], [224, 124], [204, 141], [242, 143]]
    away = np.abs(np.array(found.points) - seen).max(axis=1)
    # Her pupils are 44 px apart. The tip of her nose is put between the nostrils, lower than where it shines.
    assert away[[0, 1, 3, 4]].max() < 5 and away[2] < 9
    assert found.eyes == found.points[:2]
    assert 150 < found.box.size < 220
    assert abs(found.yaw) < 8 and abs(found.pitch) < 8 and -10 < found.roll < 3


def test_a_small_copy_and_a_tilted_one_are_found(astronaut: Image.Image) -> None:
    small = find_face(astronaut.resize((256, 256)))
    full = find_face(astronaut)
    assert small.box.size == pytest.approx(full.box.size / 2, rel=0.1)
    tilted = find_face(astronaut.rotate(-10, Image.Resampling.BICUBIC, center=(226, 106)))  # clockwise: her left eye comes down
    assert tilted.roll == pytest.approx(full.roll - 10, abs=3)
    mirrored = find_face(ImageOps.mirror(astronaut))
    assert mirrored.roll == pytest.approx(-full.roll, abs=2) and mirrored.yaw == pytest.approx(-full.yaw, abs=3)


def test_of_two_faces_the_larger_is_taken_and_said(astronaut: Image.Image) -> None:
    both = Image.new("RGB", (768, 512))
    both.paste(astronaut, (0, 0))
    both.paste(astronaut.resize((256, 256)), (512, 0))
    found = find_face(both)
    assert found.faces == 2 and "2 faces" in found.note
    assert found.eyes[0][0] < 300


def test_several_faces_of_one_size_are_refused(astronaut: Image.Image) -> None:
    both = Image.new("RGB", (1024, 512))
    both.paste(astronaut, (0, 0))
    both.paste(astronaut, (512, 0))
    with pytest.raises(FaceNotFoundError, match="2 faces of about the same size"):
        find_face(both)


def test_no_face_and_tiny_faces_are_refused(astronaut: Image.Image) -> None:
    with pytest.raises(FaceNotFoundError, match="No face"):
        find_face(Image.new("RGB", (300, 200), (90, 120, 150)))
    face = astronaut.crop((141, 21, 308, 188))
    for side in (40, 60):
        with pytest.raises(FaceNotFoundError):
            find_face(face.resize((side, side)))
    # Found, but with fewer than 80 pixels across the head.
    with pytest.raises(FaceNotFoundError, match="too small"):
        find_face(astronaut.resize((200, 200)))


def test_profiles_are_refused(astronaut: Image.Image, monkeypatch: pytest.MonkeyPatch) -> None:
    points = 10 + 200 * pose.project(pose.turned_camera(70.0, 0.0, 0.0), mean_head()).numpy()
    monkeypatch.setattr(align, "look", lambda photo, square, network: Landmarks(points, (70.0, 0.0, 0.0)))
    with pytest.raises(FaceNotFoundError, match=r"turned too far to the side \(about 70°\)"):
        find_face(astronaut)
    monkeypatch.setattr(align, "haar", lambda pixels: [])
    monkeypatch.setattr(align, "is_profile", lambda pixels: True)
    with pytest.raises(FaceNotFoundError, match="turned too far to the side: use a photo"):
        find_face(astronaut)


def test_yunets_points_are_used_where_it_was_downloaded(astronaut: Image.Image, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    points = np.array([[203, 102], [246, 104], [224, 124], [204, 141], [242, 143]], np.float64)
    monkeypatch.setattr(align, "yunet_model", lambda: tmp_path)
    monkeypatch.setattr(align, "yunet", lambda pixels, model: [Detection(Square((224.0, 120.0), 150.0), points / 2)])
    double = astronaut.resize((2048, 2048))  # looked for at half the size, so the points come back twice as large
    found = find_face(double)
    assert found.detector == "yunet" and found.note == ""
    np.testing.assert_allclose(np.array(found.points), points)
