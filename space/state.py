"""What the page remembers of one visitor, and for how long."""

from __future__ import annotations

import asyncio
import tempfile
import uuid
import weakref
from collections import deque
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from gradio.blocks import Block
from gradio.state_holder import SessionState, StateHolder
from torch import Tensor

from fface_hub.adapters.adapter import Adapter
from fface_hub.cameras import Camera
from fface_hub.editing.edit import EditSession
from fface_hub.generators.base import Generator, Rendering, Scene
from fface_hub.inversion.encoder import CanonicalEditor
from fface_hub.inversion.inversion import Inversion
from fface_hub.latents import Latents
from fface_hub.layouts import Layout
from space import limits, storage


def new_folder() -> tempfile.TemporaryDirectory[str]:
    """A folder for one visitor's downloads, which goes with the object."""
    return tempfile.TemporaryDirectory(dir=storage.folder("sessions"))


def fresh_path(folder: tempfile.TemporaryDirectory[str], name: str, suffix: str) -> Path:
    """Where a download is written; a fresh name each time, so that a browser never serves an old copy."""
    return Path(folder.name) / f"{name}-{uuid.uuid4().hex[:8]}{suffix}"


@dataclass
class Edit:
    """One state of the face, to go back to: the `latents` that an edit made, the number of the edit that it was made from (None: the face
    as it came) and what that looked like `before`, the labels `[h,w]` that were `painted` for it and their layout, how much of the edit is
    shown (`strength`, 0 to 1), and its `thumbnail` (a data URL, once it was shown).
    """

    latents: Latents
    parent: int | None = None
    painted: Tensor | None = None
    layout: Layout | None = None
    thumbnail: str = ""
    before: Latents | None = None
    strength: float = 1.0
    shown: Latents = field(init=False)

    def __post_init__(self) -> None:
        self.shown = self.at(self.strength)

    def at(self, strength: float) -> Latents:
        """The face with so much of the edit."""
        return self.latents if self.before is None or strength == 1 else self.before.lerp(self.latents, strength)

    def weigh(self, strength: float) -> None:
        """Show so much of the edit from now on."""
        self.strength, self.shown, self.thumbnail = strength, self.at(strength), ""


@dataclass(eq=False)
class Session:
    """One visitor's face: where it came from, every edit so far, which of them is shown `now`, and the current view of it.

    `layout_id` is what the adapter's layout is called in the list of layouts. `unapplied` are the labels `[h,w]` that are painted on the
    view and not applied, as far as the server knows, and `filmed` is what the film and the mesh are of. `earlier` are the faces of this
    visit that were drawn before, the newest first; they have no earlier ones themselves.
    """

    generator: Generator
    camera: Camera
    edits: list[Edit]
    inversion: Inversion | None = None
    adapter: Adapter | None = None
    rendering: Rendering | None = None
    unapplied: Tensor | None = None
    filmed: Latents | None = None
    first_image: Tensor | None = None
    name: str = "face"
    now: int = 0
    layout_id: str = ""
    earlier: list[Session] = field(default_factory=list)
    folder: tempfile.TemporaryDirectory[str] = field(default_factory=new_folder)
    _editing: tuple[Latents, Adapter | None, EditSession] | None = field(default=None, init=False)
    _scene: tuple[Latents, Scene] | None = field(default=None, init=False)

    def editing(self, editor: CanonicalEditor | None) -> EditSession:
        """What edits the face as it is now, in its layout: the same from stroke to stroke."""
        known = self._editing
        if known is None or known[0] is not self.latents or known[1] is not self.adapter:
            known = self.latents, self.adapter, EditSession(self.generator, self.face(), self.adapter, self.camera, editor)
            self._editing = known
        return known[2]

    @property
    def latents(self) -> Latents:
        """The face as it is now."""
        return self.edits[self.now].shown

    def add(self, latents: Latents, painted: Tensor | None = None) -> None:
        """An edit of the face as it is now, `painted` or else taken from another face, which becomes the one that is shown; edits after
        one that was gone back to stay, too."""
        if len(self.edits) >= limits.EDITS:
            self._forget(1)
        self.edits.append(Edit(latents, self.now, painted, self.layout, before=self.latents))
        self.now = len(self.edits) - 1

    def _forget(self, number: int) -> None:
        """Drop an edit; what was made from it counts as made from its parent."""
        gone = self.edits.pop(number)

        def moved(index: int) -> int:
            return (gone.parent or 0) if index == number else index - (index > number)

        self.now = moved(self.now)
        for edit in self.edits:
            edit.parent = None if edit.parent is None else moved(edit.parent)

    def face(self, latents: Latents | None = None) -> Inversion:
        """The face as it is now (or at other `latents`), with the photo's surroundings behind it if it came from one.

        A drawn one has nothing of a photo; it is an inversion, too, since that shows a face with a colour of its own for each class.
        """
        latents = latents or self.latents
        return Inversion(latents, self.camera, self.generator) if self.inversion is None else replace(self.inversion, latents=latents)

    def follow(self, before: Session | None) -> None:
        """Let the face that was shown `before` be one of the earlier ones, of which the oldest go when they are too many."""
        known = [] if before is None else [before, *before.earlier]
        self.earlier = [face for face in known if face is not self][: limits.EARLIER]

    def rest(self) -> None:
        """Drop all that can be computed anew when the face is looked at again."""
        self.earlier, self.rendering, self._editing, self._scene = [], None, None, None

    def scene(self) -> Scene:
        """The face as it is now, with the photo's surroundings behind it if it came from one: the same from view to view."""
        known, latents = self._scene, self.latents
        if known is None or known[0] is not latents:
            with torch.no_grad():
                known = self._scene = latents, self.face().scene()
            _hold(self)
        return known[1]

    @property
    def layout(self) -> Layout:
        """The layout being painted in."""
        return self.adapter.layout if self.adapter is not None else self.generator.layout

    @property
    def labels(self) -> Tensor:
        """Label map `[h,w]` of the current view."""
        assert self.rendering is not None, "the session was shown before it was rendered"
        return self.rendering.labels[0]

    def path(self, suffix: str) -> Path:
        """Where a download of this session is written."""
        return fresh_path(self.folder, self.name, suffix)


class Controls(SessionState):
    """gradio's copy of the controls for one visitor, in which a control keeps its number when it is updated.

    Left alone, an updated one gets a new number, and with its next value it is kept under that, too: every edit would leave nine behind.
    """

    def __setitem__(self, key: int, value: Any) -> None:
        """Put `value` in the place of control `key`."""
        if isinstance(value, Block):
            value._id = key
        super().__setitem__(key, value)


class Memory(StateHolder):
    """gradio's memory of visitors, but what it has of one lives for `limits.STATE_LIFETIME` after anything that they did: left alone, after
    it was last written, which looking at a face does not do, nor making a layout."""

    def __getitem__(self, session_id: str) -> SessionState:
        """Everything about a visitor, who does something just now."""
        if session_id not in self.session_data:
            self.session_data[session_id] = Controls(self.blocks)
        found = super().__getitem__(session_id)
        for key, (lifetime, _) in tuple(found._state_ttl.items()):
            found._state_ttl[key] = lifetime, self.time_last_used[session_id]
        return found


_HOLDING: deque[weakref.ref[Session]] = deque()
"""Sessions whose scene is kept, the one with the newest scene last."""


def _hold(session: Session) -> None:
    """Keep the scene of `session`; of those kept, the oldest go when they are made of more than `limits.SCENES`."""
    for known in tuple(_HOLDING):
        if known() in (None, session):
            _HOLDING.remove(known)
    _HOLDING.append(weakref.ref(session))
    while len(_HOLDING) > 1 and sum(_size(known()) for known in _HOLDING) > limits.SCENES:
        if (oldest := _HOLDING.popleft()()) is not None:
            oldest._scene = None


def _size(session: Session | None) -> int:
    """Of how many scenes the one that is kept is made: that of the face as it came, and one of each edit."""
    if session is None or session._scene is None:
        return 0
    kept = session._scene[0].kept
    return 1 if kept is None else 1 + len(kept.layers)


def forget_unless_back(memory: StateHolder, visitor: str) -> None:
    """Drop all that gradio's `memory` has of a `visitor` who has just left, unless they do something within `limits.GRACE` seconds.

    Left alone, gradio keeps it for an hour, and the visitor's copies of all controls for as long as there are fewer than 10,000 visitors.
    To be called in the event loop, whose clock cannot jump.
    """
    last = memory.time_last_used.get(visitor)

    def forget() -> None:
        if memory.time_last_used.get(visitor) == last:
            memory.delete_state(visitor)
            memory.session_data.pop(visitor, None)
            memory.time_last_used.pop(visitor, None)

    asyncio.get_running_loop().call_later(limits.GRACE, forget)
