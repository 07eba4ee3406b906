"""Names of classes and layouts are a stranger's text: the page shows them as text."""

from __future__ import annotations

import html
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gradio as gr
import pytest

from fface_hub.cameras import look_at
from fface_hub.errors import FaceNotFoundError, ModelError
from fface_hub.hub.card_facts import escape
from space import handlers
from space.page import TITLE
from space.state import Session
from space.toasts import toast
from tests.browser import ROOT, browser, needs_chromium, served
from tests.security.markup import CLASSES, ERROR, LAYOUT, hostile_layout


def test_toasts_are_escaped_but_for_quotes() -> None:
    """gradio reads them as HTML."""
    told = toast(ModelError(ERROR)).message
    assert "<" not in told and html.unescape(told) == ERROR
    assert toast(ModelError("The face's 'nose' is gone.")).message == "The face's 'nose' is gone."


def test_the_status_shows_the_name_of_a_layout_as_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handlers, "find_adapter", lambda id, visitor: None)
    monkeypatch.setattr(handlers, "shown", lambda session, message, keep: (message,))
    generator: Any = SimpleNamespace(layout=hostile_layout())
    request: Any = SimpleNamespace(session_hash="alice")
    session = Session(generator, look_at(0.0), [])
    (said,) = handlers.layout_chosen(session, "hostile", request)
    assert escape(LAYOUT) in said and "<" not in said and html.unescape(said) == f"Labels in the layout {LAYOUT}: 6 classes."


def test_what_is_wrong_with_a_photo_is_text_in_both_places(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(photo: object, metres_per_unit: float) -> None:
        raise FaceNotFoundError(ERROR)

    toasts: list[str] = []
    monkeypatch.setattr(handlers, "find_face", fail)
    monkeypatch.setattr(gr, "Warning", toasts.append)
    _, _, said = handlers.photo_chosen(str(ROOT / "examples" / "photos" / "astronaut.jpg"))
    assert "<" not in said and "<" not in toasts[0] and html.unescape(said) == html.unescape(toasts[0]) == ERROR


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    """The page with the hostile layouts, on a free port."""
    with served(lambda port: [sys.executable, "-m", "tests.security.hostile_page", str(port)], tmp_path / "log") as url:
        yield url


@pytest.mark.slow
@needs_chromium
def test_a_browser_shows_markup_as_text(address: str, tmp_path: Path) -> None:
    from playwright.sync_api import expect

    with browser(tmp_path / "profile", 1200) as context:
        page = context.new_page()
        page.goto(address)
        expect(page.locator("#status")).to_contain_text("Face of seed 7", timeout=180_000)

        def choose(layout: str) -> None:
            page.locator("#layout input").click()
            page.get_by_role("option", name=layout).click()

        choose("hostile")
        expect(page.locator("#status")).to_contain_text(f"Labels in the layout {LAYOUT}: 6 classes.", timeout=60_000)
        expect(page.locator(".classes [role=radio]")).to_have_count(1 + len(CLASSES))
        assert page.locator(".classes [role=radio] span").all_inner_texts() == ["background", *CLASSES]
        page.get_by_role("radio").nth(1).click()  # and when it is told that another one was chosen
        expect(page.locator("[data-show=said]")).to_have_text(CLASSES[0])
        choose("refused")
        expect(page.get_by_text(ERROR).first).to_be_visible(timeout=30_000)
        within = [f"{place} {tag}" for place in (".classes", ".told") for tag in ("img", "script", "svg", "b")]
        drawn = ", ".join([*within, "#status img", "#status b", "img[src='x']", "img[src='//h/x']"])
        assert page.locator(drawn).count() == 0
        assert page.title() == TITLE and page.get_by_text("inside the program").count() == 0
