"""The head seen from its middle: polar coordinates, and how far the skin is in every direction. Hair and hats are built on it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.ndimage import gaussian_filter1d, map_coordinates

from fface_hub.heads.embree import embree_scene
from fface_hub.heads.surface import Surface

if TYPE_CHECKING:
    from embreex.rtcore_scene import EmbreeScene

POLAR_STEPS = 46
AZIMUTH_STEPS = 96
POLAR_END = np.deg2rad(150.0)


@dataclass(frozen=True)
class Skull:
    """Distances of the skin from `center [3]`: `radius [POLAR_STEPS, AZIMUTH_STEPS]` over polar angle (0 is straight up, to POLAR_END)
    and azimuth (0 is the front, growing towards +x, to 2π)."""

    center: np.ndarray
    radius: np.ndarray
    skin: EmbreeScene

    @staticmethod
    def measure(skin: Surface, center: np.ndarray) -> Skull:
        """Cast rays from `center [3]` at the skin from within, so that the skull is met before the ears."""
        scene = embree_scene([skin])
        polar, azimuth = grid_angles()
        rays = directions(polar, azimuth).reshape(-1, 3)
        origins = np.broadcast_to(center.astype(np.float32), rays.shape)
        distance = scene.run(np.ascontiguousarray(origins), np.ascontiguousarray(rays), query="DISTANCE").reshape(polar.shape)
        distance = np.minimum(distance, 0.42)
        # The human model has few triangles up there: a little smoothing rounds them off.
        smooth = gaussian_filter1d(gaussian_filter1d(distance, 1.0, axis=0, mode="nearest"), 1.5, axis=1, mode="wrap")
        return Skull(center.astype(np.float32), np.maximum(smooth, distance).astype(np.float32), scene)

    def radius_at(self, polar: np.ndarray, azimuth: np.ndarray) -> np.ndarray:
        """Distance of the skin in the directions `polar`, `azimuth` (radians, any shape)."""
        rows = np.clip(polar / POLAR_END, 0, 1) * (POLAR_STEPS - 1)
        columns = (azimuth % (2 * np.pi)) * (AZIMUTH_STEPS / (2 * np.pi))
        padded = np.concatenate([self.radius, self.radius[:, :1]], axis=1)
        return map_coordinates(padded, [rows, columns], order=1, mode="nearest")

    def skin_distance(self, origins: np.ndarray, rays: np.ndarray) -> np.ndarray:
        """Distance `[R]` of the skin from inside along `rays [R, 3]` (unit)."""
        return self.skin.run(np.ascontiguousarray(origins, np.float32), np.ascontiguousarray(rays, np.float32), query="DISTANCE")

    def points(self, polar: np.ndarray, azimuth: np.ndarray, lift: np.ndarray | float = 0.0) -> np.ndarray:
        """World points `[..., 3]` at a height `lift` above the skin."""
        return self.center + directions(polar, azimuth) * (self.radius_at(polar, azimuth) + lift)[..., None]


def directions(polar: np.ndarray, azimuth: np.ndarray) -> np.ndarray:
    """Unit directions `[..., 3]`, float32."""
    sine = np.sin(polar)
    return np.stack([sine * np.sin(azimuth), np.cos(polar), sine * np.cos(azimuth)], axis=-1).astype(np.float32)


def angles(offset: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Polar angle, azimuth and length of offsets `[..., 3]` from the centre."""
    length = np.maximum(np.sqrt((offset**2).sum(-1)), 1e-6)
    return np.arccos(np.clip(offset[..., 1] / length, -1, 1)), np.arctan2(offset[..., 0], offset[..., 2]), length


def grid_angles() -> tuple[np.ndarray, np.ndarray]:
    """Polar angle and azimuth of the grid, both `[POLAR_STEPS, AZIMUTH_STEPS]`."""
    polar = np.linspace(0, POLAR_END, POLAR_STEPS)
    azimuth = np.arange(AZIMUTH_STEPS) * (2 * np.pi / AZIMUTH_STEPS)
    return np.meshgrid(polar, azimuth, indexing="ij")  # type: ignore[return-value]


def grid_faces(rows: int, columns: int, wrap: bool) -> np.ndarray:
    """Triangles `[T, 3]` of a grid of `rows` × `columns` vertices; `wrap` joins the last column to the first."""
    last = columns if wrap else columns - 1
    row, column = np.meshgrid(np.arange(rows - 1), np.arange(last), indexing="ij")
    right = (column + 1) % columns
    a, b = row * columns + column, row * columns + right
    c, d = a + columns, b + columns
    return np.concatenate([np.stack([a, c, b], -1).reshape(-1, 3), np.stack([b, c, d], -1).reshape(-1, 3)]).astype(np.int32)
