"""The one noun of rendered heads: a triangle surface with a material."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

MATERIALS = (
    "skin",
    "eye",
    "mouth",
    "teeth",
    "tongue",
    "hair",
    "brow",
    "lash",
    "glasses_frame",
    "lens",
    "metal",
    "cloth",
    "hat",
)


@dataclass
class Surface:
    """A triangle mesh in world units (metres / 0.42, y up, the face looks towards +z).

    `vertices [V, 3]` and smooth `normals [V, 3]` are float32, `faces [T, 3]` int32, `uv [V, 2]` float32 or None (v upwards).
    `material` is one of MATERIALS. `fine` is the class in FINE_24 of the whole surface; None means that it is looked up per hit
    (`regions.fine_labels`: the label atlas at uv for skin, the angle from the gaze axis for eyes).
    `extra` holds further arrays, most of them per vertex: strand directions, masks, and for eyes `center [3]`, `gaze [3]`, `radii [3]`.
    """

    name: str
    vertices: np.ndarray
    faces: np.ndarray
    normals: np.ndarray
    material: str
    uv: np.ndarray | None = None
    fine: int | None = None
    extra: dict[str, np.ndarray] = field(default_factory=dict)


def smooth_normals(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Area-weighted vertex normals `[V, 3]` (float32, unit length) of a mesh `[V, 3]`, `[T, 3]`."""
    corners = vertices[faces]
    face_normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    flat = faces.reshape(-1)
    per_corner = np.repeat(face_normals, 3, axis=0)
    summed = np.stack(
        [np.bincount(flat, weights=per_corner[:, axis], minlength=len(vertices)) for axis in range(3)],
        axis=1,
    )
    length = np.linalg.norm(summed, axis=1, keepdims=True)
    return (summed / np.maximum(length, 1e-12)).astype(np.float32)
