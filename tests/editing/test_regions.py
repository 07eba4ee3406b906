"""Regions and label maps at other sizes."""

from __future__ import annotations

import torch

from fface_hub.editing.regions import edited_region, grown, resize_labels


def test_region_is_where_labels_differ() -> None:
    current, target = torch.tensor([[0, 1], [2, 3]]), torch.tensor([[0, 1], [2, 0]])
    assert edited_region(current, target).tolist() == [[False, False], [False, True]]


def test_dilation_grows_by_one_pixel_to_all_eight_sides() -> None:
    mask = torch.zeros(5, 5, dtype=torch.bool)
    mask[2, 2] = True
    region = grown(mask, 1)
    assert region.sum() == 9
    assert region[1:4, 1:4].all()
    assert torch.equal(grown(mask, 0), mask)


def test_dilation_stops_at_the_border() -> None:
    mask = torch.zeros(1, 3, 3, dtype=torch.bool)
    mask[0, 0, 0] = True
    assert grown(mask, 1).sum() == 4 and grown(mask, 1).shape == mask.shape


def test_resize_takes_the_pixel_under_the_new_centre() -> None:
    labels = torch.arange(16).reshape(4, 4)
    # Centres at 1 and 3 of 4 fall into rows and columns 1 and 3.
    assert resize_labels(labels, 2).tolist() == [[5, 7], [13, 15]]
    assert resize_labels(labels[:2, :2], 4).tolist() == [[0, 0, 1, 1], [0, 0, 1, 1], [4, 4, 5, 5], [4, 4, 5, 5]]
    assert torch.equal(resize_labels(labels, 4), labels)


def test_resize_of_a_map_that_is_not_a_multiple() -> None:
    # Centres of 2 pixels over 3 lie at 0.75 and 2.25: pixels 0 and 2.
    assert resize_labels(torch.arange(9).reshape(3, 3), 2).tolist() == [[0, 2], [6, 8]]
