"""The room behind a head: filled, looked up by direction, and never in the way of the head."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from fface_hub.cameras import look_at
from fface_hub.generators.base import GeometrySamples, Scene
from fface_hub.inversion.backdrop import Backdrop, BackdropScene, estimate, fill
from fface_hub.layouts import BASE_15
from fface_hub.rendering.renderer import render


class Air(Scene):
    """Nothing at all."""

    batch, near, far, rule, fingerprint, layout, empty_logit = 1, 2.25, 3.3, "midpoint", "air", BASE_15, 2.0

    def geometry(self, points: Tensor, directions: Tensor) -> GeometrySamples:
        return GeometrySamples(points, torch.full_like(points[..., 0], -50.0), points, torch.zeros(*points.shape[:-1], 15))

    def color(self, samples: GeometrySamples) -> Tensor:
        return torch.zeros_like(samples.points)


def test_filling_keeps_what_is_known_and_continues_it() -> None:
    image = torch.full((3, 8, 8), 9.0)
    weight = torch.zeros(1, 8, 8)
    image[:, :, :2], weight[:, :, :2] = 0.5, 1.0
    filled = fill(image, weight)
    # Only 0.5 is known anywhere, so it is 0.5 everywhere: the 9 of the unknown part never shows.
    torch.testing.assert_close(filled, torch.full((3, 8, 8), 0.5), atol=1e-4, rtol=0)
    image[:, :, 6:], weight[:, :, 6:] = -0.5, 1.0
    filled = fill(image, weight)
    torch.testing.assert_close(filled[:, :, :2], image[:, :, :2])
    middle = filled[0, 4, 2:6]
    assert bool((middle.diff() < 0).all()) and middle.mean().item() == pytest.approx(0.0, abs=0.05)


def test_from_the_photos_camera_the_backdrop_is_the_photo() -> None:
    texture = torch.rand(3, 16, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1
    for yaw in (0.0, 20.0):
        camera = look_at(yaw, 5.0)
        view = render(BackdropScene(Air(), Backdrop(texture, camera)), camera, 16)
        torch.testing.assert_close(view.image[0], texture, atol=1e-3, rtol=0)
        assert bool((view.opacity < 1e-6).all()) and bool((view.labels == 0).all())


def test_beyond_the_photo_it_goes_on_blurred() -> None:
    texture = torch.zeros(3, 16, 16)
    texture[:, :, 8:] = 1.0  # the right half is white
    texture[:, 5, 15] = -1.0  # a dark speck at the right edge
    backdrop = Backdrop(texture, look_at(0.0))
    # A camera at +x looks towards −x: into the left part of the frontal picture and beyond.
    left = render(BackdropScene(Air(), backdrop), look_at(30.0), 16).image
    right = render(BackdropScene(Air(), backdrop), look_at(-30.0), 16).image
    torch.testing.assert_close(left, torch.zeros_like(left), atol=1e-4, rtol=0)
    # The block of the speck is the mean of 16 texels: (15·1 − 1) / 16 = 0.875; nothing is darker.
    assert right.min().item() >= 0.87 and right.max().item() <= 1.0


def test_the_estimate_leaves_the_head_out() -> None:
    photo = torch.full((1, 3, 64, 64), 0.2)
    photo[:, :, 14:50, 14:50] = -1.0  # a dark head, a little larger than the generator made it: the fringe is 64/16 = 4 pixels
    opacity = torch.zeros(1, 1, 64, 64)
    opacity[:, :, 16:48, 16:48] = 1.0
    texture = estimate(photo, opacity, look_at(0.0), 32).texture
    torch.testing.assert_close(texture, torch.full((3, 32, 32), 0.2), atol=1e-3, rtol=0)
