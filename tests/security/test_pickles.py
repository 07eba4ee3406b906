"""Hundreds of damaged and hostile checkpoints through the converter: nothing in them is run, only our own errors come out, at bounded
memory and time (pickles.py)."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.security.pickles import CONVERTED_EVERY
from tests.security.test_fuzz_models import FULL, ROOM, SECONDS, fuzz

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")
MODULE = "tests.security.pickles"


@pytest.mark.parametrize("count", [500, pytest.param(10_000, marks=FULL)])
def test_mutated_checkpoints(count: int, tmp_path: Path) -> None:
    found = fuzz("mutated", count, tmp_path, MODULE)  # which asserts after each that there is no canary
    assert found.tried == count and found.loaded == count // CONVERTED_EVERY
    # A changed number, a class that nothing needs, and a call whose result is thrown away leave a whole checkpoint.
    assert 0.6 * count < found.refused < count and not found.odd
    assert found.peak <= 2 * found.file + ROOM and found.seconds <= SECONDS * max(1, count / 2000)
    assert not (tmp_path / "canary").exists()


def test_small_files_that_ask_for_much(tmp_path: Path) -> None:
    found = fuzz("bombs", 1, tmp_path, MODULE)
    assert found.tried == 11 and found.refused == 9 and not found.odd  # the other two ask in vain
    assert found.peak <= 2 * found.file + ROOM and found.seconds <= SECONDS
