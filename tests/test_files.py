"""Folders replaced in one step."""

from __future__ import annotations

import errno
import os
import resource
import threading
from pathlib import Path

import pytest
import torch

from fface_hub.files import ATTEMPTS, current_folder, is_folder, read_whole, replaced_folder, write_tensors


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


def test_a_save_in_the_place_of_a_file_leaves_it_and_no_litter(tmp_path: Path) -> None:
    (tmp_path / "model").write_text("a file")
    with pytest.raises(OSError), replaced_folder(tmp_path / "model") as new:
        (new / "a").write_text("new")
    assert [path.name for path in tmp_path.iterdir()] == ["model"] and (tmp_path / "model").read_text() == "a file"


def test_a_rename_that_fails_brings_the_old_folder_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with replaced_folder(tmp_path / "model") as new:
        (new / "a").write_text("old")
    true = Path.rename

    def rename(self: Path, target: Path) -> Path:
        if self.name.endswith(".new"):
            raise OSError("no more")
        return true(self, target)

    monkeypatch.setattr(Path, "rename", rename)
    with pytest.raises(OSError), replaced_folder(tmp_path / "model") as new:
        (new / "a").write_text("new")
    assert [path.name for path in tmp_path.iterdir()] == ["model"] and (tmp_path / "model" / "a").read_text() == "old"


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


@pytest.mark.parametrize(("mask", "mode"), [(0o022, 0o644), (0o002, 0o664), (0o077, 0o600)])
def test_tensors_have_the_permissions_of_any_new_file(mask: int, mode: int, tmp_path: Path) -> None:
    before = os.umask(mask)
    try:
        for _ in range(2):  # also in the place of an old file
            write_tensors({"a": torch.zeros(3)}, tmp_path / "w.safetensors")
            assert (tmp_path / "w.safetensors").stat().st_mode & 0o777 == mode
    finally:
        os.umask(before)
    assert os.listdir(tmp_path) == ["w.safetensors"]


def test_links_stay_links_and_take_nothing_in(tmp_path: Path) -> None:
    """What a link of a stranger's folder points to must not become a file of the folder, which may be published next."""
    (tmp_path / "secret").write_text("key")
    (tmp_path / "mine").mkdir()
    write(tmp_path / "a", config="1")
    (tmp_path / "a" / "deep").mkdir()
    links = {"notes": "../secret", "gone": "/no/such/file", "home": "../mine", "deep/notes": "../../secret"}
    for name, place in links.items():
        (tmp_path / "a" / name).symlink_to(place)
    write(tmp_path / "a", config="2")
    assert {name: os.readlink(tmp_path / "a" / name) for name in links} == links
    assert (tmp_path / "a" / "config").read_text() == "2"


def test_what_cannot_be_copied_is_named_and_all_stays(tmp_path: Path) -> None:
    write(tmp_path / "a", config="1")
    os.mkfifo(tmp_path / "a" / "pipe")
    with pytest.raises(OSError) as refused:
        write(tmp_path / "a", config="2")
    assert refused.value.strerror is not None and "'pipe'" in refused.value.strerror
    assert (tmp_path / "a" / "config").read_text() == "1" and os.listdir(tmp_path) == ["a"]


@pytest.mark.parametrize("name", ["", ".", "..", "/", "../.."])
def test_the_folder_that_one_works_in_is_not_replaced(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would be another one afterwards, and a folder above it would be copied with all that is in it."""
    (tmp_path / "above" / "here").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "above" / "here")
    with pytest.raises(OSError) as refused:
        write(Path(name), config="1")
    assert refused.value.errno == errno.EBUSY and "you work in" in str(refused.value)
    assert not os.listdir(".") and os.listdir(tmp_path) == ["above"]
    write(Path("beside"), config="1")
    assert content(Path("beside")) == {"config": "1"}


def test_a_name_that_no_folder_can_have_is_an_error_of_the_file_system(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="no folder can have this name"):
        write(tmp_path / "a\0b", config="1")


@pytest.mark.parametrize("saves", [0, 1, 3, 100])
def test_a_folder_that_is_replaced_while_it_is_read_is_read_anew(saves: int, tmp_path: Path) -> None:
    """In the end those who replace it wait until it was read."""
    write(tmp_path / "a", one="0", two="0")
    done, threads = [0], list[threading.Thread]()

    def read() -> list[str]:
        found = [(current_folder(tmp_path / "a") / "one").read_text()]
        if done[0] < saves:
            done[0] += 1
            thread = threading.Thread(target=write, args=(tmp_path / "a",), kwargs={name: str(done[0]) for name in ("one", "two")})
            thread.start()
            thread.join(0.5 if done[0] > ATTEMPTS else None)
            threads.append(thread)
        return [*found, (current_folder(tmp_path / "a") / "two").read_text()]

    first, second = read_whole(tmp_path / "a", read)
    assert first == second == str(min(saves, ATTEMPTS))
    for thread in threads:
        thread.join()
    assert done[0] == min(saves, ATTEMPTS + 1)


def test_what_is_wrong_with_a_folder_that_nobody_replaces_is_told_at_once(tmp_path: Path) -> None:
    calls: list[int] = []

    def read() -> None:
        calls.append(1)
        raise ValueError("damaged")

    for folder in (tmp_path, tmp_path / "none", Path("x" * 300), Path("a\0b")):
        with pytest.raises(ValueError, match="damaged"):
            read_whole(folder, read)
    assert len(calls) == 4


def test_who_saves_at_the_same_time_waits(tmp_path: Path) -> None:
    """Threads here, processes in tests/faults: each writes two files of its own, and nobody finds one of either."""
    errors: list[BaseException] = []

    def save(number: int) -> None:
        try:
            for _ in range(20):
                write(tmp_path / "a", one=f"{number}", two=f"{number}")
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=save, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors and os.listdir(tmp_path) == ["a"]
    found = content(tmp_path / "a")
    assert set(found) == {"one", "two"} and len(set(found.values())) == 1


@pytest.mark.parametrize(("code", "fails"), [(errno.ENOLCK, False), (errno.EIO, True)])
def test_a_file_system_without_locks_is_used_without_them(code: int, fails: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def flock(handle: int, operation: int) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr("fcntl.flock", flock)
    if fails:
        with pytest.raises(OSError, match="output"):
            write(tmp_path / "a", config="1")
    else:
        write(tmp_path / "a", config="1")
        assert content(tmp_path / "a") == {"config": "1"}
