"""What latents decide, as numbers: traits that a mapping network can be taught before any picture is drawn.

A generator has to find out that the hair is long above one threshold of z and that a hat appears above another, and it does so slowly
when pictures are all it sees. The truth is known here in closed form, or is a vertex of a surface.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fface_hub.heads.accessories import EARRINGS_FROM, GLASSES_FROM, HAT_FROM, NECKLACE_FROM
from fface_hub.heads.build import build_surfaces, hair_traits
from fface_hub.heads.config import GEOMETRY_DIMS
from fface_hub.heads.controls import controls
from fface_hub.heads.look import Look, skin_albedo, to_srgb
from fface_hub.heads.points import step

Float = NDArray[np.float32]

WORN = (("glasses", GLASSES_FROM), ("hat", HAT_FROM), ("earrings", EARRINGS_FROM), ("necklace", NECKLACE_FROM))
ACTIONS = (
    "mouthSmileLeft", "mouthFrownLeft", "eyeBlinkLeft", "eyeWideLeft", "browInnerUp", "browDownLeft", "mouthPucker", "mouthPressLeft",
)  # fmt: skip
AROUND, LEVELS = 16, 12
COLORS = ("hair", "brow", "iris", "cloth", "cloth_trim", "accessory", "accessory_cloth", "metal")


def shape_traits(geometry_z: Float) -> Float:
    """`[Zg]` → `[A]`: the controls of the head and its hair, and what it wears, in closed form (well under a millisecond)."""
    z = dict(zip(GEOMETRY_DIMS, np.asarray(geometry_z, np.float64).tolist(), strict=True))
    control, hair = controls(geometry_z), hair_traits(z)
    who = np.array([control.phenotypes[name] for name in ("african", "asian", "caucasian")])
    worn = [float(z[name] > threshold) for name, threshold in WORN]
    glasses, hat, earrings, necklace = worn
    values = [
        *(who / who.sum()),
        *(control.phenotypes[name] for name in ("age", "gender", "weight", "muscle")),
        *(control.actions[name] for name in ACTIONS),
        control.jaw, control.pupil, *control.gaze, control.brow_border,
        *np.tanh(np.array(list(z.values())) / 1.5),
        *worn,
        glasses * np.tanh(z["glasses_shape"]), glasses * z["glasses"], hat * z["hat"], necklace * z["necklace"],
        earrings * float(step(1.2, 1.7, z["earrings"])),
        float(step(0.0, 1.6, z["clothes_shape"])), float(step(0.0, 1.6, -z["clothes_shape"])),
        hair.length, np.log(hair.length), hair.curl, hair.volume, hair.recede, max(hair.recede - 0.6, 0.0), hair.comb, hair.part,
        abs(hair.part), hair.length * hair.curl, hair.length * hair.volume, hair.length * hair.comb, float(hair.length > 0.25),
        float(hair.length > 0.45), (1 - hat) * hair.volume, (1 - hat) * hair.curl,
        np.tanh(3 * z["gender"]), np.tanh(1.6 * z["age"] - 0.6),
    ]  # fmt: skip
    return np.array(values, np.float32)


def surface_traits(geometry_z: Float) -> dict[str, Float]:
    """`[Zg]` → where surfaces lie, flat arrays by part: vertices of skin (with eyes and mouth), hair cap and clothes, and how far locks
    reach from the vertical axis in each of 16 directions at each of 12 heights. Builds the head: about 30 ms."""
    parts = {surface.name: surface.vertices for surface in build_surfaces(geometry_z)}
    inner = [parts["eye_left"][::20], parts["mouth"][::10], parts["teeth_upper"][::40], parts["teeth_lower"][::40]]
    return {
        "skin": np.concatenate([parts["skin"][::4], *inner]).reshape(-1),
        "cap": parts["hair cap"][::8].reshape(-1),
        "locks": _reach(parts["hair locks"]),
        "clothes": parts["clothes"][::8].reshape(-1),
    }


def look_traits(appearance_z: Float) -> Float:
    """`[Za]` → `[A]`: every entry of `Look`, first the background (sRGB), other colours in linear light and in sRGB."""
    look = Look.from_latent(appearance_z)
    colors = [np.asarray(getattr(look, name), np.float32) for name in COLORS]
    colors.append(skin_albedo(look.melanin, look.blood))
    plain = [value for name, value in vars(look).items() if name not in COLORS and np.ndim(value) == 0]
    return np.concatenate([look.background, plain, *colors, *(to_srgb(color) for color in colors), np.tanh(appearance_z / 1.5)]).astype(
        np.float32
    )


def _reach(vertices: Float) -> Float:
    """Largest distance from the y axis in each cell of direction and height, `[AROUND · LEVELS]`; 0 in empty cells."""
    direction = (np.arctan2(vertices[:, 0], vertices[:, 2]) + np.pi) / (2 * np.pi) * AROUND
    height = (vertices[:, 1] + 0.5) * LEVELS
    cells = direction.astype(int).clip(0, AROUND - 1) * LEVELS + height.astype(int).clip(0, LEVELS - 1)
    reach = np.zeros(AROUND * LEVELS, np.float32)
    np.maximum.at(reach, cells, np.hypot(vertices[:, 0], vertices[:, 2]).astype(np.float32))
    return reach
