"""Records of eight heads as encoders learn from them, and a tiny generator that takes the latents of heads."""

from __future__ import annotations

import numpy as np
import torch

from fface_hub.generators.triplane import TriplaneGenerator
from fface_hub.heads.config import APPEARANCE_SIZE, GEOMETRY_SIZE
from fface_hub.heads.head import head_latents
from fface_hub.training.augment import Batch
from tests.tiny import PAIR, random_generator

NETWORK = {"channels": [8, 8], "hidden": 16, "label_channels": 2}


def heads_generator() -> TriplaneGenerator:
    """A random generator that takes the latents of heads."""
    return random_generator(0, **{**PAIR, "z_dim": GEOMETRY_SIZE, "appearance_z_dim": APPEARANCE_SIZE})


def moved_records() -> Batch:
    """Pictures whose brightness is the first number of the geometry, and labels of which half a row more is skin where it grew."""
    seeds, rng = torch.arange(8), np.random.default_rng(0)
    first = torch.tensor([float(head_latents(int(seed)).geometry_z[0]) for seed in seeds])
    tone = (127.5 + 40 * first).clamp(0, 255)
    images = tone[:, None, None, None, None].expand(-1, 3, 3, 128, 128).to(torch.uint8).clone()
    labels = torch.zeros(8, 3, 128, 128, dtype=torch.uint8)
    labels[..., 40:80, 40:80] = 1
    moves = torch.zeros(8, 2, GEOMETRY_SIZE)
    moves[:, 0, 0], moves[:, 1, 0] = 1.5, -1.5
    moved = labels[:, :2].clone()
    moved[:, 0, 40:80, 80:100], moved[:, 1, 40:80, 60:80] = 1, 0
    looks = torch.from_numpy(rng.standard_normal((8, 3, APPEARANCE_SIZE)).astype(np.float32))
    angles = torch.tensor([[0.0, 0.0], [-30.0, 5.0], [30.0, -5.0]]).expand(8, 3, 2).clone()
    return {
        "seeds": seeds,
        "images": images,
        "labels": labels,
        "appearance_z": looks,
        "angles": angles,
        "moves": moves,
        "moved_labels": moved,
    }
