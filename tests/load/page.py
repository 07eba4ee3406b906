"""The page as `app.py` serves it, to be loaded by many visitors: `python -m tests.load.page FOLDER GENERATOR [LIFETIME GRACE]`.

On a `GENERATOR` that is a folder (the tiny one) pictures are small, and edits and fits short. LIFETIME and GRACE, in seconds, are how long
files and visitors who left are kept. What the process holds is written to FOLDER/stats.json at the start and on each SIGUSR1.
"""

from __future__ import annotations

import gc
import json
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

import app
from fface_hub.adapters.mixing import Mixing
from fface_hub.adapters.plan import FitSettings
from fface_hub.editing.edit import EditSettings
from fface_hub.memory import return_freed_memory
from space import fitting, handlers, limits, models, state, storage, views
from space.jobs import JOBS
from tests.security.fuzz import memory

SMALL: dict[str, Any] = {"steps": 4, "resolution": 32, "rays": 256, "coarse": 8, "fine": 8, "preview_every": 2}
FIT = FitSettings(steps=30, batch=2, rays=128, coarse=8, fine=8, mixing=Mixing(mixes=1), distillation=None)


def small_page(generator: str) -> None:
    """Let the handlers draw small pictures of `generator`."""
    models.GENERATOR_ID = generator
    handlers.RESOLUTION, views.ORBIT_FRAMES = 32, 4
    handlers.EditSettings = lambda **changed: EditSettings(**{**SMALL, **changed})  # type: ignore[misc,assignment]
    fitting.quick_settings = fitting.fit_settings = lambda: FIT


def write_stats(folder: Path) -> None:
    """Bytes of memory as it is and `held` without what was freed, seconds of processor time, and how many there are of what."""
    rss = memory("VmRSS")
    gc.collect()
    return_freed_memory()
    stats = {
        "pid": os.getpid(),
        "rss": rss,
        "held": memory("VmRSS"),
        "cpu": time.process_time(),
        "sessions": sum(type(thing) is state.Session for thing in gc.get_objects()),
        "visitors": len(app.page.state_holder.session_data) if hasattr(app.page, "state_holder") else 0,
        "jobs": len(JOBS),
        "threads": threading.active_count(),
        "storage": str(storage.root()),
    }
    (folder / "stats.new").write_text(json.dumps(stats))
    (folder / "stats.new").rename(folder / "stats.json")


if __name__ == "__main__":
    place, name = Path(sys.argv[1]), sys.argv[2]
    if Path(name).is_dir():
        small_page(name)
    if len(sys.argv) > 3:
        limits.FILE_LIFETIME, limits.SWEEP_EVERY, limits.GRACE = float(sys.argv[3]), 0.2, float(sys.argv[4])
    signal.signal(signal.SIGUSR1, lambda *_: write_stats(place))
    write_stats(place)
    app.launch()
