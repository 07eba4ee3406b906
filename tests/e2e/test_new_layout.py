"""A layout of one's own, made end to end in a real browser, on a tiny generator whose fits are short: what it sees is no face, and every
way of it is the same."""

from __future__ import annotations

import re
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fface_hub.adapters.samples import SampleSet
from tests.browser import browser, needs_chromium, served
from tests.e2e.test_page import download, fits, opened, wait_status
from tests.tiny import new_solid_generator

pytestmark = needs_chromium
SCRIPT = "<script>alert(1)</script>"


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The page with small pictures and short fits."""
    folder = tmp_path_factory.mktemp("app")
    tiny = str(folder / "tiny")
    new_solid_generator().save_pretrained(tiny)
    with served(lambda _: [sys.executable, "-m", "tests.load.page", str(folder), tiny], folder / "log", FFACE_GENERATOR=tiny) as url:
        yield url


def told(page, text: str, place: str = "making") -> str:
    page.locator(f"#{place}", has_text=re.compile(text)).wait_for()
    return page.locator(f"#{place}").inner_text()


def name_classes(page, name: str, *classes: str) -> None:
    """From nothing, these classes beside the background."""
    page.get_by_role("tab", name="New layout").click()
    page.locator("#layout-name input, #layout-name textarea").first.fill(name)
    page.locator("#start input").click()
    page.get_by_role("option", name=re.compile("Nothing")).click()
    rows = page.locator("#classes .row")
    page.wait_for_function("document.querySelectorAll('#classes .row').length === 1")
    for number, item in enumerate(classes, 1):
        page.locator("#classes [data-do=add]").click()
        rows.nth(number).locator("input[type=text]").fill(item)
    rows.nth(1).locator("summary").click()  # with the name before it just typed
    rows.nth(1).get_by_role("checkbox", name="nose", exact=True).check()
    assert rows.nth(1).locator("summary").inner_text() == "begins as nose"
    rows.nth(1).get_by_role("checkbox", name="nose", exact=True).uncheck()
    page.locator("#face-count input[type=number]").fill("3")
    page.locator("#face-count input[type=number]").press("Tab")


def lasso(page, name: str, left: float, right: float, top: float = 0.2, bottom: float = 0.8) -> None:
    """Paint a class over a rectangle of the board, whose sides are parts of its own."""
    page.locator("#board").get_by_role("radio").filter(has=page.get_by_text(name, exact=True)).click()
    board = page.locator("#board .board")
    board.scroll_into_view_if_needed()
    box = board.bounding_box()
    places = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x in (left, right) for y in (top, bottom)]
    page.mouse.move(*places[0])
    page.mouse.down()
    for place in (places[1], places[3], places[2]):
        page.mouse.move(*place, steps=3)
    page.mouse.up()


def painted(page) -> str:
    return page.locator("#board [data-show=changed]").inner_text()


def test_a_three_class_layout_is_made_used_downloaded_and_opened(address: str, tmp_path: Path) -> None:
    with browser(tmp_path / "profile", 1100, 1280) as context:
        page = opened(context, address)
        name_classes(page, "my three", "face", SCRIPT)
        page.locator("#propose").click()
        told(page, "3 faces are here")
        page.locator("#board [data-tool=lasso]").click()
        lasso(page, "face", 0.1, 0.5)
        lasso(page, SCRIPT, 0.55, 0.9)
        first = painted(page)
        assert "pixels are painted" in first
        page.get_by_role("tab", name="Edit", exact=True).click()  # nothing is lost there, nor undone
        page.locator("#canvas").get_by_role("radio").first.wait_for()
        page.keyboard.press("Control+z")
        page.get_by_role("tab", name="New layout").click()
        assert painted(page) == first
        page.locator("#done").click()
        told(page, "Face 2")
        assert painted(page) == "Nothing is painted yet."
        lasso(page, "face", 0.1, 0.5)
        lasso(page, SCRIPT, 0.55, 0.9)
        page.locator("#done").click()
        told(page, "Face 3 begins with what 2 painted faces have taught")
        assert page.locator("#paint-faces i").count() == 2
        page.locator("#paint-faces button").first.click()
        told(page, "Face 1")
        assert painted(page) == first
        page.locator("#paint-faces button").last.click()
        told(page, "Face 3")
        page.locator("#done").click()
        told(page, "All 3 faces are painted")
        faces = download(page, "save-faces", tmp_path)
        fit_and_use(page, tmp_path)
        assert page.faults == [] and page.outside == []
    layout = next(tmp_path.glob("my-three-????????.zip"))
    assert sorted(zipfile.ZipFile(layout).namelist())[:2] == ["README.md", "config.json"]
    with zipfile.ZipFile(faces) as archive:
        archive.extractall(tmp_path)
    samples = SampleSet.load(tmp_path / "my-three-faces")
    assert len(samples) == 3 and samples.layout.names == ["background", "face", SCRIPT] and samples.pixels["face"] > 200
    with browser(tmp_path / "other", 1100, 1280) as context:
        bob = opened(context, address)
        open_file(bob, layout)
        go_on_with_faces(bob, faces)


def fit_and_use(page, folder: Path) -> None:
    """Fit, look at losses and scores, download the layout, and go over to the Edit tab."""
    page.locator("#fit").click()
    told(page, r"loss", "fitting")
    assert "each face left out once" in told(page, "Done: my three, 3 classes, from 3 faces", "fitting")
    assert page.locator("#scores tbody tr").count() == 3 and SCRIPT in page.locator("#scores").inner_text()
    fits(page, "new-layout")
    assert page.locator("#curve canvas, #curve svg").count() and page.locator("#curve").get_by_text("No data").count() == 0
    download(page, "get-layout", folder)
    page.locator("#push").click()
    page.get_by_text("The Hub has to know who you are").first.wait_for()
    page.locator("#use-layout").click()
    wait_status(page, "Labels in the layout my three: 3 classes")
    assert page.locator("#canvas").get_by_role("radio").filter(has_text=SCRIPT).is_visible()


def open_file(page: Any, layout: Path) -> None:
    """Another visitor does not know the layout, until they open its file."""
    page.locator("#layout input").click()
    assert page.get_by_role("option").count() and not page.get_by_role("option", name=re.compile("my three")).count()
    page.keyboard.press("Escape")
    with page.expect_file_chooser() as chooser:
        page.locator("#open-layout").click()
    chooser.value.set_files(str(layout))
    wait_status(page, "Labels in the layout my three: 3 classes")
    assert page.locator("#canvas").get_by_role("radio").filter(has_text=SCRIPT).is_visible()
    assert page.faults == [] and page.outside == []


def go_on_with_faces(page: Any, faces: Path) -> None:
    """Painted faces are opened, and one more is proposed beside them."""
    page.get_by_role("tab", name="New layout").click()
    with page.expect_file_chooser() as chooser:
        page.locator("#open-faces").click()
    chooser.value.set_files(str(faces))
    told(page, "Opened: my three. All 3 faces are painted")
    assert page.locator("#layout-name input, #layout-name textarea").first.input_value() == "my three"
    assert page.locator("#classes .row").nth(2).locator("input[type=text]").input_value() == SCRIPT
    page.locator("#face-count input[type=number]").fill("4")
    page.locator("#face-count input[type=number]").press("Tab")
    page.locator("#propose").click()
    told(page, "4 faces are here. 3 of 4 faces are painted")
    assert page.locator("#paint-faces button").count() == 4 and page.locator("#paint-faces i").count() == 3
