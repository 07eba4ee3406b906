"""Two arcs of teeth inside the mouth; the lower one turns with the jaw."""

from __future__ import annotations

import functools
import math

import numpy as np

from fface_hub.heads.surface import Surface, smooth_normals
from fface_hub.layouts import FINE_24

JAW_HINGE = (0.0, 0.0, -0.10)
JAW_ANGLE = 0.36
"""Turn of the jaw at `jawOpen` 1 (radians) about `JAW_HINGE` (basis units), as the model's lower lip moves."""
# Width and height of the teeth from the middle to the back, basis units; a central incisor is 8.5 mm wide.
UPPER = ((0.0200, 0.0245), (0.0155, 0.0215), (0.0180, 0.0235), (0.0165, 0.0195), (0.0160, 0.0180), (0.0230, 0.0165), (0.0230, 0.0150))
LOWER = ((0.0125, 0.0205), (0.0140, 0.0205), (0.0160, 0.0225), (0.0165, 0.0195), (0.0170, 0.0180), (0.0240, 0.0165), (0.0240, 0.0150))
ARC_WIDTH, ARC_DEPTH = 0.072, 0.105
THICKNESS = 0.016
AROUND, TALL = 10, 5


def teeth_surfaces(seam: np.ndarray, scale: float, hinge: np.ndarray, angle: float) -> list[Surface]:
    """Upper and lower teeth. `seam [3]`: middle of the closed lips' seam; `hinge [3]` and `angle` turn the lower arc (radians)."""
    fine = FINE_24.index("teeth")
    surfaces = []
    for name, lower in (("teeth_upper", False), ("teeth_lower", True)):
        unit, faces = _arc(lower)
        points = unit * scale + seam
        if lower:
            cos, sin = math.cos(angle), math.sin(angle)
            turn = np.array([[1, 0, 0], [0, cos, -sin], [0, sin, cos]], np.float32)
            points = (points - hinge) @ turn.T + hinge
        points = points.astype(np.float32)
        surfaces.append(Surface(name, points, faces, smooth_normals(points, faces), "teeth", None, fine))
    return surfaces


@functools.lru_cache(maxsize=2)
def _arc(lower: bool) -> tuple[np.ndarray, np.ndarray]:
    """One arc in basis units around the middle of the lip seam: rounded columns along half an ellipse."""
    sizes = LOWER if lower else UPPER
    front = -0.024 if lower else -0.019
    edge = -0.001 if lower else -0.006
    width = ARC_WIDTH - (0.004 if lower else 0.0)
    samples = np.linspace(0, math.pi / 2, 400)
    curve = np.stack([width * np.sin(samples), ARC_DEPTH * (np.cos(samples) - 1)], axis=1)
    length = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(curve, axis=0), axis=1))])
    points, faces, offset, travelled = [], [], 0, 0.0
    for size, height in sizes:
        at = travelled + size / 2
        travelled += size
        x, z = np.interp(at, length, curve[:, 0]), np.interp(at, length, curve[:, 1])
        ahead = np.interp(at + 1e-3, length, curve[:, 0]) - x, np.interp(at + 1e-3, length, curve[:, 1]) - z
        heading = math.atan2(ahead[1], ahead[0])
        for side in (1, -1):
            column, triangles = _tooth(size, height, lower)
            cos, sin = math.cos(heading), math.sin(heading)
            turned = np.stack([column[:, 0] * cos - column[:, 2] * sin, column[:, 1], column[:, 0] * sin + column[:, 2] * cos], axis=1)
            placed = turned + np.array([x, edge, z + front])
            points.append(placed * np.array([side, 1, 1]))
            faces.append((triangles if side > 0 else triangles[:, ::-1]) + offset)
            offset += len(column)
    return np.concatenate(points).astype(np.float32), np.concatenate(faces).astype(np.int32)


def _tooth(width: float, height: float, lower: bool) -> tuple[np.ndarray, np.ndarray]:
    """A tooth as a tapered superellipse column, its biting edge at y = 0; upper teeth grow upwards from it, lower ones downwards."""
    turn = 2 * math.pi * np.arange(AROUND) / AROUND
    cos, sin = np.cos(turn), np.sin(turn)
    outline = np.stack([np.sign(cos) * np.abs(cos) ** 0.6, np.sign(sin) * np.abs(sin) ** 0.8], axis=1)
    levels = np.linspace(0, 1, TALL)
    bulge = np.array([0.86, 0.98, 1.0, 0.94, 0.82])
    rings = []
    for level, girth in zip(levels, bulge, strict=True):
        thick = THICKNESS * (0.35 + 0.65 * level)
        rings.append(
            np.stack(
                [outline[:, 0] * width / 2 * girth, np.full(AROUND, level * height), (outline[:, 1] - 1) * thick / 2],
                axis=1,
            )
        )
    points = np.concatenate([*rings, [[0, 0, -THICKNESS * 0.17]], [[0, height, -THICKNESS / 2]]])
    step, following = np.arange(AROUND), (np.arange(AROUND) + 1) % AROUND
    faces = []
    for level in range(TALL - 1):
        a, b = level * AROUND, (level + 1) * AROUND
        faces += [np.stack([a + step, b + step, b + following], axis=1), np.stack([a + step, b + following, a + following], axis=1)]
    low, high = TALL * AROUND, TALL * AROUND + 1
    top = (TALL - 1) * AROUND
    faces += [
        np.stack([step, following, np.full(AROUND, low)], axis=1),
        np.stack([top + following, top + step, np.full(AROUND, high)], axis=1),
    ]
    triangles = np.concatenate(faces)
    if lower:
        return points * np.array([1, -1, 1]), triangles[:, ::-1]
    return points, triangles
