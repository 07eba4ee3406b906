"""The page as most of these tests open it."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest

from tests.browser import served
from tests.tiny import new_solid_generator


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """`python app.py` as a user starts it, on a free port and on the tiny generator."""
    folder = tmp_path_factory.mktemp("app")
    new_solid_generator().save_pretrained(folder / "tiny")
    with served(lambda _: [sys.executable, "app.py"], folder / "log", FFACE_GENERATOR=str(folder / "tiny")) as url:
        yield url
