"""LMTA: which rows move, how often, and that the draw is repeatable."""

from __future__ import annotations

from typing import Any

import torch

from fface_hub.adapters.mixing import lmta
from fface_hub.latents import Latents


class Draws:
    """A generator that only draws latents of 14 rows, all ones."""

    def sample(self, count: int, seed: int, truncation: float = 0.7) -> Latents:
        assert count == 1
        assert truncation == 0.7
        return Latents(torch.ones(1, 14, 2), torch.ones(1, 1, 14, 2))


GENERATOR: Any = Draws()
FACES = Latents(torch.zeros(3, 14, 2), torch.zeros(3, 1, 14, 2))


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_last_five_of_fourteen_rows_move_half_way() -> None:
    mixed = lmta(FACES, GENERATOR, rng(), probability=1.0)
    # (1 − ½)·0 + ½·1 in rows 9 to 13, for every face of the batch and in both halves.
    assert (mixed.geometry[:, 9:] == 0.5).all()
    assert (mixed.appearance[:, :, 9:] == 0.5).all()
    assert not mixed.geometry[:, :9].any()
    assert not mixed.appearance[:, :, :9].any()


def test_probability_is_per_batch() -> None:
    random = rng()
    outcomes = [bool(lmta(FACES, GENERATOR, random).geometry.any()) for _ in range(400)]
    assert 160 < sum(outcomes) < 240  # binomial: 200 ± 10
    assert lmta(FACES, GENERATOR, random, probability=0.0) is FACES


def test_random_stream_does_not_depend_on_the_outcome() -> None:
    always, never = rng(5), rng(5)
    lmta(FACES, GENERATOR, always, probability=1.0)
    lmta(FACES, GENERATOR, never, probability=0.0)
    assert torch.equal(torch.rand(3, generator=always), torch.rand(3, generator=never))


def test_the_generators_own_late_rows_count() -> None:
    class Short(Draws):
        late_rows = range(4, 6)

        def sample(self, count: int, seed: int, truncation: float = 0.7) -> Latents:
            return Latents(torch.ones(1, 6, 2), torch.ones(1, 1, 6, 2))

    short: Any = Short()
    mixed = lmta(Latents(torch.zeros(1, 6, 2), torch.zeros(1, 1, 6, 2)), short, rng(), probability=1.0)
    assert mixed.geometry[0, :, 0].tolist() == [0, 0, 0, 0, 0.5, 0.5]
