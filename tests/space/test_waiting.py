"""What a visitor takes back while it waits for its turn never begins."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import gradio as gr
import pytest

from fface_hub.progress import Callback, Step
from space import handlers, limits
from space.models import OWN_LAYOUT
from tests.load.visitors import Visitor
from tests.space.visit import served


def test_an_edit_that_waits_for_its_turn_can_be_cancelled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[Any] = []

    def endless(session: Any, target: Any, settings: Any, report: Callback) -> Any:
        """An edit that runs until it is stopped."""
        begun.append(session)
        while True:
            report(Step(0, 1, {}))
            time.sleep(0.01)

    monkeypatch.setattr(handlers, "edit_job", endless)
    with served(tmp_path) as address:
        visitors = [Visitor(address, number, tmp_path) for number in range(limits.AT_ONCE + 1)]
        sheets = [visitor.call("draw_face", visitor.seed, OWN_LAYOUT)[0] for visitor in visitors]

        def press_apply(number: int) -> Any:
            return visitors[number].client.submit(visitors[number].painted(sheets[number]), True, [], api_name="/apply")

        def until(done: Any) -> None:
            deadline = time.monotonic() + 30
            while not done():
                assert time.monotonic() < deadline
                time.sleep(0.02)

        running = [press_apply(number) for number in range(limits.AT_ONCE)]
        until(lambda: len(begun) == limits.AT_ONCE)
        last = visitors[-1]
        cancels = [event["api_name"] for event in last.client.config["dependencies"] if str(event["api_name"]).startswith("cancel")]
        assert len(cancels) == 5  # on each tab with work that lasts
        for cancel in cancels:
            waiting = press_apply(limits.AT_ONCE)
            until(lambda: waiting.status().rank is not None)  # noqa: B023  (called at once)
            assert last.call(cancel) == "Stopped before it began. The face is as it was."
            until(waiting.done)
        assert last.call("cancel") == "Nothing is running."  # and nothing waits any more
        assert visitors[0].call("cancel") == gr.skip()  # the edit itself says what became of it
        until(running[0].done)
        assert last.call("reset")[-1] == "This is the face before any edit."  # a place is free, and still
        assert len(begun) == limits.AT_ONCE and not running[1].done()
        assert visitors[1].call("cancel") == gr.skip()
        until(running[1].done)
