"""What the page remembers of one visitor, and the one place that runs long work so that it can report and be stopped."""

from __future__ import annotations

import queue
import tempfile
import threading
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, TypeVar

from torch import Tensor

from fface_hub.adapters.adapter import Adapter
from fface_hub.cameras import Camera
from fface_hub.errors import CancelledError
from fface_hub.generators.base import Generator, Rendering, Scene
from fface_hub.inversion.invert import Inversion
from fface_hub.latents import Latents
from fface_hub.layouts import Layout
from fface_hub.progress import Step

Result = TypeVar("Result")


@dataclass
class Session:
    """One visitor's face: where it came from, every edit so far, and the current view of it."""

    generator: Generator
    camera: Camera
    history: list[Latents]
    inversion: Inversion | None = None
    adapter: Adapter | None = None
    rendering: Rendering | None = None
    first_image: Tensor | None = None
    name: str = "face"
    folder: tempfile.TemporaryDirectory[str] = field(default_factory=lambda: tempfile.TemporaryDirectory(prefix="fface-"))

    @property
    def latents(self) -> Latents:
        """The face as it is now."""
        return self.history[-1]

    def scene(self) -> Scene:
        """The face as it is now, with the photo's surroundings behind it if it came from one."""
        if self.inversion is not None:
            return self.inversion.scene(self.latents)
        return self.generator.scene(self.latents)

    @property
    def layout(self) -> Layout:
        """The layout being painted in."""
        return self.adapter.layout if self.adapter is not None else self.generator.layout

    @property
    def labels(self) -> Tensor:
        """Label map `[h,w]` of the current view."""
        assert self.rendering is not None, "the session was shown before it was rendered"
        return self.rendering.labels[0]

    def path(self, suffix: str) -> Path:
        """Where a download of this session is written; a fresh name each time, so that a browser never serves an old copy."""
        return Path(self.folder.name) / f"{self.name}-{uuid.uuid4().hex[:8]}{suffix}"


class Job(Generic[Result]):
    """Long work in a thread of its own: iterate over its steps, stop it with `cancel`, read `result` (it raises what the work raised)."""

    def __init__(self, work: Callable[[Callable[[Step], None]], Result]) -> None:
        self._steps: queue.Queue[Step | None] = queue.Queue()
        self._cancel = threading.Event()
        self._result: Result | None = None
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, args=(work,), daemon=True)
        self._thread.start()

    def _run(self, work: Callable[[Callable[[Step], None]], Result]) -> None:
        try:
            self._result = work(self._report)
        except BaseException as error:  # handed to the waiting handler, which raises it again
            self._error = error
        self._steps.put(None)

    def _report(self, step: Step) -> None:
        if self._cancel.is_set():
            raise CancelledError("Stopped. The face is as it was before.")
        self._steps.put(step)

    def cancel(self) -> None:
        """Ask the work to stop at its next step."""
        self._cancel.set()

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
        """What the work returned, once its steps have run out."""
        self._thread.join()
        if self._error is not None:
            raise self._error
        return self._result  # type: ignore[return-value]


# Running jobs by browser session, so that the Cancel button (another event) can reach the one of its own visitor and no other.
JOBS: dict[str, Job] = {}
