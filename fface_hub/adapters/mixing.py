"""LMTA, the augmentation of FFaceNeRF: mixing the late style rows of a face with another face changes colours and keeps labels."""

from __future__ import annotations

import torch

from fface_hub.generators.base import Generator
from fface_hub.latents import Latents

TRUNCATION = 0.7


def lmta(latents: Latents, generator: Generator, random: torch.Generator, probability: float = 0.5, amount: float = 0.5) -> Latents:
    """With `probability`, move the late rows (the last third) of the whole batch by `amount` towards *one* face drawn at random.

    The labels of a batch stay true, since late rows carry colour rather than shape. As coded by FFaceNeRF (layer-wise mixed training
    augmentation: p = α = 0.5, truncation 0.7), but the draw has no side effect on the generator. Early rows come back untouched.
    """
    mixing = bool(torch.rand((), generator=random) < probability)
    seed = int(torch.randint(2**31 - 1, (), generator=random))  # drawn either way, so that the random stream does not depend on the outcome
    if not mixing:
        return latents
    other = generator.sample(1, seed, TRUNCATION).to(latents.geometry.device)
    return latents.mix_rows(other, late_rows(generator, latents), amount)


def late_rows(generator: Generator, latents: Latents) -> range:
    """Style rows that carry colour: the generator's own `late_rows` where it has them, else the last third, rounded up."""
    rows = latents.geometry.shape[1]
    return getattr(generator, "late_rows", range(rows - -(-rows // 3), rows))
