"""Few-shot sample sets: painted faces in a folder of the Hub's imagefolder form.

`metadata.jsonl` has a row per sample: `file_name` (the picture, PNG), `labels` (palette PNG whose indices are the ids of `layout.json`),
`camera` (EG3D's 25 numbers) and, where they are known, `latents` (safetensors). All files lie beside it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from fface_hub.cameras import Camera
from fface_hub.doors import parse_json, read_image, read_json, read_label_map, save_label_map, to_image, to_tensor
from fface_hub.errors import ImageError, LayoutError, ModelError
from fface_hub.latents import Latents
from fface_hub.layouts import Layout

METADATA = "metadata.jsonl"
LAYOUT = "layout.json"
MAX_METADATA_BYTES = 20_000_000
CAMERA_TOLERANCE = 1e-2  # published cameras carry TF32 rounding, up to 8e-4 per number


@dataclass(frozen=True)
class Sample:
    """One painted face: `image [3,H,H]` in [-1, 1], `labels [h,h]` int64, `camera` and, where known, `latents` (batches of one)."""

    image: Tensor
    labels: Tensor
    camera: Camera
    latents: Latents | None = None

    def __post_init__(self) -> None:
        if self.image.ndim != 3 or len(self.image) != 3 or self.image.shape[1] != self.image.shape[2]:
            raise ImageError(f"A sample's picture must be square and in colour, and this one is {_size(self.image)} pixels: crop it.")
        if self.labels.ndim != 2 or self.labels.shape[0] != self.labels.shape[1]:
            raise LayoutError(f"A sample's label map must be square like its picture, and this one is {_size(self.labels)} pixels.")


@dataclass(frozen=True)
class SampleSet:
    """Painted faces that share one layout. `LayoutError` if it is empty or a label is not of the layout."""

    layout: Layout
    samples: tuple[Sample, ...]

    def __post_init__(self) -> None:
        if not self.samples:
            raise LayoutError("The sample set is empty: add at least one painted face.")
        for number, sample in enumerate(self.samples, 1):
            if int(sample.labels.min()) < 0 or int(sample.labels.max()) >= len(self.layout):
                raise LayoutError(f"The labels of sample {number} go beyond the {len(self.layout)} classes of layout '{self.layout.name}'.")

    def __len__(self) -> int:
        return len(self.samples)

    def save(self, folder: str | Path) -> None:
        """Write the set into `folder` (made if need be; files of the same names are replaced)."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        rows = []
        for number, sample in enumerate(self.samples):
            row: dict[str, Any] = {"file_name": f"{number:04d}.png", "labels": f"{number:04d}_labels.png"}
            to_image(sample.image).save(folder / row["file_name"])
            save_label_map(sample.labels, self.layout, folder / row["labels"])
            row["camera"] = sample.camera.to_vector()[0].tolist()
            if sample.latents is not None:
                row["latents"] = f"{number:04d}.safetensors"
                sample.latents.save(folder / row["latents"])
            rows.append(json.dumps(row))
        (folder / LAYOUT).write_text(json.dumps(self.layout.to_dict(), indent=1) + "\n", encoding="utf-8")
        (folder / METADATA).write_text("\n".join(rows) + "\n", encoding="utf-8")

    @staticmethod
    def load(folder: str | Path) -> SampleSet:
        """Inverse of `save`.

        Raises `LayoutError` for a broken layout, label map or set, `ImageError` for a broken picture, and `ModelError` for a folder, row,
        camera or latents file that is not of the form; each says which sample it was.
        """
        folder = Path(folder)
        for name in (METADATA, LAYOUT):
            if not (folder / name).is_file():
                raise ModelError(f"The folder '{folder.name}' is no sample set: it has no {name}.")
        layout = Layout.from_dict(read_json(folder / LAYOUT))
        rows = _read_rows(folder / METADATA)
        return SampleSet(layout, tuple(_read_sample(folder, row, layout, number) for number, row in enumerate(rows, 1)))


def _size(pixels: Tensor) -> str:
    return " × ".join(str(side) for side in pixels.shape[-2:][::-1])


def _read_rows(path: Path) -> list[Any]:
    if path.stat().st_size > MAX_METADATA_BYTES:
        raise ModelError(f"{METADATA} is larger than {MAX_METADATA_BYTES // 1_000_000} MB: split the sample set.")
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ModelError(f"{METADATA} cannot be read as UTF-8 text.") from error
    return [parse_json(line, f"Row {number} of {METADATA}") for number, line in enumerate(text.splitlines(), 1) if line.strip()]


def _read_sample(folder: Path, row: Any, layout: Layout, number: int) -> Sample:
    required = {"file_name", "labels", "camera"}
    if not isinstance(row, dict) or not required <= set(row) <= required | {"latents"}:
        raise ModelError(f"Row {number} of {METADATA} must have exactly 'file_name', 'labels', 'camera' and, if known, 'latents'.")
    try:
        image = to_tensor(read_image(_inside(folder, row["file_name"])))[0]
        labels = read_label_map(_inside(folder, row["labels"]), layout)
        latents = None if row.get("latents") is None else Latents.load(_inside(folder, row["latents"]))
        camera = _read_camera(row["camera"])
        if latents is not None and len(latents) != 1:
            raise ModelError(f"the latents are of {len(latents)} faces instead of one.")
        return Sample(image, labels, camera, latents)
    except (ImageError, LayoutError, ModelError) as error:
        raise type(error)(f"Sample {number}: {error}") from error


def _inside(folder: Path, name: Any) -> Path:
    """The file `name` right in `folder`; no path may lead out of it."""
    if not isinstance(name, str) or not name or name in (".", "..") or "/" in name or "\\" in name or "\0" in name:
        raise ModelError(f"its files must lie beside {METADATA} and be named without a path.")
    path = folder / name
    if not path.is_file():
        raise ModelError(f"the file '{name}' is missing.")
    return path


def _read_camera(numbers: Any) -> Camera:
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
