"""The fidelity benchmark on balls: its keys, and that each figure moves when what it measures is broken."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

from fface_hub.benchmarks.fidelity import run
from fface_hub.errors import ModelError
from fface_hub.generators.triplane import TriplaneGenerator

KEYS = {
    "psnr", "psnr_head", "ssim", "miou_base15", "iou_per_class", "depth_error",
    "swap_psnr", "swap_label_change", "late_rows_label_change", "late_rows_l1", "identities",
}  # fmt: skip


class Flat:
    """No head at all: a background in the colour of the appearance."""

    version = "flat"

    def latents(self, seed: int) -> tuple[np.ndarray, np.ndarray]:
        z = np.random.RandomState(seed % 2**32).standard_normal(5).astype(np.float32)
        return z[:3], 30 * z[3:]  # a strong appearance, so that an untrained network shows it too

    def trace(self, geometry_z: np.ndarray) -> Any:
        def cast(origins: np.ndarray, directions: np.ndarray) -> np.ndarray:
            # The right half of the picture (rays come row by row) counts as skin, 2.5 away, so that all figures are numbers.
            side = round(len(directions) ** 0.5)
            right = np.arange(len(directions)) % side >= side // 2
            return np.where(right, np.float32(2.5), np.float32(np.inf))

        return cast

    def labels(self, hits: np.ndarray) -> np.ndarray:
        return np.isfinite(hits).astype(np.int64)

    def depth(self, hits: np.ndarray) -> np.ndarray:
        return hits

    def shade(self, hits: np.ndarray, appearance_z: np.ndarray) -> np.ndarray:
        return np.full((len(hits), 3), 0.25, np.float32)


def generator(**changes: Any) -> TriplaneGenerator:
    torch.manual_seed(0)
    settings = {
        "mapping": "pair", "z_dim": 3, "appearance_z_dim": 2, "mapping_multiplier": 1.0, "latent_dim": 8, "plane_resolution": 16,
        "plane_channels": 4, "channel_base": 64, "channel_max": 8, "noise": False, "decoder_hidden": 8, "color_channels": 3,
        "superresolution": None, "background": "latent", "empty_logit": 4.0,
    }  # fmt: skip
    return TriplaneGenerator(**{**settings, **changes}).eval()


@torch.no_grad()
def empty(network: TriplaneGenerator) -> TriplaneGenerator:
    """The network with no density anywhere, so that every ray shows its background."""
    network.decoder.geo_net[2].weight[0] = 0
    network.decoder.geo_net[2].bias[0] = -60
    return network


def test_figures_of_an_empty_scene() -> None:
    network = empty(generator())
    with torch.no_grad():
        network.background.weight.zero_()
        network.background.bias.fill_(math.atanh(0.05))
    figures = run(network, identities=2, resolution=16, source=Flat())
    assert set(figures) == KEYS
    assert figures["identities"] == 2
    # every pixel is .05 and should be .25: MSE .04, 10·log10(4 / .04) = 20 dB, for all heads and appearances alike
    assert figures["psnr"] == pytest.approx(20, abs=1e-3)
    assert figures["psnr_head"] == pytest.approx(20, abs=1e-3)
    assert figures["swap_psnr"] == pytest.approx(20, abs=1e-3)
    # all is background: half of the pixels right -> IoU 1/2, and 0 for skin
    assert figures["iou_per_class"]["background"] == pytest.approx(0.5)
    assert figures["iou_per_class"]["skin"] == 0
    assert figures["iou_per_class"]["hat"] is None
    assert figures["miou_base15"] == pytest.approx(0.25)
    assert figures["swap_label_change"] == figures["late_rows_label_change"] == figures["late_rows_l1"] == 0


def test_entangled_weights_are_found_out() -> None:
    with torch.no_grad():
        network = generator(empty_logit=0.0)
        network.decoder.geo_net[2].weight.mul_(5)
        network.decoder.geo_net[2].weight[1] = 0  # class 0 is 0 everywhere, and others are now above and now below it
        network.decoder.geo_net[2].bias[0] = 3  # something everywhere
    figures = run(network, identities=3, resolution=16, source=Flat())
    # A random network mixes everything: appearance z and late rows move its labels.
    assert figures["swap_label_change"] > 0.01
    assert figures["late_rows_label_change"] > 0.01
    assert figures["late_rows_l1"] > 0.001
    assert figures["depth_error"] > 0.01


def test_other_generators_are_refused() -> None:
    with pytest.raises(ModelError, match="not trained on them"):
        run(generator(z_dim=4), identities=2, resolution=16, source=Flat())
