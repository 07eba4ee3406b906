"""What stands behind a photographed head: the photo's surroundings as a small picture over directions, never part of the geometry.

A generator knows plain backgrounds only. Without a backdrop an inversion would grow hair and cloth to imitate the room behind a person.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from fface_hub.cameras import Camera
from fface_hub.generators.base import Scene, WrappedScene

FADE = 0.25
"""Beyond the photo the backdrop turns into its own blur within this share of the photo's side."""
BLURRED_SIDE = 4
FRINGE = 1 / 16
"""Share of the photo's side around the head that is not trusted: hair that the generator could not grow must not haunt the side views."""


@dataclass(frozen=True)
class Backdrop:
    """`texture [3,S,S]` in [-1, 1]: the colour seen in each direction through the picture plane of `camera`, infinitely far away."""

    texture: Tensor
    camera: Camera

    def color(self, directions: Tensor) -> Tensor:
        """Colours `[B,R,3]` along unit `directions [B,R,3]`. Outside the photo its border goes on, more and more blurred."""
        rotation, intrinsics = self.camera.cam2world[0, :3, :3], self.camera.intrinsics[0]
        local = directions @ rotation
        plane = local[..., :2] / local[..., 2:].clamp(min=1e-3)
        uv = plane * intrinsics[[0, 1], [0, 1]] + intrinsics[:2, 2]
        beyond = (uv - uv.clamp(0, 1)).norm(dim=-1, keepdim=True)
        blurred = F.adaptive_avg_pool2d(self.texture, BLURRED_SIDE)
        return torch.lerp(_look_up(self.texture, uv), _look_up(blurred, uv), (beyond / FADE).clamp(max=1))

    def to(self, device: torch.device | str) -> Backdrop:
        """The same on `device`."""
        return Backdrop(self.texture.to(device), self.camera.to(device))


def _look_up(texture: Tensor, uv: Tensor) -> Tensor:
    """Bilinear values `[B,R,3]` of `texture [3,h,w]` at `uv [B,R,2]`, the border repeated."""
    grid = (2 * uv - 1).reshape(1, -1, 1, 2)
    values = F.grid_sample(texture[None], grid, mode="bilinear", padding_mode="border", align_corners=False)
    return values[0, :, :, 0].T.reshape(*uv.shape[:-1], 3)


def fill(image: Tensor, weight: Tensor) -> Tensor:
    """`image [3,S,S]` where `weight [1,S,S]` is 1; where it is 0 a smooth continuation of what is known around. S is a power of two.

    Pull-push interpolation (Gortler et al. 1996, "The Lumigraph", section 3.4): weighted means at half the size, filled in turn, fill the
    gaps.
    """
    if image.shape[-1] == 1:
        return image
    support = F.avg_pool2d(weight, 2)
    means = F.avg_pool2d(image * weight, 2) / support.clamp(min=1e-6)
    # Half known is known: the coarser level only has to fill where most is missing.
    coarse = fill(means, (2 * support).clamp(max=1))
    wide = F.interpolate(coarse[None], scale_factor=2, mode="bilinear", align_corners=False)[0]
    return image * weight + wide * (1 - weight)


def estimate(photo: Tensor, opacity: Tensor, camera: Camera, side: int) -> Backdrop:
    """The backdrop, `side`² texels (a power of two), of a `photo [1,3,H,W]` whose head covers `opacity [1,1,h,w]` of the view of `camera`.

    A fringe around the head is filled like what is behind it.
    """
    image = F.interpolate(photo, (side, side), mode="area")[0]
    reach = round(opacity.shape[-1] * FRINGE)
    covered = F.max_pool2d(opacity, 2 * reach + 1, stride=1, padding=reach)
    weight = (1 - F.interpolate(covered, (side, side), mode="area")[0]).clamp(0, 1)
    texture = fill(image, weight).clamp(-1, 1).detach()
    # Exactly what saving it in float16 and loading it gives, so that a face that comes back looks the same to the last bit.
    return Backdrop(texture.half().float(), Camera(camera.cam2world.detach(), camera.intrinsics.detach()))


class BackdropScene(WrappedScene):
    """A scene in front of a backdrop: all but the background is the inner scene's own. Its colours must be plain pictures (C = 3)."""

    def __init__(self, scene: Scene, backdrop: Backdrop) -> None:
        super().__init__(scene)
        self.backdrop = backdrop

    def background(self, directions: Tensor) -> Tensor:
        """The backdrop in those directions."""
        return self.backdrop.color(directions)
