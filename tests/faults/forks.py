"""A piece of work in a fork that is killed at a chosen moment. Torch is imported once for all of them."""

from __future__ import annotations

import os
import random
import signal
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ERRORS = "errors.txt"


@dataclass(frozen=True)
class Ending:
    """How a fork ended: `killed`, or done after `seconds` and so many file `operations`."""

    killed: bool
    seconds: float
    operations: int


def attempt(work: Callable[[], object], place: Path, moment: float | int | None = None) -> Ending:
    """Do `work` in a fork, which is killed (signal 9) at `moment`: after so many seconds; or, for a whole number, in front of the file
    operation of this number, counted from the first one that names `place`; or never."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        _do(work, place, moment if isinstance(moment, int) else None, writing)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        pipe.read(1)  # it begins
        start = time.perf_counter()
        if isinstance(moment, float):
            time.sleep(moment)
            os.kill(child, signal.SIGKILL)
        told = pipe.read()
    _, status = os.waitpid(child, 0)
    seconds = time.perf_counter() - start
    killed = os.WIFSIGNALED(status)
    if not killed and os.WEXITSTATUS(status):
        raise RuntimeError((place.parent / ERRORS).read_text())
    return Ending(killed, seconds, int(told or 0))


def _do(work: Callable[[], object], place: Path, last: int | None, writing: int) -> None:
    """The fork's own life. Python tells its audit hooks of every file operation before it is done."""
    code, operations = 0, 0

    def count(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal operations
        if event == "open" or (event.startswith(("os.", "shutil.")) and event != "os.kill"):
            if operations or any(str(place) in str(argument) for argument in arguments):
                operations += 1
            if last is not None and operations >= last:
                os.kill(os.getpid(), signal.SIGKILL)

    try:
        quiet = os.open(os.devnull, os.O_WRONLY)
        os.dup2(quiet, 1)
        os.dup2(quiet, 2)
        sys.addaudithook(count)
        os.write(writing, b"!")
        work()
        os.write(writing, str(operations).encode())
    except BaseException:
        (place.parent / ERRORS).write_text(traceback.format_exc())
        code = 1
    finally:
        os._exit(code)


def moment(source: random.Random, whole: Ending) -> float | int:
    """A random moment of work that takes as long as `whole`: every other one in front of a file operation, which finds the narrow places
    (between two renames) that a clock hardly hits."""
    if source.random() < 0.5 and whole.operations:
        return source.randint(1, whole.operations)
    return source.uniform(0.0, 1.05 * whole.seconds)
