"""The strips of pictures to go back to: the edits of a face, and the earlier faces of a visit."""

from __future__ import annotations

from typing import Any

from fface_hub.errors import FFaceError
from space.state import Edit, Session


def history(session: Session) -> dict[str, Any]:
    """The strip of edits, and which of them is shown."""

    def caption(number: int, entry: Edit) -> str:
        if entry.parent is None:
            return "Start"
        return f"Edit {number}" if entry.parent == number - 1 else f"Edit {number} of {entry.parent or 'start'}"

    entries = [{"picture": entry.thumbnail, "caption": caption(number, entry)} for number, entry in enumerate(session.edits)]
    return {"entries": entries, "now": session.now}


def earlier(session: Session) -> dict[str, Any]:
    """The strip of earlier faces of this visit, each as it was left; what they need to be looked at is dropped."""
    for face in session.earlier:
        face.rest()
    entries = [{"picture": face.edits[face.now].thumbnail, "caption": face.name.replace("-", " ")} for face in session.earlier]
    return {"entries": entries, "now": None}


def chosen_number(chosen: Any, count: int, what: str) -> int:
    """The number of the entry that a browser says was `chosen` of a strip of `count`, as {now: it}; `what` the entries are is told if there
    is none."""
    number = chosen.get("now") if isinstance(chosen, dict) else None
    if type(number) is not int or not 0 <= number < count:
        raise FFaceError(f"There is no such {what}: choose one of the strip.")
    return number
