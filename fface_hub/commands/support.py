"""What the commands share: the device, layouts by name, progress bars and reports."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from fface_hub.doors import read_json
from fface_hub.errors import LayoutError, ModelError
from fface_hub.layouts import LAYOUTS, Layout
from fface_hub.progress import Callback, Step


def choose_device(name: str) -> torch.device:
    """The device called `name`, "auto" being a GPU if there is one; `ModelError` if this machine has no such device."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise ModelError(f"The device '{name}' cannot be used on this machine: use --device cpu or --device auto.") from error
    return device


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


def say(text: str) -> None:
    """One line for the user, on stdout."""
    print(text, flush=True)
