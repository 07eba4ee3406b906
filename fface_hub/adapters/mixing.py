"""LMTA, the augmentation of FFaceNeRF: mixing the late style rows of a face with another face changes colours and keeps labels."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from fface_hub.generators.base import Generator
from fface_hub.latents import Latents

TRUNCATION = 0.7


@dataclass(frozen=True)
class Mixing:
    """How LMTA mixes. FFaceNeRF draws a new partner for each mini-batch; here each sample has a pool of its own, drawn once.

    `mixes` versions of each sample: the first is the sample itself, the others are mixed with a partner each (1: no mixing). A mixed one is
    looked at with `probability`. Its style `rows` (None: the late third) move by `amount` towards the partner. FFaceNeRF's code: ½, ½.
    """

    mixes: int = 4
    probability: float = 0.5
    amount: float = 0.5
    rows: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        if self.mixes < 1 or not 0 <= self.probability <= 1:
            raise ValueError(f"at least 1 mix and a probability from 0 to 1 are needed; got {self.mixes} and {self.probability}")

    def draw(self, count: int, random: torch.Generator) -> Tensor:
        """Which of its mixes each of `count` samples is looked at in, int64 `[count]`: 0, or with `probability` one of the others."""
        others = torch.randint(1, max(self.mixes, 2), (count,), generator=random)
        return others * ((torch.rand(count, generator=random) < self.probability) & (self.mixes > 1))


def mix(latents: Latents, generator: Generator, random: torch.Generator, mixing: Mixing) -> Latents:
    """`latents [N]` → `[N·mixes]`, sample by sample, each sample's own version first and untouched.

    Every mix has a partner of its own (truncation 0.7). Labels stay true, since late rows carry colour rather than shape; early rows come
    back untouched. Unlike FFaceNeRF's, the draw has no side effect on the generator.
    """
    seeds = torch.randint(2**31 - 1, (len(latents), mixing.mixes - 1), generator=random).tolist()
    rows = mixing.rows or late_rows(generator, latents)
    versions = []
    for number, row in enumerate(seeds):
        own = latents[number]
        partners = (generator.sample(1, seed, TRUNCATION).to(own.geometry.device) for seed in row)
        versions += [own, *(own.mix_rows(partner, rows, mixing.amount) for partner in partners)]
    return Latents.cat(versions)


def late_rows(generator: Generator, latents: Latents) -> range:
    """Style rows that carry colour: the generator's own `late_rows` where it has them, else the last third, rounded up."""
    rows = latents.geometry.shape[1]
    return getattr(generator, "late_rows", range(rows - -(-rows // 3), rows))
