"""The page in a real browser: draw a face, paint a stroke, apply, look at it from every side, download; and what bad input says."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fface_hub.layouts import LAYOUTS
from tests.browser import browser, needs_chromium, served

pytestmark = needs_chromium


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """`python app.py` as a user starts it, on a free port."""
    with served(lambda _: [sys.executable, "app.py"], tmp_path_factory.mktemp("app") / "log") as url:
        yield url


@pytest.fixture(scope="module")
def browser_page(address: str, tmp_path_factory: pytest.TempPathFactory):
    with browser(tmp_path_factory.mktemp("profile"), 1500) as context:
        page = context.new_page()
        outside: list[str] = []
        page.on("request", lambda r: outside.append(r.url) if not r.url.startswith((address, "data:", "blob:")) else None)
        page.goto(address)
        page.outside = outside  # type: ignore[attr-defined]
        yield page


ALL_OTHERS = """old => {
    const now = Array.from(document.querySelectorAll("#strip img"), image => image.src);
    return now.length === old.length && now.every((source, index) => source !== old[index]);
}"""
"""Whether every view is another picture than before."""


def shot(page, name: str) -> None:
    """Keep a picture of the page where `FFACE_SHOTS` says, for eyes."""
    if folder := os.environ.get("FFACE_SHOTS"):
        page.screenshot(path=str(Path(folder) / f"{name}.png"), full_page=True)


def wait_status(page, text: str, seconds: float = 180) -> str:
    page.locator("#status", has_text=re.compile(text)).wait_for(timeout=seconds * 1000)
    return page.locator("#status").inner_text()


def download(page, button: str, folder: Path) -> Path:
    with page.expect_download(timeout=60_000) as waiting:
        page.locator(f"#{button}").click()
    path = folder / waiting.value.suggested_filename
    waiting.value.save_as(path)
    return path


def test_draw_paint_apply_download(browser_page, tmp_path: Path) -> None:
    page = browser_page
    wait_status(page, "Face of seed 7")
    page.locator("#strip img").nth(4).wait_for(timeout=120_000)
    shot(page, "1-start")
    before = np.array(Image.open(download(page, "get-labels", tmp_path)))

    page.locator("#classes label", has_text=re.compile(r"^\s*nose\s*$")).click()
    page.wait_for_timeout(500)  # the editor takes its new brush without telling the page
    box = page.locator("#canvas canvas").first.bounding_box()
    assert box is not None
    middle_x, middle_y = box["x"] + box["width"] / 2, box["y"] + box["height"] * 0.55
    page.mouse.move(middle_x - 30, middle_y)
    page.mouse.down()
    page.mouse.move(middle_x + 30, middle_y + 4, steps=12)
    page.mouse.up()
    shot(page, "2-painted")
    views = page.locator("#strip img").evaluate_all("images => images.map(image => image.src)")
    page.locator("#apply").click()
    said = wait_status(page, r"Done: \d+ label pixels painted")
    assert int(re.findall(r"\d+", said)[0]) > 10
    page.wait_for_function(ALL_OTHERS, arg=views, timeout=120_000)
    shot(page, "3-edited")

    labels = Image.open(download(page, "get-labels", tmp_path))
    assert labels.mode == "P" and labels.size == (128, 128)
    assert (np.array(labels) != before).any()
    palette = np.array(labels.getpalette() or []).reshape(-1, 3)
    assert tuple(palette[7]) == LAYOUTS["base-15"].classes[7].color
    picture = Image.open(download(page, "get-picture", tmp_path))
    assert picture.size == (128, 128) and "computer-made" in str(picture.text)  # type: ignore[attr-defined]
    assert np.asarray(picture).std() > 10

    page.locator("#undo").click()
    wait_status(page, "0 edits left")


def test_video_and_mesh(browser_page, tmp_path: Path) -> None:
    page = browser_page
    page.locator("#turn").click()
    wait_status(page, "The orbit video and the mesh are ready")
    assert download(page, "get-video", tmp_path).read_bytes()[4:8] == b"ftyp"
    assert download(page, "get-mesh", tmp_path).read_bytes()[:4] == b"glTF"
    shot(page, "4-turned")


def test_bad_input_is_one_plain_sentence_and_keeps_the_face(browser_page, tmp_path: Path) -> None:
    page = browser_page
    page.locator("#apply").click()
    page.get_by_text("Nothing is painted yet").first.wait_for(timeout=20_000)
    page.get_by_role("tab", name="From a photo").click()
    noise = tmp_path / "noise.png"
    Image.fromarray(np.random.RandomState(0).randint(0, 255, (200, 200, 3), np.uint8)).save(noise)
    page.locator("#photo input[type=file]").set_input_files(str(noise))
    page.get_by_text(re.compile("No face", re.IGNORECASE)).first.wait_for(timeout=30_000)
    shot(page, "5-no-face")
    assert "Traceback" not in page.content()
    page.locator("#undo").click()
    page.get_by_text("There is no edit to undo").first.wait_for(timeout=20_000)


def test_photo_is_cropped_and_consent_is_asked(browser_page, tmp_path: Path) -> None:
    data = pytest.importorskip("skimage.data")
    page = browser_page
    portrait = tmp_path / "astronaut.png"
    Image.fromarray(data.astronaut()).save(portrait)
    page.reload()
    wait_status(page, "Face of seed 7")
    page.get_by_role("tab", name="From a photo").click()
    page.locator("#photo input[type=file]").set_input_files(str(portrait))
    page.locator("#square img").wait_for(timeout=30_000)
    wait_status(page, "Press Make it 3-D")
    page.locator("#make").click()
    page.get_by_text("Tick the box").first.wait_for(timeout=20_000)
    shot(page, "6-photo")


def test_no_request_leaves_the_machine(browser_page) -> None:
    assert browser_page.outside == []
