"""Super-resolution: shapes and what it reads (its values are in the golden test)."""

from __future__ import annotations

import pytest
import torch

from fface_hub.generators import superres
from fface_hub.generators.superres import SuperResolution, native


@pytest.fixture
def quarter(monkeypatch: pytest.MonkeyPatch) -> None:
    """A quarter of the side: convolutions do the same there, and the golden test has all of it."""
    monkeypatch.setattr(superres, "INPUT", 32)


@pytest.fixture
def network() -> SuperResolution:
    torch.manual_seed(0)
    model = SuperResolution(channels=4, latent=8, clamp=256.0).eval()
    for name, parameter in model.named_parameters():
        if name.endswith("bias") and "affine" not in name:
            parameter.data.normal_()
    return model


@torch.no_grad()
def test_picture_is_512_from_any_volume_resolution(network: SuperResolution, rng: torch.Generator) -> None:
    raw, row = torch.rand(1, 4, 16, 16, generator=rng), torch.randn(1, 8, generator=rng)
    assert network(raw, row).shape == (1, 3, 512, 512)


def test_clamp_is_passed_on(network: SuperResolution) -> None:
    assert network.block1.conv1.clamp == 256 and network.block0.torgb.clamp == 256


def test_no_noise_in_either_block(network: SuperResolution) -> None:
    assert not [name for name, _ in network.named_parameters() if "noise" in name]
    assert not list(network.buffers())


@pytest.mark.usefixtures("quarter")
@torch.no_grad()
def test_the_fast_way_gives_the_same_picture(network: SuperResolution, rng: torch.Generator) -> None:
    """Two faces with styles of their own, and a resolution that is resized."""
    raw, row = torch.rand(2, 4, 24, 24, generator=rng), torch.randn(2, 8, generator=rng)
    slow = network(raw, row)
    assert slow.shape == (2, 3, 128, 128)
    assert float((network.fast(raw, row) - slow).abs().max()) <= 1e-4 < float(slow.std())
    rounded = network.fast(raw, row, torch.bfloat16)
    assert rounded.dtype == torch.float32
    assert 0 < float((rounded - slow).square().mean()) < 1e-4 * float(slow.square().mean()), "40 dB of the picture's own power"


@pytest.mark.usefixtures("quarter")
@torch.no_grad()
def test_the_fast_way_clamps(rng: torch.Generator) -> None:
    torch.manual_seed(0)
    network = SuperResolution(channels=4, latent=8, clamp=0.02).eval()
    raw, row = torch.rand(1, 4, 32, 32, generator=rng), torch.randn(1, 8, generator=rng)
    slow = network(raw, row)
    assert float((network.fast(raw, row) - slow).abs().max()) <= 1e-4
    network.block0.conv1.clamp = None
    assert float((network.fast(raw, row) - slow).abs().max()) > 1e-3, "the clamp must matter"


def test_half_precision_only_where_the_hardware_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for able, expected in ((True, torch.bfloat16), (False, torch.float32)):
        monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda able=able: able)
        assert native(torch.device("cpu")) == expected
    assert native(torch.device("meta")) == torch.float32
