"""The example layout: its rule paints what it says, and its sample set is whole."""

from __future__ import annotations

import torch

from examples.own_layout import TWO_LIPS, paint, paint_samples
from fface_hub.generators.triplane import TriplaneGenerator
from fface_hub.layouts import BASE_15


def test_lips_are_parted_at_their_middle_in_each_column() -> None:
    lips, upper, lower = (TWO_LIPS.index(name) for name in ("lips", "upper lip", "lower lip"))
    labels = torch.tensor([[0, lips], [lips, lips], [lips, lips], [lips, 0], [lips, 0]])
    # Column 0 has lips in rows 1 to 4, middle 2.5; column 1 in rows 0 to 2, middle 1, which counts as below.
    expected = torch.tensor([[0, upper], [upper, lower], [upper, lower], [lower, 0], [lower, 0]])
    assert torch.equal(paint(labels), expected)
    # Both halves are lips again in the coarser layout.
    assert torch.equal(TWO_LIPS.convert(paint(labels), BASE_15), labels)


def test_the_samples_bring_latents_and_cameras(tiny_generator: TriplaneGenerator) -> None:
    samples = paint_samples(tiny_generator, count=2, resolution=16)
    assert len(samples) == 2 and samples.layout == TWO_LIPS
    assert all(sample.latents is not None for sample in samples.samples)
    assert not torch.equal(samples.samples[0].camera.cam2world, samples.samples[1].camera.cam2world)
