"""LMTA: which rows move, how often, and that the draw is repeatable."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from fface_hub.adapters.mixing import Mixing, mix
from fface_hub.latents import Latents


class Draws:
    """A generator that only draws latents of 14 rows: everywhere the seed, as a number from 1 to 2."""

    def sample(self, count: int, seed: int, truncation: float = 0.7) -> Latents:
        assert count == 1
        assert truncation == 0.7
        value = 1 + seed / 2**31
        return Latents(torch.full((1, 14, 2), value), torch.full((1, 1, 14, 2), value))


GENERATOR: Any = Draws()
FACES = Latents(torch.zeros(3, 14, 2), torch.zeros(3, 1, 14, 2))


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_last_five_of_fourteen_rows_move_half_way_to_a_partner_each() -> None:
    mixed = mix(FACES, GENERATOR, rng(), Mixing(mixes=3))
    assert len(mixed) == 9
    for own in (0, 3, 6):  # the first of each sample's three is the sample itself
        assert not mixed.geometry[own].any() and not mixed.appearance[own].any()
    others = mixed[torch.tensor([1, 2, 4, 5, 7, 8])]
    # (1 − ½)·0 + ½·(1 to 2) in rows 9 to 13 and in both halves, the same in all of them.
    assert ((others.geometry[:, 9:] >= 0.5) & (others.geometry[:, 9:] < 1)).all()
    assert torch.equal(others.geometry, others.appearance[:, 0])
    assert torch.equal(others.geometry[:, 9:], others.geometry[:, 9:10, :1].expand(6, 5, 2))
    assert not others.geometry[:, :9].any() and not others.appearance[:, :, :9].any()
    assert len(others.geometry[:, 9, 0].unique()) == 6  # no two have the same partner


def test_one_mix_is_the_samples_themselves() -> None:
    assert torch.equal(mix(FACES, GENERATOR, rng(), Mixing(mixes=1)).geometry, FACES.geometry)
    assert not Mixing(mixes=1, probability=1.0).draw(50, rng()).any()


def test_amount_and_rows_are_taken_as_given() -> None:
    mixed = mix(FACES[0], GENERATOR, rng(), Mixing(mixes=2, amount=1.0, rows=(0, 13)))
    assert (mixed.geometry[1, [0, 13]] >= 1).all() and not mixed.geometry[1, 1:13].any()


def test_mixed_versions_are_looked_at_with_their_probability() -> None:
    drawn = Mixing(mixes=4, probability=0.25).draw(4000, rng())
    counts = torch.bincount(drawn, minlength=4)
    assert len(counts) == 4
    assert 2900 < counts[0] < 3100  # binomial: 3000 ± 27
    assert all(260 < count < 405 for count in counts[1:])  # 333 ± 17 each
    assert not Mixing(probability=0.0).draw(50, rng()).any()


def test_the_draw_is_repeatable() -> None:
    first, second, other = (mix(FACES, GENERATOR, rng(seed), Mixing()).geometry for seed in (5, 5, 6))
    assert torch.equal(first, second) and not torch.equal(first, other)


def test_the_generators_own_late_rows_count() -> None:
    class Short(Draws):
        late_rows = range(4, 6)

        def sample(self, count: int, seed: int, truncation: float = 0.7) -> Latents:
            return Latents(torch.ones(1, 6, 2), torch.ones(1, 1, 6, 2))

    short: Any = Short()
    mixed = mix(Latents(torch.zeros(1, 6, 2), torch.zeros(1, 1, 6, 2)), short, rng(), Mixing(mixes=2))
    assert mixed.geometry[1, :, 0].tolist() == [0, 0, 0, 0, 0.5, 0.5]


@pytest.mark.parametrize("wrong", [{"mixes": 0}, {"probability": 1.5}])
def test_settings_without_meaning_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="at least 1 mix"):
        Mixing(**wrong)
