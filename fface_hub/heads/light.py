"""Studio light fixed to the head: a soft key with cast shadows, a fill from all around, a little rim; and the camera's tone curve."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fface_hub.heads.look import Look, to_srgb
from fface_hub.heads.mesh import RAY_OFFSET, HeadMesh

if TYPE_CHECKING:
    from fface_hub.heads.points import Points

VIEWER = np.array([0.0, 0.05, 0.99875], np.float32)
"""Highlights are those seen from straight in front."""
KEY_SAMPLES = 5
KEY_RADIUS = 0.16
"""Half-width of the key's soft box, as the tangent of its angle."""
SHADOW_REACH = 0.9


@dataclass(frozen=True)
class Light:
    """`key [3]` and `rims [2, 3]` are unit directions towards the lights, `half [3]` is halfway between key and viewer."""

    key: np.ndarray
    half: np.ndarray
    rims: np.ndarray
    rim_colors: np.ndarray
    key_color: np.ndarray
    fill_color: np.ndarray
    exposure: float

    @staticmethod
    def from_look(look: Look) -> Light:
        """The light of `look`; its direction is measured in head space, so it turns with the head and not with the camera."""
        azimuth, elevation = np.deg2rad(look.light_azimuth), np.deg2rad(look.light_elevation)
        key = np.array([np.sin(azimuth) * np.cos(elevation), np.sin(elevation), np.cos(azimuth) * np.cos(elevation)], np.float32)
        rims = np.array([[-0.75, 0.40, -0.52], [0.75, 0.40, -0.52]], np.float32)
        # The rim away from the key is the stronger one.
        tilt = 0.5 * np.sin(2 * azimuth)
        half = key + VIEWER
        warm = np.array([0.055, 0.0, -0.075], np.float32) * look.light_warmth
        return Light(
            key=key,
            half=(half / np.linalg.norm(half)).astype(np.float32),
            rims=rims,
            rim_colors=np.array([[0.26, 0.26, 0.27]], np.float32) * np.array([[0.5 + tilt], [0.5 - tilt]], np.float32),
            key_color=(np.array([1.03, 1.0, 0.95], np.float32) + warm) * 0.98,
            fill_color=(np.array([0.98, 1.0, 1.04], np.float32) - 0.5 * warm) * 0.46,
            exposure=look.light_strength,
        )

    def fill(self, normal: np.ndarray) -> np.ndarray:
        """Light from all around at unit normals `[N, 3]`: most from above and in front, a little bounced up by the chest: `[N, 3]`."""
        level = 0.80 + 0.14 * normal[:, 1] + 0.16 * normal[:, 2]
        return level[:, None] * self.fill_color

    def develop(self, linear: np.ndarray) -> np.ndarray:
        """Linear light `[..., 3]` → sRGB in [0, 1], with a soft shoulder above 0.6 so that highlights do not clip."""
        exposed = linear * self.exposure
        over = np.maximum(exposed - 0.6, 0)
        return to_srgb(np.minimum(exposed, 0.6) + 0.4 * (1 - np.exp(-over / 0.4)))


def key_directions(light: Light) -> np.ndarray:
    """Unit directions `[KEY_SAMPLES, 3]` towards points of the key's soft box: a spiral, denser than random and the same everywhere."""
    side = np.cross(light.key, np.array([0, 1, 0], np.float32))
    side /= np.linalg.norm(side)
    up = np.cross(side, light.key)
    steps = np.arange(KEY_SAMPLES)
    radius, angle = KEY_RADIUS * np.sqrt((steps + 0.5) / KEY_SAMPLES), steps * 2.399963
    directions = light.key + (radius * np.cos(angle))[:, None] * side + (radius * np.sin(angle))[:, None] * up
    return (directions / np.linalg.norm(directions, axis=1, keepdims=True)).astype(np.float32)


def key_visibility(mesh: HeadMesh, at: Points, light: Light) -> np.ndarray:
    """Share of the key that each point sees: float32 `[N]` in [0, 1]. Points turned away from it get 0 without a ray."""
    visible = np.zeros(len(at.rays), np.float32)
    lit = np.flatnonzero(at.normal @ light.key > -0.35)
    lift = RAY_OFFSET if at.surface.material != "hair" else HAIR_LIFT
    start = at.position[lit] + lift * (0.5 * at.normal[lit] + 0.5 * light.key)
    for direction in key_directions(light):
        visible[lit] += ~mesh.occluded(start, np.broadcast_to(direction, start.shape), SHADOW_REACH)
    return visible / KEY_SAMPLES


HAIR_LIFT = 0.045
"""Shadow rays of hair start this far out (1.9 cm): locks do not shade their neighbours, which would be noise at 128 pixels."""
