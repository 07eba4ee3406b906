"""Named edits: inside the training range, one trait each, and both ways."""

from __future__ import annotations

import numpy as np
import pytest

from fface_hub.errors import FFaceError
from fface_hub.heads.config import GEOMETRY_DIMS
from fface_hub.heads.edits import NAMED_EDITS, REACH, apply_edit
from fface_hub.heads.head import Head, head_latents
from fface_hub.heads.shape import head_shape
from fface_hub.layouts import FINE_24
from tests.heads.caster import label_map

WORN = ("hair_length", "hair_volume", "hairline", "glasses", "hat", "earrings", "necklace")
# From the front a hump is seen by its light alone; it has a test of its own.
DEEP = ("nose_hump",)
# Edits whose changed pixels must lie in or next to their own classes; age and weight change the whole face by nature.
LOCAL = sorted(set(NAMED_EDITS) - set(WORN) - set(DEEP) - {"age", "weight", "cheek_volume"})


def labels_of(head: Head, size: int = 160) -> np.ndarray:
    """Fine labels `[size,size]` of the bare head from the front."""
    return label_map(head_shape(head.geometry_z), size=size)


@pytest.fixture(scope="module")
def calm() -> tuple[Head, np.ndarray]:
    """The middling head and its labels."""
    blank = head_latents(0)
    head = Head(np.zeros_like(blank.geometry_z), np.zeros_like(blank.appearance_z))
    return head, labels_of(head)


def test_there_are_at_least_twenty_and_they_name_what_exists() -> None:
    assert len(NAMED_EDITS) >= 20
    for name, edit in NAMED_EDITS.items():
        assert set(edit.moves) <= set(GEOMETRY_DIMS), name
        assert set(edit.classes) <= set(FINE_24.names), name
        assert edit.label and edit.opposite


@pytest.mark.parametrize("name", sorted(NAMED_EDITS))
def test_an_edit_moves_its_own_dimensions_within_reach(name: str) -> None:
    for seed in range(5):
        head = head_latents(seed)
        for amount in (-1.0, 0.5, 1.0):
            edited = apply_edit(head, name, amount)
            assert np.array_equal(edited.appearance_z, head.appearance_z)
            moved = {dim for dim in GEOMETRY_DIMS if edited.trait(dim) != head.trait(dim)}
            assert moved <= set(NAMED_EDITS[name].moves)
            assert all(abs(edited.trait(dim)) <= REACH + 1e-6 for dim in moved)
        assert np.array_equal(apply_edit(head, name, 0.0).geometry_z, head.geometry_z)


@pytest.mark.parametrize("name", LOCAL)
def test_an_edit_changes_mostly_its_own_classes(name: str, calm: tuple[Head, np.ndarray]) -> None:
    head, before = calm
    after = labels_of(apply_edit(head, name))
    changed = before != after
    assert changed.sum() >= 5, "nothing happened"
    own = np.isin(before, [FINE_24.index(item) for item in NAMED_EDITS[name].classes])
    own |= np.isin(after, [FINE_24.index(item) for item in NAMED_EDITS[name].classes])
    assert (changed & own).sum() >= 0.7 * changed.sum()


def test_a_hump_is_on_the_bridge_of_the_nose(calm: tuple[Head, np.ndarray]) -> None:
    head, _ = calm
    before = head_shape(head.geometry_z).surface("skin")
    for amount, sign in ((1.0, 1), (-1.0, -1)):
        after = head_shape(apply_edit(head, "nose_hump", amount).geometry_z).surface("skin")
        moved = after.vertices - before.vertices
        far = np.linalg.norm(moved, axis=1) > 0.003
        place = before.extra["template"][far]
        assert far.sum() > 10 and (np.abs(place[:, 0]) < 0.04).all() and (place[:, 2] > 0.08).all() and (place[:, 1] > -0.06).all()
        assert sign * moved[far, 2].mean() > 0.002


def test_directions_are_what_they_say(calm: tuple[Head, np.ndarray]) -> None:
    head, before = calm

    def area(labels: np.ndarray, *names: str) -> int:
        return int(np.isin(labels, [FINE_24.index(name) for name in names]).sum())

    expectations = {
        "nasal_wing_width": ("ala",), "nose_length": ("nose", "nose tip", "ala"), "eye_size": ("eye", "iris", "pupil"),
        "lip_volume": ("lips",), "pupil_size": ("pupil",), "ear_size": ("ear",), "chin_length": ("chin",), "mouth_open": ("mouth", "teeth"),
        "brow_thickness": ("brow",),
    }  # fmt: skip
    for name, classes in expectations.items():
        more, less = labels_of(apply_edit(head, name, 1.0)), labels_of(apply_edit(head, name, -1.0))
        assert area(more, *classes) > area(before, *classes) >= area(less, *classes), name
    assert area(labels_of(apply_edit(head, "eye_closed")), "eye", "iris", "pupil") < 0.1 * area(before, "eye", "iris", "pupil")


def test_bad_requests_are_explained() -> None:
    with pytest.raises(FFaceError, match="choose one of"):
        apply_edit(head_latents(0), "third_eye")
    with pytest.raises(FFaceError, match="between -1 and 1"):
        apply_edit(head_latents(0), "smile", 3.0)
