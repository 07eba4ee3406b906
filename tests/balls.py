"""Balls with a coloured cap instead of heads, and a generator small enough to learn one in seconds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from fface_hub.heads.shards import HeadShards, ShardSettings, write_shards
from fface_hub.layouts import FINE_24
from fface_hub.training.config import TrainConfig

SKIN, HAIR = FINE_24.index("skin"), FINE_24.index("hair")


class Balls:
    """Geometry z: radius and where the hair ends. Appearance z: colour of skin and background."""

    version = "balls"

    def latents(self, seed: int) -> tuple[np.ndarray, np.ndarray]:
        z = np.random.RandomState(seed).standard_normal(4).astype(np.float32)
        return z[:2], z[2:]

    def trace(self, geometry_z: np.ndarray) -> Any:
        radius, cap = 0.3 + 0.05 * np.tanh(geometry_z)

        def cast(origins: np.ndarray, directions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            along = (origins * directions).sum(1)
            inside = along**2 - ((origins**2).sum(1) - radius**2)
            depth = np.where(inside > 0, -along - np.sqrt(np.maximum(inside, 0)), np.inf)
            height = origins[:, 1] + np.where(inside > 0, depth, 0) * directions[:, 1]
            return depth.astype(np.float32), np.where(inside > 0, np.where(height > cap - 0.2, HAIR, SKIN), 0)

        return cast

    def labels(self, hits: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
        return hits[1]

    def depth(self, hits: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
        return hits[0]

    def shade(self, hits: tuple[np.ndarray, np.ndarray], appearance_z: np.ndarray) -> np.ndarray:
        skin, background = np.tanh(appearance_z)
        palette = np.zeros((len(FINE_24), 3), np.float32)
        palette[0], palette[SKIN], palette[HAIR] = [0, background, 0], [skin, 0, 0], [-0.5, -0.5, skin]
        return palette[hits[1]]


def ball_shards(folder: Path) -> HeadShards:
    """Eight balls in groups of four, two views of 96 rays each, written to `folder`."""
    write_shards(folder, ShardSettings(8, 0, 2, 96, 4, 1, 16), Balls(), workers=1, progress=False)
    return HeadShards(folder)


def ball_config() -> TrainConfig:
    """A tiny network: planes of 16², 4 channels."""
    generator = {
        "mapping": "pair", "z_dim": 2, "appearance_z_dim": 2, "mapping_multiplier": 0.1, "latent_dim": 16, "plane_resolution": 16,
        "plane_channels": 4, "plane_axes": ["xy", "xz", "zy"], "channel_base": 128, "channel_max": 8, "noise": False, "decoder_hidden": 16,
        "color_channels": 3, "superresolution": None, "background": "latent", "empty_logit": 4.0,
    }  # fmt: skip
    return TrainConfig("balls", generator, groups=1, rays=64, near=4, free=4, learning_rate=1e-2, warmup=5, decay=0.4, bfloat16=False)
