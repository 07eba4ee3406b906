"""Face folders are written in one step: whatever stops a save, the face that was there before is there, whole."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from fface_hub.cameras import look_at
from fface_hub.commands import folders
from fface_hub.commands.folders import Face, draw_face, load_face, save_face
from fface_hub.compute import Compute
from fface_hub.generators.base import Generator
from fface_hub.inversion.backdrop import Backdrop
from fface_hub.inversion.inversion import BACKDROP_FILE
from fface_hub.rendering.renderer import render
from fface_hub.rendering.sampling import Sampling

CPU = Compute(torch.device("cpu"))
NAMES = ["face.json", "inversion.json", "labels.png", "latents.safetensors", "picture.png", "tuning.safetensors"]


@pytest.fixture(scope="module")
def faces(tiny_folder: Path) -> tuple[Face, Face]:
    """Two faces of the tiny generator, the first before a backdrop."""
    generator = Generator.from_pretrained(tiny_folder)
    first, second = (draw_face(str(tiny_folder), generator, seed) for seed in range(2))
    return replace(first, inversion=replace(first.inversion, backdrop=Backdrop(torch.zeros(3, 8, 8), look_at(0.0)))), second


def save(folder: Path, face: Face) -> None:
    with torch.no_grad():
        view = render(face.inversion.scene(), face.inversion.camera, 16, Sampling(4, 4))
    save_face(folder, face, view, face.original.layout)


def same(found: Face, wanted: Face) -> bool:
    return torch.equal(found.inversion.latents.geometry, wanted.inversion.latents.geometry)


def test_a_face_takes_the_place_of_another_with_all_that_is_its_own(faces: tuple[Face, Face], tmp_path: Path) -> None:
    folder = tmp_path / "face"
    save(folder, faces[0])
    (folder / "notes.txt").write_text("mine")
    assert load_face(str(folder), "", CPU).inversion.backdrop is not None
    save(folder, faces[1])
    found = load_face(str(folder), "", CPU)
    assert same(found, faces[1]) and found.inversion.backdrop is None  # that of the other face is gone
    assert sorted(path.name for path in folder.iterdir()) == sorted([*NAMES, "notes.txt"])
    assert [path.name for path in tmp_path.iterdir()] == ["face"]


def test_a_save_that_fails_in_the_middle_leaves_the_face_before(
    faces: tuple[Face, Face], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "face"
    save(folder, faces[0])
    before = {path.name: path.read_bytes() for path in folder.iterdir()}

    def full(*_: object) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr(folders, "save_label_map", full)
    with pytest.raises(OSError, match="No space"):
        save(folder, faces[1])
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before and BACKDROP_FILE in before
    assert [path.name for path in tmp_path.iterdir()] == ["face"]


def test_after_a_kill_between_the_renames_the_face_is_found(faces: tuple[Face, Face], tmp_path: Path) -> None:
    folder = tmp_path / "7"  # a name that could be a seed
    save(folder, faces[0])
    folder.rename(tmp_path / ".7.old")
    assert same(load_face(str(folder), "", CPU), faces[0])
    save(folder, faces[1])
    assert same(load_face(str(folder), "", CPU), faces[1]) and [path.name for path in tmp_path.iterdir()] == ["7"]
