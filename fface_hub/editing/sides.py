"""What was seen and not painted stays, from other sides, too: rays whose colours and labels an edit must not change.

A painting says what one view shall show. Nothing in it forbids that the face bends where that view cannot tell, and latents do such things
when the labels in front ask for them. What the painter did not see is left to the generator.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from fface_hub.cameras import Camera, look_at
from fface_hub.generators.base import Rendering, Scene
from fface_hub.rendering.renderer import render_rays
from fface_hub.rendering.sampling import Sampling

YAWS, PITCHES = (-40.0, 40.0, 0.0), (0.0, 0.0, 20.0)
"""Degrees by which the other cameras stand beside and above the default one."""
SOLID = 0.5
"""Opacity from which on a ray ends on a surface."""
SAME = 0.02
"""How much further away than what the painter saw a point may be and still be that, in world units (8 mm)."""


@dataclass(frozen=True)
class Sides:
    """Rays `[1,R,3]` of other cameras that end on what was not painted, and what they show: `colors [1,R,3]`, `labels [1,R]`."""

    origins: Tensor
    directions: Tensor
    colors: Tensor
    labels: Tensor

    @staticmethod
    @torch.no_grad()
    def of(scene: Scene, camera: Camera, front: Rendering, region: Tensor, count: int, sampling: Sampling) -> Sides:
        """Of `count` rays, evenly spread over the other views of `scene`, those that end on a surface which `camera` sees, too (`front` is
        what it sees), but not within `region [h,h]` (bool)."""
        views = look_at(torch.tensor(YAWS), torch.tensor(PITCHES)).to(region.device)
        side = max(1, round((count / len(views)) ** 0.5))
        origins, directions = (rays.reshape(1, -1, 3) for rays in views.rays(side))
        seen = render_rays(scene, origins, directions, sampling)
        surface = (origins + seen.depth[..., None] * directions)[0]
        framed, pixels = _pixels(surface, camera, region.shape[0])
        away = (surface - camera.cam2world[0, :3, 3]).norm(dim=-1)
        visible = framed & (front.opacity.flatten()[pixels] > SOLID) & (away < front.depth.flatten()[pixels] + SAME)
        kept = visible & (seen.opacity[0] > SOLID) & ~region.flatten()[pixels]
        colors, labels = seen.color[:, kept, :3], seen.logits[:, kept].argmax(dim=-1)
        return Sides(origins[:, kept], directions[:, kept], colors, labels)

    def losses(self, scene: Scene, sampling: Sampling) -> tuple[Tensor, Tensor]:
        """Mean squared difference of colours, and cross-entropy with the labels as they were, both 0-d; the labels are the scene's own."""
        if self.labels.numel() == 0:
            nothing = self.colors.sum()
            return nothing, nothing
        seen = render_rays(scene, self.origins, self.directions, sampling)
        image = (seen.color[..., :3] - self.colors).square().mean()
        return image, F.cross_entropy(seen.logits.transpose(1, 2), self.labels)


def _pixels(points: Tensor, camera: Camera, size: int) -> tuple[Tensor, Tensor]:
    """Whether `points [P,3]` lie in the picture of `camera`, bool `[P]`, and in which of its `size`² pixels, `[P]` (any, if in none)."""
    column, row = (camera.project(points)[0] * size).floor().long().unbind(dim=1)
    framed = (column >= 0) & (row >= 0) & (column < size) & (row < size)
    return framed, row.clamp(0, size - 1) * size + column.clamp(0, size - 1)
