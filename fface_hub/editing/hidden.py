"""Where a painter cannot look: what lies behind, under or before a thing that was painted away or added, seen from the sides.

What was not painted stays as it was (`kept`), and of what no pixel shows nobody could paint anything. So hair that was cut off in front
would hang on behind the head, and the neck that it covered would be what a generator puts where nobody looks. Where most of a class
goes or comes, its surroundings are looked at from other sides, before the edit and after it; where these views differ in it, they fill
frustums of their own with the edited face.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from fface_hub.cameras import Camera, look_at
from fface_hub.editing.regions import grown
from fface_hub.editing.sides import SOLID, pixels_of
from fface_hub.generators.base import Rendering, Scene

YAWS, PITCHES = (-50.0, -25.0, 25.0, 50.0, 0.0, 0.0), (0.0, 0.0, 0.0, 0.0, -20.0, 20.0)
"""Degrees of the other views, a little beyond those that faces are shown in."""
MOSTLY, LARGE = 0.25, 0.01
"""Share of a class that goes or comes, and share of the picture that this must be: a pupil has nothing behind it that shows."""
SIDE, STEPS = 64, 96
"""Pixels across the other views, and points at which their rays are held against what the painter saw."""
WIDE = 2
"""Pixels of them around what differs, where shades and rims are."""
BESIDE = 4 / 128
"""How far around what was painted, as a share of the picture's side, nothing has to stay."""
BEFORE, BEHIND = 0.15, 0.06
"""How far before a surface, and how far behind it, all belongs to it, in world units (6 and 2.5 cm): hair is soft, and locks float."""
FAINT = 0.02
"""Opacity from which on a ray shows anything."""


def gone_and_new(before: Tensor, after: Tensor, region: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Which of `count` classes go, and which come, for a large part, where two label maps `[h,h]` differ in `region [h,h]` (bool): bool
    `[count]` each. The background does neither."""

    def mostly(labels: Tensor, others: Tensor) -> Tensor:
        """Which classes of `labels` are to a large part where `others` differ."""
        changed = torch.bincount(labels[region & (labels != others)], minlength=count)
        whole = torch.bincount(labels.flatten(), minlength=count)
        found = (changed >= MOSTLY * whole) & (changed >= LARGE * labels.numel())
        found[0] = False
        return found

    return mostly(before, after), mostly(after, before)


def from_sides(
    scenes: tuple[Scene, Scene],
    views: tuple[Rendering, Rendering],
    camera: Camera,
    region: Tensor,
    look: Callable[[Scene, Camera, int], Rendering],
) -> tuple[Camera, Tensor] | None:
    """Cameras `[V]` and maps `[V,2,h,h]` (uint8; see `Kept`) of what an edit of `region [h,h]` changes out of sight; None: nothing.

    `scenes`, the face before and all of the edited one, and `views` of them by the painter's `camera`, `[h,h]` too, under the labels that
    were painted; `look(scene, camera, side)` gives other such views. What the painter saw and did not paint bars a ray.
    """
    went, came = gone_and_new(views[0].labels[0], views[1].labels[0], region, views[0].logits.shape[1])
    if not bool((went | came).any()):
        return None
    others, maps = look_at(torch.tensor(YAWS), torch.tensor(PITCHES)).to(region.device), []
    shown = _Shown(views[0], camera, grown(region, round(BESIDE * region.shape[-1])))
    for index in range(len(others)):
        before, after = (look(scene, others[index], SIDE) for scene in scenes)
        maps.append(_map(scenes[0], before, after, others[index], went, came, shown))
    size = region.shape[-1]
    small = F.interpolate(torch.stack(maps), (size, size), mode="bilinear", align_corners=False)
    some = (small[:, 0] > 0).flatten(1).any(1)
    return (others[some], small[some].mul(255).round().to(torch.uint8)) if bool(some.any()) else None


class _Shown:
    """What the painter saw, in the picture `view` of `camera`, and did not paint: all but where it is `free [h,h]` (bool)."""

    def __init__(self, view: Rendering, camera: Camera, free: Tensor) -> None:
        self.camera, self.size = camera, free.shape[-1]
        self.depth, self.shows = view.depth.flatten(), (view.opacity.flatten() > FAINT) & ~free.flatten()

    def at(self, points: Tensor) -> Tensor:
        """Whether `points [P,3]` belong to a surface that is not to change, bool `[P]`."""
        framed, pixels = pixels_of(points, self.camera, self.size)
        behind = (points - self.camera.cam2world[0, :3, 3]).norm(dim=-1) - self.depth[pixels]
        return framed & self.shows[pixels] & (behind > -BEFORE) & (behind < BEHIND)


def _map(scene: Scene, before: Rendering, after: Rendering, camera: Camera, went: Tensor, came: Tensor, shown: _Shown) -> Tensor:
    """Share and end `[2,s,s]`, in [0, 1], of the edited face along the rays of one view of `SIDE`² pixels."""
    old, new = before.labels[0], after.labels[0]
    differs = (old != new) & (went[old] | came[new])
    surfaces = torch.stack([torch.where(view.opacity > SOLID, view.depth, torch.inf)[0, 0] for view in (before, after)])
    nearest, end = surfaces.amin(0) - BEFORE, surfaces.amax(0) + BEHIND
    origins, directions = camera.rays(SIDE)
    depths = torch.linspace(scene.near, scene.far, STEPS, device=origins.device)
    points = (origins[0, :, None] + depths[:, None] * directions[0, :, None]).flatten(0, 1)
    # On its way through air a ray harms nothing; where it meets nothing at all, something faint may be there.
    way = (depths <= end.flatten()[:, None]) & ((depths >= nearest.flatten()[:, None]) | nearest.isinf().flatten()[:, None])
    barred = (shown.at(points).reshape(way.shape) & way).any(1).reshape(SIDE, SIDE)
    share = F.avg_pool2d(grown(differs, WIDE)[None].float(), 3, stride=1, padding=1)[0] * ~grown(barred, 1)
    # Where a ray ends nowhere, before or after, the edit goes all the way.
    far = ((end - scene.near) / (scene.far - scene.near)).clamp(0, 1)
    return torch.stack([share, F.max_pool2d(far[None], 3, stride=1, padding=1)[0]])
