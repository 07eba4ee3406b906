"""What a fit looks at: pixels and their chances by hand, epochs of samples, and which are left out."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from fface_hub.adapters.mixing import Mixing
from fface_hub.adapters.plan import Faces, FitSettings, Plan, chances, leave_out, pick_rays, plan
from fface_hub.cameras import look_at
from fface_hub.errors import LayoutError
from tests.tiny import solid_generator


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def faces(count: int = 3, size: int = 4) -> Faces:
    labels = torch.arange(size**2).expand(count, -1) % 3
    return Faces(solid_generator().sample(count, 0), look_at(torch.linspace(-20, 20, count)), labels, size)


def test_rays_are_drawn_evenly_over_classes_if_asked() -> None:
    labels = torch.zeros(1, 1000, dtype=torch.int64)
    labels[0, :10] = 2
    random = rng()
    drawn = torch.stack([pick_rays(labels, 1, 1.0, random)[0, 0] for _ in range(400)])
    assert 160 < (drawn < 10).sum() < 240  # two classes are present: half of the draws each, 200 ± 10
    plain = torch.stack([pick_rays(labels, 1, 0.0, random)[0, 0] for _ in range(400)])
    assert (plain < 10).sum() < 20  # 1 %: 4 ± 2


def test_all_rays_in_order_or_different_ones() -> None:
    labels = torch.zeros(2, 9, dtype=torch.int64)
    random = rng()
    assert pick_rays(labels, None, 0.5, random).tolist() == [list(range(9))] * 2
    assert all(len(set(row)) == 5 for row in pick_rays(labels, 5, 0.5, random).tolist())


def test_chances_do_not_depend_on_which_pixels_were_kept() -> None:
    labels = torch.tensor([[0, 0, 0, 0, 0, 0, 1, 1]])
    kept = torch.tensor([[0, 3, 6, 7]])  # two of six, and both of two
    # Balance ½. Class 0: ½·6/8 + ½·½ = 5/8, over two kept pixels: 5/16 each. Class 1: ½·2/8 + ½·½ = 3/8: 3/16 each.
    assert chances(labels, kept, 0.5)[0].tolist() == pytest.approx([5 / 16, 5 / 16, 3 / 16, 3 / 16])
    assert chances(labels, kept, 0.0)[0].tolist() == pytest.approx([3 / 8, 3 / 8, 1 / 8, 1 / 8])
    assert chances(labels, kept, 1.0)[0].tolist() == pytest.approx([1 / 4] * 4)


def test_a_class_without_a_kept_pixel_leaves_its_share_to_the_others() -> None:
    labels, kept = torch.tensor([[0, 0, 1, 2]]), torch.tensor([[0, 2]])
    # Balance 0: classes 0 and 1 have 2/4 and 1/4 of the pixels; of the 3/4 that are left they get 2/3 and 1/3.
    assert chances(labels, kept, 0.0)[0].tolist() == pytest.approx([2 / 3, 1 / 3])


def batches(settings: FitSettings, count: int, samples: int = 3) -> tuple[Plan, list[tuple[torch.Tensor, torch.Tensor]]]:
    random = rng()
    drawn = plan(faces(samples), solid_generator(), settings, random)
    stream = drawn.batches(settings, random)
    return drawn, [next(stream) for _ in range(count)]


def test_every_epoch_sees_every_sample_however_many_make_a_batch() -> None:
    settings = FitSettings(batch=2, rays=5, kept=8, mixing=Mixing(mixes=2, probability=0.5))
    drawn, steps = batches(settings, 60)
    views = torch.cat([views for views, _ in steps])
    assert drawn.views.pixels.shape == drawn.labels.shape == drawn.chances.shape == (6, 8)
    assert all(sorted(epoch.tolist()) == [0, 1, 2] for epoch in (views // 2).split(3))
    assert 35 < int((views % 2).sum()) < 85  # of 120 views half are mixed: 60 ± 5.5
    assert all(picks.shape == (2, 5) and all(len(set(row)) == 5 for row in picks.tolist()) for _, picks in steps)
    _, single = batches(replace(settings, batch=4), 2, samples=1)
    assert all(set((views // 2).tolist()) == {0} and len(views) == 4 for views, _ in single)


def test_what_is_picked_more_often_counts_less() -> None:
    one = faces(1)
    four = Faces(one.latents, one.cameras, torch.tensor([[0, 0, 1, 2]]), 2)
    drawn = plan(four, solid_generator(), FitSettings(balance=1.0, kept=None, mixing=Mixing(mixes=1)), rng())
    # Each class is picked in a third of the cases, and has 2, 1 and 1 of 4 pixels: (1/4) / (1/6) and (1/4) / (1/3).
    assert drawn.chances[0].tolist() == pytest.approx([1 / 6, 1 / 6, 1 / 3, 1 / 3])
    assert drawn.weights[0].tolist() == pytest.approx([1.5, 1.5, 0.75, 0.75])


def test_labels_are_those_of_the_kept_pixels_and_mixes_keep_different_ones() -> None:
    drawn, _ = batches(FitSettings(kept=8, mixing=Mixing(mixes=2)), 0)
    assert torch.equal(drawn.labels, drawn.views.pixels % 3)
    assert not torch.equal(drawn.views.pixels[0], drawn.views.pixels[1])
    assert torch.equal(drawn.views.cameras.cam2world[0], drawn.views.cameras.cam2world[1])
    every, steps = batches(FitSettings(kept=None, rays=None, batch=2), 1)
    assert every.views.pixels.shape == (12, 16) and torch.equal(steps[0][1], torch.arange(16).expand(2, -1))


def test_left_out_samples_are_not_learnt_from() -> None:
    everyone = faces(5)
    learnt, left_out = leave_out(everyone, 2, rng())
    assert left_out is not None and len(learnt) == 3 and len(left_out) == 2
    both = torch.cat([learnt.latents.geometry, left_out.latents.geometry])
    assert all(any(torch.equal(a, b) for b in both) for a in everyone.latents.geometry)
    assert leave_out(everyone, 0, rng())[1] is None
    with pytest.raises(LayoutError, match="5 of 5 samples are to be left out"):
        leave_out(everyone, 5, rng())


def test_large_label_maps_are_looked_at_in_fewer_pixels() -> None:
    large = faces(2, 4)
    assert large.at_most(4) is large
    small = large.at_most(2)
    # Each new pixel takes the old one below and right of its centre: pixels 5, 7, 13 and 15 of 16, whose labels are their rest by 3.
    assert small.resolution == 2 and small.labels.tolist() == [[2, 1, 1, 0]] * 2
    assert small.views().pixels.tolist() == [[0, 1, 2, 3]] * 2


@pytest.mark.parametrize(("settings", "expected"), [(FitSettings(jitter=False), None), (FitSettings(seed=4), 4)])
def test_sampling_starts_anew_from_the_seed(settings: FitSettings, expected: Any) -> None:
    sampling = settings.sampling()
    assert (sampling.coarse, sampling.fine) == (24, 24)
    assert expected == (None if sampling.jitter is None else sampling.jitter.initial_seed())
