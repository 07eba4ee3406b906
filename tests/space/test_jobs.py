"""Long work on the page: steps come through, cancelling stops it, errors reach whoever waits."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from fface_hub.errors import CancelledError, OptimisationError
from fface_hub.progress import Step
from space import jobs
from space.jobs import JOBS, Job, running, stop_all

Report = Callable[[Step], None]


def test_steps_and_result_arrive() -> None:
    def work(report: Report) -> int:
        for index in range(1, 4):
            report(Step(index, 3, {}))
        return 42

    job = Job(work)
    seen = [step.index for step in job]
    assert seen == sorted(seen) and seen[-1] == 3
    assert job.result() == 42


def test_cancel_stops_at_the_next_step() -> None:
    started, go_on = threading.Event(), threading.Event()

    def work(report: Report) -> None:
        started.set()
        go_on.wait(5)
        report(Step(1, 1, {}))
        raise AssertionError("the step must not return")

    job = Job(work)
    started.wait(5)
    job.cancel()
    go_on.set()
    assert list(job) == []
    with pytest.raises(CancelledError, match="as it was before"):
        job.result()


def test_memory_is_given_back_once_after_works_that_end_together(monkeypatch: pytest.MonkeyPatch) -> None:
    given: queue.Queue[float] = queue.Queue()
    monkeypatch.setattr(jobs, "PAUSE", 0.3)
    monkeypatch.setattr(jobs, "return_freed_memory", lambda: given.put(time.monotonic()))
    jobs.keep_giving_memory_back()
    for _ in range(3):
        Job(lambda report: None).result()
    ended = time.monotonic()
    assert 0.2 < given.get(timeout=5) - ended < 3  # not before what the work replaced is let go
    with pytest.raises(queue.Empty):
        given.get(timeout=0.6)
    Job(lambda report: None).result()
    given.get(timeout=5)


def test_leaving_the_loop_early_cancels() -> None:
    go_on = threading.Event()

    def work(report: Report) -> None:
        report(Step(1, 2, {}))
        go_on.wait(5)
        report(Step(2, 2, {}))

    job = Job(work)
    steps = iter(job)
    assert next(steps).index == 1
    steps.close()  # type: ignore[attr-defined]
    go_on.set()
    with pytest.raises(CancelledError):
        job.result()


def test_an_error_of_the_work_is_raised_by_result() -> None:
    def work(report: Report) -> None:
        raise OptimisationError("not finite")

    job = Job(work)
    assert list(job) == []
    with pytest.raises(OptimisationError, match="not finite"):
        job.result()


def endless(report: Report) -> None:
    while True:
        report(Step(1, 2, {}))
        time.sleep(0.001)


def test_a_visitor_has_one_job_of_each_kind_and_stops_only_their_own() -> None:
    alice, bob = (SimpleNamespace(session_hash=name) for name in ("alice", "bob"))
    visitors: list[Any] = [alice, alice, alice, bob]
    blocks = [running(visitor, endless, kind) for visitor, kind in zip(visitors, ("face", "views", "views", "views"), strict=True)]
    face, first, second, bobs = (block.__enter__() for block in blocks)
    with pytest.raises(CancelledError):
        first.result()  # asked for anew
    assert set(JOBS) == {("alice", "face"), ("alice", "views"), ("bob", "views")}
    assert stop_all(visitors[0])
    for job in (face, second):
        with pytest.raises(CancelledError):
            job.result()
    assert bobs._thread.is_alive()
    for block in blocks:
        block.__exit__(None, None, None)
    assert not JOBS and not stop_all(visitors[0])
    with pytest.raises(CancelledError):
        bobs.result()
