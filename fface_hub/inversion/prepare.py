"""From a folder of photographs to crops with cameras: what inversion, fine-tuning and EG3D's own tools start from.

Each photo becomes a PNG with the face framed for one generator, under the photo's own name; `dataset.json` holds the cameras in EG3D's
form. Photos in a sub-folder are of one person, and stay together. A run that was stopped goes on where it was: `prepare.jsonl` has a line
for each photo that is done.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from PIL import Image

from fface_hub.adapters.samples_rows import read_camera
from fface_hub.cameras import Camera
from fface_hub.doors import parse_json, read_image
from fface_hub.errors import FaceNotFoundError, FFaceError, ImageError, ModelError
from fface_hub.inversion.align import crop, find_face
from fface_hub.inversion.camera_files import NAMES, CameraFile, read_cameras, write_cameras
from fface_hub.inversion.landmarks import METRES_PER_UNIT
from fface_hub.progress import Callback, Step

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".gif")
RECORD, REPORT = "prepare.jsonl", "report.json"


@dataclass(frozen=True)
class PrepareSettings:
    """`resolution` of the crops, and the `metres_per_unit` of the generator they are framed for (`align.unit_of`)."""

    resolution: int = 512
    metres_per_unit: float = METRES_PER_UNIT


@dataclass(frozen=True)
class Prepared:
    """What became of a folder: `cameras` by the crops' names; `rejected` photos and why; `notes` on accepted ones; `people`, the crops of
    each sub-folder; `reused`, how many photos an earlier run had done."""

    cameras: Mapping[str, Camera]
    rejected: Mapping[str, str]
    notes: Mapping[str, str]
    people: Mapping[str, tuple[str, ...]]
    reused: int


def prepare(photos: Path, out: Path, settings: PrepareSettings | None = None, callback: Callback | None = None) -> Prepared:
    """Crop every photo of the folder `photos` and its sub-folders into `out`, and write `dataset.json` and `report.json` there.

    If `photos` holds a `dataset.json` or `cameras.json`, pictures that it names are crops already: they are only brought to the resolution
    and keep their cameras. Photos without a usable face, and files that are no pictures, are rejected one by one. Raises `ImageError` if
    `photos` is no folder or has no pictures, `FaceNotFoundError` if none of them could be used, `ModelError` for a file of cameras that
    cannot be read or an `out` of other settings.
    """
    settings = settings or PrepareSettings()
    names = _names(photos, out)
    known = next((read_cameras(photos / name) for name in NAMES if (photos / name).is_file()), CameraFile({}))
    out.mkdir(parents=True, exist_ok=True)
    done = _read_record(out / RECORD, settings)
    reused = 0
    entries: dict[str, dict[str, Any]] = {}
    with (out / RECORD).open("a", encoding="utf-8") as record:
        if not done:
            record.write(json.dumps({"settings": asdict(settings)}) + "\n")
        for index, (source, name) in enumerate(names.items()):
            stamp = _stamp(photos / source)
            entry = done.get(source, {})
            if entry.get("stamp") == stamp and entry.get("name") == name and ("rejected" in entry or (out / name).is_file()):
                reused += 1
            else:
                entry = {
                    "source": source,
                    "stamp": stamp,
                    "name": name,
                    **_prepare_one(photos / source, source, out / name, known, settings),
                }
                record.write(json.dumps(entry, allow_nan=False) + "\n")
                record.flush()
            entries[source] = entry
            if callback is not None:
                callback(Step(index + 1, len(names), {}))
    prepared = _summary(entries, reused)
    _write_report(prepared, out / REPORT)
    write_cameras(prepared.cameras, out / NAMES[0])
    if not prepared.cameras:
        first, reason = next(iter(prepared.rejected.items()))
        raise FaceNotFoundError(f"None of the {len(names)} photos could be used; '{first[:60]}': {reason} All reasons are in {REPORT}.")
    return prepared


def _names(photos: Path, out: Path) -> dict[str, str]:
    """Photos below the folder, by their paths relative to it, and what their crops are called: the same with `.png`.

    Hidden files and what lies in `out` are left alone. Of two that differ in their suffix only, the second keeps it in its name.
    """
    if not photos.is_dir():
        raise ImageError(f"'{photos}' is no folder: give the folder that the photos are in.")
    inside = out.resolve()
    paths = sorted(path for path in photos.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())
    sources = [path.relative_to(photos) for path in paths if not path.resolve().is_relative_to(inside)]
    names: dict[str, str] = {}
    for source in (path.as_posix() for path in sources if not any(part.startswith(".") for part in path.parts)):
        plain = PurePosixPath(source)
        name = str(plain.with_suffix(".png"))
        taken = name in names.values()
        names[source] = str(plain.with_name(f"{plain.stem}-{plain.suffix[1:].lower()}.png")) if taken else name
    if not names:
        raise ImageError(f"There are no pictures in '{photos}': PNG, JPEG, WebP, BMP, TIFF and GIF are read.")
    return names


def _stamp(path: Path) -> list[int]:
    """What changes when a file does."""
    status = path.stat()
    return [status.st_size, status.st_mtime_ns // 1_000_000]


def _prepare_one(path: Path, source: str, target: Path, known: CameraFile, settings: PrepareSettings) -> dict[str, Any]:
    """Write the crop of one photo; `camera` and `note` of it, or why it was `rejected`."""
    try:
        image = read_image(path)
        camera, note = known.find(source), ""
        if camera is None:
            face = find_face(image, settings.metres_per_unit)
            camera, note = face.camera, face.note
            square = crop(image, face.box, settings.resolution)
        elif image.width != image.height:
            raise ImageError(
                f"It has a camera, but is {image.width} × {image.height} pixels and not square: crop it, or remove its camera."
            )
        else:
            square = image.resize((settings.resolution, settings.resolution), Image.Resampling.LANCZOS)
    except FFaceError as error:
        return {"rejected": str(error)}
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(target.name + ".partial")
    square.save(partial, "PNG")
    os.replace(partial, target)
    return {"camera": camera.to_vector()[0].tolist(), "note": note}


def _read_record(path: Path, settings: PrepareSettings) -> dict[str, dict[str, Any]]:
    """Lines of an earlier run by their photos; the last one may be half a line, if it was killed. `ModelError` for other settings."""
    if not path.is_file():
        return {}
    lines: list[Any] = []
    for text in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            lines.append(parse_json(text))
        except ModelError:
            continue
    if not lines or not isinstance(lines[0], dict) or lines[0].get("settings") != asdict(settings):
        raise ModelError(f"'{path.parent.name}' holds photos that were prepared with other settings: choose an empty folder.")
    with path.open("a", encoding="utf-8") as record:
        record.write("\n")  # so that what comes next does not go on half a line
    return {line["source"]: line for line in lines[1:] if isinstance(line, dict) and isinstance(line.get("source"), str)}


def _summary(entries: Mapping[str, Mapping[str, Any]], reused: int) -> Prepared:
    cameras: dict[str, Camera] = {}
    people: dict[str, list[str]] = {}
    for entry in entries.values():
        if "camera" in entry:
            name = entry["name"]
            cameras[name] = read_camera(entry["camera"])
            if len(parts := PurePosixPath(name).parts) > 1:
                people.setdefault(parts[0], []).append(name)
    rejected = {source: str(entry["rejected"]) for source, entry in entries.items() if "rejected" in entry}
    notes = {entry["name"]: str(entry["note"]) for entry in entries.values() if entry.get("note")}
    return Prepared(cameras, rejected, notes, {person: tuple(names) for person, names in people.items()}, reused)


def _write_report(prepared: Prepared, path: Path) -> None:
    report = {
        "accepted": len(prepared.cameras),
        "rejected": prepared.rejected,
        "notes": prepared.notes,
        "people": {person: list(names) for person, names in prepared.people.items()},
    }
    partial = path.with_name(path.name + ".partial")
    partial.write_text(json.dumps(report, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    os.replace(partial, path)
