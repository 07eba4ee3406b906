"""What is done to portraits: points follow the picture, and the seed decides everything."""

from __future__ import annotations

import pytest
import torch

from fface_hub.inversion.landmarks import POINTS
from fface_hub.training import augment
from fface_hub.training.augment import Augmenter, Batch, Framing, jpeg, mirror

SIDE = 32


@pytest.fixture
def portraits() -> Batch:
    """Grey heads before black, a white dot at the tip of each nose."""
    images = torch.full((8, 3, 64, 64), 90, dtype=torch.uint8)
    images[:, :, 30:34, 38:42] = 255
    points = torch.rand(8, len(POINTS), 2, generator=torch.Generator().manual_seed(1)) * 0.2 + 0.4
    points[:, POINTS.index("nose_tip")] = torch.tensor([40 / 64, 0.5])
    return {"images": images, "opacity": torch.full((8, 64, 64), 255, dtype=torch.uint8), "points": points, "angles": torch.zeros(8, 2)}


def test_points_in_a_turned_square_by_hand() -> None:
    one, nothing = torch.tensor([[0.5, 0.5]]), torch.zeros(1)
    # A square of side 0.5 around (0.5, 0.5), turned clockwise by 90°: what lies to the photo's right comes to lie above its middle.
    turned = Framing(one, torch.tensor([[0.5, 0.5]]), torch.tensor([90.0]), nothing, nothing)
    assert turned.inside(torch.tensor([[[0.625, 0.5]]]))[0, 0].tolist() == pytest.approx([0.5, 0.25], abs=1e-6)
    # Twice as wide as high, upright.
    wide = Framing(one, torch.tensor([[1.0, 0.5]]), nothing, nothing, nothing)
    assert wide.inside(torch.tensor([[[0.75, 0.75]]]))[0, 0].tolist() == pytest.approx([0.75, 1.0])
    # A quarter of a wave below the middle rows come from 0.02 further down: what is there at 0.62 is shown at 0.6.
    waved = Framing(one, torch.tensor([[1.0, 1.0]]), nothing, torch.tensor([0.02]), nothing)
    assert waved.inside(torch.tensor([[[0.5, 0.62]]]))[0, 0].tolist() == pytest.approx([0.5, 0.6], abs=1e-4)


def test_squares_show_what_lies_at_their_points() -> None:
    generator = torch.Generator().manual_seed(0)
    spot = torch.zeros(6, 1, 65, 65)
    spot[:, :, 30:33, 36:39] = 1  # around (37.5, 31.5)
    framing = Framing(
        middle=0.5 + 0.1 * torch.randn(6, 2, generator=generator),
        sides=0.6 + 0.2 * torch.rand(6, 2, generator=generator),
        tilt=40 * torch.randn(6, generator=generator),
        swing=0.02 * torch.randn(6, generator=generator),
        phase=6 * torch.rand(6, generator=generator),
    )
    cut = framing.cut(spot, SIDE)
    told = framing.inside(torch.tensor([37.5, 31.5]).expand(6, 1, 2) / 65)
    line = (torch.arange(SIDE) + 0.5) / SIDE
    mass = cut.sum(dim=(2, 3))[:, 0]
    seen = torch.stack([(cut[:, 0].sum(dim=1) * line).sum(dim=1), (cut[:, 0].sum(dim=2) * line).sum(dim=1)], dim=1) / mass[:, None]
    torch.testing.assert_close(seen, told[:, 0], atol=0.02, rtol=0)


def test_mirroring_by_hand() -> None:
    points = torch.zeros(2, len(POINTS), 2)
    points[:, POINTS.index("pupil_right")] = torch.tensor([0.3, 0.4])
    points[:, POINTS.index("pupil_left")] = torch.tensor([0.6, 0.5])
    angles = torch.tensor([[10.0, 5.0, 3.0]]).repeat(2, 1)
    flipped, turned = mirror(points, angles, torch.tensor([True, False]))
    assert flipped[0, POINTS.index("pupil_right")].tolist() == pytest.approx([0.4, 0.5])
    assert flipped[0, POINTS.index("pupil_left")].tolist() == pytest.approx([0.7, 0.4])
    assert turned[0].tolist() == [-10, 5, -3]
    assert torch.equal(flipped[1], points[1]) and torch.equal(turned[1], angles[1])


def test_batches_are_whole_varied_and_decided_by_the_seed(portraits: Batch) -> None:
    images, points, angles = Augmenter(torch.Generator().manual_seed(3), SIDE)(portraits)
    assert images.shape == (8, 3, SIDE, SIDE) and points.shape == (8, len(POINTS), 2) and angles.shape == (8, 3)
    assert bool(images.isfinite().all()) and float(images.min()) >= -1 and float(images.max()) <= 1
    assert float(images.std(dim=0).mean()) > 0.05 and float(angles[:, 2].std()) > 3
    again = Augmenter(torch.Generator().manual_seed(3), SIDE)(portraits)
    assert all(torch.equal(a, b) for a, b in zip((images, points, angles), again, strict=True))
    assert not torch.equal(Augmenter(torch.Generator().manual_seed(4), SIDE)(portraits)[0], images)


def test_backgrounds_change_only_what_is_behind() -> None:
    augmenter = Augmenter(torch.Generator().manual_seed(0), SIDE)
    images, opacity = torch.full((16, 3, SIDE, SIDE), 0.5), torch.zeros(16, 1, SIDE, SIDE)
    opacity[:, :, 8:24, 8:24] = 1
    changed = augmenter.background(images, opacity, augmenter.noise(16))
    assert torch.allclose(changed[:, :, 10:22, 10:22], images[:, :, 10:22, 10:22])
    assert float((changed[:, :, :7] - 0.5).abs().mean()) > 0.05


def test_the_told_roll_is_that_of_the_squares(portraits: Batch, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(augment, "STRETCH", 0.0)
    monkeypatch.setattr(augment, "WAVE", 0.0)
    points = torch.tensor([[0.4, 0.5], [0.6, 0.5]]).repeat(8, len(POINTS), 1)[:, : len(POINTS)]
    _, seen, roll = Augmenter(torch.Generator().manual_seed(0), SIDE).cut(portraits["images"].float(), points)
    along = seen[:, 1] - seen[:, 0]
    # A line that was level rises to the right by the roll (up is negative in a picture).
    torch.testing.assert_close(torch.rad2deg(torch.atan2(-along[:, 1], along[:, 0])), roll, atol=1e-3, rtol=0)
    assert float(roll.std()) > 3 and float(along.norm(dim=1).std()) > 0.01  # tilts and sizes differ


def test_jpeg_loses_little_of_a_smooth_picture() -> None:
    ramp = torch.linspace(0, 1, 32).expand(3, 32, 32)
    assert float((jpeg(ramp, 75) - ramp).abs().max()) < 0.05
