"""The one place that runs long work of the page so that it can report and be stopped, by its own visitor only."""

from __future__ import annotations

import contextvars
import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Generic, TypeVar

import gradio as gr
from gradio.server_messages import ProcessCompletedMessage

from fface_hub.errors import CancelledError
from fface_hub.memory import return_freed_memory
from fface_hub.progress import Step

Result = TypeVar("Result")

PAUSE = 1.0
"""Seconds after some work has ended in which it is shown, and what was there before it is let go."""
_ENDED = threading.Event()
"""Some work has ended, and memory was not given back since."""


def keep_giving_memory_back() -> None:
    """From now on give the system back what is freed after each work, once for all works that end within `PAUSE`."""

    def give() -> None:
        while True:
            _ENDED.wait()
            time.sleep(PAUSE)
            _ENDED.clear()
            return_freed_memory()

    threading.Thread(target=give, daemon=True, name="memory").start()


class Job(Generic[Result]):
    """Long work in a thread of its own: iterate over its steps, stop it with `cancel`, read `result` (it raises what the work raised)."""

    def __init__(self, work: Callable[[Callable[[Step], None]], Result]) -> None:
        self._steps: queue.Queue[Step | None] = queue.Queue()
        self._cancel = threading.Event()
        self._result: Result | None = None
        self._error: BaseException | None = None
        # In the context of the handler, which says whose wish it is: a lent GPU is at that visitor's expense.
        self._thread = threading.Thread(target=contextvars.copy_context().run, args=(self._run, work), daemon=True)
        self._thread.start()

    def _run(self, work: Callable[[Callable[[Step], None]], Result]) -> None:
        try:
            self._result = work(self._report)
        except BaseException as error:  # handed to the waiting handler, which raises it again
            self._error = error
        self._steps.put(None)
        _ENDED.set()

    def _report(self, step: Step) -> None:
        if self._cancel.is_set():
            raise CancelledError("Stopped. The face is as it was before.")
        self._steps.put(step)

    def cancel(self) -> None:
        """Ask the work to stop at its next step."""
        self._cancel.set()

    @property
    def stopped(self) -> bool:
        """Whether it was asked to stop, which it may not have done yet."""
        return self._cancel.is_set()

    def end(self) -> None:
        """Stop the work, and wait until it has stopped."""
        self.cancel()
        self._thread.join()

    def __iter__(self) -> Iterator[Step]:
        """Steps as they come; only the newest when several wait. Leaving the loop early stops the work."""
        try:
            while (step := self._steps.get()) is not None:
                while not self._steps.empty():
                    newer = self._steps.get()
                    if newer is None:
                        yield step
                        return
                    step = newer
                yield step
        finally:
            if self._thread.is_alive():
                self.cancel()

    def result(self) -> Result:
        """What the work returned, as soon as it has ended; its steps need not have been looked at. Raises what the work raised."""
        self._thread.join()
        if self._error is not None:
            raise self._error
        return self._result  # type: ignore[return-value]


JOBS: dict[tuple[str, str], Job] = {}
"""Running jobs by visitor (gradio's session) and kind, so that another event, such as Cancel, can reach those of its own visitor."""
_STARTING = threading.Lock()
"""Held while a job takes its place in `JOBS`, so that one that comes meanwhile finds and stops it."""


@contextmanager
def running(request: gr.Request, work: Callable[[Callable[[Step], None]], Result], kind: str = "face") -> Iterator[Job[Result]]:
    """`work` beside the page: an earlier job of the same visitor and `kind` is stopped first, and this one when the block is left."""
    key = (str(request.session_hash), kind)
    with _STARTING:
        if key in JOBS:
            JOBS[key].cancel()
        job = JOBS[key] = Job(work)
    try:
        yield job
    finally:
        job.cancel()
        with _STARTING:
            if JOBS.get(key) is job:
                del JOBS[key]


def is_running(request: gr.Request, kind: str = "face") -> bool:
    """Whether this visitor has work of that `kind` running that nobody has stopped."""
    job = JOBS.get((str(request.session_hash), kind))
    return job is not None and not job.stopped


def stop(request: gr.Request, kind: str) -> bool:
    """Stop this visitor's work of that `kind`; whether there was any."""
    job = JOBS.get((str(request.session_hash), kind))
    if job is not None:
        job.cancel()
    return job is not None


def stop_all(request: gr.Request) -> bool:
    """Stop all work of this visitor; whether there was any."""
    found = [job for (visitor, _), job in list(JOBS.items()) if visitor == str(request.session_hash)]
    for job in found:
        job.cancel()
    return bool(found)


TOLD = ("face", "faces", "suggestion", "fit", "other", "turn")
"""Kinds of work that say themselves what became of them when they are stopped."""


def cancel(request: gr.Request, kinds: Sequence[str], waited: bool = False) -> str | dict[str, Any]:
    """Stop this visitor's running work of these `kinds`, and say what came of it, unless the work does (`TOLD`); `waited` says that some
    which had not begun yet was taken back."""
    stopped = [kind for kind in kinds if stop(request, kind)]
    if stopped:
        return gr.skip() if set(stopped) & set(TOLD) else "Stopped. The face is as it was."
    return "Stopped before it began. The face is as it was." if waited else "Nothing is running."


async def take_back(page: gr.Blocks, request: gr.Request) -> bool:
    """Drop all that waits for its turn in the queue of `page` for this visitor, whose browser is told that it is over; whether there was
    anything. To be called in the event loop, where nothing of it can begin meanwhile."""
    lines = page._queue
    waiting = [event for line in lines.event_queue_per_concurrency_id.values() for event in line.queue]
    own = [event for event in waiting if event.session_hash == str(request.session_hash)]
    for event in own:
        await lines.remove_from_queue(event._id)
        lines.send_message(event, ProcessCompletedMessage(output={}, success=True))
    return bool(own)
