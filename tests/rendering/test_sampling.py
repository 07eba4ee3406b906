"""Where rays are sampled, worked out by hand."""

from __future__ import annotations

import pytest
import torch

from fface_hub.rendering.sampling import Sampling, importance, inverse_cdf, stratified

RAYS = torch.zeros(1, 2, 3)


def test_deterministic_coarse_samples_lie_in_the_middle_of_their_intervals() -> None:
    # near 2, far 5, four samples: linspace 2, 3, 4, 5 and Δ = 1, offset by half: the last one is behind far, as in EG3D.
    depths = stratified(2.0, 5.0, RAYS, Sampling(coarse=4, fine=0))
    assert depths.shape == (1, 2, 4)
    assert depths[0, 1].tolist() == [2.5, 3.5, 4.5, 5.5]


def test_jittered_samples_stay_in_their_intervals_and_follow_their_generator() -> None:
    def draw(seed: int) -> torch.Tensor:
        return stratified(2.0, 5.0, torch.zeros(1, 500, 3), Sampling(4, 0, torch.Generator().manual_seed(seed)))

    offset = draw(1) - torch.tensor([2.0, 3.0, 4.0, 5.0])
    assert 0 <= float(offset.min()) < 0.01 and 0.99 < float(offset.max()) < 1
    assert torch.equal(draw(1), draw(1)) and not torch.equal(draw(1), draw(2))


def test_inverse_cdf_of_two_bins() -> None:
    # Bins [0, 1] and [1, 3] with weights 1 and 3: cdf 0, 1/4, 1. Quantiles 0, 1/4, 1/2, 3/4, 1 fall at
    # 0, 1, 1 + 2 · (1/4)/(3/4) = 5/3, 1 + 2 · (1/2)/(3/4) = 7/3, 3 (up to the guard 1e-5).
    found = inverse_cdf(torch.tensor([[[0.0, 1.0, 3.0]]]), torch.tensor([[[1.0, 3.0]]]), Sampling(4, 5))
    assert found.flatten().tolist() == pytest.approx([0, 1, 5 / 3, 7 / 3, 3], abs=1e-4)


def test_importance_smooths_weights_and_never_uses_the_last_bin() -> None:
    # Depths 0..5: mid-points .5 1.5 2.5 3.5 4.5. Weights of the 5 intervals 0 0 1 0 0.
    # Maximum of neighbours (6): 0 0 1 1 0 0; mean of neighbours (5): 0 .5 1 .5 0; plus .01; without the ends: .51 1.01 .51.
    # These are the bins .5–1.5, 1.5–2.5 and 2.5–3.5; the bin up to 4.5 is never used. By symmetry the median is 2,
    # and the quantile 1/8 is at .5 + (2.03/8)/.51 = .99755.
    depths, weights = torch.arange(6.0)[None, None], torch.tensor([[[0.0, 0.0, 1.0, 0.0, 0.0]]])
    fine = importance(depths, weights, Sampling(6, 9))
    assert fine.shape == (1, 1, 9)
    assert fine[0, 0, [0, 1, 4, 8]].tolist() == pytest.approx([0.5, 0.99755, 2.0, 3.5], abs=1e-4)


def test_importance_is_sorted_by_quantile_and_carries_no_gradient() -> None:
    weights = torch.rand(2, 3, 7, generator=torch.Generator().manual_seed(0)).requires_grad_()
    fine = importance(torch.linspace(2.25, 3.3, 8).expand(2, 3, 8), weights, Sampling(8, 16))
    assert not fine.requires_grad and bool((fine.diff(dim=-1) >= 0).all())


@pytest.mark.parametrize(("coarse", "fine"), [(1, 0), (3, 4), (8, -1)])
def test_impossible_counts_are_refused(coarse: int, fine: int) -> None:
    with pytest.raises(ValueError, match="coarse"):
        Sampling(coarse, fine)
