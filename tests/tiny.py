"""Tri-plane generators of a few thousand random weights, for every test that needs one."""

from __future__ import annotations

from functools import cache
from typing import Any

import torch

from fface_hub.generators.triplane import TriplaneGenerator

SIZES: dict[str, Any] = {
    "latent_dim": 16,
    "plane_resolution": 16,
    "plane_channels": 8,
    "channel_base": 128,
    "channel_max": 16,
    "decoder_hidden": 16,
    "color_channels": 3,
    "superresolution": None,
}
PAIR: dict[str, Any] = {**SIZES, "mapping": "pair", "z_dim": 4, "appearance_z_dim": 3, "mapping_multiplier": 1.0, "background": "latent"}


def random_generator(seed: int = 0, **config: Any) -> TriplaneGenerator:
    """A generator of `config` with the random weights of `seed`; the global random state is left alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return TriplaneGenerator(**config).eval()


def new_solid_generator(seed: int = 0, density: float = 20.0, bias: float = -4.0) -> TriplaneGenerator:
    """A generator with an inside and an outside, where plain random weights are fog."""
    model = random_generator(seed, **PAIR, empty_logit=4.0)
    with torch.no_grad():
        last = model.get_submodule("decoder.geo_net.2")
        weight, biases = last.get_parameter("weight"), last.get_parameter("bias")
        weight[0] *= density
        weight[1:] *= 4
        biases[0] = bias
    return model


@cache
def solid_generator() -> TriplaneGenerator:
    """One that tests share, so leave it as it is."""
    return new_solid_generator()
