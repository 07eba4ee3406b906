"""Finished runs of a benchmark that takes hours, one JSON object a line, so that it goes on where it was stopped."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any


def read_records(progress_file: Path | None) -> dict[str, dict[str, Any]]:
    """Finished runs by their `key`; a line that was cut short by a kill is passed over."""
    known = {}
    if progress_file is not None and progress_file.exists():
        for line in progress_file.read_text(encoding="utf-8").splitlines():
            try:
                record = json.loads(line)
            except json.JSONDecodeError:
                continue
            known[record["key"]] = record
    return known


def append_record(progress_file: Path, record: dict[str, Any]) -> None:
    """Add a line, begun anew where the last one was cut short. `OSError`."""
    progress_file.parent.mkdir(parents=True, exist_ok=True)
    with progress_file.open("a+b") as file:
        file.seek(0, os.SEEK_END)
        if file.tell():
            file.seek(-1, os.SEEK_END)
            file.write(b"" if file.read(1) == b"\n" else b"\n")
        file.write(json.dumps(record).encode() + b"\n")
