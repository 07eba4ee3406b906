"""The figures of an edit on a few pixels, by hand."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from fface_hub.benchmarks.edit_figures import class_iou, outside_figures, region_figures, seam, truth_figures
from fface_hub.benchmarks.edit_pairs import Side, grown, size_of, where_different
from fface_hub.cameras import look_at
from fface_hub.generators.base import Rendering
from fface_hub.heads.truth import TrueView
from fface_hub.layouts import BASE_15
from fface_hub.perceptual import load_perceptual

SKIN, EYE, NOSE = (BASE_15.index(name) for name in ("skin", "eye", "nose"))


def view(image: Tensor, labels: Tensor, depth: Tensor, opacity: Tensor | None = None) -> Rendering:
    """What one camera sees, a batch of one."""
    solid = torch.ones_like(depth) if opacity is None else opacity
    return Rendering(image[None], image[None], torch.zeros(1, 15, 1, 1), labels[None], depth[None, None], solid[None, None])


def square(size: int, inside: slice) -> Tensor:
    """A mask `[size,size]` that is true in a square on the diagonal."""
    mask = torch.zeros(size, size, dtype=torch.bool)
    mask[inside, inside] = True
    return mask


def test_regions_have_names_by_their_pixels() -> None:
    assert [size_of(count) for count in (29, 30, 149, 150, 599, 600)] == ["tiny", "small", "small", "medium", "medium", "large"]


def test_a_region_grows_by_two_pixels_to_all_sides() -> None:
    assert torch.equal(grown(square(12, slice(5, 6))), square(12, slice(3, 8)))


def test_iou_of_a_class_is_that_within_the_region() -> None:
    labels, target = torch.tensor([[1, 1, 2, 2], [2, 2, 2, 2]]), torch.tensor([[1, 2, 2, 2], [1, 1, 1, 1]])
    where = torch.tensor([[True] * 4, [False] * 4])
    # Class 1: one pixel of two. Class 2: two of three. Class 3 is not wanted, and 0 is nowhere.
    assert class_iou(labels, target, where, (1, 2, 3, 0)) == {1: 0.5, 2: pytest.approx(2 / 3)}


def test_what_was_painted_counts_where_it_was_painted() -> None:
    shown = torch.full((16, 16), SKIN)
    region = square(16, slice(6, 10))  # 16 pixels, 64 when dilated
    target = shown.masked_fill(region, EYE)
    before = region_figures(shown, shown, target, region, (SKIN, EYE), BASE_15)
    # Skin: 48 of 64. Eye: none of 16.
    scores = {"skin": 0.75, "eye": 0.0}
    assert before == {"region_iou": 0.0, "moved": 0.0, "class_miou": pytest.approx(0.375), "class_iou": scores}
    half = target.clone()
    half[8:] = SKIN
    after = region_figures(half, shown, target, region, (SKIN, EYE), BASE_15)
    # Skin: 48 of 56. Eye: 8 of 16.
    assert after["moved"] == after["region_iou"] == 0.5 and after["class_miou"] == pytest.approx((48 / 56 + 0.5) / 2)
    assert region_figures(target, shown, target, region, (SKIN, EYE), BASE_15)["region_iou"] == 1
    # What the generator gets wrong far away is none of the edit's business.
    half[0, 0] = NOSE
    assert region_figures(half, shown, target, region, (SKIN, EYE), BASE_15) == after
    # Four pixels too many beside the region, and four of the wrong class in it: 4 right ones of the 16, and 20 that were to change or did.
    half[7, 6:10] = NOSE
    half[5, 6:10] = EYE
    wrong = region_figures(half, shown, target, region, (SKIN, EYE), BASE_15)
    assert wrong["moved"] == 4 / 16 and wrong["region_iou"] == 4 / 20


def test_outside_is_what_lies_outside_the_dilated_region() -> None:
    trunk, region = load_perceptual(), square(32, slice(10, 20))
    before = torch.rand(3, 32, 32, generator=torch.Generator().manual_seed(0)) * 0.5
    inside = before.masked_fill(square(32, slice(8, 22)), 1.0)  # the region and two pixels around it
    unchanged = outside_figures(inside, before, region, trunk)
    assert unchanged["outside_psnr"] == pytest.approx(106.02, abs=0.01)
    assert unchanged["outside_ssim"] == pytest.approx(1, abs=1e-5) and unchanged["outside_lpips"] == pytest.approx(0, abs=1e-6)
    # Every pixel outside is .2 off: MSE .04, 10·log10(4 / .04) = 20 dB.
    off: dict[str, Any] = outside_figures(inside + 0.2, before, region, trunk)
    assert off["outside_psnr"] == pytest.approx(20, abs=1e-3)
    assert off["outside_ssim"] < 0.999 and off["outside_lpips"] > 1e-4


def test_a_seam_is_an_edge_that_neither_picture_has() -> None:
    region = square(32, slice(12, 20))
    before, ideal = torch.zeros(3, 32, 32), torch.zeros(3, 32, 32)
    ideal[:, region] = 0.4
    assert seam(before, before, ideal, region) == seam(ideal, before, ideal, region) == 0
    assert seam((before + ideal) / 2, before, ideal, region) == 0  # half of the edit has half of its edges
    # One pixel of the ring is .1 brighter: four differences of .1, in three channels alike. The ring is 18² − 8² pixels; pairs of
    # neighbours of which one at least lies in it: in each row of 18 there are 19, less the 7 within the region in 8 rows.
    spot = before.clone()
    spot[:, 9, 9] = 0.1
    pairs = 2 * (18 * 19 - 8 * 7)
    assert seam(spot, before, before, region) == pytest.approx(127.5 * 4 * 0.1 / pairs, rel=1e-4)
    far = before.clone()
    far[:, 2, 2] = 0.1
    assert seam(far, before, before, region) == 0


def sides() -> tuple[Side, Side]:
    """Two views of 8² pixels of a nose in skin, of which 16 and 4 pixels count; in the second nothing is hit in two of those. Labels have
    changed in all of the first's, and in one of the second's."""
    labels = torch.full((8, 8), SKIN)
    first = square(8, slice(2, 6))
    labels[first] = NOSE
    depth = torch.full((8, 8), 2.5)
    missing = depth.clone()
    missing[0] = math.inf
    image = torch.zeros(3, 8, 8)
    return (
        Side(look_at(0.0), TrueView(image, labels, depth), first, first),
        Side(look_at(30.0), TrueView(image, torch.full((8, 8), SKIN), missing), square(8, slice(1, 2)), square(8, slice(0, 2))),
    )


def test_the_truth_counts_where_it_changes_all_sides_together() -> None:
    first, second = sides()
    image, deep = torch.zeros(3, 8, 8), torch.full((8, 8), 2.5)
    noses = torch.full((8, 8), NOSE)
    figures = truth_figures([view(image, noses, deep), view(image, noses, deep)], (first, second), BASE_15)
    # Nose: 16 of 17 pixels. Skin has one true pixel, which is too few to count.
    assert figures["truth_miou"] == pytest.approx(16 / 17)
    assert figures["truth_psnr"] == pytest.approx(106.02, abs=0.01) and figures["truth_depth_error"] == 0

    wrong = image + 0.2
    through = torch.zeros(8, 8)
    through[2:4] = 1  # the first view hits something in 8 of the 16 pixels
    views = [view(wrong, noses, deep + 0.03, through), view(image, noses, deep)]
    figures = truth_figures(views, (first, second), BASE_15)
    # MSE .04 in 16 of 20 pixels: 10·log10(4 / .032). Depth: .03 in 8 pixels and 0 in the two of the second view that both hit.
    assert figures["truth_psnr"] == pytest.approx(10 * math.log10(4 / 0.032), abs=1e-3)
    assert figures["truth_depth_error"] == pytest.approx(0.03 * 8 / 10, rel=1e-4)


def test_where_nothing_changes_nothing_counts() -> None:
    first, _ = sides()
    nowhere = Side(first.camera, first.after, *torch.zeros(2, 8, 8, dtype=torch.bool))
    seen = view(torch.zeros(3, 8, 8), first.after.labels, first.after.depth)
    assert truth_figures([seen], (nowhere,), BASE_15) == {"truth_miou": None, "truth_psnr": None, "truth_depth_error": None}


def test_a_view_changes_where_labels_do_or_colours_visibly() -> None:
    labels, depth = torch.zeros(20, 20, dtype=torch.int64), torch.full((20, 20), 2.5)
    old = TrueView(torch.zeros(3, 20, 20), labels, depth)
    image, other = torch.zeros(3, 20, 20), labels.clone()
    image[1, 3, 3], image[1, 3, 16] = 4.1 / 127.5, 3.9 / 127.5
    other[15, 4] = 1
    changed = where_different(old, TrueView(image, other, depth + 1))
    expected = torch.zeros(20, 20, dtype=torch.bool)
    expected[1:6, 1:6] = expected[13:18, 2:7] = True
    assert torch.equal(changed, expected)
