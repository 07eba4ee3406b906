"""Keeping freed memory: on a CPU half of a training step can go into clearing fresh pages for buffers that were freed a moment ago."""

from __future__ import annotations

import ctypes
import platform

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


def _mallopt(name: int, value: int) -> bool:
    return platform.libc_ver()[0] == "glibc" and bool(ctypes.CDLL(None).mallopt(name, value))
