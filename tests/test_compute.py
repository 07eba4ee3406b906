"""What `--device`, `--dtype` and `--memory` mean, and that they are kept to."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from fface_hub import memory
from fface_hub.cameras import look_at
from fface_hub.cli import main
from fface_hub.compute import Compute, choose_device, read_size
from fface_hub.errors import ModelError
from fface_hub.generators.base import Generator
from fface_hub.generators.triplane import TriplaneGenerator
from fface_hub.metrics import psnr
from fface_hub.rendering.renderer import render
from tests.tiny import new_solid_generator, random_generator


@pytest.mark.parametrize(
    ("text", "size"), [("4G", 4 * 2**30), ("1.5g", 3 * 2**29), ("800MB", 800 * 2**20), ("800 MiB", 800 * 2**20), ("99999999", 99999999)]
)
def test_sizes(text: str, size: int) -> None:
    assert read_size(text) == size


@pytest.mark.parametrize("text", ["", "G", "4X", "-4G", "1e9", "4G G", "nan", "10M", "0"])
def test_sizes_that_are_none(text: str) -> None:
    with pytest.raises(ModelError, match="memory"):
        read_size(text)


def test_auto_takes_a_gpu_if_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert choose_device("auto") == torch.device("cpu")
    asked: list[torch.device] = []
    monkeypatch.setattr(torch, "zeros", lambda count, device: asked.append(device))
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert choose_device("auto").type == "mps"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert choose_device("auto").type == "cuda" and [device.type for device in asked] == ["mps", "cuda"]


@pytest.mark.parametrize("name", ["gpu", "cuda:99", "meta", "", "cpu:x"])
def test_devices_that_do_not_exist(name: str) -> None:
    with pytest.raises(ModelError, match="device"):
        choose_device(name)


def test_the_page_asks_its_environment() -> None:
    found = Compute.from_environment({"FFACE_DEVICE": "cpu", "FFACE_DTYPE": "bfloat16", "FFACE_MEMORY": "1G", "OTHER": "x"})
    assert found == Compute(torch.device("cpu"), torch.bfloat16, 2**30)
    assert Compute.from_environment({"FFACE_DEVICE": "cpu", "FFACE_DTYPE": ""}) == Compute(torch.device("cpu"))


def test_words_that_mean_nothing_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for words, said in ((["--dtype", "int8"], "number type 'int8'"), (["--memory", "much"], "'much' is no amount of memory")):
        assert main(["generate", "--out", str(tmp_path), *words]) == 2
        assert said in capsys.readouterr().err


@pytest.mark.parametrize(("dtype", "bar"), [(torch.bfloat16, 35.0), (torch.float16, 50.0)])
def test_only_convolutions_are_less_precise(tmp_path: Path, dtype: torch.dtype, bar: float) -> None:
    new_solid_generator().save_pretrained(tmp_path)
    exact, rough = Generator.from_pretrained(tmp_path), Generator.from_pretrained(tmp_path, dtype=dtype)
    assert isinstance(rough, TriplaneGenerator)
    assert {p.dtype for p in rough.parameters()} == {torch.float32} and rough.fingerprint == exact.fingerprint
    pictures = [render(model.scene(model.sample(1, 2)), look_at(10.0), 32) for model in (exact, rough)]
    assert pictures[1].image.dtype == pictures[1].logits.dtype == pictures[1].depth.dtype == torch.float32
    assert bar < float(psnr(pictures[1].image, pictures[0].image)[0]) < 200
    assert not torch.equal(pictures[0].image, pictures[1].image), "the convolutions must have been less precise"


def test_float16_is_refused_where_it_would_fail() -> None:
    model = new_solid_generator()
    model.set_precision(torch.float16)
    latents = model.sample(1, 0)
    latents.geometry.requires_grad_()
    with pytest.raises(ModelError, match="small numbers of gradients"):
        model.scene(latents)
    loud = random_generator(superresolution=None)
    loud.set_precision(torch.float16)
    with torch.no_grad():
        loud.get_parameter("backbone.synthesis.b4.const").mul_(1e6)
        with pytest.raises(ModelError, match="too large for float16"):
            loud.planes(loud.sample(1, 0).geometry)


def test_a_command_sets_the_limit(tmp_path: Path, tiny_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "_ray_memory", memory.RAY_MEMORY)
    words = ["--generator", str(tiny_folder), "--device", "cpu", "--resolution", "16", "--memory", "128M", "--dtype", "bfloat16"]
    assert main(["generate", "--out", str(tmp_path), *words]) == 0
    assert memory.ray_memory() == 128 * 2**20


def test_bundled_pictures_in_bfloat16_differ_as_little_as_the_readme_says() -> None:
    generator = Generator.from_pretrained("heads-triplane")
    assert isinstance(generator, TriplaneGenerator)
    for seed in range(3):
        latents, views = generator.sample(1, seed), []
        for dtype in (torch.float32, torch.bfloat16):
            generator.set_precision(dtype)
            views.append(render(generator.scene(latents), look_at(10.0), 64).image)
        decibels = float(psnr(views[1], views[0])[0])
        print(f"seed {seed}: {decibels:.1f} dB")
        assert 54 < decibels < 100
