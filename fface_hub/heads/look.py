"""Appearance z decoded into colours and light: what a head looks like, given its shape. Colours are linear RGB unless said otherwise."""

from __future__ import annotations

import colorsys
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from fface_hub.heads.config import APPEARANCE_DIMS

Color = np.ndarray

_SKIN_BASE = np.array([0.90, 0.79, 0.69], np.float32)
_MELANIN_ABSORPTION = np.array([0.92, 1.32, 1.62], np.float32)
_BLOOD_ABSORPTION = np.array([0.04, 0.60, 0.44], np.float32)
_HAIR_BASE = np.array([0.86, 0.74, 0.52], np.float32)
_HAIR_ABSORPTION = np.array([1.45, 1.95, 2.60], np.float32)


def uniform(z: ArrayLike) -> np.ndarray:
    """Standard normal numbers → (0, 1), evenly (the logistic function close to the normal distribution's)."""
    return 1 / (1 + np.exp(-1.702 * np.asarray(z)))


def to_linear(srgb: np.ndarray) -> np.ndarray:
    """sRGB in [0, 1] → linear light."""
    return np.where(srgb <= 0.04045, srgb / 12.92, ((np.maximum(srgb, 0) + 0.055) / 1.055) ** 2.4).astype(np.float32)


def to_srgb(linear: np.ndarray) -> np.ndarray:
    """Linear light in [0, 1] → sRGB."""
    return np.where(linear <= 0.0031308, linear * 12.92, 1.055 * np.maximum(linear, 1e-9) ** (1 / 2.4) - 0.055).astype(np.float32)


def skin_albedo(melanin: ArrayLike, blood: ArrayLike) -> np.ndarray:
    """Colour of skin with `melanin [...]` (0.05 very light to 2 very dark) and `blood [...]` (0.2 pale to 1.2 flushed) → `[..., 3]`.

    Both pigments absorb by the law of Beer and Lambert, so redness adds to any skin in the way it does on a real one.
    """
    absorbed = (
        np.asarray(melanin, np.float32)[..., None] * _MELANIN_ABSORPTION + np.asarray(blood, np.float32)[..., None] * _BLOOD_ABSORPTION
    )
    return _SKIN_BASE * np.exp(-absorbed)


def hair_albedo(melanin: float, redness: float, grey: float) -> Color:
    """Colour of hair with `melanin` (0.1 blond to 2.4 black), `redness` (0 to 1) and a share of `grey` hairs."""
    absorbed = melanin * (_HAIR_ABSORPTION + redness * np.array([-0.35, 0.25, 0.6], np.float32))
    pigment = _HAIR_BASE * np.exp(-absorbed) + 0.008
    return ((1 - grey) * pigment + grey * np.array([0.52, 0.52, 0.54], np.float32)).astype(np.float32)


def _hsv(hue: float, saturation: float, value: float) -> Color:
    """sRGB colour of a hue."""
    return np.array(colorsys.hsv_to_rgb(hue % 1, saturation, value), np.float32)


@dataclass(frozen=True)
class Look:
    """All that appearance z decides, in plain terms. `background` is sRGB, since it is shown as it is."""

    melanin: float
    blood: float
    mottling: float
    freckles: float
    lip_redness: float
    lip_depth: float
    hair: Color
    brow: Color
    brow_cover: float
    iris: Color
    iris_contrast: float
    stubble: float
    make_up: float
    cloth: Color
    cloth_trim: Color
    background: Color
    light_azimuth: float
    light_elevation: float
    light_strength: float
    light_warmth: float
    accessory: Color
    accessory_cloth: Color
    hair_shine: float
    metal: Color

    @staticmethod
    def from_latent(appearance_z: np.ndarray) -> Look:
        """Decode `appearance_z [Za]`."""
        z = dict(zip(APPEARANCE_DIMS, np.tanh(np.asarray(appearance_z, np.float64).reshape(-1) / 3) * 3, strict=True))
        share = {name: float(uniform(value)) for name, value in z.items()}
        # Pigments go together in people: dark skin rarely comes with fair hair or blue eyes.
        dark = z["skin_melanin"]
        hair_melanin = 0.15 + 2.1 * float(uniform(0.85 * z["hair_melanin"] + 0.75 * dark + 0.25)) ** 0.8
        redness = max(0.0, float(z["hair_redness"])) * 0.4
        grey = float(np.clip((share["hair_grey"] - 0.8) / 0.2, 0, 1)) ** 1.5 * 0.95
        brow_darkness = hair_melanin * 0.75 + 0.75 + 0.2 * float(z["brow_darkness"])
        return Look(
            melanin=0.22 + 1.56 * share["skin_melanin"] ** 1.35,
            blood=0.36 + 0.10 * float(z["skin_redness"]),
            mottling=0.35 + 0.65 * share["skin_mottling"],
            freckles=0.8 * max(0.0, share["skin_mottling"] - 0.6),
            lip_redness=0.58 + 0.20 * float(z["lip_color"]),
            lip_depth=0.22 + 0.11 * float(z["lip_darkness"]),
            hair=hair_albedo(hair_melanin, redness, grey),
            brow=hair_albedo(max(1.2, brow_darkness), redness * 0.7, grey * 0.3),
            brow_cover=0.82 + 0.14 * float(np.tanh(z["brow_darkness"])),
            iris=_iris_color(float(uniform(0.9 * z["iris_hue"] - 0.6 * dark)), share["iris_lightness"]),
            iris_contrast=0.25 + 0.5 * share["iris_pattern"],
            stubble=float(np.clip((share["stubble"] - 0.55) / 0.4, 0, 1)),
            make_up=float(np.clip((share["make_up"] - 0.55) / 0.4, 0, 1)),
            cloth=_cloth_color(share, 0.0),
            cloth_trim=_cloth_color(share, 0.25),
            background=_background(share),
            light_azimuth=25 * float(np.tanh(0.7 * z["light_azimuth"])),
            light_elevation=36 + 8 * float(np.tanh(0.7 * z["light_elevation"])),
            light_strength=1 + 0.1 * float(np.tanh(z["light_strength"])),
            light_warmth=float(np.tanh(0.6 * z["light_warmth"])),
            accessory=to_linear(_hsv(0.02 + 0.14 * share["accessory_hue"], 0.45, 0.10 + 0.45 * share["accessory_lightness"] ** 3)),
            accessory_cloth=to_linear(_hsv(share["accessory_hue"], 0.28, 0.18 + 0.5 * share["accessory_lightness"])),
            hair_shine=1.0,
            metal=_metal_color(share["accessory_hue"]),
        )


def _iris_color(hue: float, lightness: float) -> Color:
    """Brown for most, then hazel, green, blue and grey as `hue` in (0, 1) grows."""
    stops = np.array(
        [[0.13, 0.055, 0.02], [0.20, 0.09, 0.03], [0.24, 0.15, 0.05], [0.16, 0.20, 0.09], [0.12, 0.24, 0.36], [0.22, 0.30, 0.36]]
    )
    at = np.array([0.0, 0.45, 0.6, 0.72, 0.85, 1.0], np.float32)
    color = np.stack([np.interp(hue, at, stops[:, channel]) for channel in range(3)])
    return (color * (0.65 + 0.7 * lightness)).astype(np.float32)


def _cloth_color(share: dict[str, float], lighter: float) -> Color:
    saturation = 0.06 + 0.36 * share["clothes_saturation"] ** 1.5
    value = 0.16 + 0.66 * share["clothes_lightness"]
    return to_linear(_hsv(share["clothes_hue"], saturation, min(0.92, value + lighter * (0.5 - value))))


def _background(share: dict[str, float]) -> Color:
    return _hsv(share["background_hue"], 0.03 + 0.20 * share["background_saturation"], 0.34 + 0.42 * share["background_lightness"])


def _metal_color(hue: float) -> Color:
    """From gold through rose to silver."""
    gold, silver = np.array([0.80, 0.56, 0.22], np.float32), np.array([0.72, 0.73, 0.75], np.float32)
    return (gold + (silver - gold) * np.float32(hue)).astype(np.float32)
