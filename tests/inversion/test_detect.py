"""Detectors: rows of YuNet by hand, Haar on a photograph, and faces from the side."""

from __future__ import annotations

import numpy as np
import pytest
from skimage import data

from fface_hub.inversion import detect
from fface_hub.inversion.detect import Detection, from_yunet, haar, is_profile, yunet_model
from fface_hub.inversion.landmarks import FACE_SIDE, FIVE, Square, mean_head
from fface_hub.inversion.pose import project, turned_camera


def test_yunet_rows_are_read_in_their_order() -> None:
    row = np.array([10, 20, 90, 120, 30, 60, 70, 62, 50, 85, 36, 110, 64, 112, 0.9], dtype=np.float32)
    found = from_yunet(row)
    assert found.points is not None
    assert found.points.tolist() == [[30, 60], [70, 62], [50, 85], [36, 110], [64, 112]]
    assert found.square.middle == pytest.approx((50, 85.8))
    # Seen from the side the points lie close together: then the height of the box tells how large the square must be.
    row[4:14:2] = 50
    assert from_yunet(row).square.side == pytest.approx(1.1 * 120)


def test_a_square_around_five_points_is_as_large_as_the_network_expects() -> None:
    points = 10 + 200 * project(turned_camera(0, 0, 0), mean_head()[:FIVE]).numpy()
    row = np.concatenate([[0, 0, 50, 50], points.ravel(), [0.9]]).astype(np.float32)
    assert from_yunet(row).square.side == pytest.approx(FACE_SIDE * 200, rel=1e-4)


def test_there_is_no_yunet_in_an_empty_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(detect, "try_to_load_from_cache", lambda repo, file: None)
    assert yunet_model() is None


def test_haar_finds_the_astronaut() -> None:
    found = haar(data.astronaut())
    assert len(found) == 1 and found[0].points is None
    # By eye the middle of her eyes, nose and mouth is at about (224, 120), and her face from brows to chin is some 100 px high.
    assert np.abs(np.array(found[0].square.middle) - (224, 120)).max() < 12
    assert 110 < found[0].square.side < 190


def test_larger_faces_come_first() -> None:
    faces = [Detection(Square((0, 0), side)) for side in (3.0, 9.0, 5.0)]
    assert [face.square.side for face in detect._largest_first(faces)] == [9.0, 5.0, 3.0]


def test_plain_pictures_hold_no_profile() -> None:
    assert not is_profile(np.full((120, 160, 3), 128, np.uint8))
