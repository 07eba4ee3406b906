"""Edit a portrait as a 3-D face by painting on its labels. Start reading in `fface_hub.pipeline`.

The names below are loaded when they are first used, so that `import fface_hub` and `fface-hub --help` do not wait for torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fface_hub.adapters.adapter import Adapter
    from fface_hub.cameras import Camera, look_at, orbit
    from fface_hub.editing.edit import edit
    from fface_hub.errors import FFaceError
    from fface_hub.generators.base import Generator
    from fface_hub.inversion.invert import invert
    from fface_hub.latents import Latents
    from fface_hub.layouts import Layout
    from fface_hub.rendering.renderer import render

__version__ = "0.1.0"

__all__ = ["Adapter", "Camera", "FFaceError", "Generator", "Latents", "Layout", "edit", "invert", "look_at", "orbit", "render"]

_HOMES = {
    "Adapter": "fface_hub.adapters.adapter",
    "Camera": "fface_hub.cameras",
    "FFaceError": "fface_hub.errors",
    "Generator": "fface_hub.generators.base",
    "Latents": "fface_hub.latents",
    "Layout": "fface_hub.layouts",
    "edit": "fface_hub.editing.edit",
    "invert": "fface_hub.inversion.invert",
    "look_at": "fface_hub.cameras",
    "orbit": "fface_hub.cameras",
    "render": "fface_hub.rendering.renderer",
}


def __getattr__(name: str) -> Any:
    """The exported `name`, imported from its home on first use (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module 'fface_hub' has no attribute '{name}'")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
