"""Hair: a cap over the scalp, and locks combed over it. Everything is a smooth function of a few traits.

The locks are always the same ones, rooted at fixed places with fixed small differences; traits only bend, lengthen and lift them. So a
small change of a latent is a small change of the picture, and what repeats from head to head can be learnt as texture.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fface_hub.heads.points import step
from fface_hub.heads.skull import Skull, angles, directions, grid_angles, grid_faces
from fface_hub.heads.surface import Surface, smooth_normals
from fface_hub.layouts import FINE_24

LOCKS = 2000
SEGMENTS = 10
HAT_ROOM = 0.022
"""How high hair may stand under a hat."""
PART_REACH = 0.09
"""How far from the middle a parting can be."""
LOWEST = -0.47
"""Nothing hangs below this height (the cube ends at -0.5, the picture well above)."""
_HAIR = FINE_24.index("hair")


@dataclass(frozen=True)
class HairTraits:
    """`length` in world units (0.02 cropped to 0.8 past the shoulders); `curl` 0 straight, 0.5 wavy, 1 tight; `volume` 0 flat to 1;
    `recede` 0 low hairline, 0.5 high, 1 bald on top; `comb` −1 forward (fringe), 0 parted, +1 swept back;
    `part` where the parting is, −1 to 1. Under a hat hair is `pressed`.
    """

    length: float
    curl: float
    volume: float
    recede: float
    comb: float
    part: float
    pressed: bool = False


def _normalise(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.maximum(np.sqrt((vectors**2).sum(-1, keepdims=True)), 1e-6)


# The natural hairline as polar angle (degrees) over azimuth (0 front, 180 nape): forehead, temple, sideburn, round the ear, nape.
_LINE_AZIMUTH = np.deg2rad([0, 20, 38, 52, 62, 70, 78, 88, 104, 116, 126, 142, 160, 180])
_LINE_POLAR = np.deg2rad([51, 50.5, 50, 54, 66, 92, 88, 78, 78, 86, 104, 124, 131, 132])


def scalp_depth(polar: np.ndarray, azimuth: np.ndarray, recede: float) -> np.ndarray:
    """How far inside the hairline a direction is (radians; negative on bare skin). Continuous in all arguments."""
    around = np.abs((azimuth + np.pi) % (2 * np.pi) - np.pi)
    line = np.interp(around, _LINE_AZIMUTH, _LINE_POLAR)
    # A receding line goes back at the temples first, then a bare disc grows from the forehead over the crown.
    front = np.exp(-((around / 0.75) ** 2))
    temple = np.exp(-(((around - 0.62) / 0.30) ** 2))
    early = min(recede, 0.6)
    line = line + np.deg2rad(4.0) * (1 - 2.2 * early) * front - np.deg2rad(26.0) * max(early - 0.25, 0) * temple
    inside = line - polar
    bald = max(recede - 0.6, 0) / 0.4
    disc_center = directions(np.asarray(np.deg2rad(44 - 26 * bald)), np.asarray(0.0))
    from_disc = np.arccos(np.clip(directions(polar, azimuth) @ disc_center, -1, 1)) - np.deg2rad(-20 + 82 * bald)
    blend = 0.12
    return -blend * np.log(np.exp(-inside / blend) + np.exp(-from_disc / blend))


def build_hair(skull: Skull, ears: np.ndarray, traits: HairTraits) -> list[Surface]:
    """Cap and locks on `skull`; `ears [2, 3]` are the ears' middles, which long hair covers."""
    return [_cap(skull, traits), _locks(skull, ears, traits)]


def _cap_height(depth: np.ndarray, polar: np.ndarray, traits: HairTraits) -> np.ndarray:
    """Height of the cap above the skin: below it outside the hairline, thick where hair is full."""
    short = float(step(0.0, 0.16, traits.length))
    afro = afro_share(traits)
    body = 0.004 + short * (0.008 + 0.026 * traits.volume) + afro * (0.03 + 0.07 * traits.volume)
    rise = 0.10 + 0.22 * short + 0.25 * afro
    fall = 1 - 0.45 * step(1.0, 2.0, polar)
    return np.where(depth < 0, 0.16 * depth, body * fall * (1 - np.exp(-np.maximum(depth, 0) / rise * 3))).astype(np.float32)


def afro_share(traits: HairTraits) -> float:
    """0 for hair that lies or hangs, 1 for hair so curly that it stands."""
    return float(step(0.62, 0.92, traits.curl) * step(0.05, 0.16, traits.length))


def _cap(skull: Skull, traits: HairTraits) -> Surface:
    polar, azimuth = grid_angles()
    depth = scalp_depth(polar, azimuth, traits.recede)
    height = _cap_height(depth, polar, traits)
    afro = afro_share(traits)
    bumps = np.sin(19 * azimuth + 3 * np.sin(7 * polar)) * np.sin(23 * polar + 2 * np.sin(5 * azimuth)) * np.sin(polar)
    height = height + 0.008 * afro * bumps * step(0.0, 0.2, depth)
    vertices = skull.center + directions(polar, azimuth) * (skull.radius + height)[..., None]
    keep = depth > -0.16
    rows, columns = polar.shape
    faces = grid_faces(rows, columns, wrap=True)
    faces = faces[keep.reshape(-1)[faces].any(axis=1)]
    flat = vertices.reshape(-1, 3).astype(np.float32)
    flow = _comb(flat - skull.center, skull, traits)
    count = len(flat)
    extra = {
        "tangent": flow.astype(np.float32),
        "along": np.full(count, 0.2, np.float32),
        "tone": np.zeros(count, np.float32),
        "depth": (0.25 + 0.25 * afro + 0.35 * afro * bumps).reshape(-1).astype(np.float32),
        "frizz": np.array([afro], np.float32),
        "cover": step(-0.02, 0.09 - 0.05 * afro, depth).reshape(-1).astype(np.float32),
        "across": (60 * (np.cross(_normalise(flat - skull.center), flow) * (flat - skull.center)).sum(-1)).astype(np.float32),
    }
    normals = smooth_normals(flat, grid_faces(rows, columns, wrap=True))
    extra["openness"] = _sky(normals, np.full(count, 0.8, np.float32))
    return Surface("hair cap", flat, faces, normals, "hair", fine=_HAIR, extra=extra)


def _sky(normals: np.ndarray, share: np.ndarray) -> np.ndarray:
    """How much of the sky hair sees: less where it looks back or down, and in the lower layers."""
    return (share * (0.62 + 0.22 * normals[:, 1] + 0.26 * normals[:, 2])).astype(np.float32)


def _tangent(vectors: np.ndarray, outward: np.ndarray) -> np.ndarray:
    return _normalise(vectors - (vectors * outward).sum(-1, keepdims=True) * outward)


def _comb(offset: np.ndarray, skull: Skull, traits: HairTraits) -> np.ndarray:
    """The way hair is combed at `offset [N, 3]` from the skull's centre: unit, along the scalp."""
    outward = _normalise(offset)
    whorl = directions(np.asarray(0.45), np.asarray(np.pi))
    forward = _tangent(outward - whorl + np.array([0, 0, 0.25], np.float32), outward)
    side = np.tanh((offset[:, 0] - PART_REACH * traits.part) / 0.035)
    sideways = np.stack([side, np.full_like(side, -0.3), np.full_like(side, -0.10)], axis=1)
    parted = _tangent(sideways, outward)
    back = _tangent(np.stack([0.5 * outward[:, 0], np.full_like(side, -0.1), np.full_like(side, -1.0)], axis=1), outward)
    to_back = float(step(0.15, 0.75, traits.comb))
    to_front = float(step(0.15, 0.75, -traits.comb))
    return _tangent((1 - to_back - to_front) * parted + to_back * back + to_front * forward + 1e-4 * forward, outward)


def _hash(count: int, salt: int) -> np.ndarray:
    """Fixed numbers in [0, 1), float32 `[count]`: the additive recurrence of the golden ratio, scrambled."""
    index = np.arange(count, dtype=np.float64)
    return ((np.sin(index * 12.9898 + salt * 78.233) * 43758.5453) % 1).astype(np.float32)


def _roots() -> tuple[np.ndarray, np.ndarray]:
    """Polar angle and azimuth of the locks' roots, even over the scalp's side of the sphere."""
    lowest = np.cos(np.deg2rad(136))
    steps = (np.arange(LOCKS) + 0.5) / LOCKS
    polar = np.arccos(1 - (1 - lowest) * steps)
    azimuth = (np.arange(LOCKS) * 2.399963) % (2 * np.pi)
    return polar, azimuth


@dataclass(frozen=True)
class Roots:
    """The N locks that grow: where they are rooted (radians), how far inside the hairline, and their fixed small differences in [0, 1)."""

    polar: np.ndarray
    azimuth: np.ndarray
    depth: np.ndarray
    layer: np.ndarray
    tone: np.ndarray
    phase: np.ndarray
    stray: np.ndarray

    @staticmethod
    def plant(traits: HairTraits) -> Roots:
        """The roots inside the hairline of `traits`."""
        polar, azimuth = _roots()
        jitter = [_hash(LOCKS, salt) for salt in (1, 2, 3, 4)]
        depth = scalp_depth(polar, azimuth, traits.recede) + 0.03 * (jitter[0] - 0.5)
        alive = depth > 0.0
        return Roots(polar[alive], azimuth[alive], depth[alive], *(value[alive] for value in jitter))

    def bangs(self, traits: HairTraits) -> np.ndarray:
        """How much each lock belongs to the fringe: `[N]` in [0, 1]."""
        outward = directions(self.polar, self.azimuth)
        ahead = step(-0.30, 0.05, outward[:, 2]) * step(0.85, 0.5, np.abs(outward[:, 0]))
        return step(-0.1, 0.6, -traits.comb) * (1 - (1 - ahead) ** 3)


def _locks(skull: Skull, ears: np.ndarray, traits: HairTraits) -> Surface:
    roots = Roots.plant(traits)
    length = _lock_lengths(roots, traits)
    stand = afro_share(traits)
    cap = _cap_height(roots.depth, roots.polar, traits)
    lift = cap * (0.75 + 0.2 * stand + (0.3 - 0.15 * stand) * roots.layer) + 0.004 + 0.010 * roots.layer
    path = _grow(skull, ears, roots, lift, length, traits)
    path = _wave(path, skull.center, length, roots.phase, traits)
    path = _pressed(path, skull) if traits.pressed else path
    return _ribbons(path, skull.center, roots, length, traits)


def _lock_lengths(roots: Roots, traits: HairTraits) -> np.ndarray:
    """Length of each lock: shorter near the hairline, at the sides of short cuts, and where it would hang into the face."""
    afro = afro_share(traits)
    full = traits.length * (0.85 + 0.3 * roots.layer)
    sides = 1 - 0.55 * step(1.0, 1.7, roots.polar) * (1 - step(0.10, 0.3, traits.length))
    outward = directions(roots.polar, roots.azimuth)
    from_line = np.clip(np.arctan2(outward[:, 1], outward[:, 2]) - np.deg2rad(38), 0, 1.1)
    fringe = 0.055 + 0.05 * roots.layer + 0.21 * from_line
    limited = full + step(0.0, 0.5, roots.bangs(traits)) * (np.minimum(full, fringe) - full)
    standing = 0.030 + 0.03 * roots.layer
    lengths = limited * sides * (1 - afro) + standing * afro
    return (lengths * step(-0.02, 0.06, roots.depth) + 0.004).astype(np.float32)


def _grow(skull: Skull, ears: np.ndarray, roots: Roots, lift: np.ndarray, length: np.ndarray, traits: HairTraits) -> np.ndarray:
    """Paths `[N, SEGMENTS + 1, 3]` of the locks: combed along the scalp, pulled down, kept out of the head and off the face."""
    afro = afro_share(traits)
    place = skull.points(roots.polar, roots.azimuth, lift)
    out = _normalise(place - skull.center)
    swirl = np.cross(out, np.array([0, 1, 0.3], np.float32))
    heading = _comb(place - skull.center, skull, traits)
    turn = (roots.stray - 0.5)[:, None]
    heading = _normalise(heading + (0.35 + 2.5 * afro) * turn * _tangent(swirl, out) + (0.10 + 0.5 * afro) * out)
    pace = (length / SEGMENTS)[:, None]
    path = [place]
    side = np.where(place[:, 0] > PART_REACH * traits.part, 1.0, -1.0)
    # Only locks that were cut to a fringe may stay in front.
    bangs = step(0.5, 1.0, roots.bangs(traits))
    weight = float(step(0.04, 0.25, traits.length)) * (1 - afro)
    for index in range(SEGMENTS):
        offset = place - skull.center
        out = _normalise(offset)
        comb = _comb(offset, skull, traits)
        sink = np.clip(0.9 - 0.9 * out[:, 1:2], 0.02, 1.6) * weight
        pull = np.array([0, -1, 0], np.float32) * sink + comb * (0.55 - 0.45 * np.minimum(sink, 1))
        # Below the ears hair falls back towards the neck instead of hanging from its widest place.
        inward = np.array([-1, 0, -0.35], np.float32) * out * (0.42 * step(0.08, -0.10, offset[:, 1]) * weight)[:, None]
        heading = _normalise(heading * 0.75 + pull + inward)
        place = place + heading * pace
        place = place + (_off_the_face(place, skull.center, side, bangs) - place) * weight
        place = _outside(place, skull, ears, lift, index / SEGMENTS, traits)
        place = _pressed(place, skull) if traits.pressed else place
        path.append(place)
    grown = np.stack(path, axis=1)
    grown[..., 1] = np.maximum(grown[..., 1], LOWEST)
    return grown


def _off_the_face(place: np.ndarray, center: np.ndarray, side: np.ndarray, bangs: np.ndarray) -> np.ndarray:
    """Turn points in front of the face around the head until they frame it: those near the middle to their own `side` (±1).

    Locks of the fringe (`bangs [N]` up to 1) may cover the forehead.
    """
    offset = place - center
    azimuth = np.arctan2(offset[:, 0], offset[:, 2])
    side = np.where(np.abs(azimuth) > 0.3, np.sign(azimuth), side)
    azimuth = azimuth * side
    flat = np.sqrt(offset[:, 0] ** 2 + offset[:, 2] ** 2)
    polar = np.arctan2(flat, offset[:, 1])
    least = 0.85 * step(0, 1, (polar - 0.75 - 0.5 * bangs) / (0.5 - 0.2 * bangs))
    ahead = step(0.03, 0.10, offset[:, 2])
    azimuth = azimuth + np.maximum(least - azimuth, 0) * ahead
    return center + np.stack([flat * np.sin(azimuth) * side, offset[:, 1], flat * np.cos(azimuth)], axis=1)


def _outside(place: np.ndarray, skull: Skull, ears: np.ndarray, lift: np.ndarray, along: float, traits: HairTraits) -> np.ndarray:
    """Move points that are inside the head out to its surface; long hair also goes over the ears."""
    offset = place - skull.center
    polar, azimuth, length = angles(offset)
    floor = skull.radius_at(polar, azimuth) + lift * (1 - 0.4 * along)
    covering = float(step(0.12, 0.3, traits.length))
    for ear in ears:
        near = np.exp(-(((place - ear) / np.array([0.2, 0.085, 0.085], np.float32)) ** 2).sum(-1))
        floor = floor + covering * 0.035 * near
    # Below the ears nothing is in the way of hanging hair but the neck, which is narrower.
    enforced = step(2.25, 1.8, polar)
    grown = np.maximum(floor, length)
    target = skull.center + offset * (grown / length)[:, None]
    return place + (target - place) * enforced[:, None]


def _pressed(place: np.ndarray, skull: Skull) -> np.ndarray:
    """Keep points that a hat covers close to the head."""
    polar, azimuth, length = angles(place - skull.center)
    around = np.abs((azimuth + np.pi) % (2 * np.pi) - np.pi)
    covered = step(0.10, -0.05, polar - hat_edge(around))
    ceiling = skull.radius_at(polar, azimuth) + HAT_ROOM
    shrink = 1 - covered * np.maximum(length - ceiling, 0) / length
    return skull.center + (place - skull.center) * shrink[..., None]


def hat_edge(around: np.ndarray) -> np.ndarray:
    """Polar angle (radians) of a hat's lower edge over the angle `around` the head from the front (radians, 0 to π)."""
    return np.interp(around, np.deg2rad([0, 40, 80, 110, 180]), np.deg2rad([58, 62, 78, 88, 104]))


def _wave(path: np.ndarray, center: np.ndarray, length: np.ndarray, phase: np.ndarray, traits: HairTraits) -> np.ndarray:
    """Waves and curls: a growing spiral around each path."""
    count = path.shape[1]
    along = np.linspace(0, 1, count, dtype=np.float32)
    turns = np.clip(length / (0.22 - 0.12 * traits.curl), 0, 3.2)
    size = 0.028 * traits.curl * step(0.0, 0.2, length)
    angle = 2 * np.pi * (turns[:, None] * along + 0.25 * phase[:, None])
    tangent = _normalise(np.gradient(path, axis=1))
    out = _normalise(path - center)
    across = _normalise(np.cross(tangent, out))
    grow = size[:, None] * step(0.0, 0.4, along)
    return path + (grow * np.sin(angle))[..., None] * across + (0.6 * grow * np.cos(angle))[..., None] * out


def _ribbons(path: np.ndarray, center: np.ndarray, roots: Roots, length: np.ndarray, traits: HairTraits) -> Surface:
    """Tapering ribbons, two vertices across, along `path [N, S, 3]`, with normals that bulge like a lock."""
    count, steps = path.shape[:2]
    along = np.linspace(0, 1, steps, dtype=np.float32)
    tangent = _normalise(np.gradient(path, axis=1))
    out = _normalise(path - center)
    across = _normalise(np.cross(tangent, out))
    normal = _normalise(np.cross(across, tangent))
    normal = np.where((normal * out).sum(-1, keepdims=True) < 0, -normal, normal)
    width = (0.010 + 0.013 * step(0.02, 0.35, length)) * (1 + 0.5 * afro_share(traits))
    taper = (1 - along**3) * (0.35 + 0.65 * step(0.0, 0.22, along)) + 0.02
    half = 0.5 * (width * (0.7 + 0.6 * roots.layer))[:, None] * taper
    sides = np.array([-1, 1], np.float32)
    vertices = path[:, :, None] + (half[:, :, None] * sides)[..., None] * across[:, :, None]
    normals = _normalise(normal[:, :, None] + 0.6 * sides[:, None] * across[:, :, None] + 0.15 * out[:, :, None])
    shape = (count, steps, 2)
    strip = grid_faces(steps, 2, wrap=False)
    faces = (np.arange(count)[:, None, None] * (steps * 2) + strip).reshape(-1, 3).astype(np.int32)

    def spread(values: np.ndarray) -> np.ndarray:
        return np.broadcast_to(values, shape).reshape(-1).astype(np.float32)

    extra = {
        "tangent": np.broadcast_to(tangent[:, :, None], (*shape, 3)).reshape(-1, 3).astype(np.float32),
        "along": spread(along[None, :, None]),
        "tone": spread((roots.tone * 2 - 1)[:, None, None]),
        "depth": spread((0.45 + 0.55 * roots.layer)[:, None, None] * (0.55 + 0.45 * np.sqrt(along))[None, :, None]),
        "cover": spread(np.ones(1, np.float32)),
        "openness": _sky(normals.reshape(-1, 3), np.repeat((0.6 + 0.4 * roots.layer), steps * 2)),
        "across": spread(sides),
        "frizz": np.array([afro_share(traits)], np.float32),
    }
    return Surface(
        "hair locks",
        vertices.reshape(-1, 3).astype(np.float32),
        faces,
        normals.reshape(-1, 3).astype(np.float32),
        "hair",
        fine=_HAIR,
        extra=extra,
    )
