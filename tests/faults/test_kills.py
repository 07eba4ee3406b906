"""A kill (signal 9) in the middle of a save, a training run, a fit or a conversion leaves what was there before or what was to come, whole,
and the next save leaves no litter (kills.py)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.faults.kills import Findings

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="forks are what is killed")
FULL = pytest.param(50, marks=[pytest.mark.slow, pytest.mark.full])
SAVES, RUNS, FITS, CONVERSIONS = [15, FULL], [10, FULL], [4, FULL], [6, FULL]


def run(kind: str, count: int, room: Path) -> Findings:
    """What a process of its own found."""
    command = [sys.executable, "-m", "tests.faults.kills", kind, str(count), str(room)]
    done = subprocess.run(command, cwd=ROOT, env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr[-3000:]
    print(done.stdout)
    return Findings(**json.loads(done.stdout.splitlines()[-1]))


def kill(kind: str, count: int, room: Path) -> Findings:
    """What a process found that kills others."""
    found = run(kind, count, room)
    assert found.killed >= count and found.old + found.new + found.absent >= found.killed
    return found


@pytest.mark.parametrize("count", SAVES)
def test_a_killed_save_leaves_the_old_model_or_the_new_one(count: int, tmp_path: Path) -> None:
    found = kill("model", count, tmp_path)
    assert found.old and found.new and found.whole


@pytest.mark.parametrize("count", RUNS)
def test_killed_training_goes_on_as_if_it_had_never_been_killed(count: int, tmp_path: Path) -> None:
    found = kill("training", count, tmp_path)
    assert found.new and found.whole


@pytest.mark.parametrize("count", FITS)
def test_a_killed_fit_leaves_the_old_adapter_or_the_new_one(count: int, tmp_path: Path) -> None:
    kill("adapt", count, tmp_path)


@pytest.mark.parametrize("count", CONVERSIONS)
def test_a_killed_conversion_leaves_no_model_with_the_card_of_another(count: int, tmp_path: Path) -> None:
    found = kill("convert", count, tmp_path)
    assert found.old and not found.absent


@pytest.mark.parametrize("count", [8, pytest.param(200, marks=[pytest.mark.slow, pytest.mark.full])])
def test_processes_that_save_at_once_wait_for_each_other(count: int, tmp_path: Path) -> None:
    found = run("race", count, tmp_path)
    assert found.whole == found.ended >= 4  # it was read so often meanwhile
