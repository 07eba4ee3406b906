"""Angles of cameras and the fit of the mean head, on cameras that are known."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from fface_hub.cameras import FOCAL, look_at
from fface_hub.inversion import pose
from fface_hub.inversion.landmarks import FIVE, mean_head
from fface_hub.inversion.pose import fit_head, orbit_angles, place_square, project, rotation_error, turned_camera

ANGLES = [(0.0, 0.0, 0.0), (25.0, 0.0, 0.0), (-15.0, 10.0, 8.0), (10.0, -12.0, -20.0), (-70.0, 5.0, 3.0)]


@pytest.mark.parametrize("angles", ANGLES)
def test_angles_are_read_back_from_a_camera(angles: tuple[float, float, float]) -> None:
    assert orbit_angles(turned_camera(*angles)) == pytest.approx(angles, abs=1e-3)


def test_a_near_camera_has_the_angles_of_the_far_one_that_looks_the_same_way() -> None:
    near = look_at(30.0, 10.0, radius=1.2)
    far = turned_camera(*orbit_angles(near))
    torch.testing.assert_close(far.cam2world[:, :3, :3], near.cam2world[:, :3, :3], atol=1e-5, rtol=0)
    # Both look at (0, 0, 0.2), so a near camera at 30° sees the head more from the side than a far one at 30° does.
    assert orbit_angles(near)[0] > 32


def test_projection_by_hand() -> None:
    # From (0, 0, 2.7): 0.1 to the right, 0.2 up and 2.5 away.
    seen = project(look_at(0.0), torch.tensor([[0.1, 0.2, 0.2]]))
    assert seen[0].tolist() == pytest.approx([0.5 + FOCAL * 0.1 / 2.5, 0.5 - FOCAL * 0.2 / 2.5])


def test_the_angle_between_two_cameras() -> None:
    assert rotation_error(turned_camera(0, 0, 0), turned_camera(0, 0, 12)) == pytest.approx(12, abs=1e-3)
    # look_at(20°) stands at 20° about the origin but looks at (0, 0, 0.2): its direction is turned by atan(2.7 sin / (2.7 cos − 0.2)).
    turned = math.degrees(math.atan2(2.7 * math.sin(math.radians(20)), 2.7 * math.cos(math.radians(20)) - 0.2))
    assert rotation_error(turned_camera(0, 0, 0), turned_camera(20, 0, 0)) == pytest.approx(turned, abs=1e-3)


def test_the_square_by_hand() -> None:
    # Seen by the default camera, ±0.1 at depth 2.5 are 0.5 ± 0.170588 of the side. Found 100 px apart they make a side of 293.1 px.
    head = torch.tensor([[-0.1, 0.0, 0.2], [0.1, 0.0, 0.2]])
    left, top, side = place_square(np.array([[250.0, 80.0], [350.0, 80.0]]), head, look_at(0.0))
    assert side == pytest.approx(100 / (2 * FOCAL * 0.1 / 2.5), rel=1e-5)
    assert (left, top) == (pytest.approx(300 - side / 2, abs=1e-3), pytest.approx(80 - side / 2, abs=1e-3))


@pytest.mark.parametrize("angles", ANGLES)
@pytest.mark.parametrize("metres_per_unit", [0.42, 0.37])
def test_a_mean_head_is_fitted_from_a_wrong_guess(
    angles: tuple[float, float, float], metres_per_unit: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    head = mean_head(metres_per_unit)
    points = 40 + 200 * project(turned_camera(*angles), head).numpy().astype(np.float64)
    guess = (angles[0] + 6, angles[1] - 5, angles[2] + 3)
    truth = turned_camera(*angles)
    between = rotation_error(fit_head(points, head, guess, FIVE).camera, truth)
    assert 0.5 < between < 0.95 * rotation_error(turned_camera(*guess), truth)  # the guess is believed, too
    monkeypatch.setattr(pose, "ANGLE_SPREAD", (1e4, 1e4, 1e4))
    fit = fit_head(points, head, guess, FIVE)
    assert (fit.yaw, fit.pitch, fit.roll) == pytest.approx(angles, abs=0.05)
    assert (fit.left, fit.top, fit.side) == pytest.approx((40, 40, 200), abs=0.5)
