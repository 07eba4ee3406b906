"""The canvas by itself, on a blank page in a browser: what gradio would give its script is a few lines here, and no server is needed."""

from __future__ import annotations

import base64
import itertools
import json
from typing import Any

import numpy as np
from numpy.typing import NDArray

from space.canvas import SCRIPTS, read

CLASSES = [
    {"name": name, "color": color, "within": [name]}
    for name, color in (("background", [70, 78, 92]), ("skin", [238, 190, 160]), ("nose", [190, 61, 99]), ("<b>bold</b>", [0, 108, 155]))
]
SERIALS = itertools.count()
ADDRESS = "https://canvas.test/"
PAGE = """<!doctype html><meta charset="utf-8"><title>canvas</title>
<style>
  body {{ margin: 0; font-family: system-ui, sans-serif; --color-accent: #0f766e; --border-color-primary: #ccc }}
  #host {{ {css} }}
</style>
<div id="host">{html}</div>"""
RUN = """script => {
    const host = document.getElementById("host"), callbacks = [];
    window.events = [];
    const inner = { value: null };
    window.props = new Proxy(inner, { set: (target, key, value) => { target[key] = JSON.parse(JSON.stringify(value)); return true; } });
    window.give = sheet => { inner.value = sheet; callbacks.forEach(call => call()); };
    const watch = (names, call) => callbacks.push(call);
    const given = [host, name => events.push(name), props, {}, null, watch];
    new Function("element", "trigger", "props", "server", "upload", "watch", script)(...given);
}"""


def encode(ids: NDArray[Any]) -> str:
    return base64.b64encode(ids.astype(np.uint8).tobytes()).decode()


def sheet(ids: NDArray[Any], **changed: Any) -> dict[str, Any]:
    """A sheet of `ids [h,h]`, as `painting.sheet` makes it."""
    given = {"id": "first", "serial": next(SERIALS), "size": len(ids), "labels": encode(ids), "classes": CLASSES, "picture": ""}
    return {**given, "keep": None, "painted": None, **changed}


class Canvas:
    """The canvas on the `page` of a browser."""

    def __init__(self, page: Any) -> None:
        self.page = page
        # Only where a page came safely does a browser tell of all movements that it has put together while it was busy.
        body = PAGE.format(css=read("canvas.css"), html=read("canvas.html"))
        page.route(ADDRESS, lambda route: route.fulfill(body=body, content_type="text/html"))
        page.goto(ADDRESS)
        page.evaluate(RUN, read(*SCRIPTS))

    def give(self, ids: NDArray[Any], **changed: Any) -> None:
        """What the server does when there is another face."""
        self.page.evaluate("sheet => give(sheet)", sheet(ids, **changed))

    @property
    def value(self) -> dict[str, Any]:
        """What the server would get."""
        return json.loads(self.page.evaluate("JSON.stringify(props.value)"))

    @property
    def ids(self) -> NDArray[np.uint8]:
        """The painted map `[h,h]`."""
        size = self.value["size"]
        return np.frombuffer(base64.b64decode(self.value["labels"]), np.uint8).reshape(size, size)

    def place(self, x: float, y: float) -> tuple[float, float]:
        """Where the point (x, y) of the map is in the window, while all of it is shown."""
        box, size = self.page.locator(".board").bounding_box(), self.value["size"]
        return box["x"] + x * box["width"] / size, box["y"] + y * box["height"] / size

    def drag(self, *points: tuple[float, float]) -> None:
        """Press at the first of these points of the map, go to the others, and let go."""
        self.page.mouse.move(*self.place(*points[0]))
        self.page.mouse.down()
        for point in points[1:]:
            self.page.mouse.move(*self.place(*point))
        self.page.mouse.up()

    def wheel(self, delta: float) -> None:
        """Turn the wheel where the mouse is; a browser tells the page of that when it has time."""
        self.page.evaluate("() => { window.turned = false; addEventListener('wheel', () => (window.turned = true), { once: true }); }")
        self.page.mouse.wheel(0, delta)
        self.page.wait_for_function("turned")

    def press(self, *names: str) -> None:
        """Press buttons by what is written on them."""
        for name in names:
            self.page.get_by_role("button", name=name, exact=True).click()

    def choose(self, name: str) -> None:
        self.page.get_by_role("radio").filter(has_text=name).click()

    def size(self, diameter: int) -> None:
        """Set the brush."""
        self.page.locator("[data-set=diameter]").fill(str(diameter))
