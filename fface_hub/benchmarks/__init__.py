"""Benchmarks by name. Each is one file with `run(generator, callback=None) -> dict[str, Any]`, whose result is written as JSON."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

BENCHMARKS = {
    "adapt": "fface_hub.benchmarks.adapt",
    "adapt-layers": "fface_hub.benchmarks.adapt_layers",
    "adapt-speed": "fface_hub.benchmarks.adapt_speed",
    "fewshot": "fface_hub.benchmarks.fewshot",
    "fidelity": "fface_hub.benchmarks.fidelity",
}
VARIANTS = ("full", "no-injection", "no-lmta", "mix-all", "original", "fixed-layout", "oracle")
"""What the benchmark adapt compares."""
LEVERS = ("no-distillation", "no-overlap", "no-balance", "cold-start", "view-direction", "open-injection")
"""What it compares if asked: `full` without one of the things that make it better than FFaceNeRF's way."""


def benchmark(name: str) -> Callable[..., dict[str, Any]]:
    """The `run` of the benchmark `name`, imported now; `KeyError` if there is none."""
    return import_module(BENCHMARKS[name]).run
