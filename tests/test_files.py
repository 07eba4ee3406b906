"""Folders replaced in one step."""

from __future__ import annotations

import errno
import os
import resource
from pathlib import Path

import pytest
import torch

from fface_hub.files import current_folder, is_folder, replaced_folder, write_tensors


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


def test_all_bytes_reach_the_disk_before_the_folder_gets_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "a", config="1", card="x")
    events: list[str] = []
    true_fsync, true_rename = os.fsync, Path.rename

    def fsync(handle: int) -> None:
        events.append(f"flush {Path(os.readlink(f'/proc/self/fd/{handle}')).name}")
        true_fsync(handle)

    def rename(path: Path, target: Path) -> Path:
        events.append(f"rename {path.name} to {target.name}")
        return true_rename(path, target)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(Path, "rename", rename)
    write(tmp_path / "a", config="2")
    assert sorted(events[:3]) == ["flush .a.new", "flush card", "flush config"]
    assert events[3:] == ["rename a to .a.old", "rename .a.new to a", f"flush {tmp_path.name}"]


def test_a_disk_without_room_is_an_error_of_the_file_system(tmp_path: Path) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises(OSError) as full:
            write_tensors({"a": torch.zeros(1000)}, tmp_path / "w.safetensors")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert full.value.errno == errno.EFBIG and full.value.strerror == os.strerror(errno.EFBIG)
    assert not list(tmp_path.iterdir())
