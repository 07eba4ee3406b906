"""Face parsing: classes by name, pictures of any size, and what happens without the extra. The network is a stand-in."""

from __future__ import annotations

import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch

from fface_hub.cameras import look_at
from fface_hub.errors import ModelError
from fface_hub.generators.base import Generator
from fface_hub.layouts import BASE_15
from fface_hub.parsing import DEVIATION, MEAN, NAMES, class_table, load_parser
from fface_hub.rendering.renderer import render

NAMED = [part for parts in NAMES.values() for part in parts]


def install(monkeypatch: pytest.MonkeyPatch, network: Any) -> dict[str, Any]:
    """Let `transformers` give `network`; what it is asked for."""
    asked: dict[str, Any] = {}

    def from_pretrained(name: str, **options: Any) -> Any:
        asked.update(options, name=name)
        if isinstance(network, Exception):
            raise network
        return network

    module = ModuleType("transformers")
    module.__dict__["SegformerForSemanticSegmentation"] = SimpleNamespace(from_pretrained=from_pretrained)
    monkeypatch.setitem(sys.modules, "transformers", module)
    return asked


class Bright(torch.nn.Module):
    """Says that bright pixels are hair and dark ones lips, at a quarter of the size, as SegFormer does."""

    def __init__(self, names: dict[int, str]) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.config = SimpleNamespace(id2label=names)
        self.seen: list[torch.Tensor] = []

    def forward(self, pixel_values: torch.Tensor) -> SimpleNamespace:
        self.seen.append(pixel_values)
        numbers = {name: number for number, name in self.config.id2label.items()}
        small = torch.nn.functional.avg_pool2d(pixel_values.mean(dim=1, keepdim=True), 4)
        logits = small.new_zeros(len(small), len(numbers), *small.shape[2:]) - 100
        logits[:, numbers["hair"]], logits[:, numbers["u_lip"]] = small[:, 0], -small[:, 0]
        return SimpleNamespace(logits=logits)


def test_classes_are_found_by_their_names_in_any_order() -> None:
    assert sorted(set(NAMES)) == sorted(BASE_15.names) and len(NAMED) == 19
    table = class_table(dict(enumerate(reversed(NAMED))))
    assert [BASE_15.names[number] for number in table.tolist()] == [name for name in reversed(NAMES) for _ in NAMES[name]]
    for names in ({0: "background", 1: "nostril"}, {0: "background", 2: "skin"}):
        with pytest.raises(ModelError, match="not CelebAMask-HQ's"):
            class_table(names)


def test_pictures_are_scaled_as_the_network_expects_and_labels_come_back_in_their_size(monkeypatch: pytest.MonkeyPatch) -> None:
    network = Bright(dict(enumerate(reversed(NAMED))))
    asked = install(monkeypatch, network)
    image = torch.ones(1, 3, 32, 64)
    image[..., 32:] = -1
    labels = load_parser("org/parser@abc")(image)
    assert asked == {"name": "org/parser", "revision": "abc", "use_safetensors": True}
    assert labels.shape == (1, 32, 64) and labels.dtype == torch.int64
    assert (labels[..., :31] == BASE_15.names.index("hair")).all() and (labels[..., 33:] == BASE_15.names.index("lips")).all()
    assert network.seen[0].shape == (1, 3, 512, 512)
    # White is 1 in [0, 1]: (1 − mean) / deviation.
    assert network.seen[0][0, :, 0, 0].tolist() == pytest.approx([(1 - m) / d for m, d in zip(MEAN, DEVIATION, strict=True)], abs=1e-4)


def test_what_is_missing_is_said_plainly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(ModelError, match=r"pip install 'fface-hub\[parse\]'"):
        load_parser()
    install(monkeypatch, OSError("no network"))
    with pytest.raises(ModelError, match="cannot be loaded: check the name and the network"):
        load_parser("org/none")


def test_our_own_parser_needs_nothing_and_reads_generated_faces() -> None:
    generator = Generator.from_pretrained("heads-triplane")
    view = render(generator.scene(generator.sample(2, 5)), look_at(0.0), 128)
    labels = load_parser("heads-parser")(view.image)
    assert labels.shape == (2, 128, 128) and labels.dtype == torch.int64 and int(labels.max()) < len(BASE_15)
    assert float((labels == view.labels).float().mean()) > 0.85
    with pytest.raises(ModelError, match="class Adapter"):
        load_parser("heads-eyes-19")
