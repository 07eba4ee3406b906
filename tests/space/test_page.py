"""How the page is put together."""

from __future__ import annotations

from space.page import build


def test_progress_and_faults_are_shown_where_they_hide_nothing() -> None:
    """gradio lays both over every output of an event that does not say where, and leaves "Error" there."""
    page = build()
    for event in page.config["dependencies"]:
        if event["backend_fn"] and event["show_progress"] != "hidden":
            places = [page.blocks[number] for number in event["show_progress_on"] or event["outputs"]]
            told = {place.elem_id for place in places if place.get_block_name() != "markdown"}
            assert told <= {"strip"}, event["api_name"]  # the five views, which come one after the other
