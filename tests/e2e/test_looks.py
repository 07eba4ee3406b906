"""How the page looks while it works, at the widths of a phone, a tablet and a desk, and in the theme that it is told."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.browser import browser, needs_chromium
from tests.e2e.test_page import PHOTO, new_face, opened, shot, stroke, wait_status

pytestmark = needs_chromium
# Once there is a bar: where the status and its progress are, what lies on top of the words, and whether seconds are seen.
PROGRESS = """() => {
  const status = document.querySelector("#status"), over = status.querySelector("[data-testid=status-tracker]");
  if (!over.querySelector(".progress-level") || getComputedStyle(over).opacity < 1) return false;
  const words = status.querySelector("p").getBoundingClientRect(), level = over.querySelector(".progress-level").getBoundingClientRect();
  const place = (element) => { const box = element.getBoundingClientRect(); return [box.left, box.top, box.right, box.bottom]; };
  return {
    status: place(status), over: place(over), background: getComputedStyle(over).backgroundColor,
    held: level.bottom <= place(status)[3] && over.querySelector(".progress-level-inner").getClientRects().length === 1,
    covered: over.contains(document.elementFromPoint(words.left + 5, words.top + 5)), seconds: over.innerText.match(/\\d s|\\ds/) !== null,
  };
}"""
OPAQUE = ("rgb(255, 255, 255)", "rgb(33, 31, 29)")


@pytest.fixture(scope="module")
def page(address: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with browser(tmp_path_factory.mktemp("profile"), 900, 1280) as context:
        yield opened(context, address)


def place(page: Any, what: str) -> dict[str, float]:
    """Where something is, from the beginning of the page."""
    return page.evaluate(
        """what => {
            const box = document.querySelector(what).getBoundingClientRect(), top = box.top + scrollY;
            return { left: box.left, right: box.right, top, bottom: top + box.height };
        }""",
        what,
    )


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (1280, "dark"), (390, "light"), (390, "dark")])
def test_progress_stands_in_the_place_of_the_status_and_moves_nothing(page: Any, width: int, scheme: str) -> None:
    page.set_viewport_size({"width": width, "height": 900})
    page.emulate_media(color_scheme=scheme)
    new_face(page, width + len(scheme))
    page.locator("#live input").uncheck()
    page.locator("#canvas .board").scroll_into_view_if_needed()
    stroke(page, (0.4, 0.5), (0.6, 0.6))
    before = place(page, "#slider")
    page.locator("#apply").click()
    if width == 390:  # the page scrolls to it by itself
        page.wait_for_function("document.querySelector('#status').getBoundingClientRect().bottom <= innerHeight")
    else:
        page.evaluate("document.querySelector('#status').scrollIntoView({ block: 'center' })")
    seen = page.wait_for_function(PROGRESS).json_value()
    shot(page, f"progress-{width}-{scheme}")
    assert seen["over"] == seen["status"], seen
    assert seen["background"] in OPAQUE and seen["covered"] and seen["held"] and not seen["seconds"], seen
    assert place(page, "#slider") == before
    page.locator("#cancel").click()
    wait_status(page, "Stopp")
    page.locator("#apply").click()  # at once: the next edit does not wait
    wait_status(page, r"Step \d+ of")
    page.locator("#cancel").click()
    wait_status(page, "The face is as it was before")
    assert place(page, "#slider") == before


def test_the_badge_of_a_fault_is_not_seen(page: Any) -> None:
    """What the toast says does not lie over the status."""
    new_face(page, 5)
    before = place(page, "#slider")
    page.locator("#apply").click()
    page.locator("#status .error").wait_for(state="attached")
    assert not page.locator("#status .error").is_visible()
    assert place(page, "#slider") == before


def test_the_square_of_a_photo_lies_under_nothing(page: Any) -> None:
    page.get_by_role("tab", name="From a photo").click()
    page.locator("#photo input[type=file]").set_input_files(str(PHOTO))
    wait_status(page, "press Make it 3-D")
    for width in (390, 600, 768, 820, 900, 1000, 1400):
        page.set_viewport_size({"width": width, "height": 1180})
        places = [place(page, what) for what in ("#photo", "#square .window", "#square .size", "#consent")]
        for number, one in enumerate(places):
            for other in places[number + 1 :]:
                beside = one["right"] <= other["left"] or other["right"] <= one["left"]
                assert beside or one["bottom"] <= other["top"] or other["bottom"] <= one["top"], (width, places)
    page.get_by_role("tab", name="From a seed").click()


@pytest.mark.parametrize(("theme", "system", "color"), [("dark", "light", "rgb(23, 22, 20)"), ("light", "dark", "rgb(245, 244, 241)")])
def test_the_margins_have_the_theme_that_the_page_is_told(page: Any, address: str, theme: str, system: str, color: str) -> None:
    told = opened(page.context, f"{address}/?__theme={theme}", color_scheme=system)
    assert told.evaluate("getComputedStyle(document.body).backgroundColor") == color
    told.close()
