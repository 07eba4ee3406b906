"""Folders that are replaced in one step: after a crash at any moment the old one or the new one is there, never half of either."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor


def _new(folder: Path) -> Path:
    return folder.parent / f".{folder.name}.new"


def _old(folder: Path) -> Path:
    return folder.parent / f".{folder.name}.old"


def current_folder(folder: Path) -> Path:
    """Where the content of `folder` is: the folder itself, or its old version where a crash fell between the two renames of a save."""
    return _old(folder) if not folder.exists() and _old(folder).is_dir() else folder


def is_folder(folder: Path) -> bool:
    """Whether there is such a folder, as `current_folder` finds it; no for what cannot be the name of one (too long, with a NUL)."""
    try:
        return current_folder(folder).is_dir()
    except (OSError, ValueError):
        return False


@contextmanager
def replaced_folder(folder: str | Path, dropped: Collection[str] = ()) -> Iterator[Path]:
    """Give an empty temporary folder to write into; when the block ends well it takes the place of `folder`.

    Files of the old folder that the block did not write again are kept (a model's card, its picture), but for those of the names
    `dropped`. Everything is flushed to the disk before the rename. What a killed save left behind is removed by the next one. Raises
    `OSError` as the file system does.
    """
    folder = Path(folder).resolve()
    folder.parent.mkdir(parents=True, exist_ok=True)
    if not folder.exists() and _old(folder).is_dir():
        _old(folder).rename(folder)
    for leftover in (_new(folder), _old(folder)):
        shutil.rmtree(leftover, ignore_errors=True)
    new = _new(folder)
    new.mkdir()
    try:
        yield new
        if folder.is_dir():
            for item in folder.iterdir():
                if item.name not in dropped and not (new / item.name).exists():
                    shutil.copytree(item, new / item.name) if item.is_dir() else shutil.copy2(item, new / item.name)
        _flush(new)
    except BaseException:
        shutil.rmtree(new, ignore_errors=True)
        raise
    if folder.is_dir():
        folder.rename(_old(folder))
    new.rename(folder)
    _flush_entry(folder.parent)
    shutil.rmtree(_old(folder), ignore_errors=True)


def _flush(folder: Path) -> None:
    for root, _, names in os.walk(folder):
        for name in names:
            _flush_entry(Path(root) / name)
        _flush_entry(Path(root))


def _flush_entry(path: Path) -> None:
    """fsync of a file or a folder; a rename is only safe after the bytes it names have reached the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_tensors(tensors: Mapping[str, Tensor], path: str | Path) -> None:
    """Write a safetensors file of contiguous CPU `tensors`. Raises `OSError` as the file system does, which the library hides in its own
    class."""
    try:
        save_file(dict(tensors), path, metadata={"format": "pt"})
    except SafetensorError as error:
        if (number := re.search(r"os error (\d+)", str(error))) is None:
            raise
        raise OSError(int(number[1]), os.strerror(int(number[1])), str(path)) from error
