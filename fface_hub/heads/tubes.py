"""Small meshes that what is worn is made of: tubes along curves, balls, and rings of points joined to a surface."""

from __future__ import annotations

import numpy as np

from fface_hub.heads.skull import grid_faces
from fface_hub.heads.surface import Surface, smooth_normals


def tube(
    name: str, path: np.ndarray, radius: np.ndarray | float, material: str, fine: int, closed: bool = False, sides: int = 8
) -> Surface:
    """A round tube along `path [P, 3]` with `radius` (a number or `[P]`); `closed` joins its ends."""
    path = path.astype(np.float64)
    if closed:
        tangent = np.roll(path, -1, axis=0) - np.roll(path, 1, axis=0)
    else:
        tangent = np.gradient(path, axis=0)
    tangent /= np.linalg.norm(tangent, axis=1, keepdims=True)
    # Any direction that the curve never takes will do; the one it takes least is the farthest from trouble.
    least = np.eye(3)[np.abs(tangent).max(axis=0).argmin()]
    first = np.cross(tangent, least)
    first /= np.linalg.norm(first, axis=1, keepdims=True)
    second = np.cross(tangent, first)
    angle = np.arange(sides) * (2 * np.pi / sides)
    normals = first[:, None] * np.cos(angle)[:, None] + second[:, None] * np.sin(angle)[:, None]
    vertices = path[:, None] + normals * np.broadcast_to(np.asarray(radius), len(path))[:, None, None]
    count = len(path)
    faces = grid_faces(count, sides, wrap=True)
    if closed:
        seam = grid_faces(2, sides, wrap=True)
        faces = np.concatenate([faces, np.where(seam < sides, seam + (count - 1) * sides, seam - sides)])
    shape = (-1, 3)
    return Surface(
        name,
        vertices.reshape(shape).astype(np.float32),
        faces.astype(np.int32),
        normals.reshape(shape).astype(np.float32),
        material,
        fine=fine,
    )


def ball(name: str, center: np.ndarray, radii: np.ndarray | float, material: str, fine: int) -> Surface:
    """An ellipsoid at `center [3]` with `radii` (a number or `[3]`)."""
    polar, azimuth = np.meshgrid(np.linspace(0, np.pi, 11), np.arange(16) * (np.pi / 8), indexing="ij")
    sphere = np.stack([np.sin(polar) * np.sin(azimuth), np.cos(polar), np.sin(polar) * np.cos(azimuth)], axis=-1).reshape(-1, 3)
    normals = sphere / np.asarray(radii)
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    vertices = (center + sphere * np.asarray(radii)).astype(np.float32)
    return Surface(name, vertices, grid_faces(11, 16, wrap=True), normals.astype(np.float32), material, fine=fine)


def loft(name: str, rings: np.ndarray, material: str, fine: int, trim: np.ndarray | None = None) -> Surface:
    """A surface through closed `rings [K, P, 3]`; `trim [K, P]` is the share of the second colour."""
    count, points = rings.shape[:2]
    vertices = rings.reshape(-1, 3).astype(np.float32)
    faces = grid_faces(count, points, wrap=True)
    extra = {} if trim is None else {"trim": trim.reshape(-1).astype(np.float32)}
    return Surface(name, vertices, faces, smooth_normals(vertices, faces), material, fine=fine, extra=extra)


def joined(name: str, surfaces: list[Surface]) -> Surface:
    """Surfaces of one material and class as one."""
    offsets = np.cumsum([0, *(len(item.vertices) for item in surfaces[:-1])])
    faces = np.concatenate([item.faces + offset for item, offset in zip(surfaces, offsets, strict=True)])
    vertices = np.concatenate([item.vertices for item in surfaces])
    normals = np.concatenate([item.normals for item in surfaces])
    return Surface(name, vertices, faces.astype(np.int32), normals, surfaces[0].material, fine=surfaces[0].fine)
