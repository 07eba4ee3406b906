"""A stranger's sample set holds what lies in its folder, and nothing that a link in it points to."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from fface_hub.adapters.samples import Sample, SampleSet
from fface_hub.cameras import look_at
from fface_hub.errors import ModelError
from fface_hub.latents import Latents
from fface_hub.layouts import BASE_15

FILES = ("0000.png", "0000_labels.png", "0000.safetensors")


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
