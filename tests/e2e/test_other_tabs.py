"""The Appearance and the Gallery tab in a real browser, on the tiny generator and with a Hub on this machine: a face takes colours from
another one, and is painted in a layout that somebody shares.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fface_hub.adapters.adapter import Adapter
from fface_hub.hub.cards import model_card
from fface_hub.hub.preview import preview
from fface_hub.layouts import LabelClass, Layout
from tests.browser import browser, needs_chromium, served
from tests.e2e.test_page import PHOTO, edits, fits, opened, wait_status
from tests.hub.client import environment
from tests.hub.loopback import Hub, Repository
from tests.tiny import new_solid_generator

pytestmark = needs_chromium
SCRIPT = "<script>window.harmed = true</script>"
ODD = Layout("odd", (LabelClass("background", (0, 0, 0)), LabelClass(SCRIPT, (255, 0, 0)), LabelClass("<img src=x>", (0, 0, 255))))


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    """One adapter for the tiny generator, whose classes have names that would be run if they were read as HTML."""
    server, folder, model = Hub(), tmp_path_factory.mktemp("odd"), new_solid_generator()
    channels = {"feature_channels": model.config["plane_channels"], "geometry_channels": 1 + len(model.layout)}
    adapter = Adapter(ODD.to_dict(), "org/tiny", model.fingerprint, **channels)
    adapter.save_pretrained(folder)
    server.repositories["org/odd"] = Repository(False)
    drawn = preview(Adapter.from_pretrained("heads-eyes-19"))  # its own would be a legend: nobody else knows the tiny generator
    assert drawn is not None
    drawn.save(folder / "preview.png")
    card = {"README.md": model_card(adapter, "org/odd").encode()}
    server.repositories["org/odd"].commit("main", {**{path.name: path.read_bytes() for path in folder.iterdir()}, **card})
    yield server
    server.close()


@pytest.fixture(scope="module")
def page(hub: Hub, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The page on the tiny generator, in a server whose Hub is `hub`."""
    folder = tmp_path_factory.mktemp("app")
    new_solid_generator().save_pretrained(folder / "tiny")
    variables = environment(hub.url, folder / "home")
    at = {"FFACE_GENERATOR": str(folder / "tiny"), "HF_HUB_OFFLINE": "0", **{name: variables[name] for name in ("HF_ENDPOINT", "HF_HOME")}}
    with served(lambda _: [sys.executable, "app.py"], folder / "log", **at) as url, browser(folder / "profile", 1100, 1280) as context:
        yield opened(context, url)


def test_colors_of_another_face_become_an_edit(page: Any) -> None:
    page.get_by_role("tab", name="Appearance").click()
    told = page.locator("#told")
    told.get_by_text("100 % of the colours come from the other face, that of seed 32.").wait_for()
    page.locator("#colored").get_by_text("hair", exact=True).click()
    page.locator("#shape input[type=number]").fill("40")
    page.locator("#shape input[type=number]").press("Enter")
    told.get_by_text("100 % of the colours of hair and 40 % of the shape come from the other face, that of seed 32.").wait_for()
    page.set_viewport_size({"width": 390, "height": 800})
    page.locator("#use").scroll_into_view_if_needed()
    assert page.locator("#three-faces").bounding_box()["y"] >= 0  # on a phone the faces stay in sight of the controls
    fits(page, "appearance")
    page.locator("#use").click()
    wait_status(page, "100 % of the colours of hair and 40 % of the shape")
    assert page.locator("#apply").is_visible() and edits(page).count() == 2  # on the Edit tab
    page.locator("#undo").click()
    wait_status(page, "the face before any edit")


def test_the_other_face_comes_from_a_square_of_a_photo(page: Any, tmp_path: Path) -> None:
    page.get_by_role("tab", name="Appearance").click()
    page.locator("[role=tab]:visible", has_text="From a photo").click()
    upload, status, square = (
        page.locator("#other-photo input[type=file]"),
        page.locator("#appearance-status"),
        page.locator("#other-square"),
    )
    upload.set_input_files(str(PHOTO))
    status.get_by_text("press Make it 3-D").wait_for()
    picture = square.locator("img")
    picture.wait_for()
    before = picture.get_attribute("style")
    square.locator(".window").press("+")
    assert picture.get_attribute("style") != before
    fits(page, "appearance-photo")
    page.locator("#other-make").click()
    page.get_by_text("Tick the box that says").first.wait_for()
    page.locator("#other-consent input").check()
    page.locator("#other-make").click()
    page.get_by_text("Looking for this face").first.wait_for()
    late: list[Any] = []
    page.route(re.compile("/run/"), lambda route: late.append((route, route.fetch())))
    page.locator("#other-stop").click()
    status.get_by_text("Stopped. The other face is as it was.").wait_for()
    ((route, answer),) = late
    with page.expect_response(re.compile("/run/")) as told:
        route.fulfill(response=answer)
    told.value.finished()
    page.unroute_all()
    page.wait_for_timeout(200)
    assert status.get_by_text("Stopped. The other face is as it was.").is_visible()  # the answer to Cancel, come later, does not hide it
    (tmp_path / "drawing.svg").write_text("<svg xmlns='http://www.w3.org/2000/svg'/>")
    upload.set_input_files(str(tmp_path / "drawing.svg"))
    status.get_by_text("not a picture that can be read").wait_for()
    assert picture.get_attribute("src") is None  # nothing is left of the photo before


def test_a_layout_of_the_hub_is_painted_in(page: Any, hub: Hub) -> None:
    page.get_by_role("tab", name="Gallery").click()
    page.locator("#bundled-cards img").wait_for()
    assert not hub.requests  # nobody was asked before the button was pressed
    page.locator("#search-hub").click()
    page.locator("#gallery-status").get_by_text("One layout on the Hub").wait_for()
    assert hub.requests
    page.locator("#hub-cards img").wait_for()  # and it was looked into
    assert page.locator("#hub-cards .classes li").all_inner_texts() == ["background", SCRIPT, "<img src=x>"]
    fits(page, "gallery")
    page.get_by_role("button", name="Paint with org/odd").click()
    wait_status(page, "Labels in the layout odd: 3 classes")
    assert page.locator("#apply").is_visible() and page.locator("#layout input").input_value() == "org/odd"
    page.get_by_role("radio").filter(has=page.get_by_text(SCRIPT, exact=True)).wait_for()
    assert page.evaluate("window.harmed") is None and page.faults == [] and page.outside == []
    page.get_by_role("tab", name="Appearance").click()
    page.locator("#shaped").get_by_text(SCRIPT, exact=True).wait_for()
    assert page.evaluate("window.harmed") is None
