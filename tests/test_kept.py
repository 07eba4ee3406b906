"""What is kept of an edited face: shares of points by hand, frustums put together, and files that hold none."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from fface_hub.cameras import look_at
from fface_hub.errors import ModelError
from fface_hub.kept import LAYERS, MOST, SOFT, Kept

NEAR, FAR = 2.0, 4.0
CAMERA = look_at(0.0)


def kept(share: Tensor, far: float = 1.0, camera=CAMERA, of: float = 0.0) -> Kept:
    """One frustum with `share [h,h]` in [0, 1] that goes as `far` as that share of the span, around a geometry of that number."""
    maps = torch.stack([share, torch.full_like(share, far)]).mul(255).round().to(torch.uint8)
    return Kept(torch.full((1, 3, 2), of), camera, maps[None], torch.tensor([NEAR, FAR]))


def numbers(stack: Kept) -> list[float]:
    """Of the geometries of its layers."""
    return [layer.geometry[0, 0, 0].item() for layer in stack.layers]


def column(index: int, count: int = LAYERS + 1, share: float = 1.0) -> Tensor:
    """A share of one column of a picture that is `count` wide."""
    found = torch.zeros(count, count)
    found[:, index] = share
    return found


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
    both = replace(kept(left), cameras=look_at(torch.tensor([0.0, 90.0])), maps=torch.cat([kept(left).maps, kept(right).maps]))
    at = points((0.125, 0.5, 2.5), (0.875, 0.5, 2.5), (0.7, 0.5, 2.7))
    most = torch.stack([one.at(at) for one in (kept(left), kept(right, camera=look_at(90.0)))]).amax(0)
    assert torch.equal(both.at(at), most) and not torch.equal(most, kept(left).at(at))


def test_layers_lie_in_the_order_of_their_edits() -> None:
    first, second, third = (kept(column(index), of=index) for index in range(3))
    stack = Kept.stacked([first, second, third])
    assert numbers(stack) == [0, 1, 2] and stack.earlier is not None and stack.earlier.same(Kept.stacked([first, second]))
    # What they had before is replaced.
    assert numbers(Kept.stacked([stack, third])) == [2, 2]


def test_of_too_many_layers_the_one_that_shows_least_goes_into_the_next() -> None:
    several = [kept(column(index), of=index) for index in range(LAYERS + 1)]
    several[3] = kept(column(3, share=0.5), of=3)
    stack = Kept.stacked(several)
    # Layer 3 is one with layer 4, which is seen by the same camera, around what was before both.
    assert numbers(stack) == [0, 1, 2, 3, 5, 6, 7, 8]
    assert stack.layers[3].maps[0, 0, 0].tolist() == [0, 0, 0, 128, 255, 0, 0, 0, 0] and len(stack.layers[3].cameras) == 1
    # One that lies below a later one shows nothing at all, unless other cameras see it.
    several[6] = kept(column(6) + column(1), of=6)
    assert numbers(Kept.stacked(several)) == [0, 1, 3, 4, 5, 6, 7, 8]
    several[6] = kept(column(6) + column(1), of=6, camera=look_at(30.0))
    assert numbers(Kept.stacked(several)) == [0, 1, 2, 3, 5, 6, 7, 8]


def test_layers_that_other_cameras_see_stay_frustums_of_their_own() -> None:
    several = [kept(column(index), of=index, camera=look_at(float(index // 2))) for index in range(LAYERS + 1)]
    stack = Kept.stacked(several)
    assert numbers(stack) == [0, 2, 3, 4, 5, 6, 7, 8] and len(stack.layers[0].cameras) == 1
    several[1] = kept(column(1, share=0.9), of=1)
    stack = Kept.stacked(several)
    assert numbers(stack) == [0, 1, 3, 4, 5, 6, 7, 8]
    assert torch.equal(stack.layers[1].cameras.to_vector(), look_at(torch.tensor([0.0, 1.0])).to_vector())


def test_of_too_many_frustums_of_a_layer_the_first_go() -> None:
    yaws = torch.arange(MOST, dtype=torch.float32)
    wide = replace(kept(column(0)), cameras=look_at(yaws), maps=kept(column(0)).maps.expand(MOST, -1, -1, -1))
    several = [replace(wide, maps=wide.maps // 255), *(kept(torch.ones(9, 9), camera=look_at(90.0 + index)) for index in range(LAYERS))]
    joined = Kept.stacked(several).layers[0]
    assert len(joined.cameras) == MOST and torch.equal(joined.cameras.cam2world[[0, -1]], look_at(torch.tensor([1.0, 90.0])).cam2world)


def test_it_comes_back_from_its_tensors() -> None:
    for count in (1, 3, LAYERS):
        before = Kept.stacked([kept(torch.rand(4, 4), 0.5, of=float(index)) for index in range(count)])
        assert len(before.tensors()) == 4 * count and before.same(Kept.from_tensors(before.tensors()))
        assert not before.same(replace(before, geometry=before.geometry + 1))


def test_shapes_that_do_not_fit_are_refused() -> None:
    one = kept(torch.ones(4, 4))
    for change in (
        {"maps": one.maps.float()},
        {"maps": one.maps[:, :1]},
        {"geometry": torch.zeros(3, 2)},
        {"maps": one.maps[:0], "cameras": CAMERA[:0]},
        {"cameras": look_at(torch.zeros(2))},
        {"earlier": replace(one, geometry=torch.zeros(1, 3, 3))},
        {"earlier": Kept.stacked([one] * LAYERS)},
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
        {"earlier.geometry": torch.zeros(1, 3, 2)},
        {
            f"{'earlier.' * depth}{name}": values
            for depth in range(1, LAYERS + 1)
            for name, values in kept(torch.ones(4, 4)).tensors().items()
        },
    ],
)
def test_tensors_that_hold_nothing_of_the_kind_are_refused(change: dict[str, Tensor | None]) -> None:
    tensors = {**kept(torch.ones(4, 4)).tensors(), **change}
    with pytest.raises(ModelError, match="damaged"):
        Kept.from_tensors({key: value for key, value in tensors.items() if value is not None})
