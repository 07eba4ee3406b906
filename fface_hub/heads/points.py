"""Hit points on one surface, with what shading asks of them, and the light that arrives there."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike

from fface_hub.heads.atlas import border_fields
from fface_hub.heads.light import Light
from fface_hub.heads.surface import Surface


@dataclass
class Points:
    """N hits on one surface: `rays [N]` their places among all rays, `triangles [N]`, `weights [N, 3]` barycentric.

    `openness [N]` and `key [N]` (the share of the sky and of the key light that arrives) are filled in before shading.
    """

    surface: Surface
    index: int
    rays: np.ndarray
    triangles: np.ndarray
    weights: np.ndarray
    openness: np.ndarray = field(default_factory=lambda: np.zeros(0, np.float32))
    key: np.ndarray = field(default_factory=lambda: np.zeros(0, np.float32))

    def interpolate(self, attribute: np.ndarray) -> np.ndarray:
        """A per-vertex attribute `[V]` or `[V, C]` at the hits: `[N]` or `[N, C]`."""
        w = self.weights if attribute.ndim == 1 else self.weights[:, :, None]
        c = self.corners
        return attribute[c[:, 0]] * w[:, 0] + attribute[c[:, 1]] * w[:, 1] + attribute[c[:, 2]] * w[:, 2]

    @cached_property
    def corners(self) -> np.ndarray:
        """Vertex numbers `[N, 3]` of the triangles."""
        return self.surface.faces[self.triangles]

    @cached_property
    def borders(self) -> dict[str, np.ndarray]:
        """Signed distances `[N]` to the borders of `brow`, `lips` and `lids` (skin only)."""
        return border_fields(self.surface, self.triangles, self.weights)

    @cached_property
    def position(self) -> np.ndarray:
        """World positions `[N, 3]`."""
        return self.interpolate(self.surface.vertices)

    @cached_property
    def normal(self) -> np.ndarray:
        """Smooth unit normals `[N, 3]`."""
        normal = self.interpolate(self.surface.normals)
        return normal / np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-9)

    def extra(self, name: str) -> np.ndarray:
        """The per-vertex attribute `name` at the hits."""
        return self.interpolate(self.surface.extra[name])


def diffuse(at: Points, light: Light, wrap: np.ndarray | float = 0.0, normal: np.ndarray | None = None, least: float = 0.0) -> np.ndarray:
    """Light that arrives `[N, 3]`: key (wrapped by `wrap`, a number or one per channel), fill and rim.

    `least` is the share of the fill that arrives even where no sky is seen, by way of what is around.
    """
    normal = at.normal if normal is None else normal
    facing = (normal @ light.key)[:, None]
    wrap = np.asarray(wrap, np.float32)
    key = np.maximum((facing + wrap) / (1 + wrap), 0) * at.key[:, None]
    rim = np.maximum(normal @ light.rims.T, 0) @ light.rim_colors
    return key * light.key_color + (least + (1 - least) * at.openness)[:, None] * (light.fill(normal) + rim)


def gloss(at: Points, light: Light, sharpness: float, normal: np.ndarray | None = None) -> np.ndarray:
    """Strength `[N]` of a highlight of the key (Blinn's half-vector), seen from the front."""
    normal = at.normal if normal is None else normal
    return np.maximum(normal @ light.half, 0) ** sharpness * at.key


def step(low: float, high: float, x: ArrayLike) -> np.ndarray:
    """Smooth step from 0 at `low` to 1 at `high`."""
    t = np.clip((np.asarray(x) - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)
