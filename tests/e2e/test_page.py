"""The page in a real browser: paint, preview, apply, cancel, go back, download; what bad input says; and two visitors at once.

It runs on a tiny generator with random weights: what is shown is no face, and every way of it is the same. The last tests open the page as
it comes.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from fface_hub.layouts import LAYOUTS
from tests.browser import browser, needs_chromium, served

pytestmark = needs_chromium
# Letters that are set in another font, in either weight: that one shows where it stands behind the page's own.
SET_IN_ITS_FONT = """() => {
  const pen = document.createElement("canvas").getContext("2d");
  const width = (weight, fallback, letter) => (pen.font = `${weight} 40px "IBM Plex Sans", ${fallback}`, pen.measureText(letter).width);
  const letters = [..."abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.,:;·…°−–%"];
  return [400, 600].flatMap((weight) => letters.filter((x) => width(weight, "monospace", x) !== width(weight, "serif", x)));
}"""
PHOTO = Path(__file__).parents[2] / "examples" / "photos" / "astronaut.jpg"


def opened(context: Any, address: str, **scheme: Any) -> Any:
    """A tab with the page in it, which notes what it asks of anybody else, and the errors of its scripts."""
    page = context.new_page()
    page.set_default_timeout(120_000)
    page.outside, page.faults = [], []
    page.on("request", lambda r: page.outside.append(r.url) if not r.url.startswith((address, "data:", "blob:")) else None)
    page.on("pageerror", lambda error: page.faults.append(str(error)))
    page.emulate_media(**scheme)
    page.goto(address)
    wait_status(page, "Face of seed 7")
    page.locator("[role=radio]").first.wait_for()
    return page


@pytest.fixture(scope="module")
def browser_page(address: str, tmp_path_factory: pytest.TempPathFactory):
    with browser(tmp_path_factory.mktemp("profile"), 1100, 1280) as context:
        yield opened(context, address)


def shot(page, name: str) -> None:
    """Keep a picture of the page where `FFACE_SHOTS` says, for eyes."""
    if folder := os.environ.get("FFACE_SHOTS"):
        page.screenshot(path=str(Path(folder) / f"{name}.png"), full_page=True)


def fits(page, name: str) -> None:
    """Nothing of the tab is wider than the window, in both themes; pictures for eyes."""
    for width in (390, 1280):
        page.set_viewport_size({"width": width, "height": 1100})
        for scheme in ("dark", "light"):
            page.emulate_media(color_scheme=scheme)
            shot(page, f"{name}-{width}-{scheme}")
            assert page.evaluate("document.documentElement.scrollWidth") <= width


def wait_status(page, text: str, seconds: float = 180) -> str:
    page.locator("#status", has_text=re.compile(text)).wait_for(timeout=seconds * 1000)
    return page.locator("#status").inner_text()


def download(page, button: str, folder: Path) -> Path:
    with page.expect_download() as waiting:
        page.locator(f"#{button}").click()
    path = folder / waiting.value.suggested_filename
    waiting.value.save_as(path)
    return path


def downloaded_ids(page, folder: Path) -> NDArray[Any]:
    """The labels of the face that is shown."""
    return np.array(Image.open(download(page, "get-labels", folder)))


def count(page, name: str) -> int:
    """How many pixels of a class the canvas shows."""
    row = page.get_by_role("radio").filter(has=page.get_by_text(name, exact=True))
    return int(row.locator("small").inner_text().replace(",", ""))


def stroke(page, *points: tuple[float, float]) -> None:
    """Draw through points of the board, given as parts of its side."""
    box = page.locator(".board").bounding_box()
    places = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in points]
    page.mouse.move(*places[0])
    page.mouse.down()
    for place in places[1:]:
        page.mouse.move(*place, steps=3)
    page.mouse.up()


def tool(page, name: str) -> None:
    page.locator(f"[data-tool={name}]").click()


def new_face(page, seed: int) -> None:
    page.get_by_role("tab", name="From a seed").click()
    page.locator("#seed input").fill(str(seed))
    page.locator("#draw").click()
    wait_status(page, f"Face of seed {seed}")


def edits(page) -> Any:
    return page.locator("#history button")


def painted(page) -> Any:
    return page.locator("[data-show=changed]")


def test_twenty_strokes_are_undone_to_the_exact_map(browser_page, tmp_path: Path) -> None:
    page = browser_page
    start = downloaded_ids(page, tmp_path)
    page.locator("#live input").uncheck()
    tools = ("brush", "lasso", "sketch", "eraser", "fill")
    for k in range(20):
        if k % 2 == 0:  # tool and size change ten times
            tool(page, tools[k // 2 % len(tools)])
            page.locator("[data-set=diameter]").fill(str(1 + 3 * k))
        page.get_by_role("radio").nth(k % 15).click()
        if k == 10:  # leaving the tab of the face and coming back costs nothing
            page.get_by_role("tab", name="From a photo").click()
            page.get_by_role("tab", name="From a seed").click()
        x = 0.1 + 0.04 * k
        stroke(page, (x, 0.2), (x + 0.1, 0.3), (x, 0.8), (x - 0.05, 0.5))
    shot(page, "painted")
    assert "pixels are painted" in painted(page).inner_text()
    for _ in range(20):
        if page.locator("[data-do=undo]").is_disabled():  # a stroke that changed nothing is none
            break
        page.keyboard.press("Control+z")
    assert painted(page).inner_text() == "Nothing is painted yet."
    names = LAYOUTS["base-15"].names
    assert [count(page, name) for name in names] == np.bincount(start.ravel(), minlength=15).tolist()
    page.locator("#apply").click()
    page.get_by_text("Nothing is painted yet: choose").first.wait_for()  # says the server, which compares every pixel


def wider_nose(page) -> int:
    """Paint and apply an edit; how many pixels were painted."""
    page.locator("#live input").check()
    tool(page, "brush")
    page.locator("[data-set=diameter]").fill("12")
    page.get_by_role("radio").filter(has=page.get_by_text("nose", exact=True)).click()
    stroke(page, (0.4, 0.5), (0.6, 0.52))
    wait_status(page, "quick preview")
    page.locator("#apply").click()
    return int(re.findall(r"\d+", wait_status(page, r"Done: \d+ label pixels painted"))[0])


def test_paint_preview_apply_back_and_download(browser_page, tmp_path: Path) -> None:
    page = browser_page
    before = downloaded_ids(page, tmp_path)
    assert wider_nose(page) > 50
    assert edits(page).count() == 2 and painted(page).inner_text() == "Nothing is painted yet."
    shot(page, "edited")
    after = downloaded_ids(page, tmp_path)
    assert (after != before).any()

    edits(page).first.click()
    wait_status(page, "the face before any edit")
    assert np.array_equal(downloaded_ids(page, tmp_path), before)
    edits(page).last.click()
    wait_status(page, "This is edit 1")
    assert np.array_equal(downloaded_ids(page, tmp_path), after)
    page.locator("#undo").click()
    wait_status(page, "Your strokes are back")
    assert "pixels are painted" in painted(page).inner_text() and edits(page).count() == 2

    labels = Image.open(download(page, "get-labels", tmp_path))
    palette = np.array(labels.getpalette() or []).reshape(-1, 3)
    assert labels.mode == "P" and labels.size == (128, 128) and tuple(palette[7]) == LAYOUTS["base-15"].classes[7].color
    picture = Image.open(download(page, "get-picture", tmp_path))
    assert picture.size == (128, 128) and "computer-made" in str(picture.text)  # type: ignore[attr-defined]


def wait_view(page) -> str:
    """The full view of the turned face, once it is there."""
    page.locator("#viewer .face[aria-busy=false]").wait_for()
    return page.locator("#viewer img").get_attribute("src")


def test_a_face_is_turned_by_dragging_and_by_keys(browser_page) -> None:
    page, face, said = browser_page, browser_page.locator("#viewer .face"), browser_page.locator("#viewer output")
    face.scroll_into_view_if_needed()
    front = wait_view(page)
    page.evaluate("""() => {
        window.sizes = [];
        const image = document.querySelector("#viewer img");
        image.addEventListener("load", () => sizes.push(image.naturalWidth));
    }""")
    box = face.bounding_box()
    middle = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(*middle)
    page.mouse.down()
    page.mouse.move(middle[0] + 20, middle[1])
    page.wait_for_function("sizes.length && sizes[0] < 128")  # small while it moves
    page.mouse.move(middle[0] + box["width"], middle[1], steps=4)
    page.mouse.up()
    assert said.inner_text() == "36° from the left"  # and no farther
    turned = wait_view(page)
    assert turned != front and page.evaluate("sizes.at(-1)") == 128
    face.press("ArrowRight")
    assert said.inner_text() == "36° from the left"
    face.press("ArrowLeft")
    face.press("ArrowUp")
    assert said.inner_text() == "32° from the left, 4° from below"
    assert wait_view(page) not in (front, turned)
    shot(page, "turned-face")
    face.dblclick()
    assert said.inner_text() == "From the front" and wait_view(page) == front
    page.locator("#show label", has_text="Depth").click()
    page.wait_for_function("front => document.querySelector('#viewer img').src !== front", arg=front)
    page.locator("#show label", has_text="Picture").click()
    page.wait_for_function("front => document.querySelector('#viewer img').src === front", arg=front)


def test_an_edit_is_weakened_saved_and_opened_again(browser_page, tmp_path: Path) -> None:
    page = browser_page
    new_face(page, 9)
    wider_nose(page)
    full = downloaded_ids(page, tmp_path)
    page.locator("#strength input").fill("30")
    wait_status(page, "at 30% of its strength")
    weaker = downloaded_ids(page, tmp_path)
    assert (weaker != full).any()
    tool(page, "brush")
    stroke(page, (0.3, 0.7), (0.6, 0.72))
    strokes = painted(page).inner_text()
    session = download(page, "save-session", tmp_path)
    assert "likeness" in wait_status(page, "Saved")
    new_face(page, 8)
    page.get_by_role("tab", name="Earlier").click()
    page.locator("#earlier button").first.click()
    wait_status(page, "Back to seed 9")
    assert np.array_equal(downloaded_ids(page, tmp_path), weaker)
    page.get_by_role("tab", name="Session").click()
    page.locator("#session-tab input[type=file]").set_input_files(str(session))
    wait_status(page, "Opened: seed 9, edit 1 of 1")
    assert np.array_equal(downloaded_ids(page, tmp_path), weaker) and edits(page).count() == 2
    assert painted(page).inner_text() == strokes and page.locator("#strength output").inner_text() == "30 %"
    shot(page, "opened")
    damaged = tmp_path / "damaged.session.zip"
    damaged.write_bytes(session.read_bytes()[:-100])
    page.locator("#session-tab input[type=file]").set_input_files(str(damaged))
    page.get_by_text("no whole session file").first.wait_for()
    wait_status(page, "The file was not opened")
    assert edits(page).count() == 2


def test_a_photo_is_cropped_made_edited_stopped_and_edited(browser_page, tmp_path: Path) -> None:
    page = browser_page
    page.get_by_role("tab", name="From a photo").click()
    page.locator("#photo input[type=file]").set_input_files(str(PHOTO))
    page.locator("#square img").wait_for()
    wait_status(page, "press Make it 3-D")
    found = page.locator("#square img").get_attribute("style")
    page.locator("#square .window").press("ArrowRight")
    assert page.locator("#square img").get_attribute("style") != found
    page.locator("#make").click()
    page.get_by_text("Tick the box").first.wait_for()
    page.locator("#consent input").check()
    page.locator("#make").click()
    wait_status(page, "Reconstructed in")
    shot(page, "photo")
    page.locator("#live input").uncheck()
    tool(page, "brush")
    stroke(page, (0.4, 0.5), (0.6, 0.6))
    page.locator("#apply").click()
    wait_status(page, r"Step \d+ of")
    page.locator("#cancel").click()
    wait_status(page, "The face is as it was before")
    assert edits(page).count() == 1 and "pixels are painted" in painted(page).inner_text()
    page.locator("#apply").click()
    wait_status(page, "Done")
    assert edits(page).count() == 2
    edits(page).first.click()
    wait_status(page, "the face before any edit")
    assert Image.open(download(page, "get-picture", tmp_path)).size == (128, 128)
    new_face(page, 7)


def test_bad_input_is_one_plain_sentence_and_keeps_the_face(browser_page, tmp_path: Path) -> None:
    page = browser_page
    new_face(page, 12)
    page.get_by_role("tab", name="From a photo").click()
    noise = tmp_path / "noise.png"
    Image.fromarray(np.random.RandomState(0).randint(0, 255, (200, 200, 3), np.uint8)).save(noise)
    if page.locator("#photo button[aria-label=Clear]").count():
        page.locator("#photo button[aria-label=Clear]").click()
    page.locator("#photo input[type=file]").set_input_files(str(noise))
    page.get_by_text(re.compile("No face", re.IGNORECASE)).first.wait_for()
    assert "Traceback" not in page.content()
    assert page.locator("#undo").is_disabled() and page.locator("#reset").is_disabled()  # there is nothing to undo


def test_two_visitors_never_see_each_others_face(browser_page, address: str, tmp_path: Path) -> None:
    with browser(tmp_path / "profile", 1100, 1280) as context:
        alice, bob = browser_page, opened(context, address)
        new_face(alice, 31)
        new_face(bob, 32)
        faces = [downloaded_ids(page, tmp_path) for page in (alice, bob)]
        assert (faces[0] != faces[1]).any()
        stroke(bob, (0.3, 0.3), (0.7, 0.7))
        assert painted(alice).inner_text() == "Nothing is painted yet."
        for page, ids in zip((alice, bob), faces, strict=True):
            assert np.array_equal(downloaded_ids(page, tmp_path), ids)


def test_no_request_leaves_the_machine(browser_page) -> None:
    assert browser_page.outside == [] and browser_page.faults == []


@pytest.fixture(scope="module")
def bundled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The page with the bundled generator."""
    with served(lambda _: [sys.executable, "app.py"], tmp_path_factory.mktemp("bundled") / "log") as url:
        yield url


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (1280, "dark"), (390, "light"), (390, "dark")])
def test_the_page_fits_and_keeps_still(bundled: str, width: int, scheme: str, tmp_path: Path) -> None:
    """Nothing is wider than the window, and what is loaded later moves nothing that was there."""
    with browser(tmp_path / "profile", 900, width) as context:
        page = opened(context, bundled, color_scheme=scheme)
        page.locator("#strip img").nth(4).wait_for()
        assert page.evaluate(SET_IN_ITS_FONT) == []
        shot(page, f"{width}-{scheme}")
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        place = page.locator("#apply").bounding_box()
        page.locator(".board").scroll_into_view_if_needed()
        stroke(page, (0.4, 0.5), (0.6, 0.5))
        wait_status(page, "quick preview")
        scrolled = page.evaluate("scrollY")
        assert abs(page.locator("#apply").bounding_box()["y"] + scrolled - place["y"]) < 2
        assert page.faults == [] and page.outside == []


def test_video_and_mesh(bundled: str, tmp_path: Path) -> None:
    with browser(tmp_path / "profile", 900, 1280) as context:
        page = opened(context, bundled)
        page.locator("#turn").click()
        wait_status(page, "The orbit video and the mesh are ready")
        assert download(page, "get-video", tmp_path).read_bytes()[4:8] == b"ftyp"
        assert download(page, "get-mesh", tmp_path).read_bytes()[:4] == b"glTF"
        shot(page, "turned")
