"""What a generator remembers: equal rows and weights give the same value again, anything else a new one."""

from __future__ import annotations

import copy
import gc

import pytest
import torch

from fface_hub.generators.remembered import Remembered


class Made:
    """A value that can be held weakly, as scenes are."""


@pytest.mark.parametrize("weak", [False, True])
def test_equal_rows_give_the_same_value_and_others_a_new_one(weak: bool) -> None:
    memory: Remembered[Made] = Remembered(4, weak)
    rows = torch.arange(6.0).reshape(1, 2, 3)
    first = memory.get("v1", (rows,), Made)
    assert memory.get("v1", (rows.clone(),), Made) is first
    others = [memory.get("v1", (rows + 1,), Made), memory.get("v2", (rows,), Made), memory.get("v1", (rows[:, :1],), Made)]
    assert first not in others and memory.get("v1", (rows,), Made) is first
    rows.add_(1)  # what is remembered is what the rows were
    assert memory.get("v1", (rows,), Made) is others[0]


@pytest.mark.parametrize("weak", [False, True])
def test_without_a_version_nothing_is_remembered(weak: bool) -> None:
    memory: Remembered[Made] = Remembered(4, weak)
    rows = torch.zeros(1)
    held = memory.get("v1", (rows,), Made), memory.get(None, (rows,), Made), memory.get(None, (rows,), Made)
    assert len(set(held)) == 3


def test_the_oldest_go_and_weakly_held_values_with_their_last_owner() -> None:
    rows = [torch.full((1,), float(number)) for number in range(3)]
    strong: Remembered[Made] = Remembered(2)
    values = [strong.get(0, (row,), Made) for row in rows]
    assert strong.get(0, (rows[1],), Made) is values[1] and strong.get(0, (rows[0],), Made) is not values[0]
    weak: Remembered[Made] = Remembered(2, weak=True)
    made: list[str] = []

    def make() -> Made:
        made.append("one")
        return Made()

    weak.get(0, (rows[0],), make)
    gc.collect()
    kept = weak.get(0, (rows[0],), make)
    assert weak.get(0, (rows[0],), make) is kept and len(made) == 2


def test_a_copy_begins_with_nothing() -> None:
    memory: Remembered[Made] = Remembered(4, weak=True)
    rows = torch.zeros(1)
    first = memory.get(0, (rows,), Made)
    other = copy.deepcopy(memory)
    assert other.get(0, (rows,), Made) is not first and (other.count, other.weak) == (4, True)
