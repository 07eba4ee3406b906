"""The Gradio page: a tab for each thing to do, and what they share."""

from __future__ import annotations

from pathlib import Path

import gradio as gr

from space import api, limits
from space.jobs import stop_all
from space.state import forget_unless_back
from space.tabs import appearance, edit, gallery, new_layout

CSS_FILE = Path(__file__).parent / "style.css"
TITLE = "Edit a face in 3-D, in any layout of classes"
INTRO = (
    "# Edit a face in 3-D\n"
    "Upload a portrait or draw a face, paint on its labels, press **Apply**: the 3-D face follows the paint. See it from every side."
)
NOTE = (
    "Photos go to the computer that runs this page and to nobody else, and are deleted there within about two hours of your last click. "
    "Downloads of the face carry a note that it is computer-made. Do not use edited faces of real people to deceive anyone."
)


def build() -> gr.Blocks:
    """All tabs; `launch` arguments are in `app.py`."""
    with gr.Blocks(title=TITLE, fill_width=True, delete_cache=(limits.CACHE_EVERY, limits.CACHE_AGE)) as page:
        gr.Markdown(INTRO, elem_id="head")
        session = gr.State(None, time_to_live=limits.STATE_LIFETIME)
        own = gr.State(None, time_to_live=limits.STATE_LIFETIME)
        with gr.Tabs(elem_id="tabs") as tabs:
            with gr.Tab("Edit", id="edit"):
                editing = edit.build()
            with gr.Tab("New layout", id="new-layout") as layout_tab:
                making = new_layout.build()
            with gr.Tab("Appearance", id="appearance") as appearance_tab:
                lending = appearance.build()
            with gr.Tab("Gallery", id="gallery") as gallery_tab:
                choosing = gallery.build()
        gr.Markdown(NOTE, elem_id="note")
        wires = edit.wiring(page, session, editing)
        edit.connect(editing, wires)
        edit.connect_layouts(editing, wires, own, making.start)
        new_layout.connect(making, wires, own, tabs, layout_tab)
        appearance.connect(appearance_tab, tabs, lending, wires)
        gallery.connect(gallery_tab, tabs, choosing, wires)

        async def leave(request: gr.Request) -> None:
            """The visitor has closed the page: stop what would run for nobody, and forget them."""
            stop_all(request)
            forget_unless_back(page.state_holder, str(request.session_hash))

        page.unload(leave)
        api.connect(page)
    return page
