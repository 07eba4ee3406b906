"""Memory: how much of it rays may take at once, what to do when there is none left, and keeping what was freed.

On a CPU half of a training step can go into clearing fresh pages for buffers that were freed a moment ago.
"""

from __future__ import annotations

import ctypes
import logging
import platform
from collections.abc import Callable, Iterator
from typing import TypeVar

import torch

RAY_MEMORY = 4 * 2**30
"""Bytes that the rays of one process may take at once if nobody says otherwise: the same on every machine, so that results are, too."""
LEAST_RAY_MEMORY = 2**20
"""If even that is too much, something else is too large."""
_OUT_OF_MEMORY = ("out of memory", "can't allocate memory", "not enough memory")

_ray_memory, _asked = RAY_MEMORY, 0
_log = logging.getLogger(__name__)
ResultT = TypeVar("ResultT")


def ray_memory() -> int:
    """Bytes that rays may take at once in this process."""
    return _ray_memory


def set_ray_memory(limit: int) -> None:
    """Let rays take `limit` bytes at once, in every thread of this process."""
    global _ray_memory
    _ray_memory = limit


def rays_at_once(count: int, size: int) -> int:
    """How many of `count` rays that take about `size` bytes each may be worked on at once: at least one."""
    global _asked
    most = min(count, max(1, _ray_memory // size))
    _asked = max(_asked, most * size)
    return most


def in_parts(work: Callable[[slice], ResultT], count: int, size: int, most: int | None = None) -> Iterator[ResultT]:
    """`work(window)` for one window after another of `count` rays that take about `size` bytes each, at `most` so many at once, and fewer
    where memory is short.
    """
    done = 0
    while done < count:
        rest = min(count - done, most or count)

        def next_part(start: int = done, rest: int = rest) -> tuple[int, ResultT]:
            step = rays_at_once(rest, size)
            return step, work(slice(start, start + step))

        step, part = with_less_memory(next_part)
        done += step
        yield part


def is_out_of_memory(error: BaseException) -> bool:
    """Whether `error` says that a device, or the machine, has no memory left."""
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    return isinstance(error, RuntimeError) and any(text in str(error) for text in _OUT_OF_MEMORY)


def with_less_memory(work: Callable[[], ResultT]) -> ResultT:
    """What `work()` gives, which asks `rays_at_once`. When memory runs out, rays get half of what they took, for good; a warning says so
    and `work` is called again, so it must be able to start anew. Raises the error itself when rays cannot be what takes so much.
    """
    global _asked
    while True:
        _asked = 0
        try:
            return work()
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error) or _asked < LEAST_RAY_MEMORY:
                raise
        # Outside of the handler: the error's traceback holds the tensors that are to be freed.
        set_ray_memory(_asked // 2)
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        _log.warning("Memory ran out: going on with fewer rays at once, in at most %d MB.", ray_memory() >> 20)


_M_TRIM_THRESHOLD, _M_MMAP_MAX, _M_ARENA_MAX = -1, -4, -8  # of mallopt(3)


def keep_freed_memory() -> bool:
    """Let this process reuse large freed buffers instead of returning them to the system; True if the C library can do that (glibc).

    For processes that do one heavy thing, such as training; memory once taken is not given back before the process ends.
    """
    return _mallopt(_M_MMAP_MAX, 0) and _mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)


def share_freed_memory(heaps: int = 2) -> bool:
    """Let the threads of this process take memory from a few `heaps` that they share; True if the C library can do that (glibc).

    For processes whose work runs in ever new threads, such as the page: otherwise there are up to eight heaps for each processor, and each
    keeps as much as the largest work needed that it ever served.
    """
    return _mallopt(_M_ARENA_MAX, heaps)


def return_freed_memory() -> bool:
    """Give the system back what this process has freed; True if the C library can do that (glibc). It takes some milliseconds.

    For processes that wait between works: otherwise they go on holding as much as the largest work needed.
    """
    return _is_glibc() and bool(ctypes.CDLL(None).malloc_trim(0))


def _is_glibc() -> bool:
    return platform.libc_ver()[0] == "glibc"


def _mallopt(name: int, value: int) -> bool:
    return _is_glibc() and bool(ctypes.CDLL(None).mallopt(name, value))
