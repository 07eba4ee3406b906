"""`fface-hub transfer`: face folders that hold what was taken, which the other commands go on with."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from PIL import Image

from fface_hub.adapters.adapter import Adapter
from fface_hub.cli import main
from fface_hub.editing.edit import EditSettings
from fface_hub.generators.base import Generator
from fface_hub.latents import Latents
from fface_hub.layouts import BASE_15, NOSE_19
from fface_hub.rendering.renderer import render

SMALL = ["--device", "cpu", "--resolution", "16"]


def latents(folder: Path) -> Latents:
    return Latents.load(folder / "latents.safetensors")


@pytest.mark.parametrize(
    ("options", "appearance", "geometry"),
    [([], 1.0, 0.0), (["--mix", "0.25"], 0.25, 0.25), (["--mix", "1"], 1.0, 1.0)],
)
def test_a_face_takes_of_another(tiny_folder: Path, tmp_path: Path, options: list[str], appearance: float, geometry: float) -> None:
    assert main(["transfer", "3", "4", "--generator", str(tiny_folder), "--out", str(tmp_path / "face"), *options, *SMALL]) == 0
    first, second = (Generator.from_pretrained(tiny_folder).sample(1, seed, 0.7) for seed in (3, 4))
    found = latents(tmp_path / "face")
    assert torch.allclose(found.appearance, first.appearance.lerp(second.appearance, appearance), atol=1e-6)
    assert torch.allclose(found.geometry, first.geometry.lerp(second.geometry, geometry), atol=1e-6)
    assert Image.open(tmp_path / "face" / "picture.png").size == (16, 16)


def test_a_composite_is_a_face_folder_like_any(tiny_folder: Path, tmp_path: Path) -> None:
    generator = Generator.from_pretrained(tiny_folder)
    shown = render(generator.scene(generator.sample(1, 3, 0.7)), generator.default_camera, 16).labels.unique().tolist()
    classes = ",".join(BASE_15.names[i] for i in shown if i > 0) or "hair"
    first, second = tmp_path / "first", tmp_path / "second"
    command = ["transfer", "3", "4", "--generator", str(tiny_folder), "--classes", classes]
    assert main([*command, "--out", str(first), *SMALL]) == 0
    assert latents(first).appearance.shape[1] == 15
    assert main(["transfer", str(first), "5", "--generator", str(tiny_folder), "--classes", "lips", "--out", str(second), *SMALL]) == 0
    taken = latents(second).appearance[:, BASE_15.index("lips")]
    assert torch.equal(taken, generator.sample(1, 5, 0.7).appearance[:, 0])
    assert main(["render", str(second), "--only", "views", "labels", "--out", str(tmp_path / "views"), *SMALL]) == 0
    own = tmp_path / "own"
    assert main(["generate", "--generator", str(tiny_folder), "--seed", "3", "--out", str(own), *SMALL]) == 0
    assert Image.open(tmp_path / "views" / "labels.png").tobytes() == Image.open(own / "seed-3" / "labels.png").tobytes()


def test_the_shape_of_a_class_is_an_edit(
    tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    generator = Generator.from_pretrained(tiny_folder)
    quick = EditSettings(steps=1, resolution=12, rays=None, coarse=6, fine=6)
    monkeypatch.setattr("fface_hub.commands.transfer.EditSettings", lambda seed: quick)
    shown = render(generator.scene(generator.sample(1, 4, 0.7)), generator.default_camera, 12).labels.unique().tolist()
    name = BASE_15.names[next(i for i in shown if i > 0)]
    command = ["transfer", "3", "4", "--generator", str(tiny_folder), "--geometry", name, "--out", str(tmp_path / "face"), *SMALL]
    assert main(command) == 0
    assert "have their new label" in capsys.readouterr().out
    assert torch.equal(latents(tmp_path / "face").appearance, generator.sample(1, 3, 0.7).appearance)


def test_mistakes_are_one_sentence(tiny_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Adapter(NOSE_19.to_dict(), "org/other", "0" * 64, 8, 16).save_pretrained(tmp_path / "adapter")
    base = ["transfer", "3", "4", "--generator", str(tiny_folder), "--out", str(tmp_path / "face"), *SMALL]
    for options, told in (
        (["--classes", "beard"], "no class 'beard'"),
        (["--classes", "background"], "cannot be transferred"),
        (["--geometry", "iris"], "no class 'iris'"),
        (["--adapter", str(tmp_path / "adapter")], "org/other"),
        (["--mix", "2"], "from 0 to 1"),
        (["--mix", "0.5", "--classes", "hair"], "not allowed with"),
    ):
        try:
            code = main([*base, *options])
        except SystemExit as stop:
            code = stop.code
        errors = capsys.readouterr().err
        assert code == 2 and told in errors and "Traceback" not in errors
    assert not (tmp_path / "face").exists()
