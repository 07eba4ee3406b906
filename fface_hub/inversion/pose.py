"""How a head is turned, and where it lies in a photo: angles of cameras that look at it, and the fit of the mean head to found landmarks.

A pose is that of the camera that looks at `cameras.PIVOT` in the middle of the head. A crop of a photo changes where the head is in the
picture and how large, but not from which side it is seen, so these angles do not depend on the crop.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from scipy.optimize import least_squares
from torch import Tensor

from fface_hub.cameras import PIVOT, RADIUS, Camera, look_at

POINT_SPREAD = 0.02
"""How far a landmark is from where the mean head has it, in world units: people differ by 2 to 5 mm, and the network adds its own error."""
ANGLE_SPREAD = (1.6, 2.0, 1.0)
"""Errors of the landmark network's yaw, pitch and roll in degrees."""


@dataclass(frozen=True)
class HeadFit:
    """`yaw`, `pitch`, `roll` of the camera in degrees, and its square picture in the photo: `left`, `top`, `side` in pixels."""

    yaw: float
    pitch: float
    roll: float
    left: float
    top: float
    side: float

    @property
    def camera(self) -> Camera:
        """The camera of the square, a batch of one."""
        return turned_camera(self.yaw, self.pitch, self.roll)


def turned_camera(yaw: float, pitch: float, roll: float) -> Camera:
    """`look_at(yaw, pitch)` rolled by `roll` degrees about its view axis."""
    return roll_camera(look_at(yaw, pitch), torch.tensor([roll], dtype=torch.float32))


def roll_camera(camera: Camera, roll: Tensor) -> Camera:
    """`camera` turned about its view axis by `roll [B]` degrees: what it sees turns anticlockwise in the picture as `roll` grows."""
    turn = torch.eye(4, dtype=camera.cam2world.dtype, device=camera.cam2world.device).repeat(len(roll), 1, 1)
    turn[:, :3, :3] = axis_rotation(torch.deg2rad(roll), axis=2)
    return Camera(camera.cam2world @ turn, camera.intrinsics)


def axis_rotation(angle: Tensor, axis: int) -> Tensor:
    """Right-handed rotations `[B,3,3]` by `angle [B]` (radians) about coordinate `axis` (0 x, 1 y, 2 z)."""
    first, second = (axis + 1) % 3, (axis + 2) % 3
    matrix = torch.zeros(len(angle), 3, 3, dtype=angle.dtype, device=angle.device)
    matrix[:, axis, axis] = 1
    matrix[:, first, first] = matrix[:, second, second] = angle.cos()
    matrix[:, first, second], matrix[:, second, first] = -angle.sin(), angle.sin()
    return matrix


def orbit_angles(camera: Camera) -> tuple[float, float, float]:
    """Yaw, pitch and roll in degrees of the default-radius camera on `look_at`'s orbit that looks in the same direction as `camera`
    (the first of the batch), whose distance does not count. Inverse of `turned_camera`."""
    rotation = camera.cam2world[0, :3, :3].double()
    pivot = rotation.new_tensor(PIVOT)
    forward = rotation[:, 2]
    # The camera stands where the line through the pivot meets the sphere of its orbit: |pivot − d · forward| = RADIUS, d > 0.
    along = float(pivot @ forward)
    distance = along + math.sqrt(along * along - float(pivot @ pivot) + RADIUS**2)
    x, y, z = ((pivot - distance * forward) / RADIUS).tolist()
    level = torch.linalg.cross(forward, rotation.new_tensor([0.0, 1.0, 0.0]))
    down = torch.linalg.cross(forward, level)
    right = rotation[:, 0]
    roll = math.atan2(float(right @ down), float(right @ level))
    return math.degrees(math.atan2(x, z)), math.degrees(math.asin(max(-1.0, min(1.0, y)))), math.degrees(roll)


def rotation_error(first: Camera, second: Camera) -> float:
    """Angle in degrees of the rotation between two cameras (the first of each batch)."""
    between = first.cam2world[0, :3, :3].double().T @ second.cam2world[0, :3, :3].double()
    return math.degrees(math.acos(max(-1.0, min(1.0, (float(between.trace()) - 1) / 2))))


def project(camera: Camera, points: Tensor) -> Tensor:
    """Picture positions `[P,2]` of world `points [P,3]` in the first of the cameras: see `Camera.project`."""
    return camera[0].project(points)[0]


def place_square(points: np.ndarray, head: Tensor, camera: Camera) -> tuple[float, float, float]:
    """Left, top and side (pixels) of the upright square in which the projections of `head [P,3]` by `camera` lie best on the found
    `points [P,2]` (photo pixels): least squares over shift and scale.

    It stays upright, as EG3D's crops are: how far the head is tilted is told by the camera's roll.
    """
    wanted = project(camera, head).numpy().astype(np.float64)
    spread, found = wanted - wanted.mean(axis=0), points - points.mean(axis=0)
    side = float((spread * found).sum() / (spread**2).sum())
    left, top = points.mean(axis=0) - side * wanted.mean(axis=0)
    return float(left), float(top), side


def fit_head(points: np.ndarray, head: Tensor, angles: tuple[float, float, float], five: int) -> HeadFit:
    """The camera and its square that put `head [P,3]` (world units) best onto the found `points [P,2]` (photo pixels).

    Perspective-n-point on the orbit of the generator's cameras: yaw, pitch, roll, shift and scale by Gauss and Newton with damping, from
    the landmark network's `angles`, which are also a prior: points on a mean head know the roll well, but a long nose from a raised chin
    less so. The square is then laid by the first `five` points alone.
    """
    start = turned_camera(*angles)
    left, top, side = place_square(points, head, start)
    spread = POINT_SPREAD * float(start.intrinsics[0, 0, 0]) / RADIUS

    def residuals(values: np.ndarray) -> np.ndarray:
        seen = project(turned_camera(*(values[:3].tolist())), head).numpy()
        scale = side * math.exp(values[5])
        away = (values[3:5] * side + (left, top) + scale * seen - points) / (spread * side)
        return np.concatenate([away.ravel(), (values[:3] - angles) / ANGLE_SPREAD])

    def slopes(values: np.ndarray) -> np.ndarray:
        steps = np.diag((0.3, 0.3, 0.3, 0.003, 0.003, 0.003))  # large beside the rounding of float32
        return np.stack([(residuals(values + step) - residuals(values - step)) / (2 * step.sum()) for step in steps], axis=1)

    start_at, scales = np.array([*angles, 0.0, 0.0, 0.0]), (1, 1, 1, 0.01, 0.01, 0.01)
    found = least_squares(residuals, start_at, slopes, x_scale=scales, max_nfev=20)  # pyright: ignore[reportArgumentType]  # a function, too
    yaw, pitch, roll = (float(value) for value in found.x[:3])
    return HeadFit(yaw, pitch, roll, *place_square(points[:five], head[:five], turned_camera(yaw, pitch, roll)))
