"""Framing and camera arithmetic by hand, and detection on the astronaut's portrait."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from PIL import Image
from skimage import data

from fface_hub.cameras import FOCAL, Camera, look_at
from fface_hub.errors import FaceNotFoundError
from fface_hub.inversion import align
from fface_hub.inversion.align import EYE_DISTANCE, EYES, Box, adjust_camera, crop, find_face, frame, roll_camera


def project(camera: Camera, point: tuple[float, float, float]) -> tuple[float, float]:
    """Picture position (right, down) in [0, 1] of a world point."""
    local = camera.cam2world[0, :3, :3].T @ (torch.tensor(point) - camera.cam2world[0, :3, 3])
    k = camera.intrinsics[0]
    return float(k[0, 0] * local[0] / local[2] + k[0, 2]), float(k[1, 1] * local[1] / local[2] + k[1, 2])


def test_the_square_puts_the_eyes_where_the_default_camera_does() -> None:
    # Pupils 59 px apart → side 59 / 0.236 = 250; left = 300 − 0.5·250 = 175, top = 200 − 0.46·250 = 85.
    box = frame(np.array([[270.5, 200.0], [329.5, 200.0]]))
    assert box == Box(175, 85, 250)
    # A head turned by 60° shows half the distance: twice the side.
    assert frame(np.array([[270.5, 200.0], [329.5, 200.0]]), yaw=60.0).size == 500


def test_the_average_head_lies_there() -> None:
    # Pupils of the mean rendered head: (±0.068, 0.023, 0.258).
    # 0.5 + 4.2647·0.068 / (2.7 − 0.258) = 0.619; 0.5 − 4.2647·0.023 / 2.442 = 0.460.
    right, down = project(look_at(0.0), (0.068, 0.023, 0.258))
    assert right - 0.5 == pytest.approx(EYE_DISTANCE / 2, abs=0.003)
    assert down == pytest.approx(EYES[1], abs=0.003)


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


@pytest.mark.parametrize(("yaw", "pitch", "roll"), [(0.0, 0.0, 0.0), (25.0, 0.0, 0.0), (-15.0, 10.0, 8.0), (10.0, -12.0, -20.0)])
def test_the_turn_of_a_head_is_read_from_its_landmarks(yaw: float, pitch: float, roll: float) -> None:
    camera = look_at(yaw, pitch, radius=400.0, pivot=(0.0, 0.0, 0.0), focal=600.0)  # from afar: weak perspective
    camera = roll_camera(camera, torch.tensor([roll]))

    def at(x: float, spot: tuple[float, float]) -> np.ndarray:
        return 512 * np.array(project(camera, (0.07 * x, 0.07 * spot[0], 0.07 * spot[1])))

    eyes = np.stack([at(-1, (0, 0)), at(1, (0, 0))])
    found = align._Found(100.0, eyes, at(0, align.NOSE_TIP), at(0, align.MOUTH))
    assert align._turn(found) == (pytest.approx(yaw, abs=0.5), pytest.approx(pitch, abs=0.5), pytest.approx(roll, abs=0.5))


def test_yunet_rows_are_read_in_their_order() -> None:
    row = np.array([10, 20, 90, 120, 30, 60, 70, 62, 50, 85, 36, 110, 64, 112, 0.9], dtype=np.float32)
    found = align._from_yunet(row)
    assert found.width == 90 and found.eyes.tolist() == [[30, 60], [70, 62]]
    assert found.nose is not None and found.nose.tolist() == [50, 85]
    assert found.mouth is not None and found.mouth.tolist() == [50, 111]


@pytest.fixture(scope="module")
def astronaut() -> Image.Image:
    return Image.fromarray(data.astronaut())


def test_the_astronaut_is_found_by_the_fallback(astronaut: Image.Image) -> None:
    found = find_face(astronaut)
    assert found.detector == "haar" and "fallback" in found.note and found.faces == 1
    # By eye, her pupils are at about (203, 105) and (249, 107) of 512.
    assert np.abs(np.array(found.eyes) - [[203, 105], [249, 107]]).max() < 8
    assert 160 < found.box.size < 240
    assert -10 < found.roll < 3


def test_a_small_copy_and_a_tilted_one_are_found(astronaut: Image.Image) -> None:
    small = find_face(astronaut.resize((256, 256)))
    full = find_face(astronaut)
    assert small.box.size == pytest.approx(full.box.size / 2, rel=0.1)
    tilted = find_face(astronaut.rotate(-10, Image.Resampling.BICUBIC, center=(226, 106)))  # clockwise: her left eye comes down
    assert tilted.roll == pytest.approx(full.roll - 10, abs=5)


def test_of_two_faces_the_larger_is_taken_and_said(astronaut: Image.Image) -> None:
    both = Image.new("RGB", (768, 512))
    both.paste(astronaut, (0, 0))
    both.paste(astronaut.resize((256, 256)), (512, 0))
    found = find_face(both)
    assert found.faces == 2 and "2 faces" in found.note
    assert found.eyes[0][0] < 300


def test_no_face_and_a_tiny_face_are_refused(astronaut: Image.Image) -> None:
    with pytest.raises(FaceNotFoundError, match="No face"):
        find_face(Image.new("RGB", (300, 200), (90, 120, 150)))
    with pytest.raises(FaceNotFoundError):
        find_face(astronaut.resize((80, 80)))
