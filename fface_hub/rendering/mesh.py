"""A coloured triangle mesh of a face: marching cubes on the density grid of a scene, whose vertices then look for the surface themselves.

Generators learn from pictures. What lies outside all of them, a chest below the frame or the air above it, may be anything, and what lies
behind all that they show, such as the back of the head, is often a second face. So a mesh ends where pictures end, and what no picture sees
of it has the colours around.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from scipy import ndimage
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from scipy.spatial import KDTree
from skimage.measure import marching_cubes
from torch import Tensor
from torch.nn import functional as F

from fface_hub.cameras import Camera, look_at
from fface_hub.errors import ModelError
from fface_hub.generators.base import Rule, Scene

SOLID_DENSITY = 35.0
"""Activated density, per world unit, at which the surface lies: it swallows half the light within ln 2 / 35 = 0.02 units (8 mm)."""
YAWS, PITCHES = (0.0, -35.0, 35.0, 0.0, 0.0), (0.0, 0.0, 0.0, -15.0, 15.0)
"""Degrees of the outermost views that faces are shown in, the level ones first."""
LEVEL = 3
"""How many of them are level: a mesh ends where their pictures end."""
FACING = 0.1
"""Least cosine between a normal and the way to a camera that sees the surface."""
SIGHT, HIDDEN = 64, 0.06
"""Pixels across the pictures that tell what hides what, and how far behind what they show a vertex is hidden, in world units (22 mm)."""
HALVINGS = 4
"""How often an edge of the grid is halved to find where the surface crosses it; a line between the last two densities finds the rest."""
AROUND = 12
"""Seen vertices whose mean colour an unseen one gets."""


@dataclass(frozen=True)
class Mesh:
    """Triangles in world units: `vertices [V,3]` float32, `faces [T,3]` int32, counter-clockwise seen from outside, `colors [V,3]` uint8
    sRGB, `labels [V]` int64, class ids of the scene's own layout.
    """

    vertices: np.ndarray
    faces: np.ndarray
    colors: np.ndarray
    labels: np.ndarray

    @property
    def volume(self) -> float:
        """Enclosed volume in cubic units, positive when the faces look outwards: the sum of signed tetrahedra from the origin."""
        corners = self.vertices[self.faces].astype(np.float64)
        return float(np.einsum("ij,ij->i", corners[:, 0], np.cross(corners[:, 1], corners[:, 2])).sum() / 6)


def extract_mesh(
    scene: Scene, resolution: int = 128, level: float = SOLID_DENSITY, chunk: int = 65536, callback: Callable[[], None] | None = None
) -> Mesh:
    """Mesh of a `scene` (batch 1) from its density on a grid of `resolution`³ points over its cube; closed, largest piece only.

    `level` is the activated density of the surface. Vertices lie where the scene itself has it, to a sixteenth of a step of the grid. What
    lies outside all pictures of a face (`YAWS`) is left out, and what none of them sees (`PITCHES`, too) has colours and labels of what
    they see around it. `callback()` is called per `chunk` of points and may raise `CancelledError`. Raises `ModelError` if the density
    nowhere reaches `level`.
    """
    views = look_at(torch.tensor(YAWS), torch.tensor(PITCHES))
    density = partial(_density, scene, views[:LEVEL].to(scene.device), chunk, callback)
    axis = torch.linspace(-scene.bounds, scene.bounds, resolution, device=scene.device)
    with torch.no_grad():
        values = density(torch.cartesian_prod(axis, axis, axis)).reshape(resolution, resolution, resolution)
        grid = _closed(values.cpu().numpy(), level)
        places, faces = _largest_piece(*marching_cubes(grid, level, gradient_direction="ascent")[:2])
        vertices = _find_level(scene, places, grid, level, density)
        normals = _vertex_normals(vertices, faces)
        colors, labels = _paint(scene, vertices, normals, chunk, callback)
        _cover(colors, labels, vertices, _seen(vertices, normals, views))
    mesh = Mesh(vertices, faces, colors, labels)
    if not mesh.volume > 0:
        raise ModelError("The surface of this face could not be closed, so no mesh was made: try another resolution.")
    return mesh


def _density(scene: Scene, views: Camera, chunk: int, callback: Callable[[], None] | None, points: Tensor) -> Tensor:
    """Activated density `[P]` at world `points [P,3]`; 0 outside the cube of the `scene` and where none of the `views` sees them."""
    framed = ((views.project(points) - 0.5).abs() <= 0.5).all(-1).any(0) & (points.abs() <= scene.bounds).all(-1)
    # The rays that see a face run backwards on the whole, so that is the direction asked for where a family's density depends on it.
    values = []
    for part in points[framed].split(chunk):
        if callback is not None:
            callback()
        samples = scene.geometry(part[None, :, None, :], part.new_tensor([0.0, 0.0, -1.0]).expand(1, len(part), 3))
        values.append(_activated(samples.density, scene.rule).flatten())
    density = points.new_zeros(len(points))
    density[framed] = torch.cat(values)
    return density


def _activated(density: Tensor, rule: Rule) -> Tensor:
    """Raw density → density per world unit, as the `rule` does inside its weights; opacities are measured over an assumed 0.02 units."""
    if rule == "midpoint":
        return F.softplus(density - 1)
    return F.relu(density) if rule == "left" else -(1 - density).clamp(min=1e-6).log() / 0.02


def _closed(grid: np.ndarray, level: float) -> np.ndarray:
    """Densities `[x,y,z]` with a layer of air around them, so that the surface at `level` is closed. Cavities that nothing looks into are
    filled."""
    if not grid.max() > level:
        raise ModelError("This face has no solid surface, so no mesh can be made of it: draw or invert it again.")
    closed = np.pad(grid, 1)
    solid = np.asarray(ndimage.binary_fill_holes(closed > level))
    closed[solid & (closed <= level)] = 2 * level
    # Air is never farther from the level than the level itself: where solid is not either, marching cubes treats both alike.
    return np.minimum(closed, 2 * level)


def _find_level(scene: Scene, places: np.ndarray, grid: np.ndarray, level: float, density: Callable[[Tensor], Tensor]) -> np.ndarray:
    """World vertices `[V,3]` of a `scene` from those of marching cubes, `places [V,3]` in steps of the `grid` that `_closed` made, each
    moved along its edge of the grid to where the `density` is `level`.

    A face's density rises from nothing to many times the level within a part of an edge, so a line between the densities of its ends says
    little about where it passes the level: such surfaces have terraces. But one end is solid and the other is air, so bisection always
    finds a place between them, and no vertex leaves its edge.
    """
    spacing = 2 * scene.bounds / (len(grid) - 3)  # the layer of air aside, there is one step less than points

    def world(steps: np.ndarray) -> Tensor:
        return torch.from_numpy((steps - 1) * spacing - scene.bounds).float().to(scene.device)

    ends = np.floor(places), np.ceil(places)
    first, last = (torch.from_numpy(grid[tuple(end.astype(np.int64).T)]).to(scene.device) for end in ends)
    rising = (first < last)[:, None]
    air, solid = torch.where(rising, world(ends[0]), world(ends[1])), torch.where(rising, world(ends[1]), world(ends[0]))
    below, above = torch.minimum(first, last), torch.maximum(first, last)
    for _ in range(HALVINGS):
        middle = (air + solid) / 2
        found = density(middle)
        inside = found > level
        air, below = torch.where(inside[:, None], air, middle), torch.where(inside, below, found)
        solid, above = torch.where(inside[:, None], middle, solid), torch.where(inside, found, above)
    crossing = air + (solid - air) * ((level - below) / (above - below))[:, None]
    # A few vertices are a point of the grid or lie in the middle of a cell, not on an edge: they stay.
    on_edge = torch.from_numpy((ends[1] - ends[0]).sum(axis=1) == 1).to(scene.device)
    return torch.where(on_edge[:, None], crossing, world(places)).cpu().numpy()


def _largest_piece(vertices: np.ndarray, faces: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The connected piece with the most vertices, renumbered."""
    edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]]])
    graph = coo_matrix((np.ones(len(edges), dtype=bool), (edges[:, 0], edges[:, 1])), shape=(len(vertices), len(vertices)))
    _, piece = connected_components(graph, directed=False)
    keep = piece == np.bincount(piece).argmax()
    number = np.cumsum(keep) - 1
    return vertices[keep], number[faces[keep[faces[:, 0]]]].astype(np.int32)


def _vertex_normals(vertices: np.ndarray, faces: np.ndarray) -> Tensor:
    """Area-weighted unit normals `[V,3]`."""
    corners = vertices[faces]
    flat = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    index = faces.reshape(-1)
    summed = np.stack([np.bincount(index, np.repeat(flat[:, axis], 3), len(vertices)) for axis in range(3)], axis=1)
    return F.normalize(torch.from_numpy(summed).float(), dim=1)


def _paint(
    scene: Scene, vertices: np.ndarray, normals: Tensor, chunk: int, callback: Callable[[], None] | None
) -> tuple[np.ndarray, np.ndarray]:
    """Colours (uint8) and class ids of vertices, each looked at straight down its normal."""
    colors, labels = [], []
    places, normals = torch.from_numpy(vertices).to(scene.device), normals.to(scene.device)
    for points, normal in zip(places.split(chunk), normals.split(chunk), strict=True):
        if callback is not None:
            callback()
        samples = scene.geometry(points[None, :, None, :], -normal[None])
        rgb = scene.color(samples)[0, :, 0, :3]
        colors.append(((rgb.clamp(-1, 1) + 1) * 127.5).round().byte())
        labels.append(samples.logits[0, :, 0].argmax(dim=1))
    return torch.cat(colors).cpu().numpy(), torch.cat(labels).cpu().numpy()


def _seen(vertices: np.ndarray, normals: Tensor, views: Camera) -> np.ndarray:
    """Which vertices `[V]` some view sees: in its picture, turned to it, and with nothing before them."""
    points, seen = torch.from_numpy(vertices), torch.zeros(len(vertices), dtype=torch.bool)
    for index in range(len(views)):
        view = views[index]
        ways = view.cam2world[0, :3, 3] - points
        away = ways.norm(dim=1)
        pixels = (view.project(points)[0] * SIGHT).floor().long()
        framed = ((pixels >= 0) & (pixels < SIGHT)).all(dim=1)
        place = (pixels[:, 1] * SIGHT + pixels[:, 0]).where(framed, SIGHT**2)
        nearest = away.new_full((SIGHT**2 + 1,), torch.inf).scatter_reduce(0, place, away, "amin")
        seen |= framed & ((normals * ways).sum(1) > FACING * away) & (away < nearest[place] + HIDDEN)
    return seen.numpy()


def _cover(colors: np.ndarray, labels: np.ndarray, vertices: np.ndarray, seen: np.ndarray) -> None:
    """Give what is not `seen` the mean colour of the nearest vertices that are, and the label of the very nearest."""
    count = min(AROUND, int(seen.sum()))
    if count == 0 or seen.all():
        return
    nearest = np.asarray(KDTree(vertices[seen]).query(vertices[~seen], k=count)[1]).reshape(-1, count)
    colors[~seen] = colors[seen][nearest].astype(np.float32).mean(axis=1).round().astype(np.uint8)
    labels[~seen] = labels[seen][nearest[:, 0]]
