"""The point decoders."""

from __future__ import annotations

import pytest
import torch

from fface_hub.generators.decoders import DisentangledDecoder, PlainDecoder, to_color


def test_color_curve_reaches_a_little_beyond_black_and_white() -> None:
    # sigmoid · 1.002 − .001 in [0, 1] is 2.004 · sigmoid − 1.002 in [-1, 1].
    assert to_color(torch.tensor([-100.0, 0.0, 100.0])).tolist() == pytest.approx([-1.002, 0, 1.002])


def test_disentangled_parameters_are_as_many_as_published() -> None:
    decoder = DisentangledDecoder(32, 64, 32, 15)
    assert sum(p.numel() for p in decoder.geo_net.parameters()) == 3152
    assert sum(p.numel() for p in decoder.app_net.parameters()) == 4192
    assert sum(p.numel() for p in PlainDecoder(32, 64, 32).parameters()) == 4257


def test_color_from_every_plane_equals_color_from_their_mean(rng: torch.Generator) -> None:
    decoder = DisentangledDecoder(4, 8, 3, 2)
    lookup = torch.randn(2, 5, 6, 3, 4, generator=rng)  # B R S P F
    coverage, mean, std = (torch.rand(shape, generator=rng) for shape in ((2, 5, 6, 3), (2, 3, 4), (2, 3, 4)))
    denormalised = lookup * std[:, None, None] + coverage[..., None] * mean[:, None, None]
    torch.testing.assert_close(
        decoder.color_under(lookup.flatten(3), coverage, mean, std), decoder.color(denormalised.mean(3)), rtol=1e-4, atol=1e-5
    )


def test_plain_decoder_shares_one_network(rng: torch.Generator) -> None:
    decoder = PlainDecoder(4, 8, 3)
    features = torch.randn(7, 4, generator=rng)
    density, logits = decoder.geometry(features)
    whole = decoder.net(features)
    torch.testing.assert_close(density, whole[:, 0])
    torch.testing.assert_close(decoder.color(features), to_color(whole[:, 1:]))
    assert logits.shape == (7, 1) and not logits.any()
