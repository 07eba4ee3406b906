"""What each material does with light. Every function takes hit points and returns linear RGB; none draws a random number."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from fface_hub.heads.light import Light
from fface_hub.heads.look import Look, skin_albedo
from fface_hub.heads.points import Points, diffuse, gloss
from fface_hub.heads.skin import skin_color


def _eye(at: Points, look: Look, light: Light) -> np.ndarray:
    extra = at.surface.extra
    outward = at.position - extra["center"]
    outward = outward / np.maximum(np.linalg.norm(outward, axis=1, keepdims=True), 1e-9)
    gaze = extra["gaze"].astype(np.float32)
    angle = np.arccos(np.clip(outward @ gaze, -1, 1))
    iris_radius, pupil_radius = (float(np.deg2rad(r)) for r in extra["radii"])
    spin = np.arctan2(outward @ extra["upward"], outward @ extra["across"])
    soft = 0.05
    iris = _step((iris_radius - angle) / soft)[:, None]
    pupil = _step((pupil_radius - angle) / soft)[:, None]
    reach = np.clip(angle / iris_radius, 0, 1)
    spokes = 1 + look.iris_contrast * 0.35 * np.sin(9 * spin) * np.sin(17 * spin + 1.0) * reach
    ring = 1 - 0.75 * _step((reach - 0.86) / 0.3) + look.iris_contrast * 0.6 * np.exp(-(((reach - 0.55) / 0.2) ** 2))
    colored = look.iris * (spokes * ring)[:, None]
    white = (
        np.array([0.60, 0.555, 0.53], np.float32) - np.array([0.0, 0.10, 0.11], np.float32) * np.clip((angle - 0.75) / 0.6, 0, 1)[:, None]
    )
    albedo = white * (1 - iris) + colored * iris
    albedo = albedo * (1 - pupil) + 0.006 * pupil
    shadow = (0.35 + 0.65 * at.openness)[:, None]
    lit = albedo * diffuse(at, light, 0.35, outward) * shadow
    # The catch light sits on the cornea, where the key is mirrored to a viewer in front; it stays whatever the gaze.
    bulge = outward + 0.55 * iris * (outward - gaze)
    bulge = bulge / np.linalg.norm(bulge, axis=1, keepdims=True)
    catch = _step((bulge @ light.half - 0.982) / 0.010) * np.clip(at.key + 0.35, 0, 1)
    return lit + 0.75 * catch[:, None]


def _step(x: np.ndarray) -> np.ndarray:
    """Smooth step of x over [-0.5, 0.5]."""
    t = np.clip(x + 0.5, 0, 1)
    return t * t * (3 - 2 * t)


def _mouth(at: Points, look: Look, light: Light) -> np.ndarray:
    return np.array([0.26, 0.065, 0.055], np.float32) * diffuse(at, light, 0.2, least=0.12)


def _teeth(at: Points, look: Look, light: Light) -> np.ndarray:
    return np.array([0.70, 0.66, 0.58], np.float32) * diffuse(at, light, 0.5, least=0.42) + 0.12 * gloss(at, light, 40)[:, None]


def _tongue(at: Points, look: Look, light: Light) -> np.ndarray:
    return np.array([0.44, 0.15, 0.14], np.float32) * diffuse(at, light, 0.3, least=0.28) + 0.06 * gloss(at, light, 25)[:, None]


def _hair(at: Points, look: Look, light: Light) -> np.ndarray:
    """Kajiya and Kay's strands: two highlights run across the tangent, a sharp white one and a broad one in the hair's own colour."""
    tangent = at.extra("tangent")
    tangent = tangent / np.maximum(np.linalg.norm(tangent, axis=1, keepdims=True), 1e-9)
    along, tone, depth, across, cover = (at.extra(name) for name in ("along", "tone", "depth", "across", "cover"))
    strands = 0.5 * np.sin(5.0 * across + 9.0 * tone) + 0.5 * np.sin(11.0 * across + 23.0 * tone)
    x, y, z = at.position.T
    frizz = np.sin(140 * x + 2 * np.sin(60 * y)) * np.sin(140 * y + 2 * np.sin(55 * z)) * at.surface.extra["frizz"]
    slope = tangent @ light.half
    sharp = np.maximum(1 - (slope + 0.10 + 0.06 * tone) ** 2, 0) ** 60
    broad = np.maximum(1 - (slope - 0.08 + 0.10 * tone) ** 2, 0) ** 12
    facing = np.clip(at.normal @ light.half + 0.25, 0, 1) * at.key
    shade = (0.35 + 0.65 * depth) * (1 + 0.16 * tone + 0.10 * strands + 0.28 * frizz) * (0.86 + 0.20 * along)
    root = skin_albedo(look.melanin, look.blood) * 0.75
    pigment = look.hair * cover[:, None] + root * (1 - cover[:, None])
    lit = pigment * (diffuse(at, light, 0.45) + 0.10) * shade[:, None]
    shine = (facing * cover * (1 + 0.3 * strands))[:, None]
    return lit + shine * (0.06 * sharp[:, None] + 1.0 * broad[:, None] * look.hair * shade[:, None])


def _cloth(at: Points, look: Look, light: Light) -> np.ndarray:
    trim = at.extra("trim")[:, None] if "trim" in at.surface.extra else 0.0
    albedo = look.cloth * (1 - trim) + look.cloth_trim * trim
    return albedo * diffuse(at, light, 0.15)


def _hat(at: Points, look: Look, light: Light) -> np.ndarray:
    rib = at.extra("trim")[:, None] if "trim" in at.surface.extra else 0.0
    return look.accessory_cloth * (1 - 0.35 * rib) * diffuse(at, light, 0.2)


def _frame(at: Points, look: Look, light: Light) -> np.ndarray:
    return look.accessory * diffuse(at, light, 0.1) + 0.18 * gloss(at, light, 60)[:, None]


def _metal(at: Points, look: Look, light: Light) -> np.ndarray:
    mirror = np.clip(0.5 + 0.5 * at.normal[:, 1] + 0.3 * at.normal[:, 2], 0, 1)[:, None]
    return look.metal * (0.35 * diffuse(at, light) + 0.45 * mirror**2) + 0.5 * look.metal * gloss(at, light, 30)[:, None]


def _dark(at: Points, look: Look, light: Light) -> np.ndarray:
    return look.brow * 0.5 * diffuse(at, light, 0.3)


MATERIAL_COLORS: dict[str, Callable[[Points, Look, Light], np.ndarray]] = {
    "eye": _eye,
    "mouth": _mouth,
    "teeth": _teeth,
    "tongue": _tongue,
    "hair": _hair,
    "brow": _dark,
    "lash": _dark,
    "glasses_frame": _frame,
    "metal": _metal,
    "cloth": _cloth,
    "hat": _hat,
}


def surface_color(at: Points, look: Look, light: Light) -> np.ndarray:
    """Linear colours `[N, 3]` of hit points of any material."""
    if at.surface.material == "skin":
        return skin_color(at, look, light)
    return MATERIAL_COLORS[at.surface.material](at, look, light)
