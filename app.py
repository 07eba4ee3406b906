"""Opens the page: `python app.py`, then the address it prints."""

from __future__ import annotations

import os
import signal
import sys

from space import storage

# Before gradio is imported: the page makes no request to anywhere but this server, and keeps its files where nobody else's are.
os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
os.environ["GRADIO_TEMP_DIR"] = str(storage.folder("uploads"))

from gradio import processing_utils, routes

from fface_hub.compute import VARIABLES
from fface_hub.errors import FFaceError, ModelError
from fface_hub.memory import share_freed_memory
from space import limits, models
from space.jobs import keep_giving_memory_back
from space.page import CSS_FILE, build
from space.state import Memory
from space.theme import HEAD, theme

processing_utils.save_pil_to_cache = storage.save_picture
processing_utils.async_ssrf_protected_download = storage.fetch_nothing
routes.StateHolder = Memory  # pyright: ignore[reportPrivateImportUsage]
page = build()


def launch() -> None:
    """Serve the page until the process is told to end."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends like Ctrl-C, so that files are tidied up
    share_freed_memory()
    keep_giving_memory_back()
    _say_where()
    storage.Broom(storage.folder("uploads"), limits.FILE_LIFETIME).keep_sweeping(limits.SWEEP_EVERY)
    page.queue(default_concurrency_limit=limits.AT_ONCE, max_size=limits.QUEUE).launch(
        theme=theme(),
        css_paths=CSS_FILE,
        head=HEAD,
        show_error=False,
        run_history=False,
        enable_monitoring=False,
        max_file_size=limits.UPLOAD,
        footer_links=[],
    )


def _say_where() -> None:
    """Load every model and say in one line what runs where; ends the program if the environment asks for what cannot be had."""
    try:
        where = models.compute()
        if len(models.generator().layout) < 2:
            raise ModelError("This generator has no class labels to paint on: give it some with 'fface-hub label'.")
        models.load_all()
    except FFaceError as error:
        sys.exit(f"{error} (The page reads FFACE_GENERATOR, {', '.join(VARIABLES.values())}.)")
    numbers = str(where.dtype).removeprefix("torch.")
    lent = ", long work on a GPU that is lent for it" if models.LENDS else ""
    print(f"Generator {models.GENERATOR_ID} on {where.device}, its convolutions in {numbers}, rays in {where.memory / 2**30:g} GB{lent}.")


if __name__ == "__main__":
    launch()
