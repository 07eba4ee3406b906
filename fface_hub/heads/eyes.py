"""Eyeballs as true spheres that turn with the gaze; iris and pupil are angles from the gaze axis, so their borders are exact circles."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import numpy as np

from fface_hub.heads.surface import Surface

RINGS, SPOKES = 20, 32


@dataclass(frozen=True)
class Eyeball:
    """`center [3]` and `radius` of an eyeball."""

    center: np.ndarray
    radius: float


def fit_eyeball(points: np.ndarray) -> Eyeball:
    """Least-squares sphere through the vertices `[P,3]` of an eye's front: |p|² = 2 p·c + (r² − |c|²) is linear in c and the rest."""
    points = points.astype(np.float64)
    system = np.concatenate([2 * points, np.ones((len(points), 1))], axis=1)
    solution = np.linalg.lstsq(system, (points**2).sum(axis=1), rcond=None)[0]
    center = solution[:3]
    return Eyeball(center.astype(np.float32), float(np.sqrt(solution[3] + center @ center)))


def gaze_axis(gaze: tuple[float, float]) -> np.ndarray:
    """Unit vector `[3]` of a gaze of so many degrees to the person's left (+x) and up."""
    left, up = (math.radians(angle) for angle in gaze)
    return np.array([math.sin(left) * math.cos(up), math.sin(up), math.cos(left) * math.cos(up)], np.float32)


@functools.lru_cache(maxsize=1)
def _unit_sphere() -> tuple[np.ndarray, np.ndarray]:
    """Vertices `[V,3]` and outward triangles of the unit sphere with its pole at +z, rings closer together near the pole."""
    polar = math.pi * np.linspace(0, 1, RINGS + 1)[1:-1] ** 1.2
    turn = 2 * math.pi * np.arange(SPOKES) / SPOKES
    rings = np.stack(
        [np.outer(np.sin(polar), np.cos(turn)), np.outer(np.sin(polar), np.sin(turn)), np.outer(np.cos(polar), np.ones(SPOKES))], axis=-1
    )
    vertices = np.concatenate([[[0, 0, 1]], rings.reshape(-1, 3), [[0, 0, -1]]])
    last = len(vertices) - 1
    spoke, following = np.arange(SPOKES), (np.arange(SPOKES) + 1) % SPOKES
    faces = [np.stack([np.zeros(SPOKES, int), 1 + spoke, 1 + following], axis=1)]
    for ring in range(RINGS - 2):
        a, b = 1 + ring * SPOKES, 1 + (ring + 1) * SPOKES
        faces += [np.stack([a + spoke, b + spoke, b + following], axis=1), np.stack([a + spoke, b + following, a + following], axis=1)]
    a = 1 + (RINGS - 2) * SPOKES
    faces.append(np.stack([a + spoke, np.full(SPOKES, last), a + following], axis=1))
    return vertices.astype(np.float32), np.concatenate(faces).astype(np.int32)


def eyeball_surface(name: str, eye: Eyeball, gaze: tuple[float, float], iris: float, pupil: float) -> Surface:
    """The eyeball as a surface. `extra`: `center [3]`, `radius [1]`, `gaze [3]`, `radii [2]` (iris and pupil angle in degrees),
    `across [3]` and `upward [3]` (unit vectors that turn with the eye, for the iris's pattern)."""
    axis = gaze_axis(gaze)
    across = np.cross(np.array([0, 1, 0], np.float32), axis)
    across /= np.linalg.norm(across)
    upward = np.cross(axis, across)
    sphere, faces = _unit_sphere()
    normals = sphere @ np.stack([across, upward, axis])
    extra = {
        "center": eye.center,
        "radius": np.array([eye.radius], np.float32),
        "gaze": axis,
        "radii": np.array([iris, pupil], np.float32),
        "across": across,
        "upward": upward,
    }
    return Surface(name, eye.center + eye.radius * normals, faces, normals.astype(np.float32), "eye", None, None, extra)
