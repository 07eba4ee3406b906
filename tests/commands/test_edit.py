"""`fface-hub edit`: with whose guess it starts, and that it says so."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fface_hub.cli import main
from fface_hub.commands import faces
from fface_hub.errors import CancelledError

SMALL = ["--device", "cpu", "--resolution", "16"]


def test_the_editor_is_told_of_and_asked(
    tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["generate", "--generator", str(tiny_folder), "--seed", "3", "--out", str(tmp_path), *SMALL]) == 0
    face, asked = tmp_path / "seed-3", []

    def edit(*arguments: Any) -> None:
        asked.append(arguments[-1])
        raise CancelledError("That is enough.")

    monkeypatch.setattr(faces, "edit_face", edit)
    command = ["edit", str(face), str(face / "labels.png"), "--out", str(tmp_path / "edited"), *SMALL]
    assert main(command) == 2
    assert "the edit starts from the face as it is" in capsys.readouterr().out
    monkeypatch.setattr(faces, "find_editor", lambda generator: ("editor", "There is one."))
    assert main(command) == 2
    assert "There is one." in capsys.readouterr().out and asked == [None, "editor"]
