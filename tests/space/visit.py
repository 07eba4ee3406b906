"""Visitors of the page, who call its handlers."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from fface_hub.editing.edit import EditSettings
from space import handlers, limits, models, storage
from space.jobs import JOBS
from space.page import build
from space.painting import sheet_id
from space.state import Session
from tests.tiny import new_solid_generator

ALICE: Any = SimpleNamespace(session_hash="alice")
BOB: Any = SimpleNamespace(session_hash="bob")


def small(patch: pytest.MonkeyPatch, generator: Path) -> None:
    """Let the page draw small pictures of the `generator` in that folder, and make short edits of them."""
    patch.setattr(models, "GENERATOR_ID", str(generator))
    patch.setattr(handlers, "RESOLUTION", 16)
    patch.setattr(handlers, "EditSettings", lambda **changed: EditSettings(**{"steps": 2, "resolution": 16, "preview_every": 1, **changed}))


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """The address of the page on a tiny generator with an inside and an outside, which is saved to `folder`; in this process, so that tests
    may change its handlers."""
    new_solid_generator().save_pretrained(folder / "tiny")
    with pytest.MonkeyPatch.context() as patch:
        small(patch, folder / "tiny")
        patch.setenv("GRADIO_TEMP_DIR", str(storage.folder("uploads")))
        models.generator.cache_clear()
        page = build()
        _, address, _ = page.queue(default_concurrency_limit=limits.AT_ONCE).launch(prevent_thread_lock=True, quiet=True)
        yield address
        page.close(verbose=False)
        models.generator.cache_clear()
    assert not JOBS


def quiet(*_: Any, **__: Any) -> None:
    """A progress bar that nobody sees."""


def draw(seed: int) -> Session:
    return handlers.draw_face(seed, models.OWN_LAYOUT, None, ALICE)[0]


def strokes(session: Session, name: str = "nose", revision: int = 1) -> dict[str, Any]:
    """What the canvas sends with one class all over."""
    ids = bytes([session.layout.index(name)]) * session.labels.numel()
    painted = {"size": len(session.labels), "revision": revision, "labels": base64.b64encode(ids).decode()}
    return {"id": sheet_id(session.labels, session.layout), **painted}


def apply(session: Session, visitor: Any = ALICE, name: str = "nose") -> list[tuple[Any, ...]]:
    """All that an edit shows, step by step."""
    return list(handlers.apply(session, strokes(session, name), True, visitor, quiet))
