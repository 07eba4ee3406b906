"""The Gallery tab: layouts to paint in, one click each."""

from __future__ import annotations

from types import SimpleNamespace

import gradio as gr

from space import gallery
from space.canvas import widget
from space.wiring import SHORT, Wiring

SEARCHING = {"concurrency_id": "hub", "concurrency_limit": 4}
"""Who waits for an answer of the Hub keeps nobody from drawing."""


def build() -> SimpleNamespace:
    """All controls of the tab."""
    with gr.Column(elem_classes="card"):
        gr.Markdown("### Layouts that come with this page")
        bundled = widget("cards", ("cards.js",), "bundled-cards")
    with gr.Column(elem_classes="card"):
        gr.Markdown("### Layouts that people share")
        with gr.Row(elem_id="searching"):
            search = gr.Button("Search the Hub (asks huggingface.co)", elem_id="search-hub")
            status = gr.Markdown("Nothing was asked of huggingface.co yet.", elem_id="gallery-status")
        shared = widget("cards", ("cards.js",), "hub-cards")
    return SimpleNamespace(bundled=bundled, search=search, status=status, shared=shared)


def connect(tab: gr.Tab, tabs: gr.Tabs, on: SimpleNamespace, wires: Wiring) -> None:
    """Which control calls which handler. Nothing is drawn before `tab` is chosen; `tabs` lead to the Edit tab."""
    tab.select(gallery.bundled_cards, None, on.bundled, show_progress="hidden", **SHORT)
    on.search.click(gallery.search_hub, None, [on.shared, on.status], show_progress_on=on.status, **SEARCHING)
    for cards in (on.bundled, on.shared):
        cards.select(gallery.paint_with, cards, [wires.layout, tabs], show_progress_on=on.status, **SEARCHING)
