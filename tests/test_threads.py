"""Work shared by threads: its order, its errors, and what it leaves behind."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import pytest
import torch

from fface_hub.threads import in_threads


@pytest.fixture(autouse=True)
def two() -> Iterator[None]:
    """Two threads, on any machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def test_results_come_in_order_from_threads_that_compute_alone() -> None:
    meeting = threading.Barrier(2)

    def work(part: int) -> tuple[int, int, str]:
        if part < 2:
            meeting.wait(timeout=30)  # passes only if two parts are worked on at once
        return part, torch.get_num_threads(), threading.current_thread().name

    results = in_threads(work, [0, 1, 2, 3])
    assert [part for part, _, _ in results] == [0, 1, 2, 3]
    assert all(count == 1 for _, count, _ in results) and threading.current_thread().name not in {name for _, _, name in results}
    assert torch.get_num_threads() == 2, "the caller's own thread divides its operations as before"
    later: list[int] = []
    thread = threading.Thread(target=lambda: later.append(torch.get_num_threads()))
    thread.start()
    thread.join()
    assert later == [2], "and so do threads that are yet to come"


def test_one_thread_or_one_part_stays_where_it_is() -> None:
    assert in_threads(lambda part: threading.get_ident(), [1]) == [threading.get_ident()]
    torch.set_num_threads(1)
    assert in_threads(lambda part: threading.get_ident(), [1, 2]) == [threading.get_ident()] * 2
    assert in_threads(lambda part: part, []) == []


@pytest.mark.parametrize("gradients", [True, False])
def test_gradients_are_recorded_as_the_caller_does(gradients: bool) -> None:
    x = torch.ones(1, requires_grad=True)
    with torch.set_grad_enabled(gradients):
        results = in_threads(lambda part: (x * part).requires_grad, [1, 2, 3])
    assert results == [gradients] * 3


def test_an_error_reaches_the_caller_and_ends_the_work() -> None:
    begun: list[int] = []

    def work(part: int) -> None:
        begun.append(part)
        if part == 0:
            raise ValueError("the first")
        time.sleep(0.01)

    with pytest.raises(ValueError, match="the first"):
        in_threads(work, list(range(300)))
    assert len(begun) < 300
    assert in_threads(lambda part: 2 * part, [1, 2]) == [2, 4], "the threads live on"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are not forked here")
def test_a_forked_process_makes_threads_of_its_own() -> None:
    code = """
import os, torch
from fface_hub.threads import in_threads
torch.set_num_threads(2)
assert in_threads(lambda part: 2 * part, [1, 2, 3]) == [2, 4, 6]
child = os.fork()
if child == 0:
    os._exit(0 if in_threads(lambda part: 2 * part, [1, 2, 3]) == [2, 4, 6] else 1)
print(os.waitpid(child, 0)[1])
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert result.stdout.strip() == "0", result.stderr


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are not forked here")
def test_a_forked_process_finds_no_lock_taken() -> None:
    code = """
import os, threading, time
from fface_hub.threads import lock_across_forks
lock, held = lock_across_forks(), threading.Event()

def hold():
    with lock:
        held.set()
        time.sleep(0.3)

threading.Thread(target=hold).start()
held.wait()
child = os.fork()
if child == 0:
    os._exit(0 if lock.acquire(timeout=5) else 1)
print(os.waitpid(child, 0)[1], lock.acquire(timeout=5))
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert result.stdout.strip() == "0 True", result.stderr
