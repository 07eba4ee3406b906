"""Benchmarks by name. Each is one file with `run(model, callback=None) -> dict[str, Any]`, whose result is written as JSON."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

BENCHMARKS = {
    "adapt": "fface_hub.benchmarks.adapt",
    "adapt-layers": "fface_hub.benchmarks.adapt_layers",
    "adapt-speed": "fface_hub.benchmarks.adapt_speed",
    "edit": "fface_hub.benchmarks.edit",
    "encoder-views": "fface_hub.benchmarks.encoder_views",
    "fewshot": "fface_hub.benchmarks.fewshot",
    "fidelity": "fface_hub.benchmarks.fidelity",
    "invert": "fface_hub.benchmarks.invert",
    "landmarks": "fface_hub.benchmarks.landmarks",
    "parser": "fface_hub.benchmarks.parser",
    "render": "fface_hub.benchmarks.render",
    "transfer": "fface_hub.benchmarks.transfer",
}
VARIANTS = ("full", "no-injection", "no-lmta", "mix-all", "original", "fixed-layout", "oracle")
"""What the benchmark adapt compares."""
LEVERS = ("no-distillation", "no-overlap", "no-balance", "cold-start", "view-direction", "open-injection")
"""What it compares if asked: `full` without one of the things that make it better than FFaceNeRF's way."""
EDIT_METHODS = ("no-edit", "original", "original-no-overlap", "ours-preview", "ours-converged", "ours-no-overlap", "ours-no-keep", "oracle")
"""What the benchmark edit compares."""
INVERT_METHODS = ("original", "original-posed", "pivotal", "encoder", "ours", "ours-60s", "oracle")
"""What the benchmark invert compares."""
RENDER_SIZES = ("full", "demo")
"""What the benchmark render measures: models of the official sizes, or the generator as it is."""


def benchmark(name: str) -> Callable[..., dict[str, Any]]:
    """The `run` of the benchmark `name`, imported now; `KeyError` if there is none."""
    return import_module(BENCHMARKS[name]).run
