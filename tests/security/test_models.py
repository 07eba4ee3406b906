"""Hostile model folders: pickles are never read, and links never lead out."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fface_hub.adapters.adapter import Adapter
from fface_hub.errors import ModelError
from fface_hub.layouts import NASAL_WING_17
from fface_hub.sources import WEIGHTS_NAME


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("models") / "adapter"
    Adapter(NASAL_WING_17.to_dict(), "heads-triplane", "0" * 64, hidden=8).save_pretrained(path)
    return path


@pytest.mark.parametrize("key", ["_diffusers_version", "_use_default_values", "_origin", "_name_or_path", "generator_id"])
@pytest.mark.parametrize("value", ["https://host/x.py", "../../x", "C:\\x", ["/etc/passwd"], {"__reduce__": 1}])
def test_no_entry_of_a_config_leads_anywhere(folder: Path, tmp_path: Path, key: str, value: object) -> None:
    """Also none of the entries that the loader does not use."""
    config = json.loads((folder / "config.json").read_text())
    (tmp_path / WEIGHTS_NAME).write_bytes((folder / WEIGHTS_NAME).read_bytes())
    (tmp_path / "config.json").write_text(json.dumps({**config, key: value}))
    with pytest.raises(ModelError, match=key.lstrip("_")):
        Adapter.from_pretrained(tmp_path)


def test_pickled_weights_are_refused_by_name_and_never_run(folder: Path, tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    target = tmp_path / "model"
    target.mkdir()
    (target / "config.json").write_bytes((folder / "config.json").read_bytes())
    program = f"cposix\nsystem\n(S'touch {canary}'\ntR.".encode()  # runs a command when it is unpickled
    (target / "diffusion_pytorch_model.bin").write_bytes(program)
    with pytest.raises(ModelError, match="safetensors"):
        Adapter.from_pretrained(target)
    (target / WEIGHTS_NAME).write_bytes(program)  # the same under the right name
    with pytest.raises(ModelError, match="not a whole safetensors file"):
        Adapter.from_pretrained(target)
    assert not canary.exists()


def test_links_out_of_a_model_folder_are_refused(folder: Path, tmp_path: Path) -> None:
    target = tmp_path / "linked"
    target.mkdir()
    (target / "config.json").symlink_to(folder / "config.json")
    (target / WEIGHTS_NAME).symlink_to(folder / WEIGHTS_NAME)
    with pytest.raises(ModelError, match="link to somewhere else"):
        Adapter.from_pretrained(target)


def test_links_into_the_blobs_of_the_same_cached_repository_are_fine(folder: Path, tmp_path: Path) -> None:
    blobs, snapshot = tmp_path / "models--org--a" / "blobs", tmp_path / "models--org--a" / "snapshots" / "abc"
    foreign = tmp_path / "models--org--b" / "blobs"
    for place in (blobs, snapshot, foreign):
        place.mkdir(parents=True)
    for name in ("config.json", WEIGHTS_NAME):
        (blobs / name).write_bytes((folder / name).read_bytes())
        (snapshot / name).symlink_to(blobs / name)
    assert Adapter.from_pretrained(snapshot).fingerprint == Adapter.from_pretrained(folder).fingerprint
    (blobs / WEIGHTS_NAME).rename(foreign / WEIGHTS_NAME)
    (snapshot / WEIGHTS_NAME).unlink()
    (snapshot / WEIGHTS_NAME).symlink_to(foreign / WEIGHTS_NAME)
    with pytest.raises(ModelError, match="link to somewhere else"):
        Adapter.from_pretrained(snapshot)


def snapshot_of_links(folder: Path, blobs: Path, snapshot: Path) -> Path:
    """A folder of links to the files of `folder`, which are copied into `blobs`."""
    for place in (blobs, snapshot):
        place.mkdir(parents=True)
    for name in ("config.json", WEIGHTS_NAME):
        (blobs / name).write_bytes((folder / name).read_bytes())
        (snapshot / name).symlink_to(blobs / name)
    return snapshot


def test_links_may_not_choose_what_is_allowed(folder: Path, tmp_path: Path) -> None:
    """An unpacked archive that looks like a cached repository, with a link in the place of its blobs."""
    secret, cached = tmp_path / "secret", tmp_path / "models--org--a"
    snapshot = snapshot_of_links(folder, secret, cached / "snapshots" / "abc")
    (cached / "blobs").symlink_to(secret)
    with pytest.raises(ModelError, match="link to somewhere else"):
        Adapter.from_pretrained(snapshot)


def test_a_folder_called_snapshots_makes_no_cached_repository(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="link to somewhere else"):
        Adapter.from_pretrained(snapshot_of_links(folder, tmp_path / "blobs", tmp_path / "snapshots" / "mine"))


def test_a_subfolder_may_not_be_a_link_out_of_the_model_folder(folder: Path, tmp_path: Path) -> None:
    repository = tmp_path / "repository"
    repository.mkdir()
    (repository / "part").symlink_to(folder)
    with pytest.raises(ModelError, match="'part' of the folder 'repository' is a link to somewhere else"):
        Adapter.from_pretrained(repository, subfolder="part")
    (repository / "real").mkdir()
    for name in ("config.json", WEIGHTS_NAME):
        (repository / "real" / name).write_bytes((folder / name).read_bytes())
    (repository / "alias").symlink_to(repository / "real")  # within the folder
    assert isinstance(Adapter.from_pretrained(repository, subfolder="alias"), Adapter)
