"""LPIPS by hand, against the package that defined it, and on the bundled trunk."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from fface_hub.cameras import look_at
from fface_hub.errors import ModelError
from fface_hub.generators.base import Generator
from fface_hub.perceptual import Perceptual, load_perceptual, vgg_perceptual
from fface_hub.rendering.renderer import render
from fface_hub.trunks import ParserNet, Vgg16

PACKAGE = """
import sys, torch
from torch import library as operators
# torchvision asks for two operators of its own when it is imported, which its wheel does not bring for this torch.
library = operators.Library("torchvision", "DEF")
library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
library.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
from lpips import LPIPS
from safetensors.torch import save_file
torch.manual_seed(0)
metric = LPIPS(net="vgg", pnet_rand=True, verbose=False).eval()
names = [name for group in (metric.net.slice1, metric.net.slice2, metric.net.slice3, metric.net.slice4, metric.net.slice5)
         for name, _ in group.named_parameters()]
state = {f"features.{key.split('.', 1)[1]}": value.clone() for key, value in metric.net.state_dict().items()}
images = torch.rand(2, 3, 3, 48, 40) * 2 - 1
save_file({**state, "images": images, "distances": metric(*images).detach().flatten()}, sys.argv[1])
"""


class Steps(ParserNet):
    """Two depths that anybody can compute: the colours made positive, and their means over 2²."""

    def features(self, image: Tensor) -> list[Tensor]:
        return [image + 1, F.avg_pool2d(image + 1, 2)]


def test_by_hand() -> None:
    """Red (2, 0, 0) against yellow (2, 2, 0) at every place: unit vectors (1, 0, 0) and (1, 1, 0)/√2, whose squared differences are
    (1 − 1/√2)² = .0858 and ½. With weights 1, 2, 3 at the first depth that is 1.0858; with ½ each at the second, .2929."""
    metric = Perceptual("steps", Steps(channels=(3, 3)), [torch.tensor([1.0, 2.0, 3.0]), torch.full((3,), 0.5)])
    red, yellow = (torch.tensor(color)[None, :, None, None].expand(1, 3, 4, 4) for color in ([1.0, -1.0, -1.0], [1.0, 1.0, -1.0]))
    assert metric.distances(red, yellow).tolist() == pytest.approx([1.0858 + 0.2929], abs=1e-4)
    assert metric.distances(red, red).tolist() == [0.0]
    batch = metric.distances(torch.cat([red, yellow]), torch.cat([yellow, yellow]))
    assert batch.tolist() == pytest.approx([1.3787, 0.0], abs=1e-4) and metric(red, yellow).item() == pytest.approx(1.3787, abs=1e-4)


def test_vgg16_has_the_published_names_and_shapes() -> None:
    keys = [key.removeprefix("layers.") for key in Vgg16().state_dict() if key.endswith("weight")]
    assert keys == [f"{n}.weight" for n in (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28)]
    with torch.no_grad():
        found = Vgg16()(torch.zeros(1, 3, 32, 32))
    assert [tuple(f.shape[1:]) for f in found] == [(64, 32, 32), (128, 16, 16), (256, 8, 8), (512, 4, 4), (512, 2, 2)]


def test_nothing_stands_in_for_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no bundled model 'alexnet'"):
        load_perceptual("alexnet")
    with pytest.raises(ModelError, match="hf download timm/vgg16"):
        load_perceptual("vgg16")
    with pytest.raises(ModelError, match="thirteen convolutions"):
        vgg_perceptual({"features.0.weight": torch.zeros(64, 3, 3, 3)}, tmp_path)
    weights = {key.replace("layers", "features"): value for key, value in Vgg16().state_dict().items()}
    with pytest.raises(ModelError, match="channel weights"):
        vgg_perceptual(weights, tmp_path)


@pytest.fixture(scope="module")
def bundled() -> Perceptual:
    return load_perceptual()


@pytest.fixture(scope="module")
def faces() -> Tensor:
    """Four faces of the bundled generator, 64²."""
    generator = Generator.from_pretrained("heads-triplane")
    return render(generator.scene(generator.sample(4, 3)), look_at(10.0), 64).image


def test_the_bundled_trunk_ranks_what_people_rank(bundled: Perceptual, faces: Tensor) -> None:
    """The more noise, blur or shift, the farther; and another person is farther than the same one a little brighter."""
    assert bundled.name == "heads-parser" and not any(p.requires_grad for p in bundled.parameters())
    assert bundled.distances(faces, faces).abs().max() < 1e-6
    random = torch.Generator().manual_seed(0)
    noise = torch.randn(faces.shape, generator=random)
    noisy = [bundled.distances(faces, (faces + s * noise).clamp(-1, 1)) for s in (0.02, 0.05, 0.1, 0.2)]
    blurred = [bundled.distances(faces, F.avg_pool2d(faces, n, 1, n // 2, count_include_pad=False)) for n in (3, 5, 9)]
    shifted = [bundled.distances(faces, faces.roll(n, 3)) for n in (1, 2, 4)]
    for row in (noisy, blurred, shifted):
        assert all(bool((a < b).all()) for a, b in pairwise(row))
    assert bool((bundled.distances(faces, (faces * 0.9 + 0.05)) < bundled.distances(faces, faces.roll(1, 0))).all())


def test_gradients_lead_back_to_the_picture(bundled: Perceptual, faces: Tensor) -> None:
    start = F.avg_pool2d(faces[:1], 5, 1, 2, count_include_pad=False)
    image = start.clone().requires_grad_()
    optimiser = torch.optim.Adam([image], 0.01)
    before = float(bundled(image, faces[:1]).detach())
    for _ in range(20):
        optimiser.zero_grad()
        bundled(image, faces[:1]).backward()
        optimiser.step()
    assert float(bundled(image, faces[:1]).detach()) < 0.5 * before


@pytest.mark.slow
def test_vgg_distances_are_those_of_the_package(tmp_path: Path) -> None:
    """With one random trunk for both. The package's own requirement, torchvision, is laid beside it for its import only."""
    from safetensors.torch import load_file

    packages, file = tmp_path / "packages", tmp_path / "reference.safetensors"
    install = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", str(packages), "lpips==0.1.4", "torchvision", "tqdm"]
    subprocess.run(install, check=True)
    code = f"import sys; sys.path.insert(0, {str(packages)!r})\n{PACKAGE}"
    subprocess.run([sys.executable, "-c", code, str(file)], check=True)
    reference = load_file(file)
    images, expected = reference.pop("images"), reference.pop("distances")
    with torch.no_grad():
        found = vgg_perceptual(reference, packages / "lpips").distances(*images)
    assert bool((expected > 0.01).all())
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)


def test_without_the_package_it_is_said_how_to_get_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    weights = tmp_path / "vgg.safetensors"
    weights.write_bytes(b"")
    monkeypatch.setattr("fface_hub.perceptual.try_to_load_from_cache", lambda *_: str(weights))
    monkeypatch.setattr("fface_hub.perceptual.load_file", lambda _: {})
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ModelError, match="pip install --no-deps lpips"):
        load_perceptual("vgg16")
