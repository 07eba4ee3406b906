"""Super-resolution: shapes and what it reads (its values are in the golden test)."""

from __future__ import annotations

import pytest
import torch

from fface_hub.generators.superres import SuperResolution


@pytest.fixture(scope="module")
def network() -> SuperResolution:
    torch.manual_seed(0)
    return SuperResolution(channels=4, latent=8, clamp=256.0).eval()


@torch.no_grad()
def test_picture_is_512_from_any_volume_resolution(network: SuperResolution, rng: torch.Generator) -> None:
    raw, row = torch.rand(1, 4, 16, 16, generator=rng), torch.randn(1, 8, generator=rng)
    assert network(raw, row).shape == (1, 3, 512, 512)


def test_clamp_is_passed_on(network: SuperResolution) -> None:
    assert network.block1.conv1.clamp == 256 and network.block0.torgb.clamp == 256


def test_no_noise_in_either_block(network: SuperResolution) -> None:
    assert not [name for name, _ in network.named_parameters() if "noise" in name]
    assert not list(network.buffers())
