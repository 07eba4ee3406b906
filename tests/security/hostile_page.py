"""The page on a free port (the only argument), with two further layouts to choose: "hostile", whose names are markup, and "refused", whose
error quotes markup. Run by test_markup.py."""

from __future__ import annotations

import os
import sys

os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"

from fface_hub import Adapter
from fface_hub.errors import ModelError
from space import handlers, models
from space.page import CSS_FILE, build
from tests.security.markup import ERROR, hostile_layout

choices, find = models.layout_choices, models.find_adapter


def find_adapter(layout_id: str | None, visitor: str = "") -> Adapter | None:
    """As on the page, and the two of this test."""
    if layout_id == "refused":
        raise ModelError(ERROR)
    if layout_id == "hostile":
        return Adapter(hostile_layout().to_dict(), "heads-triplane", models.generator().fingerprint)
    return find(layout_id)


handlers.find_adapter = find_adapter
models.layout_choices = lambda: ["hostile", "refused", *choices()]  # the last one is chosen at first

if __name__ == "__main__":
    build().queue().launch(server_port=int(sys.argv[1]), css_paths=CSS_FILE, show_error=False, footer_links=[])
