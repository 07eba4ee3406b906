"""The renderer over scenes simple enough to know the answer."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from fface_hub.adapters.adapter import Adapter
from fface_hub.cameras import Camera, look_at, orbit
from fface_hub.errors import CancelledError, ModelError
from fface_hub.generators.base import GeometrySamples, Rule, Scene
from fface_hub.layouts import BASE_15
from fface_hub.rendering.compositing import composite, composite_depth, sample_weights
from fface_hub.rendering.renderer import RayOutputs, march, render, render_rays
from fface_hub.rendering.sampling import Sampling

PRECISE = Sampling(64, 64)


class Ball(Scene):
    """An opaque ball of radius .3 around the origin: colour and class 1 or 2 by the side (x > 0 is 2); `shade [B]` is its brightness."""

    near, far, rule, fingerprint, layout = 2.25, 3.3, "midpoint", "ball", BASE_15

    def __init__(self, shade: Tensor, behind: float | None = None, rule: Rule = "midpoint") -> None:
        self.batch, self.shade, self.behind, self.rule = len(shade), shade, behind, rule

    def geometry(self, points: Tensor, directions: Tensor) -> GeometrySamples:
        density = (0.3 - points.norm(dim=-1)) * 1e5
        side = torch.where(points[..., 0] > 0, 2, 1)
        return GeometrySamples(points, density.clamp(-1000, 1000), points, torch.nn.functional.one_hot(side, 15).float())

    def color(self, samples: GeometrySamples) -> Tensor:
        return self.shade[:, None, None, None].expand(*samples.density.shape, 3)

    def background(self, directions: Tensor) -> Tensor | None:
        return None if self.behind is None else torch.full_like(directions, self.behind)


class Sheets(Ball):
    """Two given surfaces on every ray, at depths 2.5 and 3, with occupancies .25 and .5."""

    def intersect(self, origins: Tensor, directions: Tensor) -> Tensor | None:
        return torch.tensor([2.5, 3.0]).expand(*origins.shape[:2], 2)

    def geometry(self, points: Tensor, directions: Tensor) -> GeometrySamples:
        occupancy = torch.tensor([0.25, 0.5]).expand(points.shape[:3])
        return GeometrySamples(points, occupancy, points, torch.zeros(*points.shape[:3], 15))


def test_a_ball_has_its_colour_depth_and_labels() -> None:
    out = render(Ball(torch.tensor([0.5])), look_at(0.0), 33, PRECISE)
    # Towards the pivot (0, 0, .2) along z: the middle ray meets the ball at z = .3, so at depth 2.7 − .3 = 2.4.
    assert out.depth[0, 0, 16, 16].item() == pytest.approx(2.4, abs=0.01)
    assert out.image[0, :, 16, 16].tolist() == pytest.approx([0.5] * 3, abs=0.01)
    assert out.opacity[0, 0, 16, 16].item() == pytest.approx(1, abs=0.01)
    assert (out.labels[0, 16, 10].item(), out.labels[0, 16, 22].item()) == (1, 2)  # +x is on the right
    # The corner misses: black, no opacity, class 0, the farthest depth.
    assert out.image[0, :, 0, 0].tolist() == pytest.approx([-1] * 3)
    assert (out.opacity[0, 0, 0, 0].item(), out.labels[0, 0, 0].item()) == (pytest.approx(0, abs=1e-6), 0)
    assert out.depth[0, 0, 0, 0].item() == pytest.approx(out.depth.max().item())


def test_background_fills_what_the_volume_leaves() -> None:
    out = render(Ball(torch.tensor([0.5]), behind=0.25), look_at(0.0), 9, PRECISE)
    assert out.image[0, :, 0, 0].tolist() == pytest.approx([0.25] * 3)
    assert out.image[0, :, 4, 4].tolist() == pytest.approx([0.5] * 3, abs=0.01)


def test_empty_logit_is_class_0_where_nothing_is() -> None:
    scene = Ball(torch.tensor([0.5]))
    scene.empty_logit = 4.0
    out = render(scene, look_at(0.0), 9, PRECISE)
    assert out.logits[0, :2, 0, 0].tolist() == pytest.approx([4, 0])
    assert out.logits[0, 0, 4, 4].item() == pytest.approx(0, abs=0.05)


def test_given_surfaces_are_composited_as_they_are() -> None:
    # Occupancies 1/4 and 1/2: ω = 1/4, 1/2 · 3/4 = 3/8. Colour .8 over black: 5/8 · .8 − 3/8 = .125. Depth (2.5/4 + 3 · 3/8)/(5/8) = 2.8.
    origins, directions = look_at(0.0).rays(1)
    rays = render_rays(Sheets(torch.tensor([0.8]), rule="alpha"), origins, directions)
    assert rays.color[0, 0].tolist() == pytest.approx([0.125] * 3)
    assert rays.opacity.item() == pytest.approx(5 / 8)
    assert rays.depth.item() == pytest.approx(2.8)


@pytest.mark.parametrize("rule", ["midpoint", "left"])
def test_unsorted_samples_give_what_sorted_ones_would(rule: Rule) -> None:
    """The slow twin moves every feature into depth order; the renderer only moves weights."""
    scene = Ball(torch.tensor([0.5, -0.2]), rule=rule)
    origins, directions = look_at(torch.tensor([20.0, -10.0])).rays(12)
    samples, depths, weights = march(scene, origins, directions, Sampling(16, 16))
    ordered, order = depths.sort(dim=-1)
    moved = samples.select(order)
    slow = sample_weights(moved.density, ordered, rule)
    fast = render_rays(scene, origins, directions, Sampling(16, 16))
    torch.testing.assert_close(weights.gather(-1, order), slow)
    torch.testing.assert_close(fast.logits, composite(slow, moved.logits))
    torch.testing.assert_close(fast.depth, composite_depth(slow, ordered))
    assert bool((depths[..., 1:] < depths[..., :-1]).any()), "the samples must come unsorted for this test to mean anything"


def test_chunks_do_not_show_and_call_back() -> None:
    scene, camera, calls = Ball(torch.tensor([0.5, 0.1])), look_at(torch.tensor([0.0, 25.0])), []
    whole = render(scene, camera, 8, Sampling(12, 12), chunk=10_000)
    parts = render(scene, camera, 8, Sampling(12, 12), chunk=20, callback=lambda: calls.append(1))
    assert len(calls) == 7  # 20 rays for two faces are 10 each: 64 = 6 · 10 + 4
    torch.testing.assert_close(parts.image, whole.image)
    torch.testing.assert_close(parts.depth, whole.depth)


def test_a_callback_may_cancel() -> None:
    def stop() -> None:
        raise CancelledError("Stopped.")

    with pytest.raises(CancelledError):
        render(Ball(torch.tensor([0.5])), look_at(0.0), 8, Sampling(4, 0), callback=stop)


def test_batches_of_faces_and_cameras() -> None:
    shades, few = torch.tensor([0.5, 0.1]), Sampling(12, 0)
    one_camera = render(Ball(shades), look_at(0.0), 5, few)
    assert one_camera.image[:, 0, 2, 2].tolist() == pytest.approx([0.5, 0.1], abs=0.01)
    one_face = render(Ball(shades[:1]), orbit(5), 5, few)
    assert one_face.image.shape == (5, 3, 5, 5)
    torch.testing.assert_close(one_face.labels[1:2], render(Ball(shades[:1]), orbit(5)[1], 5, few).labels)
    with pytest.raises(ValueError, match="expand"):
        render(Ball(shades), orbit(5), 5, few)


def test_an_adapter_replaces_logits_and_nothing_else() -> None:
    seen: list[tuple[int, ...]] = []

    def adapter(features: Tensor, geometry: Tensor, directions: Tensor) -> Tensor:
        seen.extend([tuple(features.shape), tuple(geometry.shape), tuple(directions.shape)])
        return torch.cat([features, 0 * features], dim=-1)  # features are the points: the logits become the composited position

    camera = look_at(0.0)
    plain, adapted = (render(Ball(torch.tensor([0.5])), camera, 5, PRECISE, adapter=a) for a in (None, adapter))
    assert seen[:3] == [(1, 25, 128, 3), (1, 25, 128, 16), (1, 25, 1, 3)]  # 16: raw density and 15 logits
    assert adapted.logits.shape == (1, 6, 5, 5)
    assert adapted.logits[0, :3, 2, 2].tolist() == pytest.approx([0, 0, 0.3], abs=0.02)
    assert torch.equal(plain.image, adapted.image) and torch.equal(plain.depth, adapted.depth)


def test_an_adapter_of_another_generator_is_refused() -> None:
    scene, camera = Ball(torch.tensor([0.5])), look_at(0.0)
    own, foreign = (Adapter(BASE_15.to_dict(), "org/faces", fingerprint, feature_channels=3) for fingerprint in ("ball", "cube"))
    assert render(scene, camera, 3, Sampling(4, 0), adapter=own).logits.shape == (1, 15, 3, 3)
    with pytest.raises(ModelError, match="org/faces"):
        render(scene, camera, 3, Sampling(4, 0), adapter=foreign)


def test_rays_are_differentiable_and_colour_is_optional() -> None:
    shade = torch.tensor([0.5], requires_grad=True)
    camera = look_at(0.0)
    origins, directions = camera.rays(3)
    rays: RayOutputs = render_rays(Ball(shade), origins, directions, Sampling(12, 12))
    rays.color.sum().backward()
    # d(Σ colour)/d(shade) is three channels of Σω per ray.
    assert shade.grad is not None and shade.grad.item() == pytest.approx(3 * rays.opacity.sum().item(), rel=1e-5)
    assert render_rays(Ball(shade), origins, directions, Sampling(12, 12), color=False).color.shape == (1, 9, 0)


def test_camera_poses_get_gradients() -> None:
    """Inversion refines the camera through the sample points."""
    pose = look_at(0.0).cam2world.requires_grad_()

    def positions(features: Tensor, geometry: Tensor, directions: Tensor) -> Tensor:
        return features

    origins, directions = Camera(pose, look_at(0.0).intrinsics).rays(2)
    render_rays(Ball(torch.tensor([0.5])), origins, directions, Sampling(12, 0), adapter=positions).logits.sum().backward()
    assert pose.grad is not None and float(pose.grad.abs().sum()) > 0


@pytest.mark.parametrize("resolution", [0, -1])
def test_a_picture_of_no_pixels_is_refused(resolution: int) -> None:
    with pytest.raises(ValueError, match=f"at least one pixel wide, and the resolution is {resolution}"):
        render(Ball(torch.tensor([0.5])), look_at(0.0), resolution)
