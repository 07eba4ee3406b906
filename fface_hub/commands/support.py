"""What the commands share: layouts by name, progress bars, reports, and a look at where they go."""

from __future__ import annotations

import json
import os
import sys
from argparse import Namespace
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tqdm import tqdm

from fface_hub.doors import read_json
from fface_hub.errors import FFaceError, LayoutError
from fface_hub.layouts import LAYOUTS, Layout
from fface_hub.progress import Callback, Step


def choose_layout(name: str) -> Layout:
    """A published layout by its name, or the layout of a JSON file; `LayoutError` if it is neither."""
    if name in LAYOUTS:
        return LAYOUTS[name]
    if not Path(name).is_file():
        raise LayoutError(f"There is no layout '{name[:80]}': give {', '.join(LAYOUTS)}, or the path of a layout.json.")
    try:
        return Layout.from_dict(read_json(name))
    except LayoutError as error:
        raise LayoutError(f"'{Path(name).name}': {error}") from error


@contextmanager
def progress(title: str) -> Iterator[Callback]:
    """A progress bar on stderr, moved by the callback it gives."""
    with tqdm(desc=title, total=0, dynamic_ncols=True, file=sys.stderr) as bar:

        def callback(step: Step) -> None:
            bar.total = step.total
            bar.set_postfix({name: f"{value:.4g}" for name, value in step.losses.items()}, refresh=False)
            bar.update(step.index - bar.n)

        yield callback


def write_json(figures: Mapping[str, Any], path: Path | None) -> None:
    """Write a report to `path`, if one was asked for."""
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


def check_outputs(args: Namespace) -> None:
    """`FFaceError` if `--out`, `--json` or their like could not be written: better said now than after hours of work, lost with it."""
    for option, path, folder in (
        ("OUT" if args.command in ("convert", "prepare") else "--out", getattr(args, "out", None), True),
        ("--json", getattr(args, "json", None), False),
        ("--sweep", getattr(args, "sweep", None), False),
        ("--plot", getattr(args, "plot", None), False),
        ("--gallery", getattr(args, "gallery", None), False),
    ):
        if path is None:
            continue
        if path.exists() and path.is_dir() != folder:
            what, wanted = ("file", "folder") if folder else ("folder", "file")
            raise FFaceError(f"{option}: '{path}' is a {what}, and the name of a {wanted} is needed.")
        nearest = next(place for place in (path, *path.absolute().parents) if place.exists())
        if not os.access(nearest, os.W_OK) or not (nearest.is_dir() or nearest == path):
            raise FFaceError(f"{option}: '{path}' cannot be written, since you may not write into '{nearest}': choose another place.")


def say(text: str) -> None:
    """One line for the user, on stdout."""
    print(text, flush=True)


def counted(count: int, one: str, many: str | None = None) -> str:
    """'1 face', '2 faces'; `many` where it is not `one` with an s."""
    return f"{count} {one if count == 1 else many or one + 's'}"


def program() -> str:
    """How this program was called, for commands that a user is told to call next: there is no `fface-hub` where it is not installed."""
    return "fface-hub" if Path(sys.argv[0]).stem == "fface-hub" else "python -m fface_hub.cli"
