"""`fface-hub benchmark`: models measured."""

from __future__ import annotations

import shlex
from argparse import Namespace
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from fface_hub.benchmarks import adapt as grid_of_fits
from fface_hub.benchmarks import adapt_layers, adapt_speed, encoder_views
from fface_hub.benchmarks import benchmark as find_benchmark
from fface_hub.benchmarks import edit as edits
from fface_hub.benchmarks import invert as inversions
from fface_hub.benchmarks.edit_gallery import SUFFIXES
from fface_hub.benchmarks.plots import Panel, draw
from fface_hub.commands.folders import load_generator
from fface_hub.commands.support import choose_layout, progress, say, write_json
from fface_hub.errors import ModelError
from fface_hub.generators.base import Generator
from fface_hub.memory import keep_freed_memory
from fface_hub.models import Model
from fface_hub.training.config import HEADS_TRIPLANE

GRID = ("layout", "shots", "variants", "seeds", "every_seed", "identities", "limit")
"""Options of the benchmark adapt."""
PLOTS: dict[str, Callable[[dict[str, Any]], list[Panel]]] = {
    "adapt": lambda figures: [grid_of_fits.panel(figures)],
    "adapt-layers": adapt_layers.panels,
    "encoder-views": encoder_views.panels,
}
"""What can be drawn."""
OPTIONS = {
    "sweep": ("adapt-speed",),
    "size": ("render",),
    "plot": tuple(PLOTS),
    **dict.fromkeys(GRID, ("adapt",)),
    "limit": ("adapt", "edit", "invert"),
    "methods": ("edit", "invert"),
    "gallery": ("edit",),
}

BUNDLED = {"landmarks": "heads-landmarks", "parser": "heads-parser"}
"""Benchmarks that measure one bundled model."""


def benchmark(args: Namespace) -> None:
    """Run a benchmark, print its figures and write them; with `--sweep` or `--plot`, draw them as well."""
    for option, names in OPTIONS.items():
        if getattr(args, option) is not None and args.name not in names:
            raise ModelError(f"--{option.replace('_', '-')} is for the benchmark {' and '.join(names)}: leave it out.")
    if args.generator is not None and args.name in BUNDLED:
        raise ModelError(f"The benchmark {args.name} measures {BUNDLED[args.name]}: leave out --generator.")
    options = PLANS[args.name](args) if args.name in PLANS else {}
    if args.size is not None:
        options["size"] = args.size
    keep_freed_memory()
    model = (
        Model.from_pretrained(BUNDLED[args.name], device=args.compute.device)
        if args.name in BUNDLED
        else load_generator(args.generator or HEADS_TRIPLANE.name, args.compute)
    )
    with progress(args.name) as callback:
        figures = find_benchmark(args.name)(model, callback=callback, **options)
    if args.name in (*PLANS, "render"):
        figures["command"] = shlex.join(["fface-hub", *args.words])
    write_json(figures, args.json)
    _tell(figures)
    if args.plot is not None and figures["rows"]:
        args.plot.parent.mkdir(parents=True, exist_ok=True)
        draw(PLOTS[args.name](figures), columns=2).save(args.plot, "PNG")
        say(f"wrote {args.plot}")
    if args.sweep is not None and isinstance(model, Generator):
        with progress("sweep") as callback:
            rows = adapt_speed.sweep(model, callback)
        write_json({"rows": rows}, args.sweep.with_suffix(".json"))
        draw(adapt_speed.panels(rows)).save(args.sweep, "PNG")
        say(f"wrote {args.sweep} and {args.sweep.with_suffix('.json')}")


def _grid(args: Namespace) -> dict[str, Any]:
    """What the benchmark adapt is to run; finished runs are kept beside its report."""
    given = {name: getattr(args, name) for name in GRID if getattr(args, name) is not None}
    if args.layout is not None:
        given["layout"] = choose_layout(args.layout)
    return {"grid": grid_of_fits.Grid(**given), "progress_file": _beside(args)}


def _edits(args: Namespace) -> dict[str, Any]:
    """What the benchmark edit is to run."""
    given = {name: getattr(args, name) for name in ("methods", "limit") if getattr(args, name) is not None}
    if given.get("limit") == 0:
        raise ModelError("--limit: at least one pair is needed.")
    if args.gallery is not None and args.gallery.suffix.lower() not in SUFFIXES:
        raise ModelError(f"--gallery: the name of a picture is needed, ending in {', '.join(SUFFIXES)}.")
    return {"plan": edits.Plan(**given), "progress_file": _beside(args), "gallery": args.gallery}


def _inversions(args: Namespace) -> dict[str, Any]:
    """What the benchmark invert is to run."""
    given = {key: getattr(args, name) for name, key in (("methods", "methods"), ("limit", "heads")) if getattr(args, name) is not None}
    if given.get("heads") == 0:
        raise ModelError("--limit: at least one head is needed.")
    return {"plan": inversions.Plan(**given), "progress_file": _beside(args)}


def _encoders(args: Namespace) -> dict[str, Any]:
    """Where the benchmark encoder-views keeps heads and runs."""
    return {"folder": None if args.json is None else args.json.with_name(args.json.name + ".progress")}


PLANS = {"adapt": _grid, "edit": _edits, "encoder-views": _encoders, "invert": _inversions}
"""What options say to the benchmarks that are planned, and that go on where they were stopped."""


def _beside(args: Namespace) -> Path | None:
    """Where finished runs are kept, beside the report."""
    return None if args.json is None else args.json.with_name(args.json.name + ".progress.jsonl")


def _tell(figures: Mapping[str, Any]) -> None:
    """The figures on stdout, one a line; of a table its rows, or its methods, and of them what is a number or a name."""
    rows = figures.get("rows", [{"method": name, **row} for name, row in figures.get("methods", {}).items()])
    for row in rows:
        say("  ".join(f"{key} {_short(value)}" for key, value in row.items() if not isinstance(value, dict)))
    for name, value in figures.items():
        if not rows or isinstance(value, str | int | float):
            say(f"{name}: {_short(value)}")


def _short(value: Any) -> str:
    return f"{value:.4f}" if isinstance(value, float) else str(value)
