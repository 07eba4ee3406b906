"""The page on the tiny generator, for tests that call its handlers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from space import models
from space.jobs import JOBS
from tests.browser import browser
from tests.space.visit import small


@pytest.fixture
def tiny_page(tiny_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Small pictures of the tiny generator, and short edits of them."""
    small(monkeypatch, tiny_folder)
    models.generator.cache_clear()
    yield
    models.generator.cache_clear()
    assert not JOBS


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A page of a browser."""
    with browser(tmp_path_factory.mktemp("profile"), 900, 900) as context:
        yield context.new_page()
