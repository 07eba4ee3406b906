"""Losses against values worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch

from fface_hub.losses import cross_entropy, dice_overlap, gradient_l1, masked_image_loss, masked_mse

# One picture of two rays and two classes; ln 3 makes a softmax of 3/4 and 1/4.
LOGITS = torch.tensor([[[math.log(3.0), 0.0], [0.0, 0.0]]])  # [B=1,K=2,R=2]: p(class 0) = 3/4, 1/2; p(class 1) = 1/4, 1/2
LABELS = torch.tensor([[0, 1]])


def test_cross_entropy_is_the_mean_over_rays() -> None:
    # −ln(3/4) and −ln(1/2): mean 0.49041
    assert cross_entropy(LOGITS, LABELS).item() == pytest.approx((math.log(4 / 3) + math.log(2)) / 2, abs=1e-6)


def test_rays_count_by_their_weights() -> None:
    # Cross-entropy: (3·ln(4/3) + 1·ln 2) / 2 rays.
    weights = torch.tensor([[3.0, 1.0]])
    assert cross_entropy(LOGITS, LABELS, weights).item() == pytest.approx((3 * math.log(4 / 3) + math.log(2)) / 2, abs=1e-6)
    # DICE: a ray that counts three times is three equal rays.
    thrice = torch.cat([LOGITS[..., :1].expand(-1, -1, 3), LOGITS[..., 1:]], dim=-1), torch.tensor([[0, 0, 0, 1]])
    assert dice_overlap(LOGITS, LABELS, weights).item() == pytest.approx(dice_overlap(*thrice).item(), abs=1e-6)


def test_dice_overlap_by_hand() -> None:
    # class 0: Σp = 5/4, Σg = 1, Σp·g = 3/4: (3/2 + 1) / (9/4 + 1) = 2.5 / 3.25
    # class 1: Σp = 3/4, Σg = 1, Σp·g = 1/2: (1 + 1) / (7/4 + 1) = 2 / 2.75
    expected = 1 - (2.5 / 3.25 + 2 / 2.75) / 2
    assert dice_overlap(LOGITS, LABELS).item() == pytest.approx(expected, abs=1e-6)


def test_dice_counts_an_absent_class() -> None:
    # Both rays are of class 0 with p = 1/2 each: class 0 gives (2·1 + 1) / (1 + 2 + 1) = 3/4, the absent class 1 gives 1 / (1 + 1) = 1/2.
    loss = dice_overlap(torch.zeros(1, 2, 2), torch.zeros(1, 2, dtype=torch.int64))
    assert loss.item() == pytest.approx(1 - (0.75 + 0.5) / 2, abs=1e-6)


def test_dice_is_averaged_over_pictures_not_pooled() -> None:
    logits = torch.cat([LOGITS, torch.zeros(1, 2, 2)])
    labels = torch.cat([LABELS, torch.zeros(1, 2, dtype=torch.int64)])
    separate = [dice_overlap(logits[i : i + 1], labels[i : i + 1]).item() for i in range(2)]
    assert dice_overlap(logits, labels).item() == pytest.approx(sum(separate) / 2, abs=1e-6)


def test_masked_mse_divides_by_all_pixels() -> None:
    image, target = torch.tensor([[[1.0, 5.0]]]), torch.tensor([[[0.0, 0.0]]])
    # Only the first of two values counts: (1² + 0) / 2.
    assert masked_mse(image, target, torch.tensor([[True, False]])).item() == pytest.approx(0.5)


def test_masked_image_loss_greys_out_the_region() -> None:
    def difference(image: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return (image - target).abs().sum()

    image, target = torch.ones(1, 3, 1, 2), torch.zeros(1, 3, 1, 2)
    keep = torch.tensor([[[True, False]]])
    assert masked_image_loss(difference, image, target, keep).item() == pytest.approx(3.0)  # three channels of one pixel


def test_gradient_l1_by_hand() -> None:
    image = torch.tensor([[[[0.0, 1.0], [0.0, 1.0]]]])
    # Horizontal differences 1, 1 against 0, 0: mean 1; vertical ones agree: 0.
    assert gradient_l1(image, torch.zeros(1, 1, 2, 2)).item() == pytest.approx(1.0)
    assert gradient_l1(image, image + 0.5).item() == pytest.approx(0.0)  # a constant shift has no gradient
