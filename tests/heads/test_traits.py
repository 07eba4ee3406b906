"""Traits in closed form against the heads that the same latents build."""

from __future__ import annotations

import numpy as np

from fface_hub.heads.config import APPEARANCE_SIZE, GEOMETRY_SIZE
from fface_hub.heads.head import Head, head_latents
from fface_hub.heads.look import Look
from fface_hub.heads.traits import look_traits, shape_traits, surface_traits


def changed(first: Head, second: Head) -> np.ndarray:
    return np.abs(shape_traits(first.geometry_z) - shape_traits(second.geometry_z)) > 1e-6


def test_what_is_worn_is_a_trait_of_its_own() -> None:
    head = head_latents(3).with_traits(hat=1.40, glasses=0.5)
    # The threshold of the hat is 1.405: from 1.40 to 1.41 its flag flips, and hair under it no longer stands up.
    assert np.abs(shape_traits(head.with_traits(hat=1.41).geometry_z) - shape_traits(head.geometry_z)).max() >= 1
    assert np.abs(shape_traits(head.with_traits(hat=1.39).geometry_z) - shape_traits(head.geometry_z)).max() < 0.05


def test_every_dimension_of_shape_changes_a_trait() -> None:
    head = head_latents(4)
    for index in range(GEOMETRY_SIZE):
        moved = head.geometry_z.copy()
        moved[index] += 0.5
        assert changed(head, Head(moved, head.appearance_z)).any()


def test_look_begins_with_the_background() -> None:
    z = head_latents(5).appearance_z
    traits = look_traits(z)
    background = np.asarray(Look.from_latent(z).background, np.float32)
    assert np.allclose(traits[:3], background)
    assert traits.dtype == np.float32
    assert len(z) == APPEARANCE_SIZE


def test_surfaces_of_two_heads_are_comparable() -> None:
    first, second = (surface_traits(head_latents(seed).geometry_z) for seed in (0, 1))
    assert {name: part.shape for name, part in first.items()} == {name: part.shape for name, part in second.items()}
    assert all(np.isfinite(part).all() and not np.array_equal(part, second[name]) for name, part in first.items())
    assert first["locks"].max() < 0.75
