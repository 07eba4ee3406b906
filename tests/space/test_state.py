"""What the page remembers of visitors who have left, on a fake of gradio's own memory."""

from __future__ import annotations

import asyncio
import datetime
from types import SimpleNamespace
from typing import Any

import gradio as gr
import pytest
from gradio.state_holder import StateHolder

from space import limits
from space.page import build
from space.state import Memory, forget_unless_back


class Thing:
    """What a visitor has; notes when it is deleted."""


@pytest.fixture
def memory(monkeypatch: pytest.MonkeyPatch) -> StateHolder:
    """gradio's memory of the page, with Alice and Bob in it."""
    monkeypatch.setattr(limits, "GRACE", 0.05)
    page = build()
    holder = StateHolder()
    holder.set_blocks(page)
    session = next(block for block in page.blocks.values() if isinstance(block, gr.State))
    for visitor in ("alice", "bob"):
        holder[visitor][session._id] = Thing()
    return holder


def things(memory: StateHolder) -> dict[str, int]:
    return {visitor: sum(type(value) is Thing for value in state.state_data.values()) for visitor, state in memory.session_data.items()}


def wait_after(*calls: Any) -> None:
    """Do `calls` in an event loop, and wait until a grace is over."""

    async def run() -> None:
        for call in calls:
            call()
        await asyncio.sleep(0.15)

    asyncio.run(run())


def test_who_leaves_is_forgotten_after_a_while(memory: StateHolder) -> None:
    wait_after(lambda: forget_unless_back(memory, "alice"), lambda: things(memory) == {"alice": 1, "bob": 1} or pytest.fail("at once"))
    assert things(memory) == {"bob": 1} and set(memory.time_last_used) == {"bob"}
    wait_after(lambda: forget_unless_back(memory, "nobody"))
    assert things(memory) == {"bob": 1}


def test_who_comes_back_is_not(memory: StateHolder) -> None:
    wait_after(lambda: forget_unless_back(memory, "alice"), lambda: memory["alice"])
    assert things(memory) == {"alice": 1, "bob": 1}


def test_who_does_anything_is_remembered_from_then_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """gradio alone counts from when a state was last written."""
    page, lasting = build(), 3 * limits.STATE_LIFETIME // 4
    for kind, stays in ((StateHolder, False), (Memory, True)):
        holder = kind()
        holder.set_blocks(page)
        session = next(block for block in page.blocks.values() if isinstance(block, gr.State))
        clock = datetime.datetime.now()
        later = SimpleNamespace(now=lambda clock=clock: clock)
        monkeypatch.setattr("gradio.state_holder.datetime", SimpleNamespace(datetime=later))
        holder["alice"][session._id] = Thing()
        for _ in range(2):
            clock += datetime.timedelta(seconds=lasting)
            later.now = lambda clock=clock: clock
            holder.delete_all_expired_state()
            assert "alice" in holder and holder["alice"] is not None  # what an event looks up
        assert bool(things(holder)["alice"]) == stays
        clock += datetime.timedelta(seconds=limits.STATE_LIFETIME + 1)
        later.now = lambda clock=clock: clock
        holder.delete_all_expired_state()
        assert not things(holder)["alice"]


def test_updates_leave_no_controls_behind() -> None:
    """gradio alone keeps one for each update that a value follows."""
    with gr.Blocks() as page:
        shown, other = gr.HTML(), gr.Textbox()
        page.load(lambda: None, None, [shown, other])
    for kind, grows in ((StateHolder, True), (Memory, False)):
        holder = kind()
        holder.set_blocks(page)
        state = holder["alice"]
        for number in range(3):
            for told in ([gr.skip(), "waits"], [f"face {number}", gr.skip()]):
                asyncio.run(page.postprocess_data(page.fns[0], told, state))
        assert (len(state.blocks_config.blocks) > len(page.blocks)) == grows
        if not grows:
            assert set(state.blocks_config.blocks) == set(state.config_values) == set(page.blocks)
            assert state.config_values[shown._id]["props"]["value"] == "face 2" and state[shown._id]._id == shown._id


@pytest.mark.parametrize("days", [1, -1])
def test_a_clock_that_jumps_changes_nothing_about_that(memory: StateHolder, days: int, monkeypatch: pytest.MonkeyPatch) -> None:
    class Jumped(datetime.datetime):
        @classmethod
        def now(cls, tz: Any = None) -> datetime.datetime:
            return datetime.datetime.now(tz) + datetime.timedelta(days=days)

    def jump() -> None:
        monkeypatch.setattr("gradio.state_holder.datetime", SimpleNamespace(datetime=Jumped))

    wait_after(lambda: forget_unless_back(memory, "alice"), lambda: forget_unless_back(memory, "bob"), jump, lambda: memory["bob"])
    assert things(memory) == {"bob": 1}
