"""Session files: one face with all its edits in one zip of JSON and safetensors, so that it reopens exactly. The photo is never in it.

What comes back was in a stranger's hands. Nothing of it is taken on trust: names and sizes are a closed list, every tensor is finite and of
the shape that this generator has, and what points anywhere points inside.
"""

from __future__ import annotations

import base64
import io
import json
import re
import tempfile
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from fface_hub.adapters.adapter import Adapter
from fface_hub.cameras import Camera
from fface_hub.doors import read_json, read_tensors
from fface_hub.errors import FFaceError, LayoutError, ModelError
from fface_hub.files import write_tensors
from fface_hub.generators.base import Generator
from fface_hub.inversion.inversion import FILES, Inversion
from fface_hub.kept import LAYERS, MOST, Kept
from fface_hub.latents import Latents
from fface_hub.layouts import MAX_CLASSES, Layout
from fface_hub.sources import CONFIG_NAME, WEIGHTS_NAME
from space import limits, storage
from space.painting import data_url
from space.state import Edit, Session

FORMAT = "fface-session-2"
NOTE = (
    "This file holds no photo. Its numbers still encode the likeness of the person, and of a photo the colours of the surroundings as a "
    "blurred picture: treat it as you would treat a picture of that person."
)
RECORD, TENSORS = "session.json", "session.safetensors"
ADAPTER = tuple(f"adapter/{name}" for name in (CONFIG_NAME, WEIGHTS_NAME))
INVERSION = tuple(f"inversion/{name}" for name in FILES)
KEYS = {"format", "note", "generator", "name", "layout", "layouts", "camera", "now", "edits", "painting"}
LATENT_KEYS, KEPT_KEYS = {"geometry", "appearance", "kept"}, {"geometry", "cameras", "maps", "span"}
EDIT_KEYS = {"latents", "before", "parent", "strength", "painted", "layout"}
NAMES = re.compile(r"face|photo|seed-\d{1,10}")
LARGEST = 1e4
"""Limit of the numbers in latents and cameras, far beyond those of any face."""
DAMAGED = "This is no whole session file: save the session again, or choose another file."


class _Tables:
    """Rows of equal tensors are written once."""

    def __init__(self) -> None:
        self.rows: dict[str, list[Tensor]] = {"geometry": [], "appearance": [], "kept": [], "painted": [], "thumbnails": []}
        self._known: dict[tuple[str, bytes], int] = {}

    def put(self, name: str, row: Tensor) -> int:
        """The number of `row` in the table of that name."""
        row = row.detach().cpu().contiguous()
        key = name, row.numpy().tobytes()
        if key not in self._known:
            self._known[key] = len(self.rows[name])
            self.rows[name].append(row)
        return self._known[key]

    def latents(self, latents: Latents) -> dict[str, Any]:
        """The numbers of both halves, and of what is kept."""
        return {
            "geometry": self.put("geometry", latents.geometry[0]),
            "appearance": [self.put("appearance", rows) for rows in latents.appearance[0]],
            "kept": [] if latents.kept is None else [self._layer(layer) for layer in latents.kept.layers],
        }

    def _layer(self, layer: Kept) -> dict[str, Any]:
        return {
            "geometry": self.put("geometry", layer.geometry[0]),
            "cameras": layer.cameras.to_vector().tolist(),
            "maps": [self.put("kept", maps) for maps in layer.maps],
            "span": layer.span.tolist(),
        }

    def labels(self, labels: Tensor | None) -> int | None:
        """The number of a label map."""
        return None if labels is None else self.put("painted", labels.to(torch.uint8))

    def tensors(self) -> dict[str, Tensor]:
        """All tables that are not empty."""
        return {name: torch.stack(rows) for name, rows in self.rows.items() if rows}


def save(session: Session, path: Path, original: Generator, painting: Tensor | None = None) -> None:
    """Write `session`, whose generator is `original` or a tuned copy, to `path`; with the labels `painting [h,h]` that lie on its canvas.

    `FFaceError` if that is too large for a session file; then there is none.
    """
    tables, layouts = _Tables(), []
    edits = [_record(edit, tables, layouts) for edit in session.edits]
    record = {
        "format": FORMAT,
        "note": NOTE,
        "generator": original.fingerprint,
        "name": session.name,
        "layout": session.layout_id,
        "layouts": [layout.to_dict() for layout in layouts],
        "camera": session.camera.to_vector()[0].tolist(),
        "now": session.now,
        "edits": edits,
        "painting": tables.labels(painting),
    }
    with tempfile.TemporaryDirectory(dir=storage.folder("sessions")) as name:
        folder = Path(name)
        (folder / RECORD).write_text(json.dumps(record, allow_nan=False), encoding="utf-8")
        write_tensors(tables.tensors(), folder / TENSORS)
        if session.adapter is not None:
            session.adapter.save_pretrained(folder / "adapter")
        if session.inversion is not None:
            (folder / "inversion").mkdir()
            session.inversion.write(folder / "inversion", original)
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
            for member in _members():
                if (folder / member).exists():
                    file.writestr(zipfile.ZipInfo(member), (folder / member).read_bytes(), zipfile.ZIP_DEFLATED)
    if (size := path.stat().st_size) > limits.SESSION_BYTES:
        path.unlink()
        raise FFaceError(
            f"This session takes {size / 1e6:.1f} MB, and a session file may have {limits.SESSION_BYTES / 1e6:.0f}: draw the face anew and "
            "make fewer edits, or tune fewer weights."
        )


def _members() -> Sequence[str]:
    return (RECORD, TENSORS, *ADAPTER, *INVERSION)


def _record(edit: Edit, tables: _Tables, layouts: list[Layout]) -> dict[str, Any]:
    """An edit as JSON; its thumbnail, tensors and layout are put into the tables."""
    if edit.layout is not None and edit.layout not in layouts:
        layouts.append(edit.layout)
    picture = Image.open(io.BytesIO(base64.b64decode(edit.thumbnail.split(",")[1])))
    tables.rows["thumbnails"].append(torch.from_numpy(np.array(picture)))
    return {
        "latents": tables.latents(edit.latents),
        "before": None if edit.before is None else tables.latents(edit.before),
        "parent": edit.parent,
        "strength": edit.strength,
        "painted": tables.labels(edit.painted),
        "layout": None if edit.layout is None else layouts.index(edit.layout),
    }


def load(path: Path, generator: Generator, side: int, thumbnail: int) -> tuple[Session, Tensor | None]:
    """The session in a file, for the `generator` it was made with, and the labels `[side,side]` that lay on its canvas.

    Its thumbnails must have `thumbnail`² pixels. `FFaceError` with one plain sentence for anything that `save` has not written.
    """
    with tempfile.TemporaryDirectory(dir=storage.folder("sessions")) as place:
        folder = Path(place)
        _unpack(path, folder)
        record = read_json(folder / RECORD)
        if not isinstance(record, dict) or set(record) != KEYS or record["format"] != FORMAT or not isinstance(record["note"], str):
            raise ModelError(DAMAGED)
        if record["generator"] != generator.fingerprint:
            raise ModelError("This session was made with another generator than this page runs: open it where it was saved.")
        tables = _read_tables(folder, generator, side, thumbnail)
        layouts = [Layout.from_dict(layout) for layout in _list(record["layouts"])]
        edits = [_edit(entry, number, tables, layouts) for number, entry in enumerate(_list(record["edits"]))]
        if not edits or len(edits) != len(tables["thumbnails"]) or len(edits) > limits.EDITS:
            raise ModelError(DAMAGED)
        inversion = Inversion.load(folder / "inversion", generator) if (folder / "inversion").exists() else None
        adapter = _adapter(folder / "adapter", generator) if (folder / "adapter").exists() else None
        camera = _camera(record["camera"]).to(generator.mean_latents().geometry.device)
    name, layout_id = record["name"], record["layout"]
    if not isinstance(name, str) or not NAMES.fullmatch(name):
        raise ModelError(DAMAGED)
    if not isinstance(layout_id, str) or len(layout_id) > 100 or not layout_id.isprintable():
        raise ModelError(DAMAGED)
    session = Session(generator if inversion is None else inversion.generator, camera, edits, inversion, adapter, name=name)
    session.layout_id, session.now = layout_id, _number(record["now"], len(edits))
    painting = _painted(record["painting"], tables, session.layout)
    return session, painting


def _unpack(path: Path, folder: Path) -> None:
    """The members of the zip at `path` into `folder`: only those of the closed list, and never more bytes than they announce."""
    if path.stat().st_size > limits.SESSION_BYTES:
        raise FFaceError(f"This file is too large: a session file has at most {limits.SESSION_BYTES / 1e6:.0f} MB.")
    try:
        with zipfile.ZipFile(path) as file:
            members = {info.filename: info for info in file.infolist()}
            kinds = {info.compress_type for info in members.values()}
            if len(members) != len(file.infolist()) or not {RECORD, TENSORS} <= set(members) <= set(_members()):
                raise ModelError(DAMAGED)
            if sum(info.file_size for info in members.values()) > limits.SESSION_UNPACKED:
                raise FFaceError("This file unpacks to more than a session can be: choose another file.")
            if not kinds <= {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}:
                raise ModelError(DAMAGED)
            for name in _members():
                if name in members:
                    (folder / name).parent.mkdir(exist_ok=True)
                    with file.open(members[name]) as member:
                        (folder / name).write_bytes(member.read(members[name].file_size))
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError, ValueError, NotImplementedError) as error:
        raise ModelError(DAMAGED) from error


def _read_tables(folder: Path, generator: Generator, side: int, thumbnail: int) -> dict[str, Tensor]:
    """The tables, each of the shapes and numbers that they must have; without rows where there are none."""
    mean = generator.mean_latents()
    wanted = {
        "geometry": (mean.geometry.shape[1:], torch.float32),
        "appearance": (mean.appearance.shape[2:], torch.float32),
        "kept": ((2, side, side), torch.uint8),
        "painted": ((side, side), torch.uint8),
        "thumbnails": ((thumbnail, thumbnail, 3), torch.uint8),
    }
    tables = read_tensors(folder / TENSORS)
    for name, (shape, kind) in wanted.items():
        table = tables.setdefault(name, torch.zeros(0, *shape, dtype=kind))
        if table.shape[1:] != shape or table.dtype != kind or float(table.abs().max() if len(table) else 0) > LARGEST:
            raise ModelError(DAMAGED)
    if set(tables) != set(wanted):
        raise ModelError(DAMAGED)
    return {name: table.to(mean.geometry.device) if table.is_floating_point() else table for name, table in tables.items()}


def _edit(entry: Any, number: int, tables: dict[str, Tensor], layouts: list[Layout]) -> Edit:
    """The edit of that `number`: the first is the face as it came, every other was made from one before it."""
    if not isinstance(entry, dict) or set(entry) != EDIT_KEYS or type(entry["strength"]) not in (int, float):
        raise ModelError(DAMAGED)
    if (number == 0) != (entry["parent"] is None) or (number == 0) != (entry["before"] is None) or not 0 <= entry["strength"] <= 1:
        raise ModelError(DAMAGED)
    layout = None if entry["layout"] is None else layouts[_number(entry["layout"], len(layouts))]
    return Edit(
        _latents(entry["latents"], tables),
        None if number == 0 else _number(entry["parent"], number),
        _painted(entry["painted"], tables, layout),
        layout,
        data_url(Image.fromarray(tables["thumbnails"][_number(number, len(tables["thumbnails"]))].numpy())),
        None if number == 0 else _latents(entry["before"], tables),
        float(entry["strength"]),
    )


def _latents(entry: Any, tables: dict[str, Tensor]) -> Latents:
    """One face, with one appearance or one for each of a layout's classes."""
    if not isinstance(entry, dict) or set(entry) != LATENT_KEYS or not 0 < len(_list(entry["appearance"])) <= MAX_CLASSES:
        raise ModelError(DAMAGED)
    colors = torch.stack([_row("appearance", number, tables) for number in entry["appearance"]])
    layers = [_layer(layer, tables) for layer in _list(entry["kept"])]
    if len(layers) > LAYERS:
        raise ModelError(DAMAGED)
    return Latents(_row("geometry", entry["geometry"], tables)[None], colors[None], Kept.stacked(layers) if layers else None)


def _layer(entry: Any, tables: dict[str, Tensor]) -> Kept:
    """What one edit of a face keeps."""
    if not isinstance(entry, dict) or set(entry) != KEPT_KEYS or not 0 < len(_list(entry["maps"])) == len(_list(entry["cameras"])) <= MOST:
        raise ModelError(DAMAGED)
    if len(_list(entry["span"])) != 2 or not all(type(x) in (int, float) and abs(x) < LARGEST for x in entry["span"]):
        raise ModelError(DAMAGED)
    geometry = _row("geometry", entry["geometry"], tables)[None]
    kept = {
        "geometry": geometry,
        "cameras": torch.cat([_camera(numbers).to_vector() for numbers in entry["cameras"]]),
        "maps": torch.stack([_row("kept", number, tables) for number in entry["maps"]]),
        "span": torch.tensor(entry["span"]),
    }
    return Kept.from_tensors(kept).to(geometry.device)


def _row(name: str, number: Any, tables: dict[str, Tensor]) -> Tensor:
    """The row of that `number` in the table of that name."""
    # A copy of its own, as an edit gives it: sums over a row that begins elsewhere in memory may be rounded otherwise.
    return tables[name][_number(number, len(tables[name]))].clone()


def _painted(number: Any, tables: dict[str, Tensor], layout: Layout | None) -> Tensor | None:
    """Label map `[h,h]` (int64) of that number, in `layout`."""
    if number is None:
        return None
    painted = tables["painted"][_number(number, len(tables["painted"]))].long()
    if layout is None or int(painted.max()) >= len(layout):
        raise LayoutError("What was painted in this session file has classes that its layout does not have: save the session again.")
    return painted


def _adapter(folder: Path, generator: Generator) -> Adapter:
    """The layout in the file; its own errors would name a folder of this server."""
    try:
        adapter = Adapter.from_pretrained(folder, device=generator.mean_latents().geometry.device).requires_grad_(False)
    except FFaceError as error:
        raise ModelError("The layout in this session file cannot be read: save the session again.") from error
    adapter.check(generator)
    return adapter


def _camera(numbers: Any) -> Camera:
    if len(_list(numbers)) != 25 or not all(type(x) in (int, float) and abs(x) < LARGEST for x in numbers):
        raise ModelError(DAMAGED)
    return Camera.from_vector(torch.tensor([numbers], dtype=torch.float32))


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise ModelError(DAMAGED)
    return value


def _number(value: Any, count: int) -> int:
    """`value` as the number of one of `count` things."""
    if type(value) is not int or not 0 <= value < count:
        raise ModelError(DAMAGED)
    return value
