"""A plain ray caster for the tests of the heads, independent of the one under test."""

from __future__ import annotations

import numpy as np
import trimesh

from fface_hub.cameras import look_at
from fface_hub.heads.atlas import fine_labels
from fface_hub.heads.shape import HeadShape


def label_map(shape: HeadShape, yaw: float = 0.0, pitch: float = 0.0, size: int = 192) -> np.ndarray:
    """Fine labels `[size,size]` of the bare head from one camera."""
    offsets = np.cumsum([0, *(len(item.vertices) for item in shape.surfaces)])
    owner = np.concatenate([np.full(len(item.faces), index) for index, item in enumerate(shape.surfaces)])
    local = np.concatenate([np.arange(len(item.faces)) for item in shape.surfaces])
    vertices = np.concatenate([item.vertices for item in shape.surfaces])
    faces = np.concatenate([item.faces + offset for item, offset in zip(shape.surfaces, offsets, strict=False)])
    origins, directions = (value[0].numpy() for value in look_at(yaw, pitch).rays(size))
    mesh = trimesh.Trimesh(vertices, faces, process=False)
    triangle = mesh.ray.intersects_first(origins, directions)
    hit = np.flatnonzero(triangle >= 0)
    corners = vertices[faces[triangle[hit]]].astype(np.float64)
    normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    depth = ((corners[:, 0] - origins[hit]) * normal).sum(1) / (directions[hit] * normal).sum(1)
    weights = trimesh.triangles.points_to_barycentric(corners, origins[hit] + directions[hit] * depth[:, None])
    labels = np.zeros(size * size, np.int64)
    for index, item in enumerate(shape.surfaces):
        mine = owner[triangle[hit]] == index
        labels[hit[mine]] = fine_labels(item, local[triangle[hit[mine]]], weights[mine])
    return labels.reshape(size, size)
