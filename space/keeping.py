"""What a visitor keeps: the session as a file that reopens exactly, and the earlier faces of this visit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gradio as gr

from fface_hub.errors import FFaceError, ModelError
from space import handlers, saved
from space.handlers import need, settle, shown
from space.models import generator
from space.painting import read_painted
from space.state import Session
from space.strips import chosen_number
from space.toasts import plainly


@plainly
def save_session(session: Session | None, painted: Any) -> tuple[str, str]:
    """The session with what is painted on the canvas, as a file to download; and a sentence about it."""
    session = need(session)
    target, _ = read_painted(painted, session.labels, session.layout)
    nothing = bool((target == session.labels.cpu()).all())
    path = session.path(".session.zip")
    saved.save(session, path, generator(), None if nothing else target)
    size = path.stat().st_size / 1000
    return str(path), f"Saved {path.name} ({size:.0f} kB). It holds no photo, but it still encodes the likeness of the person."


@plainly
def open_session(path: str | None, before: Session | None, request: gr.Request) -> tuple[Any, ...]:
    """The face of a session file, with its edits and what was painted; then, the name of its layout. What `shown` gives, and that name."""
    if path is None:
        raise FFaceError("There is no file yet: choose a session file that this page has saved.")
    session, painting = saved.load(Path(path), generator(), handlers.RESOLUTION, handlers.THUMBNAIL)
    settle(request)
    number, session.now = session.now, 0
    if number:
        handlers.show(session)  # the picture before all edits
        session.now = number
    sheet = handlers.show(session, painted=painting)
    if session.rendering is None or not bool(session.rendering.image.isfinite().all()):
        raise ModelError(saved.DAMAGED)
    session.follow(before)  # only now: the strip of earlier faces lets the one before rest
    edits = len(session.edits) - 1
    where = f", edit {number} of {edits}" if number else f", before {'its edit' if edits == 1 else f'its {edits} edits'}" if edits else ""
    told = f"Opened: {session.name.replace('-', ' ')}{where}."
    return *handlers.with_sheet(session, told, sheet), session.layout_id


@plainly
def back_to_face(session: Session | None, chosen: Any, request: gr.Request) -> tuple[Any, ...]:
    """To an earlier face of this visit, `chosen` as {now: its number}, as it was left, with what was painted on it; then, the name of its
    layout."""
    session = need(session)
    face = session.earlier[chosen_number(chosen, len(session.earlier), "face")]
    settle(request)
    face.follow(session)
    return *shown(face, f"Back to {face.name.replace('-', ' ')}.", painted=face.unapplied), face.layout_id
