"""What the page remembers of one visitor, and for how long."""

from __future__ import annotations

import asyncio
import tempfile
import uuid
from dataclasses import dataclass, field
from pathlib import Path

from gradio.state_holder import StateHolder
from torch import Tensor

from fface_hub.adapters.adapter import Adapter
from fface_hub.cameras import Camera
from fface_hub.generators.base import Generator, Rendering, Scene
from fface_hub.inversion.invert import Inversion
from fface_hub.latents import Latents
from fface_hub.layouts import Layout
from space import storage

GRACE = 300.0
"""Seconds that a visitor is remembered after the page was closed: a connection that broke, or a computer that slept, comes back."""


def new_folder() -> tempfile.TemporaryDirectory[str]:
    """A folder for one visitor's downloads, which goes with the object."""
    return tempfile.TemporaryDirectory(dir=storage.folder("sessions"))


@dataclass
class Session:
    """One visitor's face: where it came from, every edit so far, and the current view of it."""

    generator: Generator
    camera: Camera
    history: list[Latents]
    inversion: Inversion | None = None
    adapter: Adapter | None = None
    rendering: Rendering | None = None
    first_image: Tensor | None = None
    name: str = "face"
    folder: tempfile.TemporaryDirectory[str] = field(default_factory=new_folder)

    @property
    def latents(self) -> Latents:
        """The face as it is now."""
        return self.history[-1]

    def scene(self) -> Scene:
        """The face as it is now, with the photo's surroundings behind it if it came from one."""
        if self.inversion is not None:
            return self.inversion.scene(self.latents)
        return self.generator.scene(self.latents)

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
        """Where a download of this session is written; a fresh name each time, so that a browser never serves an old copy."""
        return Path(self.folder.name) / f"{self.name}-{uuid.uuid4().hex[:8]}{suffix}"


def forget_unless_back(memory: StateHolder, visitor: str) -> None:
    """Drop all that gradio's `memory` has of a `visitor` who has just left, unless they do something within `GRACE` seconds.

    Left alone, gradio keeps it for an hour, and the visitor's copies of all controls for as long as there are fewer than 10,000 visitors.
    To be called in the event loop, whose clock cannot jump.
    """
    last = memory.time_last_used.get(visitor)

    def forget() -> None:
        if memory.time_last_used.get(visitor) == last:
            memory.delete_state(visitor)
            memory.session_data.pop(visitor, None)
            memory.time_last_used.pop(visitor, None)

    asyncio.get_running_loop().call_later(GRACE, forget)
