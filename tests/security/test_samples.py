"""A stranger's sample set holds what lies in its folder, and nothing that a link in it points to; a face's camera is one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from fface_hub.adapters.samples import Sample, SampleSet
from fface_hub.cameras import look_at
from fface_hub.errors import ModelError
from fface_hub.inversion.inversion import CONFIG_FILE, Inversion
from fface_hub.latents import Latents
from fface_hub.layouts import BASE_15
from tests.tiny import solid_generator

FILES = ("0000.png", "0000_labels.png", "0000.safetensors", "layout.json", "metadata.jsonl")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    latents = Latents(torch.zeros(1, 2, 3), torch.zeros(1, 1, 2, 3))
    SampleSet(BASE_15, (Sample(torch.zeros(3, 4, 4), torch.zeros(4, 4, dtype=torch.int64), look_at(0.0), latents),)).save(tmp_path / "set")
    return tmp_path / "set"


@pytest.mark.parametrize("name", FILES)
def test_links_out_of_a_sample_set_are_refused(folder: Path, name: str) -> None:
    private = folder.parent / "private"
    (folder / name).rename(private)
    (folder / name).symlink_to(private)
    with pytest.raises(ModelError, match=f"'{name}' of the folder 'set' is a link to somewhere else"):
        SampleSet.load(folder)


def test_links_into_the_blobs_of_the_same_cached_repository_are_fine(folder: Path) -> None:
    cached = folder.parent / "datasets--org--set"
    blobs, snapshot = cached / "blobs", cached / "snapshots" / "abc"
    snapshot.parent.mkdir(parents=True)
    folder.rename(blobs)
    snapshot.mkdir()
    for path in blobs.iterdir():
        (snapshot / path.name).symlink_to(path)
    assert len(SampleSet.load(snapshot)) == 1


def test_a_name_that_no_file_can_have_is_told(folder: Path) -> None:
    rows = folder / "metadata.jsonl"
    rows.write_text(rows.read_text().replace("0000_labels.png", "ä" * 128))  # 256 bytes
    with pytest.raises(ModelError, match="named without a path"):
        SampleSet.load(folder)


@pytest.mark.parametrize("number", ["1e308", "-1e7", "true", "null"])
def test_a_saved_face_has_a_camera_of_sensible_numbers(tmp_path: Path, number: str) -> None:
    generator = solid_generator()
    Inversion(generator.mean_latents(), look_at(0.0), generator).save(tmp_path / "face", generator)
    file = tmp_path / "face" / CONFIG_FILE
    assert len(Inversion.load(tmp_path / "face", generator).camera) == 1
    file.write_text(json.dumps({**json.loads(file.read_text()), "camera": [json.loads(number)] * 25}))
    with pytest.raises(ModelError, match="no inversion that this program can read"):
        Inversion.load(tmp_path / "face", generator)
