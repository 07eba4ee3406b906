"""Work in several threads that each compute alone.

torch shares every operation among all its threads, which wait for each other after each. Where operations are small, and where a machine
has other things to do, the waiting takes longer than the work. Larger pieces of work, one a thread, do not wait.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import TypeVar

import torch

PartT = TypeVar("PartT")
ResultT = TypeVar("ResultT")


def lock_across_forks() -> threading.Lock:
    """A lock that no child process finds taken, where there would be nobody to let it go: who forks waits for it."""
    lock = threading.Lock()
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(before=lock.acquire, after_in_parent=lock.release, after_in_child=lock.release)
    return lock


_starting = lock_across_forks()


def in_threads(work: Callable[[PartT], ResultT], parts: Sequence[PartT]) -> list[ResultT]:
    """`work(part)` for each of the `parts`, in their order, in as many threads as torch would use in this one.

    Gradients are recorded as in the caller's thread. The first error ends it: what has not begun is not begun.
    """
    count = torch.get_num_threads()
    if count == 1 or len(parts) == 1:
        return [work(part) for part in parts]
    gradients = torch.is_grad_enabled()

    def run(part: PartT) -> ResultT:
        with torch.set_grad_enabled(gradients):
            return work(part)

    with _starting:
        pool = _pool(count)
    futures = [pool.submit(run, part) for part in parts]
    try:
        return [future.result() for future in futures]
    finally:
        for future in futures:
            future.cancel()


@cache
def _pool(count: int) -> ThreadPoolExecutor:
    """`count` threads in which torch does not divide operations any further; they live as long as the process."""
    pool = ThreadPoolExecutor(count, "fface", initializer=_alone)
    ready = threading.Barrier(count + 1)
    for _ in range(count):
        pool.submit(ready.wait)
    ready.wait()
    torch.set_num_threads(count)  # what the last one said holds for threads that are yet to come
    return pool


def _alone() -> None:
    """Let torch use this thread only."""
    torch.get_num_threads()  # it prepares itself in each thread when first asked, and would then forget what comes next
    torch.set_num_threads(1)


if hasattr(os, "register_at_fork"):  # a child process has no other threads than the one that made it
    os.register_at_fork(after_in_child=_pool.cache_clear)
