"""Skin: two pigments, light that bleeds red into shadow, soft highlights, brow hairs, stubble and make-up.

What differs over the face is painted on the template, in functions of place, so it is the same on every head and needs no random number.
"""

from __future__ import annotations

import functools

import numpy as np

from fface_hub.heads.atlas import skin_masks
from fface_hub.heads.light import Light
from fface_hub.heads.look import Look, skin_albedo
from fface_hub.heads.points import Points, diffuse, gloss, step

Patch = tuple[tuple[float, float, float], float, float]
# Middle (x mirrored) on the template, reach and strength of soft patches: where blood shows, where skin shines, where it lies in a hollow.
_BLOOD: tuple[Patch, ...] = (
    ((0.105, -0.055, 0.065), 0.045, 0.55), ((0.0, -0.045, 0.150), 0.030, 0.60), ((0.038, -0.050, 0.112), 0.020, 0.45),
    ((0.19, 0.02, -0.13), 0.060, 0.60), ((0.0, -0.17, 0.105), 0.035, 0.20), ((0.07, 0.055, 0.075), 0.045, 0.25),
    ((0.0, 0.17, 0.11), 0.07, -0.12),
)  # fmt: skip
_GLOSS: tuple[Patch, ...] = (
    ((0.0, 0.0, 0.135), 0.022, 0.8), ((0.0, -0.040, 0.156), 0.018, 1.0), ((0.0, 0.16, 0.112), 0.055, 0.75), ((0.05, 0.15, 0.10), 0.05, 0.5),
    ((0.115, -0.005, 0.06), 0.032, 0.6), ((0.0, -0.165, 0.11), 0.025, 0.5),
)  # fmt: skip
_HOLLOW: tuple[Patch, ...] = (((0.036, 0.068, 0.085), 0.020, 0.8), ((0.072, 0.086, 0.085), 0.028, 0.45), ((0.07, 0.030, 0.080), 0.026, 0.4))
_FRECKLED: tuple[Patch, ...] = (((0.08, -0.015, 0.09), 0.065, 1.0), ((0.0, 0.0, 0.13), 0.045, 1.0))


def _patches(place: np.ndarray, patches: tuple[Patch, ...]) -> np.ndarray:
    """Sum of soft mirrored patches at `place [N, 3]`."""
    mirrored = np.concatenate([np.abs(place[:, :1]), place[:, 1:]], axis=1)
    total = np.zeros(len(place), np.float32)
    for middle, reach, strength in patches:
        total += strength * np.exp(-((mirrored - np.array(middle, np.float32)) ** 2).sum(-1) / reach**2)
    return total


def _noise(place: np.ndarray, frequency: float, seed: int) -> np.ndarray:
    """Smooth noise in about [-1, 1] at `place [N, 3]`: waves in fixed uneven directions, each bent by those before."""
    total = np.zeros(len(place), np.float32)
    for index in range(4):
        angle = 2.399963 * (index + 1) + seed
        wave = np.array([np.cos(angle), np.sin(1.7 * angle), np.sin(angle + 1.0)], np.float32) * frequency * (1 + 0.23 * index)
        total += np.sin(place @ wave + 1.3 * total + seed)
    return total / 2.3


def _dots(place: np.ndarray) -> np.ndarray:
    """Small round dots in [0, 1] at `place [N, 3]`, unevenly spaced."""
    x, y = 310 * place[:, 0] + 3 * np.sin(90 * place[:, 1]), 310 * place[:, 1] + 3 * np.sin(110 * place[:, 0] + 1)
    return np.clip(np.sin(x) * np.sin(y) * (0.7 + 0.5 * np.sin(0.37 * x + 0.61 * y)) - 0.25, 0, 1)


@functools.lru_cache(maxsize=1)
def skin_weights() -> np.ndarray:
    """Weights `[V, 10]` of the skin that all heads share: place (3), blood, gloss, hollow, freckled, beard, mottling, creases."""
    masks = skin_masks()
    place = masks["template"]
    mottling = 0.7 * _noise(place, 28.0, 1) + 0.4 * _noise(place, 60.0, 2)
    columns = [_patches(place, patches) for patches in (_BLOOD, _GLOSS, _HOLLOW, _FRECKLED)]
    return np.stack([*place.T, *columns, masks["beard"], mottling, _creases(place)], axis=1).astype(np.float32)


def skin_color(at: Points, look: Look, light: Light) -> np.ndarray:
    """Linear colours `[N, 3]` of skin."""
    weights = at.interpolate(skin_weights())
    place, (blood_at, gloss_at, hollow, freckled, beard, mottling) = weights[:, :3], weights[:, 3:9].T
    fields = at.borders
    lips = step(-0.0020, 0.0035, fields["lips"])
    lid = step(-0.004, 0.010, fields["lids"])
    lash = at.extra("lash")
    brow = _brow(place, fields["brow"])
    freckles = look.freckles * _dots(place) * np.clip(freckled, 0, 1)
    melanin = look.melanin * (1 + 0.10 * look.mottling * mottling) + freckles + 0.14 * hollow * (0.4 + look.melanin) + lips * look.lip_depth
    flush = look.blood * (1 + blood_at) + 0.08 * look.mottling * mottling
    flush = flush + lips * look.lip_redness + look.make_up * at.surface.extra["paint"] * (0.60 * lips + 0.25 * np.maximum(blood_at, 0))
    albedo = skin_albedo(np.maximum(melanin, 0.02), np.maximum(flush, 0))
    albedo = _mix(
        albedo, 0.55 * look.brow + 0.10 * albedo, np.clip(0.75 * beard * look.stubble * at.surface.extra["growth"] * (1 - lips), 0, 0.75)
    )
    albedo = _mix(albedo, look.brow, look.brow_cover * brow)
    shadowed = np.clip(0.85 * lash + 0.30 * look.make_up * at.surface.extra["paint"] * lid * np.clip(place[:, 1] * 40 - 2.2, 0, 1), 0, 1)
    albedo = _mix(albedo, 0.30 * look.brow, shadowed)
    albedo = albedo * (1 - 0.38 * at.surface.extra["wear"] * weights[:, 9])[:, None]
    # Red light travels farthest under the skin: shadows end in a warm edge.
    lit = albedo * diffuse(at, light, np.array([0.30, 0.17, 0.12], np.float32))
    sheen = 0.010 + 0.030 * np.clip(gloss_at, 0, 1)
    shine = sheen * (gloss(at, light, 14) + 1.6 * gloss_at * gloss(at, light, 50)) * (1 - brow) * (1 - lips) + 0.16 * lips * gloss(
        at, light, 40
    )
    return lit + shine[:, None] * light.key_color


def _creases(place: np.ndarray) -> np.ndarray:
    """Depth in [0, 1] of the lines that age draws at `place [N, 3]`: across the forehead, beside the eyes, from the nose to the mouth."""
    x, y, z = np.abs(place[:, 0]), place[:, 1], place[:, 2]
    depth = np.zeros(len(place), np.float32)
    for line in (0.142, 0.160, 0.178):
        depth += 0.6 * np.exp(-(((y - line - 0.12 * x * (x - 0.08)) / 0.0035) ** 2)) * step(0.085, 0.045, x)
    fan = np.arctan2(y - 0.060, x - 0.095)
    beside = step(0.118, 0.126, x) * step(0.160, 0.140, x)
    depth += 0.45 * np.clip(np.cos(fan * 14) - 0.5, 0, 1) * beside * step(0.7, 0.4, np.abs(fan))
    fold = 0.044 + 0.030 * np.clip((-0.040 - y) / 0.075, 0, 1)
    depth += 0.9 * np.exp(-(((x - fold) / 0.0050) ** 2)) * step(-0.120, -0.105, y) * step(-0.030, -0.045, y)
    depth += 0.5 * np.exp(-(((y - 0.022 + 4.0 * (x - 0.07) ** 2 * -1) / 0.0050) ** 2)) * step(0.035, 0.05, x) * step(0.112, 0.095, x)
    return np.clip(depth, 0, 1) * (z > 0)


def _mix(color: np.ndarray, other: np.ndarray, share: np.ndarray) -> np.ndarray:
    return color + (other - color) * share[:, None]


def _brow(place: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """How much brow hair covers skin at `place [N, 3]`, `inside [N]` the brow's border: strands that fan from upright to level."""
    x, y = np.abs(place[:, 0]), place[:, 1]
    lean = np.interp(x, [0.02, 0.05, 0.12], [0.35, 0.95, 1.25]).astype(np.float32)
    across = (x * np.cos(lean) - (y - 0.105) * np.sin(lean)) * 900
    strands = 0.5 + 0.5 * np.sin(across + 1.5 * np.sin(0.37 * across))
    body = step(-0.0030, 0.0060, inside - 0.0025 * strands)
    return body * (0.70 + 0.30 * strands)
