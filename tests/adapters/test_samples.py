"""Sample sets: the folder form, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from fface_hub.adapters.samples import Sample, SampleSet
from fface_hub.cameras import Camera, look_at
from fface_hub.errors import FFaceError, ImageError, LayoutError, ModelError
from fface_hub.latents import Latents
from fface_hub.layouts import NASAL_WING_17


def make(count: int = 2, with_latents: bool = True) -> SampleSet:
    random = torch.Generator().manual_seed(0)
    samples = []
    for number in range(count):
        image = torch.randint(256, (3, 8, 8), generator=random) / 127.5 - 1
        labels = torch.randint(17, (4, 4), generator=random)
        latents = Latents(torch.randn(1, 6, 3, generator=random), torch.randn(1, 1, 6, 3, generator=random)) if with_latents else None
        samples.append(Sample(image, labels, look_at(20.0 * number), latents))
    return SampleSet(NASAL_WING_17, tuple(samples))


def test_round_trip(tmp_path: Path) -> None:
    original = make()
    original.save(tmp_path / "set")
    loaded = SampleSet.load(tmp_path / "set")
    assert loaded.layout == NASAL_WING_17
    for before, after in zip(original.samples, loaded.samples, strict=True):
        assert torch.allclose(before.image, after.image, atol=1e-6)
        assert torch.equal(before.labels, after.labels)
        assert torch.allclose(before.camera.to_vector(), after.camera.to_vector(), atol=1e-6)
        assert before.latents is not None
        assert after.latents is not None
        assert torch.equal(before.latents.geometry, after.latents.geometry)


def test_the_folder_is_an_imagefolder(tmp_path: Path) -> None:
    make(1).save(tmp_path)
    row = json.loads((tmp_path / "metadata.jsonl").read_text())
    assert set(row) == {"file_name", "labels", "camera", "latents"}
    assert len(row["camera"]) == 25
    assert all((tmp_path / row[key]).is_file() for key in ("file_name", "labels", "latents"))
    assert {item["name"] for item in json.loads((tmp_path / "layout.json").read_text())["classes"]} >= {"ala", "iris"}


def test_latents_may_be_absent(tmp_path: Path) -> None:
    make(1, with_latents=False).save(tmp_path)
    assert "latents" not in json.loads((tmp_path / "metadata.jsonl").read_text())
    assert SampleSet.load(tmp_path).samples[0].latents is None


def test_published_cameras_are_made_orthonormal(tmp_path: Path) -> None:
    make(1).save(tmp_path)
    vector = look_at(23.0).to_vector() * (1 + 4e-4)  # as rounded to TF32
    vector[0, 15] = 1.0
    edit_row(tmp_path, camera=vector[0].tolist())
    rotation = SampleSet.load(tmp_path).samples[0].camera.cam2world[0, :3, :3]
    assert torch.allclose(rotation @ rotation.T, torch.eye(3), atol=1e-6)
    assert torch.allclose(rotation, look_at(23.0).cam2world[0, :3, :3], atol=1e-3)


def edit_row(folder: Path, **changes: Any) -> None:
    path = folder / "metadata.jsonl"
    row = json.loads(path.read_text().splitlines()[0])
    path.write_text(json.dumps({**row, **changes}) + "\n")


def flipped_camera() -> list[float]:
    camera = look_at(0.0)
    return Camera(camera.cam2world @ torch.diag(torch.tensor([-1.0, 1.0, 1.0, 1.0])), camera.intrinsics).to_vector()[0].tolist()


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda f: (f / "metadata.jsonl").unlink(), ModelError, "has no metadata.jsonl"),
        (lambda f: (f / "layout.json").unlink(), ModelError, "has no layout.json"),
        (lambda f: (f / "metadata.jsonl").write_text("{\n"), ModelError, "Row 1"),
        (lambda f: (f / "metadata.jsonl").write_text(""), LayoutError, "empty"),
        (lambda f: (f / "metadata.jsonl").write_bytes(b"\xff\xfe"), ModelError, "UTF-8"),
        (lambda f: edit_row(f, extra=1), ModelError, "exactly"),
        (lambda f: edit_row(f, file_name="../0000.png"), ModelError, "without a path"),
        (lambda f: edit_row(f, labels=3), ModelError, "without a path"),
        (lambda f: edit_row(f, latents="none.safetensors"), ModelError, "missing"),
        (lambda f: edit_row(f, camera=[0.0] * 25), ModelError, "Sample 1: the camera"),
        (lambda f: edit_row(f, camera=look_at(0.0).to_vector()[0].tolist()[:24]), ModelError, "25 finite numbers"),
        (lambda f: edit_row(f, camera=["1"] * 25), ModelError, "25 finite numbers"),
        (lambda f: edit_row(f, camera=flipped_camera()), ModelError, "rigid"),
        (lambda f: (f / "0000.png").write_bytes(b"no picture"), ImageError, "Sample 1"),
        (lambda f: (f / "0000_labels.png").write_bytes((f / "0000.png").read_bytes()), LayoutError, "Sample 1"),
        (lambda f: (f / "0000.safetensors").write_bytes(b"no tensors"), ModelError, "Sample 1"),
    ],
)
def test_bad_folders_give_one_plain_sentence(tmp_path: Path, change: Callable[[Path], Any], error: type[FFaceError], message: str) -> None:
    make(1).save(tmp_path)
    change(tmp_path)
    with pytest.raises(error, match=message):
        SampleSet.load(tmp_path)


def test_labels_beyond_the_layout_and_shapes_are_refused() -> None:
    image = torch.zeros(3, 4, 4)
    with pytest.raises(LayoutError, match="beyond the 17 classes"):
        SampleSet(NASAL_WING_17, (Sample(image, torch.full((4, 4), 17), look_at(0.0)),))
    with pytest.raises(LayoutError, match="3 × 4"):
        Sample(image, torch.zeros(4, 3, dtype=torch.int64), look_at(0.0))
    with pytest.raises(ImageError, match="square"):
        Sample(torch.zeros(3, 4, 5), torch.zeros(4, 4, dtype=torch.int64), look_at(0.0))
