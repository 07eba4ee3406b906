"""Samples that are drawn once: sets of one seed contain each other, and many come in blocks."""

from __future__ import annotations

from pathlib import Path

import torch

from fface_hub.benchmarks.adapt_samples import AT_ONCE, FIRST_OF_MANY, Painter
from fface_hub.heads.samples import head_latents
from fface_hub.layouts import FINE_24
from tests.benchmarks.test_adapt_views import Counting
from tests.benchmarks.test_fidelity import Flat, generator


def painter(folder: Path) -> Painter:
    Counting.built = 0
    return Painter(folder, generator(), Counting(), resolution=8, pool=3)


def test_sets_of_one_seed_contain_each_other(tmp_path: Path) -> None:
    brush, told = painter(tmp_path), list[tuple[int, int]]()
    three = brush.few(3, 0, lambda *done: told.append(done))
    built = Counting.built
    assert built > 0 and told[-1] == (18, 18)  # six candidates for each of three
    one, other = brush.few(1, 0), painter(tmp_path).few(2, 1)
    assert Counting.built == built and len(one) == 1 and len(other) == 2
    latents = [samples.samples[0].latents for samples in (one, three, other)]
    assert all(x is not None for x in latents)
    assert torch.equal(latents[0].geometry, latents[1].geometry) and not torch.equal(latents[0].geometry, latents[2].geometry)
    assert one.layout == FINE_24 and one.samples[0].labels.tolist() == [[0] * 4 + [1] * 4] * 8


def test_many_come_in_blocks_that_are_kept(tmp_path: Path) -> None:
    count = AT_ONCE + 3
    brush, told = painter(tmp_path), list[tuple[int, int]]()
    samples = brush.many(count, lambda *done: told.append(done))
    assert len(samples) == count and Counting.built == 2 * AT_ONCE and told == [(AT_ONCE, count), (count, count)]
    last = samples.samples[-1]
    expected = head_latents(Flat(), generator(), [FIRST_OF_MANY + count - 1])
    assert last.latents is not None and torch.allclose(last.latents.geometry, expected.geometry, atol=1e-6)
    sides = [sample.camera.cam2world[0, 0, 3].item() for sample in samples.samples[:3]]
    assert abs(sides[0]) < 1e-6 and sides[1] < -0.5 and sides[2] > 0.5
    brush.many(count)
    assert Counting.built == 2 * AT_ONCE
