"""Keeping freed memory: on a CPU half of a training step can go into clearing fresh pages for buffers that were freed a moment ago."""

from __future__ import annotations

import ctypes
import platform

_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4  # of mallopt(3)


def keep_freed_memory() -> bool:
    """Let this process reuse large freed buffers instead of returning them to the system; True if the C library can do that (glibc).

    For processes that do one heavy thing, such as training; memory once taken is not given back before the process ends.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    return bool(mallopt(_M_MMAP_MAX, 0)) and bool(mallopt(_M_TRIM_THRESHOLD, 2**31 - 1))
