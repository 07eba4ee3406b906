"""How much rays may take, what happens when memory runs out, and keeping freed memory for the next buffer."""

from __future__ import annotations

import platform
import subprocess
import sys
from collections.abc import Iterator

import pytest
import torch

from fface_hub import memory
from fface_hub.memory import keep_freed_memory, return_freed_memory, share_freed_memory

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


HOLD_THE_LAST = """
from fface_hub.memory import return_freed_memory
from tests.security.fuzz import memory
several = [bytearray(2000) for _ in range(100_000)]
full, last = memory("VmRSS"), several[-1]  # which lies above all others, so that they stay where they are
del several
freed, returned = memory("VmRSS"), return_freed_memory()
print(full - freed, full - memory("VmRSS"), returned)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="malloc_trim is glibc's")
def test_freed_memory_goes_back_to_the_system() -> None:
    """200 MB below a buffer that is still needed."""
    out = subprocess.run([sys.executable, "-c", HOLD_THE_LAST], capture_output=True, text=True, check=True)
    alone, asked, returned = out.stdout.split()
    assert int(alone) < 20_000_000 and int(asked) > 180_000_000 and returned == "True"


def test_other_c_libraries_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.libc_ver", lambda: ("", ""))
    assert keep_freed_memory() is False
    assert not share_freed_memory() and not return_freed_memory()


@pytest.fixture
def limit(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The limit of rays is put back afterwards."""
    monkeypatch.setattr(memory, "_ray_memory", memory.RAY_MEMORY)
    yield


def test_parts_are_as_large_as_the_limit_allows(limit: None) -> None:
    memory.set_ray_memory(1000)
    assert [(part.start, part.stop) for part in memory.in_parts(lambda window: window, 25, 100)] == [(0, 10), (10, 20), (20, 25)]
    assert [part.stop for part in memory.in_parts(lambda window: window, 25, 100, most=20)] == [10, 20, 25]
    assert [part.stop for part in memory.in_parts(lambda window: window, 3, 10**9)] == [1, 2, 3]


@pytest.mark.parametrize("error", [torch.OutOfMemoryError("CUDA out of memory."), MemoryError(), RuntimeError("can't allocate memory")])
def test_when_memory_runs_out_parts_get_smaller_and_it_is_said(limit: None, caplog: pytest.LogCaptureFixture, error: Exception) -> None:
    """A device with room for 5 MB of rays: of 16 rays of 1 MB each, 16 and 8 are too many, and 4 at once work."""
    tried: list[int] = []

    def work(window: slice) -> range:
        tried.append(window.stop - window.start)
        if tried[-1] > 5:
            raise error
        return range(window.start, window.stop)

    done = [ray for part in memory.in_parts(work, 16, 2**20) for ray in part]
    assert done == list(range(16)) and tried == [16, 8, 4, 4, 4, 4]
    assert memory.ray_memory() == 4 * 2**20
    assert [record.message for record in caplog.records] == [
        f"Memory ran out: going on with fewer rays at once, in at most {size} MB." for size in (8, 4)
    ]


def test_it_gives_up_when_rays_are_not_to_blame(limit: None) -> None:
    def too_large() -> None:
        raise torch.OutOfMemoryError("CUDA out of memory.")

    with pytest.raises(torch.OutOfMemoryError):
        memory.with_less_memory(too_large)
    assert memory.ray_memory() == memory.RAY_MEMORY

    def mistaken() -> None:
        memory.rays_at_once(16, 2**20)
        raise RuntimeError("shapes do not fit")

    with pytest.raises(RuntimeError, match="shapes"):
        memory.with_less_memory(mistaken)
    assert memory.ray_memory() == memory.RAY_MEMORY
