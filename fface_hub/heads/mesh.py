"""All surfaces of one head as one ray-casting scene: first hits, soft shadows and how open each vertex is to the sky."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from fface_hub.heads.embree import embree_scene
from fface_hub.heads.surface import Surface

if TYPE_CHECKING:
    from embreex.rtcore_scene import EmbreeScene

RAY_OFFSET = 0.004
"""How far a secondary ray starts above its surface, in world units (1.7 mm): beyond the error of interpolated normals."""
SKY_DIRECTIONS = 40
SKY_REACH = 0.45


@dataclass
class HeadMesh:
    """The surfaces of one head, ready for rays. `surfaces[i]` is geometry number `i` of the Embree scene."""

    surfaces: list[Surface]
    cache: dict[str, np.ndarray] = field(default_factory=dict)

    @cached_property
    def scene(self) -> EmbreeScene:
        """The Embree scene, one geometry per surface."""
        return embree_scene(self.surfaces)

    def first_hits(self, origins: np.ndarray, directions: np.ndarray) -> dict[str, np.ndarray]:
        """First hit of rays `[R, 3]`, `[R, 3]` (unit): `geomID [R]` (−1: none), `primID [R]`, `u [R]`, `v [R]`, `tfar [R]`."""
        return self.scene.run(np.ascontiguousarray(origins, np.float32), np.ascontiguousarray(directions, np.float32), output=1)

    def occluded(self, origins: np.ndarray, directions: np.ndarray, reach: float) -> np.ndarray:
        """Whether anything stands on rays `[R, 3]`, `[R, 3]` (unit) within `reach`: bool `[R]`."""
        limits = np.full(len(origins), reach, np.float32)
        hit = self.scene.run(
            np.ascontiguousarray(origins, np.float32), np.ascontiguousarray(directions, np.float32), limits, query="OCCLUDED"
        )
        return hit != -1

    def openness(self, index: int) -> np.ndarray:
        """Share of a soft, slightly overhead sky that reaches each vertex of surface `index`: float32 `[V]` in [0, 1].

        Ambient occlusion by fixed directions, so it is the same for every view and every appearance; computed once and kept.
        Surfaces that bring an `openness` of their own (hair, which has too many vertices) keep it.
        """
        if "openness" in self.surfaces[index].extra:
            return self.surfaces[index].extra["openness"]
        key = f"openness {index}"
        if key not in self.cache:
            self.cache[key] = _openness(self, self.surfaces[index])
        return self.cache[key]


def fibonacci_sphere(count: int) -> np.ndarray:
    """`count` nearly even unit directions, float32 `[count, 3]`."""
    steps = np.arange(count) + 0.5
    height = 1 - 2 * steps / count
    angle = steps * (np.pi * (3 - np.sqrt(5)))
    radius = np.sqrt(1 - height**2)
    return np.stack([radius * np.cos(angle), height, radius * np.sin(angle)], axis=1).astype(np.float32)


def _openness(mesh: HeadMesh, surface: Surface) -> np.ndarray:
    sky = fibonacci_sphere(SKY_DIRECTIONS)
    brightness = 0.62 + 0.22 * sky[:, 1] + 0.16 * sky[:, 2]
    weights = surface.normals @ sky.T * brightness
    weights = np.where(weights > 0.05, weights, 0)
    vertex, direction = np.nonzero(weights)
    origins = surface.vertices[vertex] + RAY_OFFSET * surface.normals[vertex]
    free = ~mesh.occluded(origins, sky[direction], SKY_REACH)
    received = np.bincount(vertex, weights=weights[vertex, direction] * free, minlength=len(weights))
    return (received / np.maximum(weights.sum(1), 1e-6)).astype(np.float32)
