"""The page's own components, without a build step: the painting canvas, strips of pictures, a face that turns, a square to cut, and more.

On the canvas, the browser paints class ids, and gives back ids, never colours. `raster.js` says which pixels a tool covers, `map.js` holds
the painted map and its strokes, `view.js` draws, `tools.js` turns a hand's movements into strokes, `canvas.js` and `input.js` connect them
with the page. gradio runs them as one function.
"""

from __future__ import annotations

from pathlib import Path

import gradio as gr

FOLDER = Path(__file__).parent
SCRIPTS = ("raster.js", "map.js", "view.js", "tools.js", "canvas.js", "input.js")


def read(*names: str) -> str:
    """The text of files of this folder, one after the other."""
    return "\n".join((FOLDER / name).read_text(encoding="utf-8") for name in names)


def widget(name: str, scripts: tuple[str, ...], elem_id: str) -> gr.HTML:
    """A component whose HTML, CSS and script are files of this folder. Its value is JSON, in both directions.

    gradio reads the HTML and the CSS as templates and would run what a value brings into them, so they use no value: the scripts set all
    text as text.
    """
    html = gr.HTML(
        html_template=read(f"{name}.html"),
        css_template=read(f"{name}.css"),
        js_on_load='"use strict";\n' + read(*scripts),
        apply_default_css=False,
        elem_id=elem_id,
        elem_classes="widget",
    )
    # What clients of the API are told; a class of our own would make gradio write a stub beside this file.
    html.api_info = lambda: {"type": {}, "description": "any valid json"}
    return html


def painting_canvas(elem_id: str = "canvas") -> gr.HTML:
    """The canvas: its value is a sheet (`painting.sheet`) from the server, what was painted (`painting.read_painted`) from the browser."""
    return widget("canvas", SCRIPTS, elem_id)


def history_strip(elem_id: str = "history") -> gr.HTML:
    """Pictures of edits or faces: its value is `{entries: [{picture, caption}], now}` from the server, `{now}` with the event "select"."""
    return widget("history", ("history.js",), elem_id)


def turning_viewer() -> gr.HTML:
    """The face that is turned by dragging: its value is a view that the browser asks for, and then that view (`turning.turn`)."""
    return widget("viewer", ("viewer.js",), "viewer")


def strength_slider() -> gr.HTML:
    """How much of an edit is shown: its value is `{strength, can}` from the server, and `{strength}` in percent with the events "input" (it
    moves) and "release" (it stays) from the browser."""
    return widget("strength", ("strength.js",), "strength")


def photo_crop(elem_id: str) -> gr.HTML:
    """The square that is cut from a photo: its value is the photo and the square that was found (`handlers.photo_chosen`) from the server,
    `{box: [left, top, size]}` in pixels of the photo from the browser."""
    return widget("crop", ("crop.js",), elem_id)


def face_strip() -> gr.HTML:
    """Faces to paint: its value is `{entries: [{picture, caption, painted}], now}` from the server, and `{now}` with the event "select"."""
    return widget("faces", ("faces.js",), "paint-faces")


def class_list() -> gr.HTML:
    """The classes of a new layout: its value is what `drafts.class_list` gives, and what `drafts.read_classes` takes."""
    return widget("classes", ("classes.js",), "classes")
