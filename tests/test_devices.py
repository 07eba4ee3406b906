"""Everything runs on a device that is not the CPU, and gives there what it gives here."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from fface_hub import compute
from fface_hub.adapters.adapter import Adapter
from fface_hub.adapters.fit import fit_reference
from fface_hub.adapters.mixing import Mixing
from fface_hub.adapters.plan import FitSettings
from fface_hub.adapters.samples import SampleSet
from fface_hub.benchmarks import parser
from fface_hub.cameras import look_at
from fface_hub.cli import main
from fface_hub.generators.base import Generator
from fface_hub.layouts import BASE_15
from fface_hub.rendering.renderer import render
from fface_hub.trunks import ParserNet
from tests.elsewhere import AWAY, elsewhere
from tests.tiny import new_solid_generator

SMALL = ["--resolution", "16"]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Folder of a tiny generator with an inside and an outside."""
    folder = tmp_path_factory.mktemp("models") / "solid"
    new_solid_generator(density=60.0).save_pretrained(folder)
    return str(folder)


@pytest.fixture
def away(monkeypatch: pytest.MonkeyPatch) -> Iterator[torch.device]:
    """The device, which every command then chooses."""
    monkeypatch.setattr(compute, "choose_device", lambda name: AWAY)
    with elsewhere() as device:
        yield device


def test_the_stand_in_for_a_device_refuses_what_devices_refuse(away: torch.device) -> None:
    there = torch.ones(3).to(away)
    assert (there * 2).device == away and (there * 2).sum().item() == 6
    with pytest.raises(RuntimeError, match="same device"):
        there + torch.ones(3)
    with pytest.raises(TypeError, match="float64"):
        there.double()


def run(words: list[str]) -> None:
    assert main(words) == 0, words


def test_faces_are_drawn_inverted_edited_and_shown_there(model: str, tmp_path: Path, away: torch.device) -> None:
    run(["generate", "--generator", model, "--out", str(tmp_path / "drawn"), *SMALL])
    face = tmp_path / "drawn" / "seed-0"
    quick = ["--w-steps", "2", "--free-steps", "2", "--tuning-steps", "2"]
    Image.open(face / "picture.png").resize((64, 64)).save(tmp_path / "photo.png")
    run(["invert", str(tmp_path / "photo.png"), "--cropped", "--generator", model, "--out", str(tmp_path / "found"), *quick, *SMALL])
    labels = np.asarray(Image.open(face / "labels.png")).copy()
    labels[4:9, 4:9] = 7
    palette = Image.fromarray(labels)
    palette.putpalette([channel for one in BASE_15.classes for channel in one.color])
    palette.save(tmp_path / "painted.png")
    for source in (face, tmp_path / "found"):
        run(["edit", str(source), str(tmp_path / "painted.png"), "--steps", "2", "--out", str(tmp_path / "edited"), *SMALL])
    run(["render", "2", "--generator", model, "--frames", "2", "--grid", "24", "--out", str(tmp_path / "views"), *SMALL])
    assert {path.name for path in (tmp_path / "views").iterdir()} >= {"views.png", "orbit.mp4", "face.glb", "depth.png", "normals.png"}


def test_adapters_are_fitted_there(model: str, tmp_path: Path, away: torch.device) -> None:
    run(["samples", "new", "--generator", model, "--layout", "base-15", "--count", "3", "--out", str(tmp_path / "set"), *SMALL])
    run(["adapt", str(tmp_path / "set"), "--generator", model, "--steps", "3", "--left-out", "1", "--out", str(tmp_path / "adapter")])
    adapter = Adapter.from_pretrained(tmp_path / "adapter", device=away)
    generator = Generator.from_pretrained(model, device=away)
    settings = FitSettings(steps=2, batch=2, rays=64, coarse=8, fine=8, mixing=Mixing(mixes=1), distillation=None)
    assert fit_reference(generator, SampleSet.load(tmp_path / "set"), settings=settings).layout == adapter.layout
    assert render(generator.scene(generator.sample(1, 0)), look_at(0.0), 16, adapter=adapter).labels.device == away


def test_networks_are_measured_there() -> None:
    here = parser.run(ParserNet.from_pretrained("heads-parser"), identities=1, resolution=32)
    with elsewhere() as device:
        there = parser.run(ParserNet.from_pretrained("heads-parser", device=device), identities=1, resolution=32)
    assert there["miou"] == pytest.approx(here["miou"], abs=1e-3) and there["miou_base15"] == pytest.approx(here["miou_base15"], abs=1e-3)


def test_pictures_there_are_those_of_the_cpu(model: str) -> None:
    here = Generator.from_pretrained(model)
    expected = render(here.scene(here.sample(1, 4)), look_at(20.0), 16, exact=True)  # that device knows the exact way only
    with elsewhere() as device:
        there = Generator.from_pretrained(model, device=device)
        found = render(there.scene(there.sample(1, 4)), look_at(20.0), 16)
        values: list[Any] = [(getattr(found, name).cpu(), getattr(expected, name)) for name in ("image", "logits", "depth", "labels")]
        assert found.image.device == device
    for ours, theirs in values:
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)
