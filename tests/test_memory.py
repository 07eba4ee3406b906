"""Keeping freed memory for the next buffer."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

from fface_hub.memory import keep_freed_memory, share_freed_memory

COUNT_FAULTS = """
import resource, torch
from fface_hub.memory import keep_freed_memory
kept = keep_freed_memory() if {keep} else False
faults = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_minflt
before = faults()
for step in range(12):
    torch.empty(16_000_000 + 1000 * (step % 3)).fill_(1)
print(faults() - before)
"""


def faults(keep: bool) -> int:
    """Page faults of twelve buffers of 64 MB, one after the other, in a fresh process (the setting lasts as long as a process)."""
    out = subprocess.run([sys.executable, "-c", COUNT_FAULTS.format(keep=keep)], capture_output=True, text=True, check=True)
    return int(out.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="mallopt is glibc's")
def test_freed_buffers_are_used_again() -> None:
    usual = faults(keep=False)
    if usual < 10_000:
        pytest.skip("this system hands out huge pages, so there is nothing to save")
    assert faults(keep=True) < 0.7 * usual


COUNT_HEAPS = """
import ctypes, threading
from fface_hub.memory import share_freed_memory
if {share}:
    assert share_freed_memory(2)
gate = threading.Barrier(13)
def work():
    held = bytearray(100_000)
    gate.wait()
threads = [threading.Thread(target=work) for _ in range(12)]
for thread in threads:
    thread.start()
gate.wait()
libc = ctypes.CDLL(None)
libc.fopen.restype = ctypes.c_void_p
out = ctypes.c_void_p(libc.fopen(b"/dev/stdout", b"w"))
libc.malloc_info(0, out)
libc.fclose(out)
"""


def heaps(share: bool) -> int:
    """Heaps of a fresh process of twelve threads that all hold memory at the same time, by the C library's own account."""
    out = subprocess.run([sys.executable, "-c", COUNT_HEAPS.format(share=share)], capture_output=True, text=True, check=True)
    return out.stdout.count("<heap nr=")


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="mallopt is glibc's")
def test_threads_share_a_few_heaps() -> None:
    assert heaps(share=False) > 4 and heaps(share=True) == 2


def test_other_c_libraries_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.libc_ver", lambda: ("", ""))
    assert keep_freed_memory() is False
    assert not share_freed_memory()
