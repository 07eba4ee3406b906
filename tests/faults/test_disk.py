"""A disk of 8 MB, a real file system: whoever runs out of room says so in one sentence, leaves what was there as it was, and succeeds when
there is room again.

Where no disk can be mounted, limits on the size of a file stand in for it: tests/test_files.py, tests/hub/test_faults.py.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fface_hub.sources import CONFIG_NAME, WEIGHTS_NAME
from tests.faults.disk import large
from tests.hub.client import environment
from tests.hub.loopback import Hub, Repository

ROOT = Path(__file__).parents[2]
MOUNT = ["unshare", "--map-root-user", "--mount", "sh", "-c", 'mount -t tmpfs -o size=8m tmpfs "$0" && exec "$@"']
"""A command that runs another one where a folder is a small disk; nobody else sees it, and it is gone when that ends."""


def can_mount(folder: Path) -> bool:
    """Whether this machine lets its users mount what only they see."""
    return shutil.which("unshare") is not None and subprocess.run([*MOUNT, str(folder), "true"], capture_output=True).returncode == 0


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """What a process on the small disk found."""
    folder = tmp_path_factory.mktemp("disk")
    (folder / "disk").mkdir()
    if not can_mount(folder / "disk"):
        pytest.skip("no disk can be mounted here: see the stand-ins above")
    hub = Hub()
    large(0).save_pretrained(folder / "large")
    hub.repositories["org/large"] = repository = Repository(private=False)
    repository.commit("main", {name: (folder / "large" / name).read_bytes() for name in (CONFIG_NAME, WEIGHTS_NAME)})
    command = [*MOUNT, str(folder / "disk"), sys.executable, "-m", "tests.faults.disk", str(folder / "disk")]
    variables = {**environment(hub.url, folder / "home"), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=ROOT, env=variables, capture_output=True, text=True, timeout=300)
    hub.close()
    assert done.returncode == 0, done.stderr[-3000:]
    assert not os.listdir(folder / "disk")
    yield json.loads(done.stdout.splitlines()[-1])


def test_a_save_on_a_full_disk_leaves_the_old_model(found: dict[str, Any]) -> None:
    for room in ("some room", "no room"):
        for sentence in found["save"][room]:
            assert "cannot be saved to" in sentence and "No space left on device" in sentence and "what was there is unchanged" in sentence
        assert found["save"][f"{room}, unchanged"]
    assert found["save"]["whole"] and found["save"]["again"]


def test_a_checkpoint_on_a_full_disk_leaves_the_one_before_and_the_run_goes_on_from_there(found: dict[str, Any]) -> None:
    assert found["checkpoint"] == {"said": "OSError: No space left on device", "unchanged": True, "resumed": 2, "done": 4}


def test_a_fit_on_a_full_disk_ends_in_one_sentence(found: dict[str, Any]) -> None:
    assert found["adapt"]["code"] == 2 and found["adapt"]["again"] == 0 and found["adapt"]["loads"]
    (sentence,) = found["adapt"]["said"]
    assert "cannot be saved to" in sentence and "No space left on device" in sentence
    assert found["adapt"]["left"] == ["generator", "set"]


def test_a_download_to_a_full_disk_leaves_nothing_half_written(found: dict[str, Any]) -> None:
    assert "No space left on device: make room" in found["download"]["said"]
    assert "not downloaded" in found["download"]["left"] and found["download"]["again"]
