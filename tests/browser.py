"""The page as a process of its own, and a headless Chromium to look at it with."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
CHROMIUM = shutil.which("chromium")
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
needs_chromium = pytest.mark.skipif(
    CHROMIUM is None and not os.environ.get("CI"), reason="no chromium on this machine: install Debian's package 'chromium'"
)


@contextmanager
def served(command: Callable[[int], list[str]], log_file: Path, port: int = 0, **environment: str) -> Iterator[str]:
    """The address of what `command(port)` serves (on a free port, if none is given); the process ends with the block."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("127.0.0.1", port))
        port = probe.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    known = {**os.environ, "GRADIO_SERVER_PORT": str(port), "GRADIO_SERVER_NAME": "127.0.0.1", "HF_HUB_OFFLINE": "1", **environment}
    with log_file.open("w+") as log:
        process = subprocess.Popen(command(port), cwd=ROOT, env=known, stdout=log, stderr=subprocess.STDOUT)
        try:
            deadline = time.monotonic() + 300
            while True:
                try:
                    urllib.request.urlopen(url, timeout=2).read()
                    break
                except (urllib.error.URLError, OSError):
                    log.seek(0)
                    assert process.poll() is None, log.read()
                    assert time.monotonic() < deadline, log.read()
                    time.sleep(0.3)
            yield url
        finally:
            process.terminate()
            process.wait(20)


_RUNNING: list[Any] = []


@contextmanager
def _playwright() -> Iterator[Any]:
    """Playwright; the one that runs already if there is one, since it does not run twice in a thread."""
    from playwright.sync_api import sync_playwright

    if _RUNNING:
        yield _RUNNING[0]
        return
    with sync_playwright() as playwright:
        _RUNNING.append(playwright)
        try:
            yield playwright
        finally:
            _RUNNING.clear()


@contextmanager
def browser(profile: Path, height: int, width: int = 1440) -> Iterator[Any]:
    """A Chromium of `width` × `height` pixels (Playwright's browser context)."""
    with _playwright() as playwright:
        context = playwright.chromium.launch_persistent_context(
            profile,
            executable_path=CHROMIUM or "/usr/bin/chromium",
            args=FLAGS,
            viewport={"width": width, "height": height},
            accept_downloads=True,
        )
        yield context
        context.close()
