"""The tri-plane generator is the same function as the original networks, stage by stage (see README.md beside this file).

It gets its weights as an official one does: from a checkpoint of the original's structure, through the converter.
"""

from __future__ import annotations

import importlib.util
import json
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from fface_hub.adapters.adapter import Adapter
from fface_hub.cameras import Camera
from fface_hub.generators.base import Rendering
from fface_hub.generators.triplane import TriplaneGenerator
from fface_hub.hub.convert import convert
from fface_hub.latents import Latents
from fface_hub.layouts import EYES_19
from fface_hub.rendering.renderer import Sampling, render
from tests.hub.standins import Official

HERE = Path(__file__).parent
SAMPLING = Sampling(coarse=12, fine=12)


@dataclass
class Golden:
    """A generator with the golden weights, its adapter if it has one, what the originals computed, and the latents of the golden faces."""

    generator: TriplaneGenerator
    adapter: Adapter | None
    expected: dict[str, Tensor]
    latents: Latents


def golden_state(name: str) -> dict[str, Tensor]:
    """The original state dict, official keys, by the rule in weights.py."""
    spec = importlib.util.spec_from_file_location("golden_weights", HERE / "weights.py")
    assert spec is not None and spec.loader is not None
    rule = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(rule)
    shapes = json.loads((HERE / f"{name}.json").read_text())["state_dict"]
    return {key: torch.as_tensor(rule.golden_tensor(key, tuple(shape))) for key, shape in shapes.items()}


def split(state: dict[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Official keys → (generator keys, adapter keys): names are the same, constants and unused noise are left out."""
    generator, adapter = {}, {}
    for key, value in state.items():
        head, _, rest = key.partition("decoder.geo_net_appdx.")
        if not head:
            adapter[f"net.{rest}"] = value
        elif not key.endswith("resample_filter") and not (key.startswith("superresolution.") and "noise" in key):
            generator[key] = value
    return generator, adapter


@pytest.fixture(scope="module", params=["eg3d_tiny", "nfe_eyes_tiny"])
def golden(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Golden:
    """One of the two golden networks: a pickle as EG3D's, and a whole module as FFaceNeRF's, converted and loaded."""
    name: str = request.param
    settings = json.loads((HERE / f"{name}.json").read_text())["init_kwargs"]
    folder = tmp_path_factory.mktemp(name)
    official, state = Official(folder / "canary"), golden_state(name)
    file = folder / ("ffhq512-64.pkl" if name == "eg3d_tiny" else "ckpt_eyes_10.pth")
    file.write_bytes(
        official.pickled(state, settings=settings["rendering_kwargs"]) if name == "eg3d_tiny" else official.module(state, mode="eyes")
    )
    convert(file, folder / "model")
    assert not official.canary.exists()
    generator, adapter = TriplaneGenerator.from_pretrained(folder / "model"), None
    generator_state, adapter_state = split(state)
    assert_equal(generator, generator_state)
    if adapter_state:
        adapter = Adapter.from_pretrained(folder / "model-adapter")
        assert_equal(adapter, adapter_state)
        assert adapter.layout == EYES_19
        adapter.check(generator)
    expected = load_file(HERE / f"{name}.safetensors")
    with torch.no_grad():
        latents = generator.map(expected["z"], expected["camera_conditioning"], truncation=0.7)
    return Golden(generator, adapter, expected, latents)


def assert_equal(model: torch.nn.Module, state: dict[str, Tensor]) -> None:
    """The converter changes no number."""
    found = model.state_dict()
    assert found.keys() == state.keys() and all(torch.equal(found[key], value) for key, value in state.items())


def difference(a: Tensor, b: Tensor) -> float:
    """Largest absolute difference of two tensors of one shape."""
    assert a.shape == b.shape
    return float((a - b).abs().max())


def test_w(golden: Golden) -> None:
    """Mapping and truncation, the same in all 14 rows."""
    assert golden.latents.geometry.shape == (2, 14, 512)
    assert difference(golden.latents.geometry, golden.expected["w"][:, None].expand(-1, 14, -1)) <= 1e-3


@torch.no_grad()
def test_planes_and_their_statistics(golden: Golden) -> None:
    """The backbone, within 1e-3 of each channel's deviation."""
    planes = golden.generator.planes(golden.latents.geometry)
    _, statistics = golden.generator.normalise(planes)
    unit = golden.expected["planes_std"]
    assert (
        float(((planes.flatten(1, 2)[:, :, ::32, ::32] - golden.expected["planes_every_32nd"]).abs() / unit[..., None, None]).max()) <= 1e-3
    )
    assert float(((statistics.mean.flatten(1) - golden.expected["planes_mean"]).abs() / unit).max()) <= 1e-3
    assert float(((statistics.std.flatten(1) - unit).abs() / unit).max()) <= 1e-3


@pytest.mark.parametrize("resolution", [32, 64])
def test_renderings(golden: Golden, resolution: int) -> None:
    """Raw picture, depth, adapter logits and the super-resolved 512² picture, within 1e-3; at 64 every 4th pixel is stored."""
    with torch.no_grad():
        scene = golden.generator.scene(golden.latents)
    camera = Camera.from_vector(golden.expected["camera_render"])
    out: Rendering = render(scene, camera, resolution, SAMPLING, adapter=golden.adapter)
    stride = 1 if resolution == 32 else 4
    stages = {"raw": out.raw[:, :3, ::stride, ::stride], "depth": out.depth[..., ::stride, ::stride], "image": out.image[..., ::16, ::16]}
    if golden.adapter is not None:
        stages["seg"] = out.logits[..., ::stride, ::stride]
    assert out.image.shape == (2, 3, 512, 512)
    found = {name: difference(value, golden.expected[f"{name}_{resolution}"]) for name, value in stages.items()}
    assert max(found.values()) <= 1e-3, found
