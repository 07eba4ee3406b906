"""Data sets of rendered heads on disk: what is drawn of each head, in safetensors shards, by worker processes, resumable after a kill."""

from __future__ import annotations

import json
import multiprocessing
import os
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor
from tqdm import tqdm

from fface_hub.doors import read_json
from fface_hub.errors import FFaceError
from fface_hub.files import write_tensors
from fface_hub.heads.config import HEADS_VERSION, HELD_OUT_SEED


@dataclass(frozen=True)
class RecordSettings:
    """What a data set holds: `heads` from `first_seed` on, `views` pictures of each at `resolution`², `per_shard` heads in one file.

    Sets add settings of their own as subclasses.
    """

    heads: int
    first_seed: int
    views: int
    resolution: int
    per_shard: int

    def __post_init__(self) -> None:
        if self.heads <= 0 or self.heads % self.per_shard:
            raise FFaceError(f"The number of heads must be a multiple of {self.per_shard} (one file), not {self.heads}.")
        if self.first_seed < 0 or self.first_seed + self.heads > HELD_OUT_SEED:
            raise FFaceError(f"Seeds from {HELD_OUT_SEED:,} on are held out for measuring: choose smaller seeds for training data.")

    @property
    def shards(self) -> int:
        """Number of files."""
        return self.heads // self.per_shard


Draw = Callable[[int, Any], dict[str, Tensor]]
"""The record of one seed under the settings of its set; every tensor has the same number of rows in all records."""


def shard_path(folder: Path, index: int) -> Path:
    """File of shard `index` in `folder`."""
    return folder / f"heads-{index:05d}.safetensors"


def write_records(folder: str | Path, settings: RecordSettings, draw: Draw, workers: int = 2, progress: bool = True) -> int:
    """Draw the shards that `folder` lacks and return how many heads that were; a killed run is continued by the same call.

    `draw` must be a function of a module, so that workers find it. Raises `FFaceError` if the folder holds shards of other settings, of
    another set or of another version of the heads; only `heads` may differ.
    """
    config = {**asdict(settings), "set": type(settings).__name__, "heads_version": HEADS_VERSION}
    paths = [shard_path(Path(folder), index) for index in range(settings.shards)]
    return write_missing(Path(folder), config, paths, partial(_write_shard, draw, settings), workers, progress)


def write_missing(
    folder: Path, config: dict[str, Any], paths: Sequence[Path], write: Callable[[tuple[int, Path]], int], workers: int, progress: bool
) -> int:
    """Write those of the shards `paths` that `folder` lacks, and `config` (with its `heads`, as many in each) as what it holds; returns how
    many heads were drawn.

    `write` takes the index and path of a shard and returns its number of heads; with more than one worker it must be picklable. Raises
    `FFaceError` if the folder has another config; only `heads` may differ.
    """
    folder.mkdir(parents=True, exist_ok=True)
    about = folder / "dataset.json"
    if about.exists() and {**read_json(about), "heads": 0} != {**config, "heads": 0}:
        raise FFaceError(f"'{folder.name}' holds another data set (other settings or heads version): choose an empty folder.")
    unfinished = folder / "dataset.json.partial"
    unfinished.write_text(json.dumps(config, indent=2) + "\n")
    os.replace(unfinished, about)
    jobs = [(index, path) for index, path in enumerate(paths) if not path.exists()]
    done = config["heads"] * (len(paths) - len(jobs)) // len(paths)
    drawn = 0
    with tqdm(total=config["heads"], initial=done, unit="head", disable=not progress) as bar, ExitStack() as stack:
        if workers > 1 and jobs:
            results = stack.enter_context(multiprocessing.get_context("spawn").Pool(workers)).imap_unordered(write, jobs)
        else:
            results = map(write, jobs)
        for heads in results:
            drawn += heads
            bar.update(heads)
    return drawn


def write_shard(tensors: dict[str, Tensor], path: Path) -> None:
    """Write a shard in one step, so that a kill leaves none that is cut short."""
    unfinished = path.with_name(path.name + ".partial")
    write_tensors({key: value.contiguous() for key, value in tensors.items()}, unfinished)
    os.replace(unfinished, path)


def _write_shard(draw: Draw, settings: RecordSettings, job: tuple[int, Path]) -> int:
    index, path = job
    first = settings.first_seed + index * settings.per_shard
    records = [draw(seed, settings) for seed in range(first, first + settings.per_shard)]
    write_shard({key: torch.cat([record[key] for record in records]) for key in records[0]}, path)
    return len(records)


def read_records(folder: str | Path, settings: RecordSettings, keys: Sequence[str]) -> dict[str, Tensor]:
    """`keys` of all records of `settings`, one behind the other, as one batch in memory. They must have been written before."""
    parts: list[dict[str, Tensor]] = []
    for index in range(settings.shards):
        with safe_open(shard_path(Path(folder), index), framework="pt") as tensors:
            parts.append({key: tensors.get_tensor(key) for key in keys})
    return {key: torch.cat([part[key] for part in parts]) for key in keys}
