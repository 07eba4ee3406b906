"""The retouch that makes a face look like its photos from their cameras, and changes as little else as it can.

Geometry and camera stand, so a pixel is a fixed sum over points: linear in the texels. The best ones, by least squares, come from
conjugate gradients (Hestenes and Stiefel 1952) without any pass through a network: what takes the larger part of each step of a tuning
of weights.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from fface_hub.cameras import look_at
from fface_hub.generators.base import Scene
from fface_hub.generators.lookup import corners
from fface_hub.inversion.looks import Look
from fface_hub.inversion.objective import InvertSettings, look_up
from fface_hub.inversion.retouch import AXES, Retouch, roughness_gradient
from fface_hub.memory import in_parts
from fface_hub.rendering.renderer import CHUNKS, bytes_per_ray, march, render

SLIGHT = 1e-3
"""Weight of a sample below which a pixel does not ask it."""
SIDE_YAWS, SIDE_PITCHES = (-70.0, -35.0, 0.0, 35.0, 70.0), (0.0, 12.0, -12.0, 12.0, 0.0)
"""Cameras, in degrees, that look for what the photos do not see."""
SIDE = 40
"""Rays along a side of their pictures."""
BEHIND = 0.03
"""How far behind what a photo shows, in world units (12 mm), a point counts as hidden from it."""


@dataclass(frozen=True)
class Rays:
    """Sums over texels: value r is Σ weights · texels[rows] of the entries from `starts[r]` on; in each of them `owners` is r."""

    rows: Tensor
    weights: Tensor
    starts: Tensor
    owners: Tensor

    @staticmethod
    def of(points: Tensor, weights: Tensor, counts: Tensor, bounds: float, texels: int) -> Rays:
        """Σ weights · retouch at `points [M,3]`, `weights [M]`, of which the first value takes `counts[0]` and so on; any may be 0."""
        grid = (points[None][..., AXES] / bounds).unflatten(-1, (3, 2))
        rows, bilinear = corners(grid, texels)  # [3M,4]
        entries = (bilinear.reshape(len(points), 12) * weights[:, None]).flatten()
        starts = 12 * (counts.cumsum(0) - counts)
        return Rays(rows.flatten(), entries, starts, torch.repeat_interleave(12 * counts))

    @staticmethod
    def cat(parts: Sequence[Rays]) -> Rays:
        """The values of all parts, one after another."""
        entries, values, columns = 0, 0, []
        for part in parts:
            columns.append((part.rows, part.weights, part.starts + entries, part.owners + values))
            entries, values = entries + len(part.rows), values + len(part.starts)
        return Rays(*(torch.cat(column) for column in zip(*columns, strict=True)))

    def values(self, table: Tensor) -> Tensor:
        """`table [T,3]` → sums `[R,3]`."""
        return F.embedding_bag(self.rows, table, self.starts.to(self.rows.dtype), per_sample_weights=self.weights, mode="sum")

    def transposed(self, length: int) -> Rays:
        """The transposed map, from values `[R,3]` to a table of `length` texels."""
        order = self.rows.sort(stable=True).indices
        used = torch.bincount(self.rows, minlength=length)
        return Rays(self.owners[order].to(self.rows.dtype), self.weights[order], used.cumsum(0) - used, self.rows[order])


def fit_retouch(
    scene: Scene, looks: Sequence[Look], settings: InvertSettings, report: Callable[[int, dict[str, float]], None] | None = None
) -> Retouch:
    """The retouch of `scene` (batch 1, without backdrop) that brings it nearest to the photos of `looks` at `settings.detail`² pixels.

    What is minimised: squared differences of all pixels, + `settings.unseen` × those between retouch and nothing on surfaces that no photo
    sees, + `settings.plain` × squares of the texels, + `settings.smooth` × squared differences of neighbours. `report` hears of each of the
    `settings.tuning_steps` and, with step 0, of the work before them; it may raise `CancelledError`.
    """
    tell = report or (lambda index, losses: None)
    size = settings.texels
    with torch.no_grad():
        seen, wanted = [], []
        for look in looks:
            rays, difference = _photo_rays(scene, look, settings, lambda: tell(0, {}))
            seen.append(rays)
            wanted.append(difference)
        hidden = _hidden_points(scene, looks, settings, lambda: tell(0, {}))
        weights = hidden.new_full((len(hidden),), settings.unseen**0.5)
        kept = Rays.of(hidden, weights, torch.ones(len(hidden), dtype=torch.int64, device=hidden.device), scene.bounds, size)
        system = Rays.cat([*seen, kept])
        target = torch.cat([*wanted, hidden.new_zeros(len(hidden), 3)])
        table = _solve(system, target, settings, tell)
    return Retouch(_planes(table, size).contiguous(), scene.bounds).rounded()


def _solve(system: Rays, target: Tensor, settings: InvertSettings, tell: Callable[[int, dict[str, float]], None]) -> Tensor:
    """Texels `[T,3]`: conjugate gradients on the normal equations from 0, with the diagonal as preconditioner."""
    size = settings.texels
    length = 3 * size * size
    back = system.transposed(length)

    def apply(table: Tensor) -> Tensor:
        rough = roughness_gradient(_planes(table, size)).permute(2, 3, 0, 1).reshape(length, 3)
        return back.values(system.values(table)) + settings.plain * table + settings.smooth * rough

    squares = Rays(back.rows, back.weights.square(), back.starts, back.owners)
    # Squares of the entries instead of those of their sums: a sample's texels rarely meet in one.
    diagonal = squares.values(torch.ones_like(target[:, :1])) + settings.plain + 4 * settings.smooth
    table = target.new_zeros(length, 3)
    rest = back.values(target)
    direction = rest / diagonal
    product = (rest * direction).sum()
    for index in range(settings.tuning_steps):
        if float(product) <= 1e-12:
            break
        image = apply(direction)
        step = product / (direction * image).sum()
        table, rest = table + step * direction, rest - step * image
        scaled = rest / diagonal
        product, former = (rest * scaled).sum(), product
        direction = scaled + product / former * direction
        tell(index + 1, {"left": float(product.sqrt())})
    return table


def _planes(table: Tensor, size: int) -> Tensor:
    """Texels `[T,3]`, in the order of `lookup.corners`, as planes `[3,3,N,N]`."""
    return table.reshape(size, size, 3, 3).permute(2, 3, 0, 1)


def _photo_rays(scene: Scene, look: Look, settings: InvertSettings, tell: Callable[[], None]) -> tuple[Rays, Tensor]:
    """The pixels of one photo as sums over texels, and what each of them lacks, `[R,3]`."""
    side = settings.detail
    origins, directions = look.camera.rays(side)
    before = look.before(scene)
    sampling = settings.sampling()

    def work(window: slice) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Points, weights, samples of each ray, and colours `[R,3]`, of some rays."""
        samples, _, weights = march(scene, origins[:, window], directions[:, window], sampling)
        color = (weights[..., None] * scene.color(samples)[..., :3]).sum(dim=2)
        behind = before.background(directions[:, window])
        color = color + (1 - weights.sum(-1, keepdim=True)) * (-1.0 if behind is None else behind[..., :3])
        keep = weights > SLIGHT
        tell()
        return samples.points[keep], weights[keep], keep.sum(-1)[0], color[0]

    parts = list(in_parts(work, side * side, bytes_per_ray(scene, sampling), CHUNKS.get(scene.device.type)))
    points, weights, counts, color = (torch.cat(column) for column in zip(*parts, strict=True))
    photo = look.target(side).flatten(2)[0].T
    return Rays.of(points, weights, counts, scene.bounds, settings.texels), photo - color


def _hidden_points(scene: Scene, looks: Sequence[Look], settings: InvertSettings, tell: Callable[[], None]) -> Tensor:
    """Points `[P,3]` on surfaces that cameras all around see and none of the photos does."""
    views = look_at(torch.tensor(SIDE_YAWS), torch.tensor(SIDE_PITCHES)).to(scene.device)
    found = []
    for index in range(len(views)):
        origins, directions = views[index].rays(SIDE)
        view = render(scene, views[index], SIDE, settings.sampling(), callback=tell, finish=False)
        surface = origins + view.depth.flatten(2).transpose(1, 2) * directions
        found.append(surface[view.opacity.flatten(1) > 0.5])
    points = torch.cat(found)
    seen = torch.zeros(len(points), dtype=torch.bool, device=points.device)
    for look in looks:
        depth = render(scene, look.camera, 2 * SIDE, settings.sampling(), callback=tell, finish=False).depth
        uv = look.camera.project(points)[0]
        distance = (points - look.camera.cam2world[0, :3, 3]).norm(dim=-1)
        inside = ((uv > 0) & (uv < 1)).all(dim=-1)
        seen |= inside & (distance < look_up(depth, uv[None])[0, :, 0] + BEHIND)
    return points[~seen]
