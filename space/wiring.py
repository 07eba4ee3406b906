"""What the tabs of the page share: the visitor's face, where it is shown, and how many works of each kind run at a time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import gradio as gr

# However many visitors there are, few works of each kind run at a time; the others are told their place.
SHORT: dict[str, Any] = {"concurrency_id": "short"}
LONG: dict[str, Any] = {"concurrency_id": "long"}


def click(elem_id: str) -> str:
    """A script that clicks the unseen download button `elem_id`, once the page has the address of the file that was just written."""
    return f"() => setTimeout(() => document.querySelector('#{elem_id}').click(), 100)"


@dataclass(frozen=True)
class Wiring:
    """How a tab reaches the face that the Edit tab shows.

    `session` holds the visitor's face (`state.Session`), `layout` the choice of its layout. A handler that ends with `handlers.shown` has
    `outputs`; `sides` are the arguments of the event after it, which draws the five views. `status` says what was done.
    `cancel(button, status, *kinds)` lets a button stop work of some kinds (see `jobs`), running or waiting, and tell what came of that.
    """

    page: gr.Blocks
    session: gr.State
    layout: gr.Dropdown
    outputs: list[Any]
    sides: dict[str, Any]
    status: gr.Markdown
    cancel: Callable[..., None]
