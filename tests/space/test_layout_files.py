"""A layout's zip comes back as it was; every zip that is anything else is refused in one sentence, before it can do harm."""

from __future__ import annotations

import json
import stat
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from fface_hub.adapters.adapter import Adapter
from fface_hub.errors import FFaceError
from fface_hub.generators.triplane import TriplaneGenerator
from fface_hub.layouts import LabelClass, Layout
from space import limits
from space.layout_files import read_layout, write_layout

LAYOUT = Layout("mine", (LabelClass("rest", (0, 0, 0)), LabelClass("<script>alert(1)</script>", (1, 1, 1), "nose")))
WEIGHTS = "diffusion_pytorch_model.safetensors"
Files = dict[str, bytes]


def adapter_of(generator: TriplaneGenerator, fingerprint: str | None = None) -> Adapter:
    found = Adapter(LAYOUT.to_dict(), "tiny", fingerprint or generator.fingerprint, 8)
    found.initialise(torch.Generator().manual_seed(0))
    return found


def files_of(generator: TriplaneGenerator, folder: Path, fingerprint: str | None = None) -> Files:
    """What the zip of a layout holds."""
    write_layout(adapter_of(generator, fingerprint), "mine", folder / "whole.zip", {"left-out": {"miou": 0.5, "faces": 3}})
    with zipfile.ZipFile(folder / "whole.zip") as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def zipped(path: Path, files: Files) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def test_a_layout_comes_back_as_it_was(tiny_generator: TriplaneGenerator, tmp_path: Path) -> None:
    files = files_of(tiny_generator, tmp_path)
    assert set(files) == {"README.md", "config.json", WEIGHTS, "layout.json"} and list(tmp_path.iterdir()) == [tmp_path / "whole.zip"]
    found = read_layout(tmp_path / "whole.zip", tiny_generator)
    assert found.layout == LAYOUT and found.fingerprint == adapter_of(tiny_generator).fingerprint
    assert not any(parameter.requires_grad for parameter in found.parameters())
    card = files["README.md"].decode()
    assert "<script>" not in card and "painted faces" in card and "| mean IoU | 0.5 |" in card and "benchmark left-out" not in card
    assert "model-index" not in card  # a few painted faces are no published data set


def test_a_layout_of_another_generator_is_refused(tiny_generator: TriplaneGenerator, tmp_path: Path) -> None:
    files_of(tiny_generator, tmp_path, "0" * 64)
    with pytest.raises(FFaceError, match="was fitted on the generator 'tiny' and does not fit"):
        read_layout(tmp_path / "whole.zip", tiny_generator)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda files: {**files, "../../evil.json": b"{}"}, "no part of a layout"),
        (lambda files: {**files, "/etc/passwd": b""}, "no part of a layout"),
        (lambda files: {**files, "code.py": b""}, "'code.py', which is no part"),
        (lambda files: {**files, "sub/": b""}, "no part of a layout"),
        (lambda files: {f"mine/{name}": data for name, data in files.items()}, "no part of a layout"),
        (lambda files: {name: data for name, data in files.items() if name != WEIGHTS}, "no layout file"),
        (lambda files: {}, "no layout file"),
        (lambda files: {**files, WEIGHTS: bytes(4000)}, "safetensors"),
        (lambda files: {**files, WEIGHTS: bytes(2_000_001)}, "unpacks to more than 2 MB"),
        (lambda files: {**files, "config.json": b'{"_class_name": "os.system"}'}, "not one that this program knows"),
        (lambda files: {**files, "config.json": files["config.json"].replace(b'"tiny"', b'"http://x"')}, "path or URL"),
        (
            lambda files: {**files, "layout.json": json.dumps(Layout("x", LAYOUT.classes).to_dict()).encode()},
            "not the layout of its adapter",
        ),
    ],
)
def test_what_is_no_layout_is_refused(
    change: Callable[[Files], Files], sentence: str, tiny_generator: TriplaneGenerator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "LAYOUT_BYTES", 2_000_000)
    path = zipped(tmp_path / "changed.zip", change(files_of(tiny_generator, tmp_path)))
    with pytest.raises(FFaceError, match=sentence):
        read_layout(path, tiny_generator)
    assert {item.name for item in tmp_path.iterdir()} == {"whole.zip", "changed.zip"} and not (tmp_path.parent / "evil.json").exists()


def test_links_liars_and_fragments_are_refused(tiny_generator: TriplaneGenerator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = files_of(tiny_generator, tmp_path)
    link = zipfile.ZipInfo("config.json")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "link.zip", "w") as archive:
        archive.writestr(link, "/etc/passwd")
        archive.writestr(WEIGHTS, files[WEIGHTS])
    with pytest.raises(FFaceError, match="is a link"):
        read_layout(tmp_path / "link.zip", tiny_generator)
    with pytest.warns(UserWarning, match="Duplicate"), zipfile.ZipFile(tmp_path / "twice.zip", "w") as archive:
        for name in ("config.json", "config.json", WEIGHTS):
            archive.writestr(name, files[name])
    whole = (tmp_path / "whole.zip").read_bytes()
    (tmp_path / "half.zip").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "none.zip").write_bytes(b"hello")
    # A bomb that says it is small: its sizes are wrong in both places where a zip has them.
    bomb = zipped(tmp_path / "bomb.zip", {**files, "README.md": bytes(3_000_000)}).read_bytes()
    (tmp_path / "liar.zip").write_bytes(bomb.replace((3_000_000).to_bytes(4, "little"), (30).to_bytes(4, "little")))
    monkeypatch.setattr(limits, "LAYOUT_BYTES", 2_000_000)
    for name in ("twice", "half", "none", "liar"):
        with pytest.raises(FFaceError, match="no layout file"):
            read_layout(tmp_path / f"{name}.zip", tiny_generator)
