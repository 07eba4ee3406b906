"""Cameras of prepared photos in JSON files: EG3D's `dataset.json`, and the `cameras.json` of its relatives, in whatever form they have."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from fface_hub.adapters.samples_rows import read_camera
from fface_hub.cameras import Camera
from fface_hub.doors import read_json
from fface_hub.errors import ModelError

NAMES = ("dataset.json", "cameras.json")
MAX_BYTES = 100_000_000
"""Of such a file; that of FFHQ's 140,000 pictures and mirror images has about 60 MB."""


class CameraFile:
    """The cameras of a file by the names of their pictures.

    Names are matched as they are; failing that without suffix, without folders, without both, as long as only one picture can be meant.
    """

    def __init__(self, cameras: Mapping[str, Any]) -> None:
        """`cameras`: the 25 numbers of each picture, not checked yet."""
        self.cameras = dict(cameras)
        self._shortened: list[dict[str, list[str]]] = []
        for shorten in _SHORTER:
            table: dict[str, list[str]] = {}
            for name in self.cameras:
                table.setdefault(shorten(name), []).append(name)
            self._shortened.append(table)

    def __len__(self) -> int:
        return len(self.cameras)

    def find(self, name: str) -> Camera | None:
        """The camera (batch of one) of the picture `name`, a path relative to the file with `/` between folders; None if it has none.

        Raises `ModelError` if two pictures could be meant, or the numbers are no camera.
        """
        for shorten, table in zip(_SHORTER, self._shortened, strict=True):
            meant = table.get(shorten(name), [])
            if len(meant) > 1:
                raise ModelError(f"The file of cameras names '{meant[0][:60]}' and '{meant[1][:60]}', which may both be '{name[:60]}'.")
            if meant:
                try:
                    return read_camera(_numbers(self.cameras[meant[0]]))
                except ModelError as error:
                    raise ModelError(f"The camera of '{meant[0][:60]}' cannot be used: {error}") from error
        return None


_SHORTER = (
    lambda name: str(PurePosixPath(name)),
    lambda name: str(PurePosixPath(name).with_suffix("")) if PurePosixPath(name).name else name,
    lambda name: PurePosixPath(name).name,
    lambda name: PurePosixPath(name).stem,
)
"""Forms of a name, from the one that says most to the one that says least."""


def read_cameras(path: str | Path) -> CameraFile:
    """The cameras in a JSON file of any of these forms, the 25 numbers flat or in rows. `ModelError` for anything else.

    `{"labels": [[name, numbers], …]}` and `{"labels": {name: numbers}}` (EG3D); `{name: numbers}`; `[[name, numbers], …]`; and
    `[{"name": …, …}, …]` or `{name: {…}}` with `camera`, `label` or `pose` of 25 numbers, or `pose` and `intrinsics` of 16 and 9.
    """
    value = read_json(path, MAX_BYTES)
    if isinstance(value, dict) and "labels" in value:
        value = value["labels"]
    pairs = list(_pairs(value))
    if not pairs or any(not isinstance(name, str) or not name for name, _ in pairs):
        raise ModelError(
            f"The file '{Path(path).name}' holds no cameras: it must name pictures with 25 numbers each, as EG3D's dataset.json does."
        )
    cameras = {name.replace("\\", "/"): numbers for name, numbers in pairs}
    if len(cameras) != len(pairs):
        raise ModelError(f"The file '{Path(path).name}' names a picture twice: remove one of the two.")
    return CameraFile(cameras)


def cameras_beside(photo: Path, read: Callable[[Path], CameraFile] = read_cameras) -> tuple[CameraFile, str, Path] | None:
    """The file of cameras in the folder of a `photo` or in the one above, as `read`, with the photo's name relative to it and its path;
    None if there is no such file."""
    for folder in list(photo.absolute().parents)[:2]:
        for path in (folder / name for name in NAMES):
            if path.is_file():
                return read(path), photo.absolute().relative_to(folder).as_posix(), path
    return None


def write_cameras(cameras: Mapping[str, Camera], path: Path) -> None:
    """Write `cameras` (batches of one, by the names of their pictures) as EG3D's `dataset.json`, in one step."""
    labels = [[name, camera.to_vector()[0].tolist()] for name, camera in cameras.items()]
    partial = path.with_name(path.name + ".partial")
    partial.write_text(json.dumps({"labels": labels}, allow_nan=False) + "\n", encoding="utf-8")
    os.replace(partial, path)


def _pairs(value: Any) -> Iterator[tuple[Any, Any]]:
    """Names and what is said of their cameras."""
    if isinstance(value, dict):
        yield from value.items()
    for item in value if isinstance(value, list) else ():
        if isinstance(item, list) and len(item) == 2:
            yield item[0], item[1]
        elif isinstance(item, dict):
            yield next((item[key] for key in ("name", "file_name", "file", "path") if key in item), None), item
        else:
            yield None, item


def _numbers(value: Any) -> Any:
    """What is said of a camera as one flat list, whose length and kind `read_camera` judges."""
    if isinstance(value, dict):
        parts = [value[key] for key in ("camera", "label", "pose", "cam2world", "intrinsics") if key in value]
        return [number for part in parts for number in _flat(part)]
    return list(_flat(value))


def _flat(value: Any) -> Iterator[Any]:
    for item in value if isinstance(value, list) else ():
        if isinstance(item, list):
            yield from item
        else:
            yield item
