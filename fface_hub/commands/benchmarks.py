"""`fface-hub benchmark`: models measured."""

from __future__ import annotations

import shlex
from argparse import Namespace
from collections.abc import Mapping
from typing import Any

from fface_hub.benchmarks import adapt as grid_of_fits
from fface_hub.benchmarks import adapt_layers, adapt_speed
from fface_hub.benchmarks import benchmark as find_benchmark
from fface_hub.benchmarks.plots import draw
from fface_hub.commands.folders import load_generator
from fface_hub.commands.support import choose_device, choose_layout, progress, say, write_json
from fface_hub.errors import ModelError
from fface_hub.memory import keep_freed_memory

GRID = ("layout", "shots", "variants", "seeds", "every_seed", "identities", "limit")
"""Options of the benchmark adapt."""
OPTIONS = {"sweep": ("adapt-speed",), "plot": ("adapt", "adapt-layers"), **dict.fromkeys(GRID, ("adapt",))}


def benchmark(args: Namespace) -> None:
    """Run a benchmark, print its figures and write them; with `--sweep` or `--plot`, draw them as well."""
    for option, names in OPTIONS.items():
        if getattr(args, option) is not None and args.name not in names:
            raise ModelError(f"--{option.replace('_', '-')} is for the benchmark {' and '.join(names)}: leave it out.")
    options = _grid(args) if args.name == "adapt" else {}
    keep_freed_memory()
    generator = load_generator(args.generator, choose_device(args.device))
    with progress(args.name) as callback:
        figures = find_benchmark(args.name)(generator, callback=callback, **options)
    if args.name == "adapt":
        figures["command"] = shlex.join(["fface-hub", *args.words])
    write_json(figures, args.json)
    _tell(figures)
    if args.plot is not None and figures["rows"]:
        args.plot.parent.mkdir(parents=True, exist_ok=True)
        panels = [grid_of_fits.panel(figures)] if args.name == "adapt" else adapt_layers.panels(figures)
        draw(panels).save(args.plot, "PNG")
        say(f"wrote {args.plot}")
    if args.sweep is not None:
        with progress("sweep") as callback:
            rows = adapt_speed.sweep(generator, callback)
        write_json({"rows": rows}, args.sweep.with_suffix(".json"))
        draw(adapt_speed.panels(rows)).save(args.sweep, "PNG")
        say(f"wrote {args.sweep} and {args.sweep.with_suffix('.json')}")


def _grid(args: Namespace) -> dict[str, Any]:
    """What the benchmark adapt is to run; finished runs are kept beside its report."""
    given = {name: getattr(args, name) for name in GRID if getattr(args, name) is not None}
    if args.layout is not None:
        given["layout"] = choose_layout(args.layout)
    beside = None if args.json is None else args.json.with_name(args.json.name + ".progress.jsonl")
    return {"grid": grid_of_fits.Grid(**given), "progress_file": beside}


def _tell(figures: Mapping[str, Any]) -> None:
    """The figures on stdout, one a line; of a table its rows, and of them what is a number or a name."""
    for row in figures.get("rows", []):
        say("  ".join(f"{key} {_short(value)}" for key, value in row.items() if not isinstance(value, dict)))
    for name, value in figures.items():
        if "rows" not in figures or isinstance(value, str | int | float):
            say(f"{name}: {_short(value)}")


def _short(value: Any) -> str:
    return f"{value:.4f}" if isinstance(value, float) else str(value)
