"""The table of limits is what the page goes by."""

from __future__ import annotations

import gradio as gr
import pytest

from space import limits
from space.page import build


def test_the_page_takes_its_limits_from_the_table(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("STATE_LIFETIME", 77), ("CACHE_EVERY", 5), ("CACHE_AGE", 6)):
        monkeypatch.setattr(limits, name, value)
    page = build()
    assert page.delete_cache == (5, 6)
    lifetimes = [block.time_to_live for block in page.blocks.values() if isinstance(block, gr.State)]
    assert lifetimes and set(lifetimes) == {77}


def test_every_handler_that_works_waits_for_its_turn() -> None:
    """What has no group of its own would have gradio's limit to itself."""
    groups = {fn.name: fn.concurrency_id for fn in build().fns.values() if fn.queue and fn.name}
    long = ("apply", "invert_photo", "make_video_and_mesh", "propose", "suggest_here", "suggest_next", "fit_layout", "push")
    short = ("draw_face", "go_back", "undo", "reset", "layout_chosen", "show_five_views", "open_face", "next_face", "open_layout")
    assert {groups[name] for name in long} == {"long"} and {groups[name] for name in short} == {"short"}
    assert groups["preview"] == "preview" and groups["turn"] == "viewer"


def test_files_outlive_what_refers_to_them() -> None:
    assert limits.GRACE < limits.STATE_LIFETIME <= limits.CACHE_AGE < limits.FILE_LIFETIME <= 2 * 3600  # as the page promises
