"""Files of the page: theirs alone, gone when they are old by a clock that cannot jump, or with the process, even one that was killed."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from space.storage import Broom, save_picture

ROOT = Path(__file__).parents[2]
DAY = 86_400

# Prints the folder, and waits to be ended. No torch and no gradio: that takes a moment only.
HOLD = "from space import storage; print(storage.folder('uploads'), flush=True); import time; time.sleep(60)"
LOOK = "from space import storage; print(storage.folder('uploads'))"


def start(script: str, folder: Path) -> subprocess.Popen[str]:
    """A process whose temporary files lie in `folder`."""
    return subprocess.Popen([sys.executable, "-c", script], cwd=ROOT, env={**os.environ, "TMPDIR": str(folder)}, stdout=-1, text=True)


def place(process: subprocess.Popen[str]) -> Path:
    """Its folder, as it prints it."""
    assert process.stdout is not None
    return Path(process.stdout.readline().strip()).parent


def test_a_process_has_a_folder_of_its_own_that_goes_with_it(tmp_path: Path) -> None:
    one = start(HOLD, tmp_path)
    first = place(one)
    second = place(start(LOOK, tmp_path))
    assert first != second and first.is_dir()  # the other one left it alone, since its process lives
    assert first.stat().st_mode & 0o777 == 0o700
    one.kill()
    one.wait()
    assert first.is_dir()
    last = start(LOOK, tmp_path)
    assert place(last) not in (first, second)
    last.wait()
    assert list(tmp_path.iterdir()) == []


class Clock:
    """A monotonic clock that goes when it is told to."""

    now = 1000.0


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[Clock]:
    fake = Clock()
    with monkeypatch.context() as patch:
        patch.setattr(time, "monotonic", lambda: fake.now)
        yield fake


def test_old_files_go_and_those_that_were_handed_out_again_stay(clock: Clock, tmp_path: Path) -> None:
    broom = Broom(tmp_path, 100)
    for name in ("old", "used"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "image.png").write_text(name)
    broom.sweep()
    clock.now += 60
    os.utime(tmp_path / "used" / "image.png")
    broom.sweep()
    clock.now += 60
    broom.sweep()  # 120 seconds after the first, 60 after the second
    assert [str(path.relative_to(tmp_path)) for path in sorted(tmp_path.rglob("*.png"))] == ["used/image.png"]
    assert (tmp_path / "old").is_dir()  # it changed when its file went
    broom.sweep()
    clock.now += 101
    broom.sweep()
    clock.now += 101
    broom.sweep()
    broom.sweep()
    assert not (tmp_path / "old").exists()


@pytest.mark.parametrize("jump", [DAY, -DAY])
def test_a_clock_that_jumps_neither_removes_files_early_nor_keeps_them(
    jump: int, clock: Clock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broom, true = Broom(tmp_path, 100), time.time
    (tmp_path / "image.png").write_text("a")
    broom.sweep()
    monkeypatch.setattr(time, "time", lambda: true() + jump)
    os.utime(tmp_path / "image.png", (true() - jump, true() - jump))  # as a file from before the jump looks after it
    broom.sweep()
    clock.now += 99
    broom.sweep()
    assert (tmp_path / "image.png").exists()
    clock.now += 2
    broom.sweep()
    assert not (tmp_path / "image.png").exists()


def test_a_broom_sweeps_by_itself(tmp_path: Path) -> None:
    (tmp_path / "image.png").write_text("a")
    Broom(tmp_path, 0.1).keep_sweeping(0.02)
    deadline = time.monotonic() + 10
    while (tmp_path / "image.png").exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_picture_that_is_written_again_is_whole_all_the_time(tmp_path: Path) -> None:
    """Every visitor begins with the same face, whose picture is named by its content."""
    picture, done = Image.new("RGBA", (512, 512), (0, 0, 0, 0)), threading.Event()
    path = Path(save_picture(picture, str(tmp_path), format="png"))
    whole = path.read_bytes()

    def write() -> None:
        for _ in range(30):
            assert save_picture(picture, str(tmp_path), format="png") == str(path)
        done.set()

    threading.Thread(target=write).start()
    looks = 0
    while not done.is_set() or looks < 100:
        assert path.read_bytes() == whole
        looks += 1
    assert [file.name for file in path.parent.iterdir()] == ["image.png"]
    assert Image.open(path).size == (512, 512)
