"""Folders replaced in one step."""

from __future__ import annotations

from pathlib import Path

import pytest

from fface_hub.files import current_folder, is_folder, replaced_folder


def write(folder: Path, **files: str) -> None:
    with replaced_folder(folder) as new:
        for name, text in files.items():
            (new / name).write_text(text)


def content(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.iterdir()}


def test_new_files_replace_old_ones_and_others_stay(tmp_path: Path) -> None:
    write(tmp_path / "deep" / "a", config="1", card="x")
    write(tmp_path / "deep" / "a", config="2")
    assert content(tmp_path / "deep" / "a") == {"config": "2", "card": "x"}
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["a"]


def test_named_files_of_the_old_folder_are_dropped(tmp_path: Path) -> None:
    write(tmp_path / "a", one="1", two="2", card="x")
    with replaced_folder(tmp_path / "a", ["one", "two"]) as new:
        (new / "one").write_text("3")
    assert content(tmp_path / "a") == {"one": "3", "card": "x"}


def test_a_failed_save_leaves_the_old_folder_and_no_litter(tmp_path: Path) -> None:
    write(tmp_path / "a", config="1")
    with pytest.raises(OSError, match="disk"), replaced_folder(tmp_path / "a") as new:
        (new / "config").write_text("half")
        raise OSError("disk full")
    assert content(tmp_path / "a") == {"config": "1"}
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_after_a_kill_between_the_renames_the_old_folder_is_found(tmp_path: Path) -> None:
    write(tmp_path / "a", config="1", card="x")
    (tmp_path / "a").rename(tmp_path / ".a.old")
    (tmp_path / ".a.new").mkdir()
    assert content(current_folder(tmp_path / "a")) == {"config": "1", "card": "x"}
    write(tmp_path / "a", config="2")
    assert content(current_folder(tmp_path / "a")) == {"config": "2", "card": "x"}
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_what_cannot_be_the_name_of_a_folder_is_none(tmp_path: Path) -> None:
    assert is_folder(tmp_path) and not is_folder(tmp_path / "x")
    assert not is_folder(Path("x" * 300)) and not is_folder(Path("a\0b"))
    (tmp_path / ".x.old").mkdir()  # a crash fell between the two renames of a save
    assert is_folder(tmp_path / "x")
