"""What is worn: glasses, hat, earrings, necklace and clothes. Whether and in which shape is decided by geometry z alone.

Glasses are frames only: lenses are clear and would hide the eyes' classes, so there are none, and the class `glasses` is the frame.
"""

from __future__ import annotations

import numpy as np

from fface_hub.heads.hair import hat_edge
from fface_hub.heads.points import step
from fface_hub.heads.shape import HeadShape
from fface_hub.heads.skull import Skull, directions, grid_faces
from fface_hub.heads.surface import Surface, smooth_normals
from fface_hub.heads.tubes import ball, joined, loft, tube
from fface_hub.layouts import FINE_24

# Standard-normal thresholds: a quarter of all heads wear glasses, 8 % a hat, a fifth earrings, 12 % a necklace.
GLASSES_FROM, HAT_FROM, EARRINGS_FROM, NECKLACE_FROM = 0.674, 1.405, 0.842, 1.175
AROUND = 64
SIDES = ("left", "right")


def build_accessories(shape: HeadShape, skull: Skull, z: dict[str, float]) -> list[Surface]:
    """All that the head of the named latents `z` wears; clothes always."""
    worn = [_clothes(shape, skull, z)]
    if z["glasses"] > GLASSES_FROM:
        worn.append(_glasses(shape, z))
    if z["hat"] > HAT_FROM:
        worn.append(_hat(skull, z))
    if z["earrings"] > EARRINGS_FROM:
        worn.append(_earrings(shape, z))
    if z["necklace"] > NECKLACE_FROM:
        worn.append(_necklace(shape, skull, z))
    return worn


def _glasses(shape: HeadShape, z: dict[str, float]) -> Surface:
    """Two rims before the eyes, a bridge over the nose, arms to the ears."""
    marks, fine = shape.landmarks, FINE_24.index("glasses")
    form = float(np.tanh(z["glasses_shape"]))
    thickness = 0.0056 + 0.0014 * float(np.tanh(z["glasses"] - 1.3))
    half_width, half_height = 0.057 + 0.002 * form, 0.043 - 0.006 * form
    exponent = 2.0 / (2.7 + 1.2 * form)
    plane = max(marks["nose_bridge"][2] + 0.012, marks["pupil_left"][2] + 0.034, marks["brow_middle"][2] + 0.006)
    angle = np.arange(40) * (2 * np.pi / 40)
    cosine, sine = np.cos(angle), np.sin(angle)
    outline = np.stack(
        [np.sign(cosine) * np.abs(cosine) ** exponent * half_width, np.sign(sine) * np.abs(sine) ** exponent * half_height], axis=1
    )
    parts = []
    for sign, side in zip((1, -1), SIDES, strict=True):
        eye = marks[f"eye_{side}"]
        middle = np.array([eye[0] + 0.002 * sign, eye[1] - 0.006])
        flat = middle + outline
        # The rims follow the face: farther back towards the temples.
        depth = plane - 1.6 * np.maximum(np.abs(flat[:, 0]) - 0.03, 0) ** 2
        parts.append(tube("rim", np.concatenate([flat, depth[:, None]], axis=1), thickness, "glasses_frame", fine, closed=True))
        hinge = np.array(
            [middle[0] + sign * half_width, middle[1] + 0.35 * half_height, plane - 1.6 * (abs(middle[0]) + half_width - 0.03) ** 2]
        )
        ear = marks[f"ear_top_{side}"] + np.array([0.006 * sign, 0.0, -0.005])
        corner = np.array([max(abs(hinge[0]) + 0.012, 0.16) * sign, hinge[1] + 0.002, hinge[2] - 0.035])
        path = _smooth_path(
            np.stack([hinge, corner, 0.5 * (corner + ear) + np.array([0.006 * sign, 0.002, 0]), ear, ear + np.array([0, -0.03, -0.03])])
        )
        parts.append(tube("arm", path, thickness * 0.85, "glasses_frame", fine))
    inner = marks["eye_left"][0] + 0.002 - half_width
    across = np.linspace(-inner, inner, 9)
    height = marks["eye_left"][1] - 0.002 + 0.010 * (1 - (across / inner) ** 2)
    parts.append(tube("bridge", np.stack([across, height, np.full(9, plane + 0.002)], axis=1), thickness, "glasses_frame", fine))
    return joined("glasses", parts)


def _smooth_path(corners: np.ndarray, count: int = 24) -> np.ndarray:
    """A gently rounded path through a few corners `[C, 3]`."""
    at = np.linspace(0, len(corners) - 1, count)
    path = np.stack([np.interp(at, np.arange(len(corners)), corners[:, axis]) for axis in range(3)], axis=1)
    for _ in range(2):
        path[1:-1] = 0.25 * path[:-2] + 0.5 * path[1:-1] + 0.25 * path[2:]
    return path


def _hat(skull: Skull, z: dict[str, float]) -> Surface:
    """A knitted hat: a dome over the skull with a turned-up rim."""
    tall = 0.5 + 0.5 * float(np.tanh(z["hat"] - 2.0 + z["hair_volume"]))
    rows = 26
    azimuth = np.broadcast_to(np.arange(96) * (2 * np.pi / 96), (rows, 96))
    around = np.abs((azimuth + np.pi) % (2 * np.pi) - np.pi)
    edge = hat_edge(around)
    down = np.linspace(0, 1, rows)[:, None]
    polar = edge * down
    lift = 0.034 + 0.040 * tall * (1 - down**2) + 0.010 * step(0.72, 0.76, down)
    lift = lift - 0.045 * step(0.975, 1.0, down)
    ribs = np.sin(24 * azimuth)
    lift = lift + 0.0018 * ribs * step(0.1, 0.4, down)
    vertices = (
        (skull.center + directions(polar, azimuth) * (skull.radius_at(polar, azimuth) + lift)[..., None]).reshape(-1, 3).astype(np.float32)
    )
    faces = grid_faces(rows, 96, wrap=True)
    trim = (0.35 + 0.35 * ribs) * step(0.1, 0.4, down) + 0.3 * np.exp(-(((down - 0.74) / 0.02) ** 2))
    return Surface(
        "hat",
        vertices,
        faces,
        smooth_normals(vertices, faces),
        "hat",
        fine=FINE_24.index("hat"),
        extra={"trim": trim.reshape(-1).astype(np.float32)},
    )


def _earrings(shape: HeadShape, z: dict[str, float]) -> Surface:
    """A stud or a drop at each lobe."""
    fine = FINE_24.index("earring")
    size = 0.013 + 0.004 * float(np.tanh(z["earrings"] - 1.3))
    drop = 1.0 + 1.6 * float(step(1.2, 1.7, z["earrings"]))
    parts = []
    for sign, side in zip((1, -1), SIDES, strict=True):
        lobe = shape.landmarks[f"ear_lobe_{side}"]
        center = lobe + np.array([0.004 * sign, 0.006 - size * drop, 0.008])
        parts.append(ball("earring", center, np.array([size, size * drop, size]), "metal", fine))
    return joined("earrings", parts)


def _neck_path(shape: HeadShape, skull: Skull, height: np.ndarray, lift: np.ndarray | float) -> np.ndarray:
    """Points `[P, 3]` on the neck all around (from the front towards +x) at `height [P]`, `lift` above its skin."""
    angle = np.arange(len(height)) * (2 * np.pi / len(height))
    axis = shape.neck_ring.mean(axis=0)
    origins = np.stack([np.zeros_like(height), height, np.full_like(height, axis[2])], axis=1)
    outward = np.stack([np.sin(angle), np.zeros_like(angle), np.cos(angle)], axis=1)
    distance = np.minimum(skull.skin_distance(origins, outward), 0.3)
    distance = np.convolve(np.concatenate([distance[-2:], distance, distance[:2]]), [0.1, 0.2, 0.4, 0.2, 0.1], mode="valid")
    return origins + outward * (distance + lift)[:, None]


def _necklace(shape: HeadShape, skull: Skull, z: dict[str, float]) -> Surface:
    """A string of beads around the neck, lower in front."""
    points = 180
    angle = np.arange(points) * (2 * np.pi / points)
    front = 0.5 + 0.5 * np.cos(angle)
    ring = shape.landmarks
    back = ring["neck_back"][1] - 0.04
    lowest = min(ring["throat"][1] - 0.032 - 0.012 * np.tanh(z["necklace"] - 1.5), ring["neck_left"][1] - 0.02)
    height = back + (lowest - back) * front**1.2
    path = _neck_path(shape, skull, height, 0.006)
    beads = 0.0055 * (0.8 + 0.2 * np.cos(30 * angle))
    return tube("necklace", path, beads, "metal", FINE_24.index("necklace"), closed=True)


def _clothes(shape: HeadShape, skull: Skull, z: dict[str, float]) -> Surface:
    """A shirt from the neck over the shoulders, from a low neckline to a collar that stands."""
    marks = shape.landmarks
    collar = float(step(0.0, 1.6, z["clothes_shape"]))
    deep = float(step(0.0, 1.6, -z["clothes_shape"]))
    wide = float(np.tanh(0.7 * z["clothes"]))
    angle = np.arange(AROUND) * (2 * np.pi / AROUND)
    front = 0.5 + 0.5 * np.cos(angle)
    side = min(marks["neck_left"][1], marks["neck_right"][1])
    back = marks["neck_back"][1] - 0.05
    lowest = marks["menton"][1] - 0.085 - 0.05 * deep
    line = back + (lowest - back) * front**0.9
    line = np.maximum(line, -0.42)
    base = _neck_path(shape, skull, line, 0.010 + 0.02 * deep * front)
    axis = shape.neck_ring.mean(axis=0)
    rings, trim = [], []
    top = base + np.array([0, 0.055, 0]) * collar
    top = _neck_path(shape, skull, top[:, 1], 0.012) if collar > 0 else top
    inner = np.stack([top[:, 0] * 0.9, top[:, 1] - 0.012, axis[2] + (top[:, 2] - axis[2]) * 0.9], axis=1)
    rings += [inner, top + np.array([0, 0.004, 0]), 0.5 * (top + base) + (base - top) * 0.2]
    trim += [1.0, 1.0, 1.0]
    reach_x, reach_z = 0.455 + 0.02 * wide, 0.235
    start = np.stack([base[:, 0], base[:, 2]], axis=1)
    end = np.stack([reach_x * np.sin(angle), reach_z * np.cos(angle) - 0.03], axis=1)
    for share in np.linspace(0.0, 1.0, 13):
        flat = start + (end - start) * share
        # Trapezius and collar bones: steep at the neck, level over the shoulder, steep again beyond it.
        slope = 0.075 * (1 - (1 - share) ** 3) + 0.05 * share + 0.12 * step(0.75, 1.1, share)
        height = base[:, 1] * (1 - share) + side * 1.0 * share - slope - 0.10 * share * front
        fold = 0.004 * np.sin(5 * angle + 9 * share) * share
        rings.append(np.stack([flat[:, 0], np.maximum(height + fold, -0.49), flat[:, 1]], axis=1))
        trim.append(float(step(0.12, 0.06, share)))
    amounts = np.broadcast_to(np.array(trim)[:, None], (len(rings), AROUND))
    return loft("clothes", np.stack(rings), "cloth", FINE_24.index("cloth"), amounts)
