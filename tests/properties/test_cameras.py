"""Cameras come back from every form they are written in, within a millionth."""

from __future__ import annotations

import json
import math

import pytest
import torch
from hypothesis.strategies import floats

from fface_hub.adapters.samples_rows import read_camera
from fface_hub.cameras import Camera, look_at
from fface_hub.inversion.align import adjust_camera
from fface_hub.inversion.pose import roll_camera
from tests.properties.holding import EXAMPLES, hold

NUMBERS = {
    "yaw": floats(-89, 89),
    "pitch": floats(-60, 60),
    "radius": floats(0.5, 10),
    "focal": floats(0.5, 8),
    "centre": floats(0.3, 0.7),
    "skew": floats(-0.2, 0.2),
}
TOLERANCE = 1e-6


def camera(yaw: float, pitch: float, radius: float, focal: float, centre: float = 0.5, skew: float = 0.0) -> Camera:
    made = look_at(yaw, pitch, radius, (0.0, 0.0, 0.2), focal)
    intrinsics = made.intrinsics.clone()
    intrinsics[:, 0, 1], intrinsics[:, 0, 2], intrinsics[:, 1, 2] = skew, centre, 1 - centre
    return Camera(made.cam2world, intrinsics)


def close(found: Camera, expected: Camera, scale: float = 1.0) -> None:
    assert float((found.to_vector() - expected.to_vector()).abs().max()) <= TOLERANCE * max(1.0, scale)


def vectors_come_back(**numbers: float) -> None:
    """The 25 numbers, also through JSON as in `metadata.jsonl`, where the rotation is made exactly orthonormal."""
    one = camera(**numbers)
    assert torch.equal(Camera.from_vector(one.to_vector()).to_vector(), one.to_vector())
    written = json.loads(json.dumps(one.to_vector()[0].tolist()))
    assert torch.equal(torch.tensor([written]), one.to_vector())
    if numbers["skew"] == 0:
        close(read_camera(written), one, numbers["radius"])


@pytest.mark.parametrize("examples", EXAMPLES)
def test_vectors(examples: int) -> None:
    hold(vectors_come_back, examples, **NUMBERS)


def angles_come_back(yaw: float, pitch: float, radius: float, focal: float, centre: float, skew: float) -> None:
    """Where a camera stands says its angles (in radians), and it looks at the pivot along three perpendicular unit axes."""
    pose = camera(yaw, pitch, radius, focal).cam2world[0].double()
    x, y, z = pose[:3, 3].tolist()
    assert math.hypot(x, y, z) == pytest.approx(radius, rel=TOLERANCE)
    assert math.atan2(x, z) == pytest.approx(math.radians(yaw), abs=TOLERANCE)
    assert math.asin(max(-1, min(1, y / radius))) == pytest.approx(math.radians(pitch), abs=TOLERANCE)
    rotation = pose[:3, :3]
    assert float((rotation @ rotation.T - torch.eye(3)).abs().max()) <= TOLERANCE and float(rotation.det()) > 0
    to_pivot = torch.nn.functional.normalize(torch.tensor([0.0, 0.0, 0.2], dtype=torch.float64) - pose[:3, 3], dim=0)
    assert float((rotation[:, 2] - to_pivot).abs().max()) <= TOLERANCE


@pytest.mark.parametrize("examples", EXAMPLES)
def test_angles(examples: int) -> None:
    hold(angles_come_back, examples, **NUMBERS)


def pixels_come_back(u: float, v: float, **numbers: float) -> None:
    """A point on the ray through a pixel is seen at that pixel (pinhole projection, in double precision)."""
    one = camera(**numbers)
    origin, direction = (x[0, 0].double() for x in one.rays_at(torch.tensor([[[u, v]]])))
    pose, intrinsics = one.cam2world[0].double(), one.intrinsics[0].double()
    point = origin + 2.7 * direction
    seen = intrinsics @ (pose[:3, :3].T @ (point - pose[:3, 3]))
    assert float((seen[:2] / seen[2] - torch.tensor([u, v])).abs().max()) <= TOLERANCE * max(1.0, numbers["focal"])


@pytest.mark.parametrize("examples", EXAMPLES)
def test_pixels(examples: int) -> None:
    hold(pixels_come_back, examples, u=floats(0, 1), v=floats(0, 1), **NUMBERS)


def mirrors_and_rolls_come_back(angle: float, **numbers: float) -> None:
    """Mirrored twice, rolled there and back, and adjusted by nothing."""
    one = camera(**numbers)
    close(one.mirror().mirror(), one, numbers["radius"])
    turn = torch.tensor([angle])
    close(roll_camera(roll_camera(one, turn), -turn), one, numbers["radius"])
    close(adjust_camera(one, torch.zeros(6)), one, numbers["radius"])


@pytest.mark.parametrize("examples", EXAMPLES)
def test_mirrors_and_rolls(examples: int) -> None:
    hold(mirrors_and_rolls_come_back, examples, angle=floats(-40, 40), **NUMBERS)
