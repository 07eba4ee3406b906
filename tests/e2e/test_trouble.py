"""When something goes wrong in a real browser: files that are too large or no picture, and a server that is killed in mid-edit. A clear
message each, and the page can be used afterwards."""

from __future__ import annotations

import os
import re
import signal
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx

from tests.browser import browser, needs_chromium, served
from tests.e2e.test_page import PHOTO, opened, shot, stroke, wait_status
from tests.tiny import new_solid_generator

pytestmark = needs_chromium
SVG = "<svg xmlns='http://www.w3.org/2000/svg' onload='document.title = 1'><rect/></svg>"


def told(page: Any, text: str) -> None:
    """Wait until the page says this."""
    page.get_by_text(re.compile(text)).first.wait_for()


def test_the_page_says_what_is_wrong_and_goes_on(tmp_path: Path) -> None:
    new_solid_generator().save_pretrained(tmp_path / "tiny")
    (tmp_path / "large.png").write_bytes(bytes(30_000_000))
    (tmp_path / "drawing.svg").write_text(SVG)
    command = ["bash", "-c", f"echo $$ > {tmp_path}/pid; exec {sys.executable} app.py"]
    tiny = str(tmp_path / "tiny")
    with browser(tmp_path / "profile", 1100, 1280) as context:
        with served(lambda _: command, tmp_path / "log", FFACE_GENERATOR=tiny) as address:
            page = opened(context, address)
            title = page.title()
            page.get_by_role("tab", name="From a photo").click()
            upload = page.locator("#photo input[type=file]")
            upload.set_input_files(str(tmp_path / "drawing.svg"))
            wait_status(page, "not a picture that can be read: use PNG")
            upload.set_input_files(str(tmp_path / "large.png"))
            told(page, r"exceed the maximum allowed size of 25")
            shot(page, "too-large")
            upload.set_input_files(str(PHOTO))
            wait_status(page, "[Pp]ress Make it 3-D")
            # A program is told so as well, before the file is whole.
            files = {"files": ("large.png", (tmp_path / "large.png").read_bytes())}
            assert httpx.post(f"{address}/gradio_api/upload", files=files, timeout=60).status_code == 413
            page.locator("#live input").uncheck()
            stroke(page, (0.4, 0.5), (0.6, 0.6))
            page.locator("#apply").click()
            wait_status(page, r"Step \d+ of")
            os.kill(int((tmp_path / "pid").read_text()), signal.SIGKILL)
            told(page, "Connection to the server was lost")
            shot(page, "killed")
        with served(lambda _: [sys.executable, "app.py"], tmp_path / "log", urlsplit(address).port or 0, FFACE_GENERATOR=tiny):
            # Nobody reloads the page: it finds the server again by itself, and reloads itself while a test would.
            wait_status(page, "Face of seed 7")
            page.locator("[role=radio]").first.wait_for()
            stroke(page, (0.4, 0.5), (0.6, 0.6))
            page.locator("#apply").click()
            wait_status(page, "Done: ")
            assert page.title() == title and page.outside == []
