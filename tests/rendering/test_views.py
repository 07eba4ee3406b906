"""Views of a ball whose surface, normals, labels and colours are known everywhere."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from fface_hub.cameras import Camera, look_at
from fface_hub.errors import CancelledError
from fface_hub.generators.base import GeometrySamples, Scene
from fface_hub.layouts import LabelClass, Layout
from fface_hub.progress import Step
from fface_hub.rendering.renderer import render
from fface_hub.rendering.views import depth_to_image, five_views, labels_to_image, normals, normals_to_image, orbit_frames, strip

RADIUS = 0.3
TWO_HALVES = Layout("halves", (LabelClass("air", (0, 0, 0)), LabelClass("left", (10, 20, 30)), LabelClass("right", (200, 100, 50))))


class Ball(Scene):
    """A ball of 0.3 around the origin: class 2 and red where x > 0, class 1 and blue elsewhere."""

    batch, near, far, rule, fingerprint, layout, empty_logit = 1, 2.25, 3.3, "midpoint", "ball", TWO_HALVES, 1.0

    def geometry(self, points: Tensor, directions: Tensor) -> GeometrySamples:
        inside = RADIUS - points.norm(dim=-1)
        right = (points[..., 0] > 0).float()
        logits = torch.stack([torch.zeros_like(right), 9 * (1 - right), 9 * right], dim=-1)
        return GeometrySamples(points, (40000 * inside).clamp(-20, 400), points, logits)

    def color(self, samples: GeometrySamples) -> Tensor:
        right = (samples.points[..., :1] > 0).float()
        return torch.cat([2 * right - 1, -torch.ones_like(right), 1 - 2 * right], dim=-1)


@pytest.fixture(scope="module")
def ball() -> Scene:
    return Ball()


def hit_normals(camera: Camera, resolution: int) -> tuple[Tensor, Tensor]:
    """True normals `[1,3,h,w]` and where rays hit, from |o + t d| = r: t = −o·d − √((o·d)² − |o|² + r²)."""
    origins, directions = camera.rays(resolution)
    along = (origins * directions).sum(-1)
    inside_root = along.square() - origins.square().sum(-1) + RADIUS**2
    points = origins + (-along - inside_root.clamp(min=0).sqrt())[..., None] * directions
    true = (points / RADIUS).transpose(1, 2).unflatten(2, (resolution, resolution))
    return true, (inside_root > 0.01).reshape(1, resolution, resolution)


def test_depth_of_the_middle_pixel(ball: Scene) -> None:
    view = render(ball, look_at(0.0), resolution=33)
    # Camera at z = 2.7, surface at z = 0.3; the middle ray goes straight. Coarse steps are 1.05 / 47 = 0.022 long.
    assert view.depth[0, 0, 16, 16].item() == pytest.approx(2.7 - RADIUS, abs=0.012)


@pytest.mark.parametrize("yaw", [0.0, 40.0])
def test_normals_follow_the_sphere(ball: Scene, yaw: float) -> None:
    camera = look_at(yaw, 10.0)
    origins, directions = camera.rays(64)
    true, hit = hit_normals(camera, 64)
    along = (origins * directions).sum(-1)
    depth = (-along - (along.square() - origins.square().sum(-1) + RADIUS**2).clamp(min=0).sqrt()).reshape(1, 1, 64, 64)
    found = normals(depth, camera)
    cosine = (found * true).sum(dim=1)[hit]
    assert cosine.mean().item() > math.cos(math.radians(3))
    assert cosine.min().item() > math.cos(math.radians(12))


def test_normal_picture_is_blue_where_the_surface_faces_the_camera(ball: Scene) -> None:
    for yaw in (0.0, 30.0):
        camera = look_at(yaw)
        view = render(ball, camera, resolution=33)
        picture = normals_to_image(view.depth, camera, view.opacity)[0]
        # The sphere's nearest point to a camera that looks at the pivot (0, 0, 0.2) is off the middle, but its normal faces the camera
        # to within the angle at the pivot: |sin| ≤ 0.2·sin(yaw)/0.3 = 0.33.
        assert picture[2, 16, 16].item() > 0.9
    true, hit = hit_normals(look_at(0.0), 33)
    view = render(ball, look_at(0.0), resolution=33)
    picture = normals_to_image(view.depth, look_at(0.0), view.opacity)
    assert picture[0, 0][hit[0] & (true[0, 0] > 0.4)].min().item() > 0.1  # right is red
    assert picture[0, 1][hit[0] & (true[0, 1] > 0.4)].min().item() > 0.1  # up is green


def test_depth_picture_is_white_in_front_and_black_in_the_air() -> None:
    depth = torch.tensor([[[[2.0, 3.0], [2.5, 2.2]]]])
    opacity = torch.tensor([[[[1.0, 1.0], [1.0, 0.1]]]])
    picture = depth_to_image(depth, opacity)
    # closeness 1, 0, 0.5 → grey 1.0, 0.2, 0.6 → 2·grey − 1 = 1, −0.6, 0.2; the last pixel is air
    torch.testing.assert_close(picture[0, 0], torch.tensor([[1.0, -0.6], [0.2, -1.0]]))
    assert picture.shape == (1, 3, 2, 2)


def test_label_picture_has_the_file_colours() -> None:
    picture = labels_to_image(torch.tensor([[[1, 2]]]), TWO_HALVES)
    bytes_again = ((picture + 1) * 127.5).round().long()
    assert bytes_again[0, :, 0, 0].tolist() == [10, 20, 30]
    assert bytes_again[0, :, 0, 1].tolist() == [200, 100, 50]


def test_five_views_turn_with_the_camera(ball: Scene) -> None:
    steps: list[Step] = []
    views = five_views(ball, resolution=24, callback=steps.append)
    assert views.image.shape == (5, 3, 24, 24) and views.labels.shape == (5, 24, 24)
    right = (views.labels == 2).flatten(1).sum(1)
    # From yaw −30° the camera is at −x and sees more of the ball's left half; from +30° more of its right half.
    assert right.tolist() == sorted(right.tolist()) and right[4] > 1.5 * right[0]
    # Each view of 24² rays is one chunk, told before the view is.
    assert [step.index for step in steps] == [0, 1, 1, 2, 2, 3, 3, 4, 4, 5] and steps[0].total == 5
    assert [step.index for step in steps if step.preview is not None] == [1, 2, 3, 4, 5]


def test_an_orbit_can_be_stopped_between_frames(ball: Scene) -> None:
    seen = []

    def stop(step: Step) -> None:
        seen.append(step.index)
        if step.index == 2:
            raise CancelledError("stopped")

    with pytest.raises(CancelledError):
        orbit_frames(ball, count=6, resolution=8, callback=stop)
    assert seen == [0, 1, 1, 2]
    assert orbit_frames(ball, count=3, resolution=8).image.shape == (3, 3, 8, 8)


def test_strip_puts_pictures_side_by_side() -> None:
    pictures = torch.arange(2.0).reshape(2, 1, 1, 1).expand(2, 3, 2, 2)
    assert strip(pictures)[0].tolist() == [[0, 0, 1, 1], [0, 0, 1, 1]]
