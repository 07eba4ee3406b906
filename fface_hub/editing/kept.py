"""A scene of two: the face as it was, and where it was edited the face after that: preservation that is exact, where a loss only asks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import torch
import torch.nn.functional as F
from scipy.ndimage import distance_transform_edt
from torch import Tensor

from fface_hub.cameras import Camera
from fface_hub.editing.regions import grown
from fface_hub.generators.base import Field, GeometrySamples, Rendering, Scene, WrappedScene
from fface_hub.kept import Kept
from fface_hub.latents import Latents

GROW, RAMP = 1 / 128, 2 / 128
"""How far around what was painted all is the edited face, and how far it then fades out, as shares of the picture's side."""
WIDE, FADE = 3 / 128, 3 / 128
"""The same where the edited face has the labels that were there and other colours: what was painted over has shades and rims beyond its
line, which would stay as a ghost. Where labels spilled over the line, the narrow rim takes them away.
"""
FAINT, PLAIN = 2 * 12 / 255, 2 * 36 / 255
"""Differences of a colour in [-1, 1] up to which the face before stays in the wide rim, and from which on all of it is the edited face: as
an edit moves the whole face a little, two faces of nearly one colour meet in a weaker seam where the line was drawn.
"""
MARGIN = 0.3
"""How far behind the surfaces before and after the edit it goes, in world units (13 cm: the arms of glasses, not the back of the head)."""
SOLID = 0.5
"""Opacity from which on a ray ends on a surface."""


class KeptScene(WrappedScene):
    """`before`, and by the share that `kept` gives of each point `after`, both scenes of one face: density, features, logits and colours
    are those of the first plus share × difference. So where the share is 0, all is as before, bit for bit if that is rendered `exact`, too.
    """

    def __init__(self, before: Scene, after: Scene, kept: Kept) -> None:
        super().__init__(before)
        self.after, self.kept = after, kept
        self.numbers_per_sample += after.numbers_per_sample

    def geometry(self, points: Tensor, directions: Tensor) -> GeometrySamples:
        """See the class. In `lookup` travel what the scene before put there, the share and the directions."""
        first = self.inner.geometry(points, directions)
        share = self.kept.at(points.flatten(0, 2)).reshape(points.shape[:3])
        rays = (share > 0).any(-1)[0].nonzero()[:, 0]
        density, features, logits = first.density, first.features, first.logits
        if len(rays):
            second, part = self.after.geometry(points[:, rays], directions[:, rays]), share[:, rays]
            density = density.index_add(1, rays, part * (second.density - density[:, rays]))
            features = features.index_add(1, rays, part[..., None] * (second.features - features[:, rays]))
            logits = logits.index_add(1, rays, part[..., None] * (second.logits - logits[:, rays]))
        own = points.new_zeros(*share.shape, 0) if first.lookup is None else first.lookup
        lookup = torch.cat([own, share[..., None], directions[:, :, None].expand_as(points)], dim=-1)
        return replace(first, density=density, features=features, logits=logits, lookup=lookup)

    def color(self, samples: GeometrySamples) -> Tensor:
        """See the class. `ValueError` for samples that another scene made."""
        if samples.lookup is None:
            raise ValueError("a scene of two colours the samples that it made")
        own, share, directions = samples.lookup[..., :-4], samples.lookup[..., -4:-3], samples.lookup[:, :, 0, -3:]
        color = self.inner.color(replace(samples, lookup=own if own.shape[-1] else None))
        rays = (share > 0).any(2)[0, :, 0].nonzero()[:, 0]
        if len(rays) == 0:
            return color
        second = self.after.color(self.after.geometry(samples.points[:, rays], directions[:, rays]))
        return color.index_add(1, rays, share[:, rays] * (second - color[:, rays]))

    def field(self) -> Field | None:
        """Both scenes' fields as one."""
        before, after = self.inner.field(), self.after.field()
        return None if before is None or after is None else _KeptField(before, after, self.kept)


class _KeptField(Field):
    """Two fields. What the second knows of a point is not remembered, since few are asked for it a second time: it is looked up anew."""

    def __init__(self, before: Field, after: Field, kept: Kept) -> None:
        self.before, self.after, self.kept = before, after, kept

    def density(self, points: Tensor, face: int) -> tuple[Tensor, tuple[Tensor, ...]]:
        """See `Field.density`."""
        density, memory = self.before.density(points, face)
        share = self.kept.at(points)
        inside = share.nonzero()[:, 0]
        if len(inside):
            second, _ = self.after.density(points[inside], face)
            density = density.index_add(0, inside, share[inside] * (second - density[inside]))
        return density, (*memory, points, share)

    def labels(self, memory: tuple[Tensor, ...]) -> tuple[Tensor, Tensor]:
        """See `Field.labels`."""
        *own, points, share = memory
        features, logits = self.before.labels(tuple(own))
        inside = share.nonzero()[:, 0]
        if len(inside):
            part, theirs = share[inside, None], self.after.labels(self._second(points[inside]))
            features = features.index_add(0, inside, part * (theirs[0] - features[inside]))
            logits = logits.index_add(0, inside, part * (theirs[1] - logits[inside]))
        return features, logits

    def color(self, memory: tuple[Tensor, ...]) -> Tensor:
        """See `Field.color`."""
        *own, points, share = memory
        color = self.before.color(tuple(own))
        inside = share.nonzero()[:, 0]
        if len(inside):
            theirs = self.after.color(self._second(points[inside]))
            color = color.index_add(0, inside, share[inside, None] * (theirs - color[inside]))
        return color

    def _second(self, points: Tensor) -> tuple[Tensor, ...]:
        """What the second field remembers of `points [N,3]`; faces of which something is kept come alone."""
        return self.after.density(points, 0)[1]


def reach(size: int) -> int:
    """Pixels around a region beyond which `keep` keeps all, in a picture of `size`²."""
    return math.ceil((WIDE + FADE) * size)


def seen_by(size: int) -> int:
    """Pixels around a region of which `keep` looks at its views: from each that it may change as far again for depths, and two for labels
    and colours."""
    return reach(size) + max(reach(size), 2)


def keep(
    latents: Latents,
    camera: Camera,
    region: Tensor,
    scene: Scene,
    views: Sequence[Rendering] = (),
    beside: tuple[Camera, Tensor] | None = None,
) -> Kept:
    """What an edit of `region [h,h]` (bool), painted on what `camera` sees, leaves of the one face of `latents` and `scene`: all that is
    elsewhere, earlier edits, too (up to `LAYERS`; see `Kept.stacked`).

    `views` of that camera before and after the edit, `[h,h]` too, tell how wide and how deep it goes; without them its rim is the narrow
    one, and it goes through the head. `beside`: further cameras `[V]` and their maps `[V,2,h,h]` (`hidden.from_sides`).
    """
    size = region.shape[-1]
    away = torch.from_numpy(distance_transform_edt(~region.cpu().numpy())).to(region.device, torch.float32) / size
    share = ((GROW + RAMP - away) / RAMP).clamp(0, 1)
    far = torch.ones_like(share)
    if views:
        before, after = views
        spilled = (before.labels != after.labels) & ~region
        clean = 1 - F.avg_pool2d(grown(spilled, 1).float(), 3, stride=1, padding=1)[0]
        change = F.max_pool2d((after.raw - before.raw)[:, :3].abs().amax(1), 3, stride=1, padding=1)
        seen = ((F.avg_pool2d(change, 3, stride=1, padding=1, count_include_pad=False)[0] - FAINT) / (PLAIN - FAINT)).clamp(0, 1)
        share = torch.maximum(share, clean * seen * ((WIDE + FADE - away) / FADE).clamp(0, 1))
        # Where a ray ends nowhere, before or after, the edit goes all the way.
        deepest = [torch.where(v.opacity > SOLID, (v.depth + MARGIN - scene.near) / (scene.far - scene.near), 1.0) for v in views]
        around = reach(size)
        far = F.max_pool2d(torch.cat(deepest).amax(0).clamp(0, 1), 2 * around + 1, stride=1, padding=around)[0]
    maps = torch.stack([share, far]).mul(255).round().to(torch.uint8)
    span = torch.tensor([scene.near, scene.far], device=region.device)
    earlier = () if latents.kept is None else latents.kept.layers
    cameras, every = camera, maps[None]
    if beside is not None:
        cameras = Camera.from_vector(torch.cat([camera.to_vector(), beside[0].to_vector()]))
        every = torch.cat([every, beside[1]])
    return Kept.stacked([*earlier, Kept(latents.geometry, cameras, every, span)])
