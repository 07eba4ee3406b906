"""Cameras: where they stand, where their rays go, and that mirror and vector are what they say."""

from __future__ import annotations

import math

import pytest
import torch

from fface_hub.cameras import Camera, look_at, orbit, painting_view, swing


def test_the_frontal_camera_stands_before_the_face() -> None:
    camera = look_at(0.0)
    # At distance 2.7 on +z, looking along −z; x to the right of the picture is world +x, y down is world −y.
    expected = torch.tensor([[1.0, 0, 0, 0], [0, -1, 0, 0], [0, 0, -1, 2.7], [0, 0, 0, 1]])
    assert torch.allclose(camera.cam2world[0], expected, atol=1e-6)


def test_positive_yaw_is_at_plus_x_and_positive_pitch_above() -> None:
    # 2.7·(sin 30°·cos 20°, sin 20°, cos 30°·cos 20°) = 2.7·(.5·.9397, .3420, .8660·.9397)
    origin = look_at(30.0, 20.0).cam2world[0, :3, 3]
    assert torch.allclose(origin, 2.7 * torch.tensor([0.46985, 0.34202, 0.81380]), atol=1e-4)


def test_the_middle_ray_meets_the_pivot() -> None:
    origins, directions = look_at(torch.tensor([-40.0, 10.0, 70.0]), torch.tensor([5.0, -30.0, 15.0])).rays(1)
    to_pivot = torch.nn.functional.normalize(torch.tensor([0.0, 0.0, 0.2]) - origins, dim=-1)
    assert torch.allclose(directions, to_pivot, atol=1e-6)


def test_rays_go_through_pixel_centres_row_by_row() -> None:
    _, directions = look_at(0.0).rays(2)
    # Centres at ¼ and ¾: x = (¼ − ½)/4.2647 = −.058621, and up for the upper row; length √(1 + 2·.058621²) = 1.003430.
    x = 0.058621 / 1.003430
    z = -1 / 1.003430
    expected = torch.tensor([[-x, x, z], [x, x, z], [-x, -x, z], [x, -x, z]])
    assert torch.allclose(directions[0], expected, atol=1e-5)


def test_skew_moves_rays_sideways_with_height() -> None:
    camera = look_at(0.0)
    camera.intrinsics[:, 0, 1] = 0.5
    # Pinhole with skew: u = fx·x + s·y + cx. At v = ¾, y = .25/4.2647, so u = ½ is seen at x = −.5·y/4.2647.
    _, directions = camera.rays_at(torch.tensor([[[0.5, 0.75]]]))
    y = 0.25 / 4.2647
    expected = torch.nn.functional.normalize(torch.tensor([-0.5 * y / 4.2647, -y, -1.0]), dim=0)
    assert torch.allclose(directions[0, 0], expected, atol=1e-6)


def test_points_are_seen_where_their_rays_start() -> None:
    cameras = look_at(torch.tensor([-40.0, 15.0]), torch.tensor([5.0, -20.0]))
    cameras.intrinsics[:, 0, 1], cameras.intrinsics[:, 1, 2] = 0.3, 0.45
    uv = torch.rand(2, 20, 2, generator=torch.Generator().manual_seed(0))
    origins, directions = cameras.rays_at(uv)
    torch.testing.assert_close(cameras.project(origins + 2.5 * directions), uv, atol=1e-5, rtol=0)
    # From (0, 0, 2.7): 0.1 to the right, 0.2 up and 2.5 away. The second camera sees the same points from elsewhere.
    seen = Camera.from_vector(torch.cat([look_at(0.0).to_vector(), look_at(30.0).to_vector()])).project(torch.tensor([[0.1, 0.2, 0.2]]))
    assert seen[0, 0].tolist() == pytest.approx([0.5 + 4.2647 * 0.1 / 2.5, 0.5 - 4.2647 * 0.2 / 2.5])
    torch.testing.assert_close(seen[1:], look_at(30.0).project(torch.tensor([[0.1, 0.2, 0.2]])))


def test_the_mirrored_camera_sees_the_mirrored_world_flipped() -> None:
    camera = look_at(25.0, 10.0)
    camera.intrinsics[:, 0, 1], camera.intrinsics[:, 0, 2] = 0.3, 0.45
    uv = torch.tensor([[[0.2, 0.7]]])
    flipped = torch.stack([1 - uv[..., 0], uv[..., 1]], dim=-1)
    mirrored = torch.tensor([-1.0, 1.0, 1.0])
    for seen, expected in zip(camera.mirror().rays_at(flipped), camera.rays_at(uv), strict=True):
        assert torch.allclose(seen, expected * mirrored, atol=1e-6)
    assert torch.allclose(camera.mirror().mirror().to_vector(), camera.to_vector(), atol=1e-6)


def test_a_window_by_hand() -> None:
    camera = look_at(25.0, 10.0)
    camera.intrinsics[:, 0, 1], camera.intrinsics[:, 0, 2] = 0.3, 0.45
    part = camera.window(0.25, 0.5, 0.2)
    # Focal lengths and skew in the new unit, and the centre as seen from the new corner: (0.45 − 0.25) / 0.2 and (0.5 − 0.5) / 0.2.
    expected = torch.tensor([[[5 * 4.2647, 1.5, 1.0], [0, 5 * 4.2647, 0.0], [0, 0, 1]]])
    assert torch.allclose(part.intrinsics, expected, atol=1e-5) and torch.equal(part.cam2world, camera.cam2world)
    # Its position (0.2, 0.7) is 0.25 + 0.2 · 0.2 and 0.5 + 0.7 · 0.2 of the whole.
    uv, whole = torch.tensor([[[0.2, 0.7]]]), torch.tensor([[[0.29, 0.64]]])
    for seen, wanted in zip(part.rays_at(uv), camera.rays_at(whole), strict=True):
        assert torch.allclose(seen, wanted, atol=1e-6)


def test_the_vector_form_is_eg3ds_and_its_own_inverse() -> None:
    camera = look_at(torch.tensor([10.0, -10.0]))
    vector = camera.to_vector()
    assert vector.shape == (2, 25) and vector[0, 11] == camera.cam2world[0, 2, 3] and vector[0, 16] == camera.intrinsics[0, 0, 0]
    again = Camera.from_vector(vector)
    assert torch.equal(again.cam2world, camera.cam2world) and torch.equal(again.intrinsics, camera.intrinsics)


def test_orbit_of_five_is_the_five_views() -> None:
    assert torch.allclose(orbit(5).cam2world, look_at(torch.tensor([-30.0, -15.0, 0.0, 15.0, 30.0])).cam2world, atol=1e-6)
    assert torch.allclose(orbit(1).cam2world, look_at(0.0).cam2world)


def test_swing_is_a_closed_loop_of_even_steps() -> None:
    origins = swing(12).cam2world[:, :3, 3]
    steps = (origins - origins.roll(1, 0)).norm(dim=1)
    assert steps.max() < 3 * steps.min()  # no jump from the last frame to the first


def test_batches_are_picked_and_expanded_but_never_guessed() -> None:
    cameras = orbit(3)
    assert len(cameras[1]) == 1 and len(cameras[-1]) == 1 and len(cameras[1:]) == 2
    assert torch.equal(cameras[-1].cam2world, cameras.cam2world[2:])
    assert [len(camera) for camera in cameras] == [1, 1, 1]
    with pytest.raises(IndexError):
        cameras[3]
    assert len(cameras[0].expand(4)) == 4
    with pytest.raises(ValueError, match="cannot expand 3"):
        cameras.expand(4)
    with pytest.raises(ValueError, match="expected"):
        Camera(torch.eye(4), torch.eye(3))


def test_faces_to_paint_are_seen_from_three_sides_in_turn() -> None:
    # x of a camera at distance 2.7: 2.7 sin(yaw)
    sides = [2.7 * math.sin(math.radians(yaw)) for yaw in (0, -23, 23, 0)]
    assert [painting_view(index).to_vector()[0, 3].item() for index in range(4)] == pytest.approx(sides, abs=1e-5)


def test_no_camera_is_made_of_what_is_none() -> None:
    for shape in ((1, 24), (1, 26), (25,)):
        with pytest.raises(ValueError, match=r"cameras \[B,25\] expected"):
            Camera.from_vector(torch.zeros(shape))
    for count in (0, -1):
        with pytest.raises(ValueError, match=f"at least one camera, and the count is {count}"):
            orbit(count)
