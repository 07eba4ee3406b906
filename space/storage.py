"""Files of the page: uploads, what is shown, downloads. They lie in one folder that is this process's own and that no other user of the
machine can read. They go an hour or two after they were last handed out, at the latest with the process; if that was killed, with the next.

gradio's own `delete_cache` forgets the files of every control that was changed while the page ran, such as a download button that came
to life, and all files of a process that was killed; and it goes by a clock that can jump. What it leaves is swept up here.
"""

from __future__ import annotations

import atexit
import os
import shutil
import stat
import tempfile
import threading
import time
import uuid
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

try:
    import fcntl
except ImportError:  # Windows: what a killed process leaves stays there
    fcntl = None

if TYPE_CHECKING:
    from PIL import Image

PREFIX = "fface-page-"


@cache
def root() -> Path:
    """The folder of this process, locked as long as it lives. Folders of processes that do not live any more are removed."""
    parent = Path(tempfile.gettempdir())
    _remove_abandoned(parent)
    while True:
        folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=parent)).resolve()
        if _lock(folder) is not None and folder.exists():  # else another process that just begins took it for abandoned
            break
    owner = os.getpid()
    atexit.register(lambda: shutil.rmtree(folder, ignore_errors=True) if os.getpid() == owner else None)
    return folder


def folder(name: str) -> Path:
    """The folder of this `name` among this process's own."""
    place = root() / name
    place.mkdir(exist_ok=True)
    return place


def outgoing(name: str) -> Path:
    """Where a file called `name` is written that is handed out to whoever gets its path: nobody guesses it, and the broom takes it away."""
    place = folder("uploads") / uuid.uuid4().hex
    place.mkdir()
    return place / name


def _lock(folder: Path) -> int | None:
    """A handle that holds the lock of `folder` until it is closed, or the process ends; None if another process has it."""
    handle = os.open(folder, os.O_RDONLY) if fcntl is not None else -1
    try:
        if fcntl is not None:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(handle)
        return None
    return handle


def _remove_abandoned(parent: Path) -> None:
    for path in parent.glob(f"{PREFIX}*") if fcntl is not None else ():
        with suppress(OSError):  # another user's
            if path.is_dir() and not path.is_symlink() and (handle := _lock(path)) is not None:
                shutil.rmtree(path, ignore_errors=True)
                os.close(handle)


class Broom:
    """Removes what lies in `folder` unchanged for more than `lifetime` seconds, by a clock that cannot jump.

    gradio touches a file that it hands out again. A folder counts as changed when something in it comes or goes.
    """

    def __init__(self, folder: Path, lifetime: float) -> None:
        self.folder, self.lifetime = folder, lifetime
        self._seen: dict[Path, tuple[int, float]] = {}  # when the system says that a path was changed, and since when we know

    def sweep(self) -> None:
        """Look at every path once, and remove what is too old. Paths are as old as the time since they were first seen like that."""
        now, seen = time.monotonic(), {}
        for path in sorted(self.folder.rglob("*"), reverse=True):  # what is in a folder comes before it
            with suppress(OSError):  # somebody else was faster
                status = path.lstat()
                changed, since = self._seen.get(path, (0, now))
                since = since if changed == status.st_ctime_ns else now
                if now - since <= self.lifetime:
                    seen[path] = (status.st_ctime_ns, since)
                elif stat.S_ISDIR(status.st_mode):
                    path.rmdir()
                else:
                    path.unlink()
        self._seen = seen

    def keep_sweeping(self, every: float) -> None:
        """Sweep every so many seconds from now on, beside everything else."""

        def work() -> None:
            while True:
                time.sleep(every)
                self.sweep()

        threading.Thread(target=work, daemon=True, name="broom").start()


def save_picture(img: Image.Image, cache_dir: str, name: str = "image", format: str = "webp") -> str:
    """`gradio.processing_utils.save_pil_to_cache`, but a picture takes its place whole.

    gradio calls a picture by its content and writes it over an equal one: whoever is fetching that, such as the face that every visitor
    begins with, gets a part of it.
    """
    from gradio.processing_utils import encode_pil_to_bytes, hash_bytes

    data = encode_pil_to_bytes(img, format)
    target = Path(cache_dir).resolve() / hash_bytes(data) / f"{name}.{format}"
    target.parent.mkdir(exist_ok=True, parents=True)
    handle, temporary = tempfile.mkstemp(dir=target.parent)
    with os.fdopen(handle, "wb") as file:
        file.write(data)
    os.replace(temporary, target)
    return str(target)


async def fetch_nothing(url: str, cache_dir: str) -> NoReturn:
    """`gradio.processing_utils.async_ssrf_protected_download`, but nothing is fetched: gradio would download what a client names by its
    address in place of a file, of any size, from anywhere."""
    from gradio.exceptions import Error

    raise Error("This page fetches nothing from other addresses. Send the file itself.", print_exception=False)
