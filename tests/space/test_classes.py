"""The list of classes of a new layout, by itself in a browser: the colours that it proposes."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from fface_hub.layouts import BASE_15
from space.canvas import read
from space.drafts import class_list
from tests.space.canvas_page import ADDRESS, PAGE, RUN
from tests.space.test_painting import VISIONS, lab


def colors_after(page: Any, names: list[str], added: int) -> list[list[int]]:
    """The colours of a list that begins with classes of base-15, after `added` more."""
    body = PAGE.format(css=read("classes.css"), html=read("classes.html"))
    page.route(ADDRESS, lambda route: route.fulfill(body=body, content_type="text/html"))
    page.goto(ADDRESS)
    page.evaluate(RUN, read("classes.js"))
    page.evaluate("value => give(value)", class_list(BASE_15, names))
    for _ in range(added):
        page.locator("[data-do=add]").click()
    return [row["color"] for row in json.loads(page.evaluate("JSON.stringify(props.value)"))["rows"]]


@pytest.mark.parametrize(("names", "added", "apart"), [(BASE_15.names, 4, 10), (BASE_15.names[:1], 6, 20)])
@pytest.mark.parametrize("vision", VISIONS)
def test_proposed_colours_are_told_apart_with_any_colour_vision(tab: Any, names: list[str], added: int, apart: float, vision: str) -> None:
    colors = colors_after(tab, names, added)
    seen = lab(np.array(colors, float), vision)
    distance = np.linalg.norm(seen[:, None] - seen[None], axis=-1) + 1000 * np.eye(len(seen))
    assert distance[-added:].min() > apart, colors[-added:]
