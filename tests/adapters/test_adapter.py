"""The adapter's network and its bond to one generator."""

from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from fface_hub.adapters.adapter import Adapter
from fface_hub.errors import LayoutError, ModelError
from fface_hub.layouts import BASE_15, CHIN_20, EYES_19, NASAL_WING_17, NOSE_19, Layout

FINGERPRINT = "0" * 64


def make(layout: Layout, **sizes: int) -> Adapter:
    return Adapter(layout.to_dict(), "org/faces", FINGERPRINT, **sizes)


@pytest.mark.parametrize(
    ("layout", "count"),
    # 51·64 + 64 = 3,328 numbers of the first layer, then (64 + 1)·K: 1,105 for 17, 1,235 for 19, 1,300 for 20 classes.
    [(NASAL_WING_17, 4433), (EYES_19, 4563), (NOSE_19, 4563), (CHIN_20, 4628)],
)
def test_parameter_counts_are_the_published_ones(layout: Layout, count: int) -> None:
    assert sum(p.numel() for p in make(layout).parameters()) == count


def test_forward_by_hand() -> None:
    adapter = Adapter({"name": "two", "classes": BASE_15.to_dict()["classes"][:2]}, "a", FINGERPRINT, 1, 1, hidden=1)
    first, second = adapter.net[0], adapter.net[2]
    with torch.no_grad():
        first.weight.copy_(torch.tensor([[1.0, 2.0, 0.0, 0.0, 3.0]]))
        first.bias.fill_(0.5)
        second.weight.copy_(torch.tensor([[1.0], [-2.0]]))
        second.bias.copy_(torch.tensor([0.0, 1.0]))
    logits = adapter(torch.tensor([[0.7]]), torch.tensor([[-0.3]]), torch.tensor([[0.6, 0.0, -0.8]]))

    def softplus(x: float) -> float:
        return math.log1p(math.exp(x))

    # Features first, then geometry, both through softplus; the direction as it is; weights times 1/√5, then 1/√1.
    hidden = softplus((softplus(0.7) + 2 * softplus(-0.3) - 3 * 0.8) / math.sqrt(5) + 0.5)
    assert logits[0].tolist() == pytest.approx([hidden, 1 - 2 * hidden], abs=1e-6)


def test_directions_broadcast_over_samples_and_none_is_frontal() -> None:
    adapter = make(EYES_19)
    features, geometry = torch.randn(2, 3, 5, 32), torch.randn(2, 3, 5, 16)
    direction = torch.tensor([0.0, 0.0, -1.0])
    assert adapter(features, geometry, direction.expand(2, 3, 1, 3)).shape == (2, 3, 5, 19)
    assert torch.equal(adapter(features, geometry), adapter(features, geometry, direction))
    assert not torch.equal(adapter(features, geometry), adapter(features, geometry, -direction))


def test_initialise_is_standard_normal_and_repeatable() -> None:
    first, second = make(EYES_19), make(EYES_19)
    first.initialise(torch.Generator().manual_seed(3))
    second.initialise(torch.Generator().manual_seed(3))
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))
    weight = first.net[0].weight
    assert abs(weight.mean().item()) < 0.05
    assert weight.std().item() == pytest.approx(1.0, abs=0.05)
    assert not first.net[0].bias.any()


def test_check_refuses_another_generator() -> None:
    adapter = make(EYES_19)
    own: Any = SimpleNamespace(fingerprint=FINGERPRINT)
    other: Any = SimpleNamespace(fingerprint="1" * 64)
    adapter.check(own)
    with pytest.raises(ModelError, match="fitted on the generator 'org/faces'"):
        adapter.check(other)


def test_round_trip_keeps_layout_bond_and_weights(tmp_path: Path) -> None:
    adapter = make(NOSE_19, hidden=8)
    adapter.save_pretrained(tmp_path / "adapter")
    twin = Adapter.from_pretrained(tmp_path / "adapter")
    assert twin.layout == NOSE_19
    assert twin.config["generator_fingerprint"] == FINGERPRINT
    assert all(torch.equal(a, b) for a, b in zip(adapter.parameters(), twin.parameters(), strict=True))
    assert (tmp_path / "adapter" / "diffusion_pytorch_model.safetensors").stat().st_size < 20_000


def test_broken_layout_and_sizes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(LayoutError):
        Adapter({"name": "none", "classes": []}, "a", FINGERPRINT)
    adapter = make(NOSE_19)
    with pytest.raises(ModelError):
        Adapter.from_config({**adapter.arguments, "hidden": 10**7})
