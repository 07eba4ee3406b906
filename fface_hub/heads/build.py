"""From geometry z to all surfaces of a head: the bare head, hair, and what is worn."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from fface_hub.heads.accessories import HAT_FROM, build_accessories
from fface_hub.heads.config import GEOMETRY_DIMS
from fface_hub.heads.hair import HairTraits, build_hair
from fface_hub.heads.head import Head
from fface_hub.heads.look import uniform
from fface_hub.heads.mesh import HeadMesh
from fface_hub.heads.points import step
from fface_hub.heads.shape import HeadShape, head_shape
from fface_hub.heads.skull import Skull
from fface_hub.heads.surface import Surface


def build_surfaces(geometry_z: np.ndarray) -> list[Surface]:
    """All surfaces of the head of `geometry_z [Zg]`."""
    z: dict[str, float] = dict(zip(GEOMETRY_DIMS, np.asarray(geometry_z, np.float64).reshape(-1).tolist(), strict=True))
    shape = head_shape(geometry_z)
    skin = shape.surface("skin")
    skin.extra["lash"] = _lash_line(shape)
    # Shape decides who can grow a beard and who may paint lips and lids; appearance z, how much of it there is.
    skin.extra["growth"] = uniform(np.array([-3.0 * z["gender"] - 0.5], np.float32))
    skin.extra["wear"] = uniform(np.array([1.6 * z["age"] - 0.6], np.float32))
    skin.extra["paint"] = uniform(np.array([3.0 * z["gender"]], np.float32))
    marks = shape.landmarks
    top = 0.5 * (marks["ear_top_left"] + marks["ear_top_right"])
    center = np.array([0.0, top[1] + 0.01, 0.5 * (marks["forehead"][2] + marks["occiput"][2])], np.float32)
    skull = Skull.measure(skin, center)
    ears = np.stack([0.5 * (marks[f"ear_top_{side}"] + marks[f"ear_lobe_{side}"]) for side in ("left", "right")])
    traits = hair_traits(z)
    if z["hat"] > HAT_FROM:
        traits = replace(traits, volume=0.0, curl=min(traits.curl, 0.6), pressed=True)
    return [*shape.surfaces, *build_hair(skull, ears, traits), *build_accessories(shape, skull, z)]


def build_head(head: Head) -> HeadMesh:
    """The head ready for rays. Depends on its geometry z only, so one mesh serves every appearance."""
    return HeadMesh(build_surfaces(head.geometry_z))


def hair_traits(z: dict[str, float]) -> HairTraits:
    """Hair of a head: women's is longer more often, men's hairline recedes more often."""
    woman = float(np.tanh(1.5 * z["gender"]))
    length = float(uniform(0.9 * z["hair_length"] + 0.9 * woman))
    recede = float(uniform(0.9 * z["hairline"] - 1.05 - 0.75 * woman))
    full = 0.025 + 0.12 * length + 0.58 * float(np.clip((length - 0.45) / 0.55, 0, 1)) ** 1.5
    # Who has lost the hair on top wears the rest short.
    return HairTraits(
        length=full * (1 - 0.75 * float(step(0.55, 0.75, recede))),
        curl=float(uniform(z["hair_curl"])) ** 1.3,
        volume=float(uniform(z["hair_volume"])),
        recede=recede,
        comb=float(np.tanh(0.8 * z["hair_style"])),
        part=float(np.tanh(z["hair_parting"])),
    )


def _lash_line(shape: HeadShape) -> np.ndarray:
    """How much each skin vertex belongs to the dark line of the lashes: where a lid meets its eyeball, the upper one more."""
    skin = shape.surface("skin").vertices
    line = np.zeros(len(skin), np.float32)
    for eye in shape.eyes:
        offset = skin - eye.center
        distance = np.sqrt((offset**2).sum(-1))
        gap = np.abs(distance - eye.radius * 1.02)
        front = np.clip(2 * offset[:, 2] / np.maximum(distance, 1e-6), 0, 1)
        upper = 0.65 + 0.35 * np.clip(offset[:, 1] / (0.3 * eye.radius), -1, 1)
        line = np.maximum(line, np.exp(-((gap / 0.0065) ** 2)) * front * upper)
    return line.astype(np.float32)
