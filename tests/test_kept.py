"""What is kept of an edited face: shares of points by hand, frustums put together, and files that hold none."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from fface_hub.cameras import look_at
from fface_hub.errors import ModelError
from fface_hub.kept import MOST, SOFT, Kept

NEAR, FAR = 2.0, 4.0
CAMERA = look_at(0.0)


def kept(share: Tensor, far: float = 1.0, camera=CAMERA) -> Kept:
    """One frustum with `share [h,h]` in [0, 1] that goes as `far` as that share of the span."""
    maps = torch.stack([share, torch.full_like(share, far)]).mul(255).round().to(torch.uint8)
    return Kept(torch.zeros(1, 3, 2), camera, maps[None], torch.tensor([NEAR, FAR]))


def points(*uv_depth: tuple[float, float, float]) -> Tensor:
    """World points that the camera sees at u, v, that far away."""
    numbers = torch.tensor(uv_depth)
    origins, directions = CAMERA.rays_at(numbers[None, :, :2])
    return (origins + numbers[:, 2:] * directions)[0]


def test_shares_of_points_are_those_of_their_pixels() -> None:
    share = torch.zeros(4, 4)
    share[1, 2], share[1, 3] = 1.0, 0.2
    # Pixel centres lie at odd eighths: column 2 at 0.625, row 1 at 0.375; column 3 at 0.875; half way between both, (1 + 0.2) / 2.
    found = kept(share).at(points((0.625, 0.375, 2.5), (0.625, 0.375, 3.9), (0.875, 0.375, 2.5), (0.75, 0.375, 3.0), (0.125, 0.375, 2.5)))
    assert found.tolist() == pytest.approx([1, 1, 0.2, 0.6, 0], abs=1e-5)


def test_there_is_nothing_beyond_the_picture_nor_behind_the_camera() -> None:
    whole = kept(torch.ones(4, 4))
    inside, beyond = whole.at(points((0.5, 0.5, 2.5), (1.3, 0.5, 2.5)))
    behind = whole.at(2 * CAMERA.cam2world[:, :3, 3] - points((0.5, 0.5, 2.5)))
    at_camera = whole.at(CAMERA.cam2world[:, :3, 3])
    assert float(inside) == 1 and float(beyond) == 0 and behind.tolist() == [0] and at_camera.tolist() == [0]


def test_an_edit_fades_out_behind_what_was_edited() -> None:
    # It goes to half of the span, to within 255ths: depth 3.004, and ends SOFT farther.
    end = NEAR + round(0.5 * 255) / 255 * (FAR - NEAR)
    found = kept(torch.ones(4, 4), 0.5).at(points((0.5, 0.5, end), (0.5, 0.5, end + SOFT / 4), (0.5, 0.5, end + SOFT), (0.5, 0.5, 3.9)))
    assert found.tolist() == pytest.approx([1, 0.75, 0, 0], abs=1e-3)


def test_several_frustums_give_the_most_that_one_of_them_has() -> None:
    left, right = torch.zeros(4, 4), torch.zeros(4, 4)
    left[:, :2], right[:, 1:] = 1.0, 0.5
    aside = look_at(90.0)
    both = Kept.joined([kept(left), kept(right), kept(left, camera=aside)], torch.ones(1, 3, 2))
    assert len(both.cameras) == 2 and (both.geometry == 1).all()
    assert both.maps[0, 0, 0].tolist() == [255, 255, 128, 128]
    at = points((0.125, 0.5, 2.5), (0.875, 0.5, 2.5), (0.7, 0.5, 2.7))
    assert Kept.joined([kept(left), kept(right)], both.geometry).at(at).tolist() == pytest.approx([1, 0.5, 0.5], abs=0.01)
    most = torch.stack([one.at(at) for one in (kept(left), kept(right), kept(left, camera=aside))]).amax(0)
    assert torch.equal(both.at(at), most) and not torch.equal(most, kept(left).at(at))


def test_of_too_many_frustums_the_first_go() -> None:
    several = [kept(torch.ones(2, 2), camera=look_at(float(angle))) for angle in range(MOST + 1)]
    joined = Kept.joined(several, torch.zeros(1, 3, 2))
    assert len(joined.cameras) == MOST and torch.equal(joined.cameras.cam2world[0], several[1].cameras.cam2world[0])


def test_it_comes_back_from_its_tensors() -> None:
    before = kept(torch.rand(4, 4), 0.5)
    after = Kept.from_tensors(before.tensors())
    assert all(torch.equal(value, after.tensors()[name]) for name, value in before.tensors().items())


def test_shapes_that_do_not_fit_are_refused() -> None:
    one = kept(torch.ones(4, 4))
    for change in (
        {"maps": one.maps.float()},
        {"maps": one.maps[:, :1]},
        {"geometry": torch.zeros(3, 2)},
        {"maps": one.maps[:0], "cameras": CAMERA[:0]},
        {"cameras": look_at(torch.zeros(2))},
    ):
        with pytest.raises(ValueError, match="expected"):
            replace(one, **change)


@pytest.mark.parametrize(
    "change",
    [
        {"maps": None},
        {"more": torch.zeros(1)},
        {"span": torch.tensor([4.0, 2.0])},
        {"span": torch.tensor([2.0])},
        {"cameras": torch.zeros(1, 24)},
        {"cameras": torch.full((1, 25), 1e9)},
        {"maps": torch.zeros(1, 2, 4, 3, dtype=torch.uint8)},
        {"geometry": torch.zeros(2, 3, 2)},
    ],
)
def test_tensors_that_hold_nothing_of_the_kind_are_refused(change: dict[str, Tensor | None]) -> None:
    tensors = {**kept(torch.ones(4, 4)).tensors(), **change}
    with pytest.raises(ModelError, match="damaged"):
        Kept.from_tensors({key: value for key, value in tensors.items() if value is not None})
