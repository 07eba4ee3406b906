"""Folders that are replaced in one step: after a crash at any moment the old one or the new one is there, never half of either."""

from __future__ import annotations

import errno
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

FoundT = TypeVar("FoundT")
ATTEMPTS = 4
"""How often a folder is read that is replaced again and again, before those who replace it have to wait."""
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP)
"""What file systems say that know no locks (some in a network): there, only one process at a time must save into a folder."""


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


def read_whole(folder: Path, read: Callable[[], FoundT]) -> FoundT:
    """What `read` finds in `folder`, which it reads in several steps; anew if the folder was replaced meanwhile, so that nothing is of one
    version in part and in part of the next."""
    for _ in range(ATTEMPTS):
        before = _version(folder)
        try:
            found = read()
        except Exception:
            if _version(folder) == before:
                raise
        else:
            if _version(folder) == before:
                return found
    with _alone_in(folder.resolve().parent):
        return read()


def _version(folder: Path) -> tuple[int, int] | None:
    """What is another one after each save. None if there is no such folder."""
    try:
        status = current_folder(folder).stat()
    except (OSError, ValueError):
        return None
    return status.st_ino, status.st_ctime_ns


@contextmanager
def replaced_folder(folder: str | Path, dropped: Collection[str] = ()) -> Iterator[Path]:
    """Give an empty temporary folder to write into; when the block ends well it takes the place of `folder`.

    Files of the old folder that the block did not write again are kept (a model's card, its picture), links as links, but for those of the
    names `dropped`. Everything is flushed to the disk before the rename. Who saves beside another waits for it. What a killed save left
    behind is removed by the next one. Raises `OSError` as the file system does, and for a folder that somebody works in.
    """
    place = _own_place(folder)
    place.parent.mkdir(parents=True, exist_ok=True)
    with _alone_in(place.parent), _replacing(place, dropped) as new:
        yield new


def _own_place(folder: str | Path) -> Path:
    """Where `folder` really lies. `OSError` if this process works in it: the folder would be swept from under its feet."""
    if "\0" in str(folder):
        raise OSError(errno.EINVAL, "no folder can have this name")
    place = Path(folder).resolve()
    with suppress(FileNotFoundError):  # of a folder that is gone
        here = Path.cwd()
        if here.is_relative_to(place):
            raise OSError(errno.EBUSY, "it is the folder you work in, or holds it: give one of its own")
    return place


@contextmanager
def _alone_in(parent: Path) -> Iterator[None]:
    """Wait until nobody else saves into `parent`, and keep others out: processes and threads. The system ends this with the process."""
    import fcntl  # not on Windows, where folders cannot be flushed either

    handle = os.open(parent, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise
        yield
    finally:
        os.close(handle)


@contextmanager
def _replacing(folder: Path, dropped: Collection[str]) -> Iterator[Path]:
    """`replaced_folder` for whoever is alone."""
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
                if item.name not in dropped and not os.path.lexists(new / item.name):
                    _keep(item, new / item.name)
        _flush(new)
        if folder.is_dir():
            folder.rename(_old(folder))
        new.rename(folder)  # a file in this place is told here
    except BaseException:
        if not folder.exists() and _old(folder).is_dir():
            _old(folder).rename(folder)
        shutil.rmtree(new, ignore_errors=True)
        raise
    _flush_entry(folder.parent)
    shutil.rmtree(_old(folder), ignore_errors=True)


def _keep(item: Path, copy: Path) -> None:
    """Copy a file, folder or link. Links stay links: with what one points to, a stranger's folder would take in files of ours."""
    try:
        if item.is_dir() and not item.is_symlink():
            shutil.copytree(item, copy, symlinks=True)
        else:
            shutil.copy2(item, copy, follow_symlinks=False)
    except (shutil.Error, shutil.SpecialFileError) as error:  # a pipe or a socket
        raise OSError(errno.EINVAL, f"'{item.name}' in it cannot be copied") from error


def _flush(folder: Path) -> None:
    for root, _, names in os.walk(folder):
        for path in (Path(root, name) for name in names):
            if not path.is_symlink():
                _flush_entry(path)
        _flush_entry(Path(root))


def _flush_entry(path: Path) -> None:
    """fsync of a file or a folder; a rename is only safe after the bytes it names have reached the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_tensors(tensors: Mapping[str, Tensor], path: str | Path) -> None:
    """Write a safetensors file of contiguous CPU `tensors`, with the permissions of any new file: the library's own shut out all but the
    owner. Raises `OSError` as the file system does, which the library hides in its own class."""
    mode = _mode_of_new_files(Path(path).parent)
    try:
        save_file(dict(tensors), path, metadata={"format": "pt"})
    except SafetensorError as error:
        if (number := re.search(r"os error (\d+)", str(error))) is None:
            raise
        raise OSError(int(number[1]), os.strerror(int(number[1])), str(path)) from error
    os.chmod(path, mode)


def _mode_of_new_files(folder: Path) -> int:
    """Seen at an empty one: who asks the process for its mask has to change it, for all threads."""
    with tempfile.TemporaryDirectory(dir=folder) as place:
        probe = Path(place, "probe")
        probe.touch()
        return stat.S_IMODE(probe.stat().st_mode)
