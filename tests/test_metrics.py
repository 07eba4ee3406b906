"""Metrics against values worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch

from fface_hub.metrics import depth_error, iou_per_class, label_change, mean_iou, psnr, ssim


def test_psnr_of_a_constant_error() -> None:
    truth = torch.zeros(2, 3, 4, 4)
    image = truth.clone()
    image[0] += 0.2  # MSE .04: 10·log10(4 / .04) = 20 dB
    image[1] += 0.02  # MSE .0004: 40 dB
    assert psnr(image, truth).tolist() == pytest.approx([20.0, 40.0], abs=1e-4)


def test_psnr_counts_only_the_mask() -> None:
    truth = torch.zeros(1, 3, 2, 2)
    image = torch.tensor([[0.2, 2.0], [0.6, 2.0]]).expand(1, 3, 2, 2)
    mask = torch.tensor([[[True, False], [True, False]]])
    # mean of .04 and .36 is .20: 10·log10(4 / .2) = 13.0103
    assert psnr(image, truth, mask).item() == pytest.approx(10 * math.log10(20), abs=1e-4)


def test_ssim_of_equal_and_of_flat_pictures() -> None:
    picture = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1
    assert ssim(picture, picture).item() == pytest.approx(1.0, abs=1e-5)
    # In [0, 1] flat .5 against flat 0, no variance: (2·.5·0 + c1) / (.25 + 0 + c1) with c1 = .01² = .0001 -> .0001 / .2501
    flat = ssim(torch.zeros(1, 3, 12, 12), -torch.ones(1, 3, 12, 12))
    assert flat.item() == pytest.approx(0.0001 / 0.2501, rel=2e-3)


def test_ssim_of_the_negative_is_negative() -> None:
    picture = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(1)) * 2 - 1
    assert ssim(-picture, picture).item() < 0


def test_ssim_agrees_with_scikit_image() -> None:
    metrics = pytest.importorskip("skimage.metrics")
    generator = torch.Generator().manual_seed(2)
    a = torch.rand(1, 3, 24, 20, generator=generator) * 2 - 1
    b = (a + 0.3 * torch.randn(1, 3, 24, 20, generator=generator)).clamp(-1, 1)
    settings = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 1.0, "channel_axis": 0}
    expected = metrics.structural_similarity(a[0].numpy() / 2 + 0.5, b[0].numpy() / 2 + 0.5, **settings)
    assert ssim(a, b).item() == pytest.approx(expected, abs=1e-4)


def test_iou_per_class() -> None:
    truth = torch.tensor([[[0, 0, 1, 1], [0, 0, 1, 2]]])
    labels = torch.tensor([[[0, 1, 1, 1], [0, 0, 2, 2]]])
    # class 0: 3 common of 4 -> 3/4; class 1: 2 common, 3 predicted, 3 true -> 2/4; class 2: 1 common of 2; class 3 absent
    scores = iou_per_class(labels, truth, 4)[0]
    assert scores[:3].tolist() == pytest.approx([0.75, 0.5, 0.5])
    assert scores[3].isnan()


def test_mean_iou_leaves_out_classes_with_few_pixels() -> None:
    truth = torch.zeros(1, 4, 8, dtype=torch.int64)
    truth[0, :, 4:] = 1  # 16 pixels of class 1
    truth[0, 0, :7] = 2  # 7 pixels of class 2: does not count; leaves 12 of class 0 and 13 of class 1
    labels = truth.clone()
    labels[0, 0] = 0  # all of class 2 and one pixel of class 1 missed: class 0 12/20, class 1 12/13
    assert mean_iou(labels, truth, 3).item() == pytest.approx((12 / 20 + 12 / 13) / 2)
    assert mean_iou(labels, truth, 3, minimum=7).item() == pytest.approx((12 / 20 + 12 / 13 + 0) / 3)


def test_label_change_is_a_share_of_pixels() -> None:
    first = torch.zeros(1, 2, 4, dtype=torch.int64)
    second = first.clone()
    second[0, 0, :2] = 3
    assert label_change(first, second).item() == pytest.approx(0.25)


def test_depth_error_ignores_what_is_outside_the_mask() -> None:
    truth = torch.full((1, 1, 2, 2), 2.5)
    truth[0, 0, 0, 0] = torch.inf
    depth = torch.tensor([[[[0.0, 2.6], [2.3, 9.0]]]])
    mask = torch.tensor([[[False, True], [True, False]]])
    assert depth_error(depth, truth, mask).item() == pytest.approx(0.15, abs=1e-5)  # (.1 + .2) / 2
