"""Opens the page: `python app.py`, then the address it prints."""

from __future__ import annotations

import os
import signal

from space import storage

# Before gradio is imported: the page makes no request to anywhere but this server, and keeps its files where nobody else's are.
os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
os.environ["GRADIO_TEMP_DIR"] = str(storage.folder("uploads"))

from gradio import processing_utils
from gradio.themes import Soft

from fface_hub.memory import share_freed_memory
from space.page import CSS_FILE, build

processing_utils.save_pil_to_cache = storage.save_picture
page = build()


def launch() -> None:
    """Serve the page until the process is told to end."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends like Ctrl-C, so that files are tidied up
    share_freed_memory()
    storage.Broom(storage.folder("uploads"), storage.LIFETIME).keep_sweeping(storage.EVERY)
    # System fonts only: a font service would be an outside request.
    theme = Soft(font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"])
    page.queue(default_concurrency_limit=2, max_size=32).launch(
        theme=theme,
        css_paths=CSS_FILE,
        show_error=False,
        run_history=False,
        enable_monitoring=False,
        max_file_size="25mb",
        footer_links=[],
    )


if __name__ == "__main__":
    launch()
