"""One sample of a sample set: in memory, and as a row of `metadata.jsonl` with the files it names."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor

from fface_hub.adapters.samples_labels import Painted, read_painted
from fface_hub.cameras import Camera
from fface_hub.doors import parse_json, read_image, save_label_map, to_image, to_tensor
from fface_hub.errors import FFaceError, ImageError, LayoutError, ModelError
from fface_hub.generators.base import Generator
from fface_hub.latents import Latents
from fface_hub.layouts import Layout
from fface_hub.sources import inside

METADATA = "metadata.jsonl"
MAX_METADATA_BYTES = 20_000_000
MAX_NAME_BYTES = 255  # what file systems take
CAMERA_TOLERANCE = 1e-2  # published cameras carry TF32 rounding, up to 8e-4 per number
FILE_KEYS = ("file_name", "labels", "latents")

Value = TypeVar("Value")


@dataclass(frozen=True)
class Origin:
    """The generator that latents belong to: its `id` tells people, its `fingerprint` decides."""

    id: str
    fingerprint: str

    @staticmethod
    def of(generator: Generator) -> Origin:
        """That of `generator`; a folder of this machine is no id for others."""
        return Origin(getattr(generator, "model_id", None) or "unnamed", generator.fingerprint)


@dataclass(frozen=True)
class Sample:
    """One painted face: `image [3,H,H]` in [-1, 1], `labels [h,h]` int64, `camera` and, where known, `latents` (batches of one) with
    their `origin`. `name` is the file of the picture, if it was read from one."""

    image: Tensor
    labels: Tensor
    camera: Camera
    latents: Latents | None = None
    origin: Origin | None = None
    name: str = ""

    def __post_init__(self) -> None:
        _check_image(self.image)
        _check_labels(self.labels)


@dataclass(frozen=True)
class Problem:
    """What is wrong with the file `file` of a sample set, in one sentence, and the number of `pixels` it is about, if there is one.

    The set cannot be used if there is an `error`, which says the same.
    """

    file: str
    message: str
    pixels: int | None = None
    error: FFaceError | None = None


def read_rows(path: Path) -> list[Any]:
    """The rows of a set's metadata, not checked yet; `ModelError`."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_METADATA_BYTES + 1)  # and no more, whatever size the file is said to have
        if len(data) > MAX_METADATA_BYTES:
            raise ModelError(f"{METADATA} is larger than {MAX_METADATA_BYTES // 1_000_000} MB: split the sample set.")
        text = data.decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ModelError(f"{METADATA} cannot be read as UTF-8 text.") from error
    return [parse_json(line, f"Row {number} of {METADATA}") for number, line in enumerate(text.splitlines(), 1) if line.strip()]


def row_files(rows: list[Any]) -> list[str]:
    """The files that the `rows` of a set name, as far as these are names of files beside the metadata."""
    names = [row.get(key) for row in rows if isinstance(row, dict) for key in FILE_KEYS]
    return [name for name in names if isinstance(name, str) and _is_plain(name)]


def write_sample(folder: Path, sample: Sample, layout: Layout, number: int) -> dict[str, Any]:
    """Write the files of one sample and return its row."""
    row: dict[str, Any] = {"file_name": f"{number:04d}.png", "labels": f"{number:04d}_labels.png"}
    to_image(sample.image).save(folder / row["file_name"])
    save_label_map(sample.labels, layout, folder / row["labels"])
    row["camera"] = sample.camera.to_vector()[0].tolist()
    if sample.latents is not None:
        row["latents"] = f"{number:04d}.safetensors"
        sample.latents.save(folder / row["latents"])
        if sample.origin is not None:
            row["generator"] = {"id": sample.origin.id, "fingerprint": sample.origin.fingerprint}
    return row


def _check_image(image: Tensor) -> Tensor:
    if image.ndim != 3 or len(image) != 3 or image.shape[1] != image.shape[2]:
        raise ImageError(f"A sample's picture must be square and in colour, and this one is {pixel_size(image)} pixels: crop it.")
    return image


def _check_labels(labels: Tensor) -> Tensor:
    if labels.ndim != 2 or labels.shape[0] != labels.shape[1]:
        raise LayoutError(f"A sample's label map must be square like its picture, and this one is {pixel_size(labels)} pixels.")
    return labels


def pixel_size(pixels: Tensor) -> str:
    """Width × height of `[...,h,w]`, for people."""
    return " × ".join(str(side) for side in pixels.shape[-2:][::-1])


def read_sample(
    folder: Path, row: Any, layout: Layout, number: int, problems: list[Problem], painting: Path | None = None
) -> Sample | None:
    """The sample of one row, with the label map `painting` instead of its own if one is given.

    What is wrong is added to `problems`, and None returned if the sample cannot be used.
    """

    def attempt(file: str, part: Callable[[], Value]) -> Value | None:
        try:
            return part()
        except (ImageError, LayoutError, ModelError) as error:
            told = type(error)(f"Sample {number}, '{file}': {error}")
            problems.append(Problem(file, str(told), error=told))

    if attempt(METADATA, lambda: _check_row(folder, row)) is None:
        return None
    image = attempt(row["file_name"], lambda: _check_image(to_tensor(read_image(folder / row["file_name"]))[0]))
    file = painting or folder / row["labels"]
    painted = attempt(file.name, lambda: _read_labels(file, layout))
    camera = attempt(METADATA, lambda: read_camera(row["camera"]))
    latents = attempt(row["latents"], lambda: _read_latents(folder / row["latents"])) if row.get("latents") else None
    if painted is not None and painted.snapped:
        share = painted.snapped / painted.labels.numel()
        sentence = f"'{file.name}': {painted.snapped} pixels ({share:.2%}) were in colours of no class and took the nearest one around."
        problems.append(Problem(file.name, sentence, painted.snapped))
    if image is None or painted is None or camera is None or (latents is None and row.get("latents")):
        return None
    origin = Origin(**row["generator"]) if row.get("generator") else None
    return Sample(image, painted.labels, camera, latents, origin, row["file_name"])


def _check_row(folder: Path, row: Any) -> bool:
    """True; `ModelError` unless `row` has the keys of a row, and the files it names are there and no links to somewhere else."""
    required = {"file_name", "labels", "camera"}
    if not isinstance(row, dict) or not required <= set(row) <= required | {"latents", "generator"}:
        raise ModelError("a row must have exactly 'file_name', 'labels', 'camera' and, if known, 'latents' and 'generator'.")
    for name in [row[key] for key in FILE_KEYS if key != "latents" or row.get(key) is not None]:
        if not _is_plain(name):
            raise ModelError(f"its files must lie beside {METADATA} and be named without a path.")
        if not (folder / name).is_file():
            raise ModelError(f"the file '{name}' is missing.")
        inside(folder, folder / name)  # or a stranger's set could take a picture of this machine along when it is published
    origin = row.get("generator")
    strings = isinstance(origin, dict) and set(origin) == {"id", "fingerprint"} and all(type(x) is str for x in origin.values())
    if origin is not None and not (strings and all(len(x) <= 100 and x.isprintable() for x in origin.values())):
        raise ModelError("'generator' must have an 'id' and a 'fingerprint'.")
    return True


def _is_plain(name: Any) -> bool:
    """Whether `name` is that of a file beside the metadata; no path may lead out of the folder."""
    plain = isinstance(name, str) and name.isprintable() and name not in ("", ".", "..") and not {"/", "\\"} & set(name)
    return plain and len(name.encode()) <= MAX_NAME_BYTES


def _read_labels(path: Path, layout: Layout) -> Painted:
    painted = read_painted(path, layout)
    _check_labels(painted.labels)
    return painted


def _read_latents(path: Path) -> Latents:
    latents = Latents.load(path)
    if len(latents) != 1:
        raise ModelError(f"the latents are of {len(latents)} faces instead of one.")
    return latents


def read_camera(numbers: Any) -> Camera:
    """25 finite numbers with a rotation in them, which is made exactly orthonormal."""
    valid = isinstance(numbers, list) and len(numbers) == 25 and all(type(x) in (int, float) for x in numbers)
    vector = torch.tensor(numbers, dtype=torch.float64) if valid else torch.full((25,), torch.nan)
    camera = Camera.from_vector(vector[None])
    rotation = camera.cam2world[0, :3, :3]
    rows_fine = torch.allclose(camera.cam2world[0, 3], vector.new_tensor([0, 0, 0, 1]), atol=CAMERA_TOLERANCE)
    rows_fine &= torch.allclose(camera.intrinsics[0, 2], vector.new_tensor([0, 0, 1]), atol=CAMERA_TOLERANCE)
    turned = torch.allclose(rotation @ rotation.T, torch.eye(3, dtype=vector.dtype), atol=CAMERA_TOLERANCE)
    if not (
        bool(vector.isfinite().all()) and rows_fine and turned and rotation.det() > 0 and bool((camera.intrinsics[0].diag() > 0).all())
    ):
        raise ModelError("the camera must be 25 finite numbers: a rigid 4 × 4 camera-to-world matrix, then 3 × 3 intrinsics.")
    left, _, right = torch.linalg.svd(rotation)
    cam2world = camera.cam2world.clone()
    cam2world[0, :3, :3] = left @ right
    return Camera(cam2world.float(), camera.intrinsics.float())
