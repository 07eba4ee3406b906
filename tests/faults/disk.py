"""Saves, trains, fits and downloads on a disk without room, and again when there is some: `python -m tests.faults.disk DISK`.

HF_ENDPOINT names a Hub that has the adapter `org/large`. Prints what was told and what was left, as JSON.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from fface_hub.adapters.adapter import Adapter
from fface_hub.adapters.samples import Sample, SampleSet
from fface_hub.cameras import look_at
from fface_hub.cli import main
from fface_hub.errors import ModelError
from fface_hub.layouts import BASE_15
from fface_hub.training.trainer import Budget, Run, train
from tests.balls import Balls, ball_config, ball_shards
from tests.tiny import new_solid_generator

LARGE = {"generator_id": "org/heads", "generator_fingerprint": "ab" * 32, "feature_channels": 128, "hidden": 4096}
"""An adapter of 2.7 MB: (128 + 16 + 3) · 4096 and 4096 · 15 numbers of 4 bytes, and biases."""


def large(seed: int) -> Adapter:
    """A large adapter."""
    adapter = Adapter(BASE_15.to_dict(), **LARGE)
    adapter.initialise(torch.Generator().manual_seed(seed))
    return adapter


@contextmanager
def full(disk: Path, left: int) -> Iterator[None]:
    """A disk with `left` bytes of room."""
    room = os.statvfs(disk)
    (disk / "filler").write_bytes(bytes(max(0, room.f_bavail * room.f_bsize - left)))
    try:
        yield
    finally:
        (disk / "filler").unlink()


def told(call: Callable[[], object]) -> str | None:
    """The sentence that `call` failed with; None if it did not."""
    try:
        call()
    except ModelError as error:
        return str(error)
    except OSError as error:
        return f"OSError: {error.strerror}"
    return None


def content(folder: Path) -> dict[str, bytes]:
    """Every file below `folder`."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def save(disk: Path) -> dict[str, object]:
    """`save_pretrained` over a model, and where there is none."""
    large(0).save_pretrained(disk / "model")
    before = content(disk)
    found: dict[str, object] = {}
    for name, left in (("some room", 1_000_000), ("no room", 0)):
        with full(disk, left):
            found[name] = [told(lambda: large(1).save_pretrained(disk / "model")), told(lambda: large(1).save_pretrained(disk / "new"))]
        found[f"{name}, unchanged"] = content(disk) == before
    found["whole"] = Adapter.from_pretrained(disk / "model").fingerprint == large(0).fingerprint
    large(1).save_pretrained(disk / "model")
    found["again"] = Adapter.from_pretrained(disk / "model").fingerprint == large(1).fingerprint
    return found


def checkpoint(disk: Path) -> dict[str, object]:
    """A training run that writes a checkpoint after every step."""
    shards, folder = ball_shards(disk / "shards"), disk / "run"
    begin = lambda: Run.begin(ball_config(), folder, shards, Balls(), "cpu")  # noqa: E731
    train(begin(), Budget(steps=2, checkpoint=0.0), progress=False)
    before = content(folder / "checkpoint")
    with full(disk, 20_000):
        said = told(lambda: train(begin(), Budget(steps=4, checkpoint=0.0), progress=False))
    unchanged = content(folder / "checkpoint") == before and [path.name for path in folder.glob(".*")] == []
    run = begin()
    resumed = run.progress.step
    train(run, Budget(steps=4, checkpoint=0.0), progress=False)
    return {"said": said, "unchanged": unchanged, "resumed": resumed, "done": run.progress.step}


def adapt(disk: Path) -> dict[str, object]:
    """`fface-hub adapt`, whose adapter takes 7 kB."""
    generator, out = new_solid_generator(), disk / "adapter"
    generator.save_pretrained(disk / "generator")
    labels = torch.zeros(16, 16, dtype=torch.int64)
    SampleSet(BASE_15, (Sample(torch.zeros(3, 16, 16), labels, look_at(0.0), generator.sample(1, 0)),)).save(disk / "set")
    command = ["adapt", str(disk / "set"), "--generator", str(disk / "generator"), "--steps", "2", "--device", "cpu", "--out", str(out)]

    def run() -> tuple[int, list[str]]:
        errors = io.StringIO()
        with contextlib.redirect_stderr(errors):
            code = main(command)
        return code, [line for line in errors.getvalue().splitlines() if line.startswith("fface-hub") or "Traceback" in line]

    with full(disk, 4096):
        code, said = run()
        left = sorted(path.name for path in disk.iterdir() if path.name != "filler")
    return {"code": code, "said": said, "left": left, "again": run()[0], "loads": Adapter.from_pretrained(out).layout == BASE_15}


def download(disk: Path) -> dict[str, object]:
    """From the Hub into a cache on the disk."""
    load = lambda **options: Adapter.from_pretrained("org/large", cache_dir=disk / "cache", **options)  # noqa: E731
    with full(disk, 1_000_000):
        said = told(load)
        left = told(lambda: load(local_files_only=True))
    return {"said": said, "left": left, "again": load().fingerprint == large(0).fingerprint}


if __name__ == "__main__":
    disk = Path(sys.argv[1])
    assert os.statvfs(disk).f_blocks * os.statvfs(disk).f_frsize <= 8 * 2**20
    found = {}
    for work in (save, checkpoint, adapt, download):
        folder = disk / work.__name__
        folder.mkdir()
        found[work.__name__] = work(folder)
        for path in sorted(folder.rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()
    print(json.dumps(found))
