"""What was seen and not painted stays, from other sides, too: rays whose colours and labels an edit must not change.

A painting says what one view shall show. Nothing in it forbids that the face bends where that view cannot tell, and latents do such things
when the labels in front ask for them. What the painter did not see is left to the generator.
"""

from __future__ import annotations

import torch
from torch import Tensor

from fface_hub.cameras import Camera, look_at
from fface_hub.generators.base import Rendering
from fface_hub.rendering.compositing import RayOutputs

YAWS, PITCHES = (-40.0, 40.0, 0.0), (0.0, 0.0, 20.0)
"""Degrees by which the other cameras stand beside and above the default one."""
SOLID = 0.5
"""Opacity from which on a ray ends on a surface."""
SAME = 0.02
"""How much further away than what the painter saw a point may be and still be that, in world units (8 mm)."""


def rays_from_sides(count: int) -> tuple[Tensor, Tensor]:
    """Origins and directions `[1,R,3]` of about `count` rays, evenly spread over the other views; none for 0."""
    views = look_at(torch.tensor(YAWS), torch.tensor(PITCHES))
    side = max(1, round((count / len(views)) ** 0.5)) if count else 0
    origins, directions = (rays.reshape(1, -1, 3) for rays in views.rays(side))
    return origins, directions


def seen_in_front(rays: tuple[Tensor, Tensor], seen: RayOutputs, camera: Camera, front: Rendering, region: Tensor) -> Tensor:
    """Which `rays`, origins and directions `[1,R,3]`, end on a surface that `camera` sees, too, but not within `region [h,h]` (bool): bool
    `[R]`. `seen` is what they see, and `front` what the camera does."""
    origins, directions = rays
    surface = (origins + seen.depth[..., None] * directions)[0]
    framed, pixels = pixels_of(surface, camera, region.shape[0])
    away = (surface - camera.cam2world[0, :3, 3]).norm(dim=-1)
    visible = framed & (front.opacity.flatten()[pixels] > SOLID) & (away < front.depth.flatten()[pixels] + SAME)
    return visible & (seen.opacity[0] > SOLID) & ~region.flatten()[pixels]


def pixels_of(points: Tensor, camera: Camera, size: int) -> tuple[Tensor, Tensor]:
    """Whether `points [P,3]` lie in the picture of `camera`, bool `[P]`, and in which of its `size`² pixels, `[P]` (any, if in none)."""
    column, row = (camera.project(points)[0] * size).floor().long().unbind(dim=1)
    framed = (column >= 0) & (row >= 0) & (column < size) & (row < size)
    return framed, row.clamp(0, size - 1) * size + column.clamp(0, size - 1)
