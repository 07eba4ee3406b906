"""Names, sizes and the version of the rendered heads: a head is `(geometry z, appearance z)`, two standard-normal vectors."""

from __future__ import annotations

HEADS_VERSION = "1"
"""Raised whenever the same latents would give another picture: shards and models record it."""

METRES_PER_UNIT = 0.42
HELD_OUT_SEED = 1_000_000
"""Identities with this seed and above are measured on, never trained on."""

GEOMETRY_DIMS: tuple[str, ...] = (
    # who it is
    "age", "gender", "weight", "muscle", "african", "asian", "caucasian",
    # nose
    "nose_length", "nose_width", "nasal_wings", "nose_hump", "nose_tip_height", "nose_tip_size", "nose_bridge", "nose_projection",
    "nostrils",
    # eyes
    "eye_size", "eye_height", "eye_distance", "eye_slant", "eyelid_fold", "eye_bags", "pupil_size", "brow_height",
    "brow_angle", "brow_thickness",
    # mouth
    "lip_upper", "lip_lower", "mouth_width", "mouth_height", "cupid_bow", "mouth_corners",
    # chin and jaw
    "chin_length", "chin_width", "chin_projection", "jaw_width", "jaw_height",
    # head, cheeks, ears
    "head_width", "head_round", "forehead", "cheek_volume", "cheek_bones", "ear_size", "ear_angle", "neck", "asymmetry",
    # expression
    "smile", "jaw_open", "blink", "brow_raise", "gaze_x", "gaze_y", "pucker",
    # hair and what is worn
    "hair_length", "hair_style", "hair_volume", "hairline", "hair_parting", "hair_curl",
    "hat", "glasses", "glasses_shape", "earrings", "necklace", "clothes", "clothes_shape",
)  # fmt: skip
"""Geometry z alone decides shape, labels and depth."""

APPEARANCE_DIMS: tuple[str, ...] = (
    "skin_melanin", "skin_redness", "skin_mottling", "lip_color", "lip_darkness",
    "hair_melanin", "hair_redness", "hair_grey", "brow_darkness", "iris_hue", "iris_lightness", "iris_pattern",
    "stubble", "make_up", "clothes_hue", "clothes_saturation", "clothes_lightness",
    "background_hue", "background_saturation", "background_lightness",
    "light_azimuth", "light_elevation", "light_strength", "light_warmth", "accessory_hue", "accessory_lightness",
)  # fmt: skip
"""Appearance z alone decides colour and light."""

GEOMETRY_SIZE = len(GEOMETRY_DIMS)
APPEARANCE_SIZE = len(APPEARANCE_DIMS)
GEOMETRY_INDEX = {name: index for index, name in enumerate(GEOMETRY_DIMS)}
APPEARANCE_INDEX = {name: index for index, name in enumerate(APPEARANCE_DIMS)}
