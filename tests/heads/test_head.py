"""Heads from seeds: the same bits on every machine."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from fface_hub.heads.config import APPEARANCE_DIMS, APPEARANCE_SIZE, GEOMETRY_DIMS, GEOMETRY_SIZE
from fface_hub.heads.head import Head, head_latents


def test_the_first_numbers_are_those_of_the_frozen_generator() -> None:
    # The published first draws of the Mersenne Twister with seed 0 and numpy's legacy polar method.
    head = head_latents(0)
    np.testing.assert_array_equal(head.geometry_z[:3], np.array([1.764052345967664, 0.4001572083672233, 0.9787379841057392], np.float32))


def test_latents_are_bit_equal_everywhere() -> None:
    head = head_latents(1_000_000)
    digest = hashlib.sha256(head.geometry_z.tobytes() + head.appearance_z.tobytes()).hexdigest()
    assert head.geometry_z.dtype == head.appearance_z.dtype == np.float32
    assert digest[:16] == "8b1a7df1bb110015"


def test_seeds_differ_and_names_are_unique() -> None:
    assert not np.array_equal(head_latents(1).geometry_z, head_latents(2).geometry_z)
    assert len(set(GEOMETRY_DIMS)) == GEOMETRY_SIZE and len(set(APPEARANCE_DIMS)) == APPEARANCE_SIZE


def test_traits_are_set_by_name_on_a_copy() -> None:
    head = head_latents(3)
    changed = head.with_traits(smile=2.0)
    assert changed.trait("smile") == 2.0 and head.trait("smile") != 2.0
    assert np.count_nonzero(changed.geometry_z != head.geometry_z) == 1
    swapped = head.with_appearance(head_latents(4))
    assert np.array_equal(swapped.geometry_z, head.geometry_z) and np.array_equal(swapped.appearance_z, head_latents(4).appearance_z)


def test_wrong_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match="expected"):
        Head(np.zeros(3, np.float32), np.zeros(APPEARANCE_SIZE, np.float32))
