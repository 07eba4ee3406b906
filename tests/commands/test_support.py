"""What the commands share when they speak to a user."""

from __future__ import annotations

import sys

import pytest

from fface_hub.commands.support import counted, program


def test_one_is_no_plural() -> None:
    assert [counted(number, "crop") for number in (0, 1, 2)] == ["0 crops", "1 crop", "2 crops"]
    assert [counted(number, "person", "people") for number in (1, 2)] == ["1 person", "2 people"]


@pytest.mark.parametrize(
    ("called", "told"),
    [
        ("/usr/bin/fface-hub", "fface-hub"),
        ("/home/me/fface/fface_hub/cli.py", "python -m fface_hub.cli"),
        ("-c", "python -m fface_hub.cli"),
    ],
)
def test_the_next_command_is_called_as_this_one_was(called: str, told: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", [called, "samples", "new"])
    assert program() == told
