"""Visitors of a page, many at once, through gradio's own client.

`python -m tests.load.visitors GENERATOR MINUTES [USERS,USERS...]` prints what they met on a page of their own, with the tiny generator
("tiny") or a bundled one.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from gradio_client import Client

from space import jobs
from space.models import OWN_LAYOUT
from tests.browser import served
from tests.space.lender import Lender
from tests.tiny import new_solid_generator

CLASSES = ("nose", "mouth", "hair", "skin", "eye", "ear", "lips", "brow")
"""What the visitors paint."""


@contextmanager
def page(folder: Path, generator: str = "tiny", *options: str, lender: Lender | None = None) -> Iterator[str]:
    """The address of a page of its own (tests/load/page.py), which borrows GPUs from `lender` if there is one."""
    if generator == "tiny":
        new_solid_generator().save_pretrained(folder / "generator")
        generator = str(folder / "generator")
    command = [sys.executable, "-m", *(["tests.space.lender"] if lender else []), "tests.load.page", str(folder), generator, *options]
    borrowing = lender.environment(folder) if lender else {}
    with served(lambda _: command, folder / "log", OMP_NUM_THREADS="1", GRADIO_HEARTBEAT_INTERVAL="1", **borrowing) as url:
        yield url


def stats(folder: Path) -> dict[str, Any]:
    """What the page's process holds now."""
    file = folder / "stats.json"
    pid = json.loads(file.read_text())["pid"]
    file.unlink()
    os.kill(pid, signal.SIGUSR1)
    deadline = time.monotonic() + 30
    while not file.exists():
        assert time.monotonic() < deadline, "the page does not answer"
        time.sleep(0.05)
    return json.loads(file.read_text())


def at_rest(folder: Path) -> dict[str, Any]:
    """The same when what the last works freed has gone back to the system."""
    time.sleep(jobs.PAUSE + 1)
    return stats(folder)


class Visitor:
    """Visitor `number` of the page at `url`: draws a face of their own, paints a class of their own, looks at it and takes it back."""

    def __init__(self, url: str, number: int, folder: Path) -> None:
        self.folder = folder / f"visitor-{number}"
        self.client = Client(url, verbose=False, analytics_enabled=False, download_files=self.folder)
        self.seed, self.number = 11 + number, number
        self.place = 0  # the farthest in the queue that this visitor was told

    def painted(self, sheet: dict[str, Any]) -> dict[str, Any]:
        """A rectangle of this visitor's own on the labels that they were shown."""
        ids, number = np.frombuffer(base64.b64decode(sheet["labels"]), np.uint8).copy(), self.number
        size = sheet["size"]
        names = [item["name"] for item in sheet["classes"]]
        ids.reshape(size, size)[size // 5 : size - size // 5, size // 8 + number : size // 2 + number] = names.index(
            CLASSES[number % len(CLASSES)]
        )
        return {"id": sheet["id"], "size": size, "revision": 1, "labels": base64.b64encode(ids.tobytes()).decode()}

    def call(self, name: str, *arguments: Any) -> Any:
        """The result of the page's handler `name`, with the content of files in the place of their names."""
        job = self.client.submit(*arguments, api_name=f"/{name}")
        while not job.done():
            self.place = max(self.place, (job.status().rank or -1) + 1)
            time.sleep(0.02)
        return contents(job.result())

    def round(self) -> tuple[list[Any], float]:
        """All that the page shows in one round, and the seconds of the edit in it, with its place in the queue."""
        shown = [self.call("draw_face", self.seed, OWN_LAYOUT)]
        painted = self.painted(shown[0][0])
        shown.append(self.call("preview", painted, True, True, []))
        start = time.perf_counter()
        shown.append(self.call("apply", painted, True, []))
        seconds = time.perf_counter() - start
        shown += [self.call("show_five_views", "Picture"), self.call("undo")]
        return [self.kept(found) for found in shown], seconds

    @staticmethod
    def kept(found: Any) -> Any:
        """What a handler shows, but for the strip of this visitor's earlier faces: it grows from round to round."""
        if not isinstance(found, (list, tuple)):
            return found
        return [part for part in found if not (isinstance(part, dict) and part.get("now", 0) is None)]


def contents(value: Any) -> Any:
    """`value` with the SHA-256 of the content in the place of every downloaded file's path, and without the serial numbers of sheets."""
    if isinstance(value, dict):
        return {key: contents(item) for key, item in value.items() if key != "serial"}
    if isinstance(value, (list, tuple)):
        return [contents(item) for item in value]
    if isinstance(value, str) and value.startswith("/") and Path(value).is_file():
        return hashlib.sha256(Path(value).read_bytes()).hexdigest()
    return value


def differences(first: Any, second: Any, where: str = "") -> list[str]:
    """Where two results differ, and how."""
    if isinstance(first, dict) and isinstance(second, dict) and first.keys() == second.keys():
        return [found for key in first for found in differences(first[key], second[key], f"{where}/{key}")]
    if isinstance(first, list) and isinstance(second, list) and len(first) == len(second):
        return [found for key in range(len(first)) for found in differences(first[key], second[key], f"{where}/{key}")]
    return [] if first == second else [f"{where}: {str(first)[:60]} instead of {str(second)[:60]}"]


@dataclass
class Load:
    """What so many `users` met at once: `rounds` in all, what was `different` from the same round alone, the `errors`, the farthest `place`
    in the queue that anybody was told, and the `seconds` of each edit."""

    users: int
    rounds: int = 0
    different: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    place: int = 0
    seconds: list[float] = field(default_factory=list)

    def summary(self) -> dict[str, Any]:
        """As JSON knows it, with the median and the 95th percentile of the seconds."""
        middle, slow = np.percentile(self.seconds, [50, 95]).round(2).tolist() if self.seconds else (0.0, 0.0)
        return {**vars(self), "seconds": {"median": middle, "p95": slow}}


def together(visitors: list[Visitor], alone: list[list[Any]], go_on: Callable[[int], bool]) -> Load:
    """Rounds of all `visitors` at once, each as often as `go_on(rounds done)` says, compared with what each saw `alone`."""
    load, lock = Load(len(visitors)), threading.Lock()

    def visit(number: int) -> None:
        done = 0
        while go_on(done):
            try:
                shown, seconds = visitors[number].round()
            except Exception as error:
                with lock:
                    load.errors.append(f"{type(error).__name__}: {error}")
                return
            done += 1
            with lock:
                load.rounds, load.place = load.rounds + 1, max(load.place, visitors[number].place)
                load.different += [f"visitor {number}: {difference}" for difference in differences(shown, alone[number])]
                load.seconds.append(seconds)

    threads = [threading.Thread(target=visit, args=(number,)) for number in range(len(visitors))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return load


def measure(generator: str, minutes: float, users: list[int], folder: Path) -> dict[str, Any]:
    """Loads of so many `users` for some `minutes` each, one after the other, after a warm-up of a fifth of that (threads, caches and heaps
    get their size); and what the page held before and after."""
    with page(folder, generator) as url:
        visitors = [Visitor(url, number, folder) for number in range(max(users))]
        alone = [visitor.round()[0] for visitor in visitors]

        def meet(count: int, seconds: float) -> Load:
            end = time.monotonic() + seconds
            return together(visitors[:count], alone, lambda _: time.monotonic() < end)

        meet(max(users), 12 * minutes)
        before = at_rest(folder)
        loads = [meet(count, 60 * minutes).summary() for count in users]
        return {"loads": loads, "before": before, "after": at_rest(folder)}


if __name__ == "__main__":
    counts = [int(count) for count in (sys.argv[3] if len(sys.argv) > 3 else "1,2,4,8").split(",")]
    with tempfile.TemporaryDirectory() as name:
        print(json.dumps(measure(sys.argv[1], float(sys.argv[2]), counts, Path(name)), indent=1))
