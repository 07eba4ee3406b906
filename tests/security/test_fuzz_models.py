"""Thousands of damaged weights, configs, sample sets and inversions: only our own errors come out, at bounded memory and time (fuzz.py)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.security.fuzz import PRETRAINED_EVERY, Findings

ROOT = Path(__file__).parents[2]
ROOM = 64 * 10**6
"""Bytes that loading may take beyond the file itself."""
SECONDS = 60
"""Of processor time for a full count; wall time would also measure who else uses the machine."""

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")
FULL = [pytest.mark.slow, pytest.mark.full]
WEIGHTS = [1500, pytest.param(5000, marks=FULL)]
CONFIGS = [600, pytest.param(2000, marks=FULL)]
FACES = [300, pytest.param(3000, marks=FULL)]


def fuzz(kind: str, count: int, folder: Path, module: str = "tests.security.fuzz") -> Findings:
    """What a process of its own found."""
    command = [sys.executable, "-m", module, kind, str(count), str(folder)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_ENDPOINT": "http://127.0.0.1:9"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-3000:]  # an error that is not ours, or a crash, ends the process
    print(done.stdout)
    return Findings(**json.loads(done.stdout.splitlines()[-1]))


@pytest.mark.parametrize("count", WEIGHTS)
def test_mutated_weights(count: int, tmp_path: Path) -> None:
    found = fuzz("weights", count, tmp_path)
    assert found.tried == count and found.loaded == count // PRETRAINED_EVERY
    # Flipped bits and swapped types can leave a whole and finite file; nearly everything else cannot.
    assert 0.75 * count < found.refused < count and not found.odd
    assert found.peak <= found.file + ROOM and found.seconds <= SECONDS


@pytest.mark.parametrize("count", CONFIGS)
def test_mutated_configs(count: int, tmp_path: Path) -> None:
    found = fuzz("configs", count, tmp_path)
    # A changed colour, class name, generator id or distance of the camera is still a config.
    assert found.tried == found.loaded == count and 0.6 * count < found.refused < count and not found.odd
    assert found.peak <= found.file + ROOM and found.seconds <= SECONDS


@pytest.mark.parametrize("count", FACES)
def test_mutated_sample_sets_and_inversions(count: int, tmp_path: Path) -> None:
    found = fuzz("faces", count, tmp_path)
    # Latents may have any values, an inversion's losses and camera too.
    assert found.tried == count and 0.6 * count < found.refused < count and not found.odd
    assert found.peak <= found.file + ROOM and found.seconds <= SECONDS


def test_large_files_take_little_more_than_their_size(tmp_path: Path) -> None:
    """One is whole, the other is nothing but header, which takes twelve times its size to parse."""
    found = fuzz("large", 100, tmp_path)
    assert found.tried == 2 and found.refused == 1
    assert found.file <= found.peak <= found.file + ROOM  # the whole one was read
