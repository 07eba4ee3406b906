"""What follows from a seed is the same to the last byte in every process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def digests(hash_seed: str) -> dict[str, str]:
    """Digests of all results in a process of its own, in which sets and dictionaries of other hashes have another order."""
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "tests.properties.seeded"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


def test_two_processes_agree_to_the_last_byte() -> None:
    first, second = digests("1"), digests("2")
    assert len(first) == 9 and len(set(first.values())) == 9
    assert first == second
