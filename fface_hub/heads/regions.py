"""Which part of the face a point of the skin is: anatomical borders drawn once, as smooth curves on the mean head.

All coordinates are those of the basis' mean head (0.42 m, x to the person's left, y up, z to the front); every border is a function of |x|,
so the classes are symmetric. `atlas.py` paints them into the skin's texture, which every head shares.
"""

from __future__ import annotations

import numpy as np
from scipy.interpolate import CubicSpline, PchipInterpolator
from scipy.spatial import KDTree
from skimage.measure import points_in_poly

from fface_hub.layouts import FINE_24

ID = {name: FINE_24.index(name) for name in FINE_24.names}

# Closed outlines in (|x|, y), in order; those that cross the middle are listed for x >= 0 from top to bottom.
LIPS = (
    *((0.0, -0.0912), (0.006, -0.0895), (0.013, -0.0878), (0.022, -0.0892), (0.035, -0.0940), (0.048, -0.1010), (0.057, -0.1080)),
    *((0.0612, -0.1125), (0.058, -0.1190), (0.050, -0.1270), (0.038, -0.1345), (0.024, -0.1390), (0.010, -0.1402), (0.0, -0.1404)),
)
NOSE = (
    *((0.0, 0.0730), (0.009, 0.0700), (0.014, 0.0600), (0.017, 0.0450), (0.0205, 0.0300), (0.026, 0.0150), (0.033, 0.0020)),
    *((0.041, -0.0110), (0.0465, -0.0230), (0.0485, -0.0350), (0.0465, -0.0460), (0.039, -0.0530), (0.027, -0.0570)),
    *((0.014, -0.0615), (0.006, -0.0638), (0.0, -0.0642)),
)
EYELID = (
    *((0.0345, 0.0565), (0.0375, 0.0635), (0.0460, 0.0725), (0.0590, 0.0795), (0.0750, 0.0825), (0.0910, 0.0795), (0.1050, 0.0715)),
    *((0.1150, 0.0615), (0.1130, 0.0545), (0.1040, 0.0450), (0.0910, 0.0392), (0.0760, 0.0372), (0.0610, 0.0388), (0.0470, 0.0437)),
    (0.0380, 0.0500),
)
BROW = (
    *((0.0225, 0.0885), (0.0230, 0.1000), (0.0300, 0.1085), (0.0450, 0.1145), (0.0650, 0.1195), (0.0850, 0.1205), (0.1030, 0.1160)),
    *((0.1180, 0.1075), (0.1310, 0.0950), (0.1180, 0.0995), (0.1020, 0.1050), (0.0840, 0.1065), (0.0650, 0.1040), (0.0450, 0.0970)),
    (0.0310, 0.0885),
)
CHIN = ((0.0, -0.1560), (0.020, -0.1580), (0.038, -0.1660), (0.050, -0.1800), (0.054, -0.1980), (0.052, -0.2400), (0.0, -0.2500))
# Lower edge of the jaw from the front to the ear, then the nape behind it: (z, y). Skin below is neck.
JAW_LINE = (
    *((-0.50, -0.080), (-0.36, -0.075), (-0.26, -0.066), (-0.20, -0.056), (-0.165, -0.048), (-0.140, -0.050), (-0.120, -0.066)),
    *((-0.095, -0.101), (-0.060, -0.134), (-0.020, -0.161), (0.020, -0.184), (0.055, -0.204), (0.075, -0.2125), (0.10, -0.2150)),
)
# Upper edge of the mandible's band: (z, y).
JAW_TOP = (
    (-0.30, -0.020),
    (-0.112, -0.030),
    (-0.080, -0.062),
    (-0.040, -0.098),
    (0.0, -0.126),
    (0.040, -0.147),
    (0.075, -0.159),
    (0.20, -0.166),
)
JAW_BACK = -0.118
# The hairline as (angle around the head from the front in degrees, height y): forehead, temples, over the ear, nape.
HAIRLINE = (
    (0, 0.205),
    (22, 0.203),
    (38, 0.190),
    (55, 0.150),
    (70, 0.100),
    (84, 0.050),
    (97, 0.060),
    (112, 0.070),
    (128, 0.0),
    (150, -0.060),
    (180, -0.075),
)
TIP_CENTRE, TIP_RADIUS = (0.0, -0.0365, 0.1400), 0.0240
WING_CENTRE, WING_RADII = (0.0375, -0.0345, 0.1140), (0.0210, 0.0250, 0.0270)
NOSTRIL_CENTRE, NOSTRIL_AXIS, NOSTRIL_RADII = (0.0272, 0.1240), (-0.47, 0.88), (0.0145, 0.0070)
NOSTRIL_RIM = -0.0395
"""In (|x|, z): the opening as seen from below; its long axis runs forward and inward; the skin above the rim (y) is the wing's outside."""


def closed_curve(points: tuple[tuple[float, float], ...], count: int = 600) -> np.ndarray:
    """A smooth closed curve `[count,2]` through the points. One that starts and ends on x = 0 is closed by its mirror image."""
    corners = np.array(points)
    if corners[0, 0] == 0 and corners[-1, 0] == 0:
        corners = np.concatenate([corners, corners[-2:0:-1] * np.array([-1, 1])])
    ring = np.concatenate([corners, corners[:1]])
    length = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(ring, axis=0), axis=1) ** 0.5)])
    return CubicSpline(length, ring, bc_type="periodic")(np.linspace(0, length[-1], count, endpoint=False))


def signed_distance(flat: np.ndarray, outline: np.ndarray) -> np.ndarray:
    """Distance `[P]` of points `[P,2]` to a closed curve, positive inside."""
    distance = KDTree(outline).query(flat)[0]
    return np.where(points_in_poly(flat, outline), distance, -distance)


def outline_field(points: np.ndarray, corners: tuple[tuple[float, float], ...], z_from: float, reach: float = 0.042) -> np.ndarray:
    """Signed distance `[P]` in (|x|, y) to an outline for points `[P,3]` in front of `z_from`; −`reach` elsewhere."""
    outline = closed_curve(corners)
    flat = np.stack([np.abs(points[:, 0]), points[:, 1]], axis=1)
    low, high = outline.min(axis=0) - reach, outline.max(axis=0) + reach
    near = (points[:, 2] > z_from) & (flat > low).all(axis=1) & (flat < high).all(axis=1)
    field = np.full(len(points), -reach)
    field[near] = np.clip(signed_distance(flat[near], outline), -reach, reach)
    return field


def below_jaw(points: np.ndarray) -> np.ndarray:
    """How far points `[P,3]` lie below the lower edge of the jaw and, behind the ears, below the hairline of the nape; positive is neck."""
    z, y = np.array(JAW_LINE).T
    return PchipInterpolator(z, y)(np.clip(points[:, 2], z[0], z[-1])) - points[:, 1]


def scalp_field(points: np.ndarray) -> np.ndarray:
    """Height `[P]` above a common hairline, positive where hair grows; for hair, stubble and shaved scalps."""
    angle = np.degrees(np.arctan2(np.abs(points[:, 0]), points[:, 2] + 0.12))
    knots, heights = np.array(HAIRLINE).T
    return points[:, 1] - PchipInterpolator(knots, heights)(angle)


def nostril_field(points: np.ndarray) -> np.ndarray:
    """Ellipse value `[P]` of the nostril openings: below 1 inside."""
    along = np.array(NOSTRIL_AXIS) / np.linalg.norm(NOSTRIL_AXIS)
    x, z = np.abs(points[:, 0]) - NOSTRIL_CENTRE[0], points[:, 2] - NOSTRIL_CENTRE[1]
    return ((x * along[0] + z * along[1]) / NOSTRIL_RADII[0]) ** 2 + ((-x * along[1] + z * along[0]) / NOSTRIL_RADII[1]) ** 2


def classify(points: np.ndarray, ears: np.ndarray, fields: dict[str, np.ndarray]) -> np.ndarray:
    """Classes `[P]` of FINE_24 for points `[P,3]` of the head's skin.

    `ears [P]` in [0, 1] is the painted ear mask; `fields` are the signed distances `lips`, `lids` and `brow` of the same points.
    """
    x, y, z = np.abs(points[:, 0]), points[:, 1], points[:, 2]
    labels = np.full(len(points), ID["skin"])
    z_knots, y_knots = np.array(JAW_TOP).T
    jaw_top = PchipInterpolator(z_knots, y_knots)(np.clip(z, z_knots[0], z_knots[-1]))
    neck = below_jaw(points)
    labels[(y < jaw_top) & (z > JAW_BACK) & (x > 0.02)] = ID["jaw"]
    labels[outline_field(points, CHIN, 0.02, reach=0.002) > 0] = ID["chin"]
    labels[neck > 0] = ID["neck"]
    labels[ears > 0.5] = ID["ear"]
    labels[fields["brow"] > 0] = ID["brow"]
    labels[fields["lids"] > 0] = ID["eyelid"]
    nose = outline_field(points, NOSE, 0.06, reach=0.002) > 0
    labels[nose] = ID["nose"]
    wing = (((np.stack([x, y, z], axis=1) - WING_CENTRE) / WING_RADII) ** 2).sum(axis=1)
    labels[nose & (wing < 1)] = ID["ala"]
    tip = np.linalg.norm(points - TIP_CENTRE, axis=1)
    labels[nose & (tip < TIP_RADIUS)] = ID["nose tip"]
    labels[nose & (nostril_field(points) < 1) & (y < NOSTRIL_RIM)] = ID["nostril"]
    labels[fields["lips"] > 0] = ID["lips"]
    return labels


def soft_masks(points: np.ndarray) -> dict[str, np.ndarray]:
    """Smooth weights `[P]` in [0, 1] for the skin's colour: `cheeks`, `nose`, `sockets`, `beard`; `scalp` as `scalp_field`."""

    def blob(centre: tuple[float, float, float], radii: tuple[float, float, float]) -> np.ndarray:
        mirrored = points * np.where(points[:, :1] < 0, -1, 1) ** np.array([1, 0, 0])
        return np.exp(-(((mirrored - centre) / radii) ** 2).sum(axis=1))

    def ramp(value: np.ndarray, low: float, high: float) -> np.ndarray:
        share = np.clip((value - low) / (high - low), 0, 1)
        return share * share * (3 - 2 * share)

    x, y, z = np.abs(points[:, 0]), points[:, 1], points[:, 2]
    # Beard: below a line from the ear to the mouth's corner and under the nose, fading on the neck; free around the lower lip.
    line = np.interp(z, [-0.12, -0.06, 0.0, 0.06, 0.095], [0.02, -0.06, -0.095, -0.105, -0.075])
    beard = ramp(line - y, -0.012, 0.02) * ramp(z, -0.13, -0.10) * (1 - ramp(below_jaw(points), 0.015, 0.06))
    beard *= 1 - 0.8 * np.exp(-(((x - 0.034) / 0.012) ** 2 + ((y + 0.150) / 0.008) ** 2))
    masks = {
        "cheeks": blob((0.100, -0.030, 0.075), (0.045, 0.040, 0.06)),
        "nose": np.maximum(blob((0.0, -0.036, 0.145), (0.028, 0.026, 0.03)), blob((0.040, -0.036, 0.11), (0.016, 0.02, 0.03))),
        "sockets": blob((0.075, 0.058, 0.07), (0.050, 0.030, 0.06)),
        "beard": beard,
        "scalp": scalp_field(points),
    }
    return {name: value.astype(np.float32) for name, value in masks.items()}
