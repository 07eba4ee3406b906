"""How much of an edit is shown: a straight way between the latents before and after it."""

from __future__ import annotations

from typing import Any

import gradio as gr
import torch
from torch import Tensor

from fface_hub.errors import CancelledError, FFaceError
from fface_hub.progress import Callback, between
from fface_hub.rendering.renderer import render
from space.handlers import before_after, need, settle, shown
from space.jobs import running
from space.state import Edit, Session
from space.toasts import plainly
from space.turning import MOVING

SIDE = 64
"""Pixels across a picture while the slider moves."""


@plainly
def look_at_strength(session: Session | None, chosen: Any, request: gr.Request) -> Any:
    """A small picture of the current edit at the `chosen` {strength} in percent, for the before/after slider."""
    session = need(session)
    latents, camera = _edit(session).at(_read(chosen)), session.camera

    def work(report: Callback) -> Tensor:
        with torch.no_grad():
            return render(session.face(latents).scene(), camera, SIDE, MOVING, callback=between(report, 0, 1), finish=False).image[0]

    try:
        with running(request, work, "strength") as job:
            return before_after(session, job.result())
    except CancelledError:
        return gr.skip()


@plainly
def weigh(session: Session | None, chosen: Any, request: gr.Request) -> tuple[Any, ...]:
    """Show the current edit at the `chosen` {strength} in percent from now on; what is painted on the face stays."""
    session = need(session)
    entry, strength = _edit(session), _read(chosen)
    settle(request)
    entry.weigh(strength)
    return shown(session, f"Edit {session.now}, at {strength:.0%} of its strength.", keep=0)


def _edit(session: Session) -> Edit:
    """The edit that is shown."""
    entry = session.edits[session.now]
    if entry.before is None:
        raise FFaceError("There is no edit to weaken: paint and press Apply, or choose an edit of the strip.")
    return entry


def _read(chosen: Any) -> float:
    percent = chosen.get("strength") if isinstance(chosen, dict) else None
    if type(percent) is not int or not 0 <= percent <= 100:
        raise FFaceError("The strength must be a whole number from 0 to 100.")
    return percent / 100
