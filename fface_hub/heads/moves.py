"""Heads from several sides, and the same heads with some traits moved: what encoders learn from.

A record is one head: pictures of it under lights and colours of their own, the first from the front, and what its labels become from the
front when a few traits of its geometry move. Seeds give everything; what the latents are is not stored but for the moves.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from fface_hub.cameras import look_at
from fface_hub.heads.build import build_surfaces
from fface_hub.heads.config import APPEARANCE_SIZE, GEOMETRY_SIZE
from fface_hub.heads.edits import REACH
from fface_hub.heads.head import head_latents
from fface_hub.heads.mesh import HeadMesh
from fface_hub.heads.records import RecordSettings
from fface_hub.heads.render import camera_rays, shade, trace

KEYS = ("seeds", "images", "labels", "appearance_z", "angles", "moves", "moved_labels")
MOST_YAW, MOST_PITCH = 63.0, 15.0
MOST_TRAITS = 3
"""Traits that move at once; a painter changes one thing, which often takes two or three."""
LEAST, MOST = 0.5, 2.5
"""How far a trait moves, in standard deviations."""
TRIES = 4
VISIBLE = 6
"""Pixels that must change their label at 128²; else other traits are drawn, up to `TRIES` times."""


@dataclass(frozen=True)
class MoveSettings(RecordSettings):
    """`views` pictures of each head, and `edits` of it. The seeds are none of those that the bundled generator learnt from."""

    heads: int = 6_144
    first_seed: int = 100_000
    views: int = 3
    resolution: int = 128
    per_shard: int = 64
    edits: int = 3


def random_move(rng: np.random.Generator, geometry_z: np.ndarray) -> np.ndarray:
    """`geometry_z [Zg]` with one to three traits moved, none beyond `REACH` standard deviations but those that were."""
    moved = geometry_z.copy()
    for trait in rng.choice(GEOMETRY_SIZE, rng.integers(1, MOST_TRAITS + 1), replace=False):
        reach = max(REACH, abs(float(moved[trait])))
        step = rng.uniform(LEAST, MOST) * (1 if rng.random() < 0.5 else -1)
        if abs(moved[trait] + step) > reach:
            step = -step
        moved[trait] = np.clip(moved[trait] + step, -reach, reach)
    return moved


def view_angles(rng: np.random.Generator, views: int) -> np.ndarray:
    """Yaw and pitch in degrees `[V,2]`: the front first, then strata of ±63° at random pitches within ±15°."""
    count = views - 1
    yaw = -MOST_YAW + 2 * MOST_YAW * (np.arange(count) + rng.random(count)) / max(count, 1)
    pitch = MOST_PITCH * (2 * rng.random(count) - 1)
    return np.concatenate([np.zeros((1, 2)), np.stack([yaw, pitch], axis=1)]).astype(np.float32)


def draw_moves(seed: int, settings: MoveSettings) -> dict[str, Tensor]:
    """The record of one head, each key with a leading 1: `seeds []`; `images [V,3,S,S]` uint8 and `labels [V,S,S]` uint8 (FINE_24) under
    `appearance_z [V,Za]` from `angles [V,2]` (yaw, pitch, degrees); `moves [E,Zg]`, geometry z less that of the head, and
    `moved_labels [E,S,S]` from the front.
    """
    rng = np.random.default_rng([seed, 7])
    head = head_latents(seed)
    mesh = HeadMesh(build_surfaces(head.geometry_z))
    angles = view_angles(rng, settings.views)
    looks = np.concatenate([head.appearance_z[None], rng.standard_normal((settings.views - 1, APPEARANCE_SIZE))]).astype(np.float32)
    images, labels = [], []
    for (yaw, pitch), look in zip(angles, looks, strict=True):
        hits = trace(mesh, *camera_rays(look_at(float(yaw), float(pitch)), settings.resolution))
        square = (settings.resolution, settings.resolution)
        images.append(np.rint(shade(hits, look).clip(0, 1) * 255).astype(np.uint8).reshape(*square, 3).transpose(2, 0, 1))
        labels.append(hits.labels.astype(np.uint8).reshape(square))
    moves, moved_labels = [], []
    for _ in range(settings.edits):
        geometry_z, seen = _visible_move(rng, head.geometry_z, labels[0], settings.resolution)
        moves.append(geometry_z - head.geometry_z)
        moved_labels.append(seen)
    record = {
        "seeds": np.array(seed),
        "images": np.stack(images),
        "labels": np.stack(labels),
        "appearance_z": looks,
        "angles": angles,
        "moves": np.stack(moves).astype(np.float32),
        "moved_labels": np.stack(moved_labels),
    }
    return {key: torch.from_numpy(value)[None] for key, value in record.items()}


def _visible_move(rng: np.random.Generator, geometry_z: np.ndarray, labels: np.ndarray, resolution: int) -> tuple[np.ndarray, np.ndarray]:
    """A random move that shows in the `labels [S,S]` from the front, and the labels after it; the last one tried if none shows."""
    for attempt in range(1, TRIES + 1):
        moved = random_move(rng, geometry_z)
        hits = trace(HeadMesh(build_surfaces(moved)), *camera_rays(look_at(0.0), resolution))
        seen = hits.labels.astype(np.uint8).reshape(labels.shape)
        if (seen != labels).sum() * 128**2 >= VISIBLE * resolution**2 or attempt == TRIES:
            return moved, seen
    raise AssertionError("unreachable")
