"""A coloured triangle mesh of a face: marching cubes on the density grid of a scene.

Generators learn from pictures. What lies outside all of them, a chest below the frame or the air above it, may be anything, and what lies
behind all that they show, such as the back of the head, is often a second face. So a mesh ends where pictures end, and what no picture sees
of it has the colours around.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

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

    `level` is the activated density of the surface. What lies outside all pictures of a face (`YAWS`) is left out, and what none of them
    sees (`PITCHES`, too) has colours and labels of what they see around it. `callback()` is called per `chunk` of points and may raise
    `CancelledError`. Raises `ModelError` if the density nowhere reaches `level`.
    """
    views = look_at(torch.tensor(YAWS), torch.tensor(PITCHES))
    with torch.no_grad():
        grid = _density_grid(scene, resolution, chunk, callback, views[:LEVEL].to(scene.device))
        vertices, faces = _largest_piece(*_surface(grid, level, scene.bounds))
        normals = _vertex_normals(vertices, faces)
        colors, labels = _paint(scene, vertices, normals, chunk, callback)
        _cover(colors, labels, vertices, _seen(vertices, normals, views))
    mesh = Mesh(vertices, faces, colors, labels)
    if mesh.volume <= 0:
        raise ModelError("The surface of this face could not be closed, so no mesh was made: try another resolution.")
    return mesh


def _density_grid(scene: Scene, resolution: int, chunk: int, callback: Callable[[], None] | None, views: Camera) -> np.ndarray:
    """Activated density `[x,y,z]` at the points of a grid that spans the cube from corner to corner; 0 where no view sees them."""
    axis = torch.linspace(-scene.bounds, scene.bounds, resolution, device=scene.device)
    points = torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij"), dim=-1).reshape(-1, 3)
    framed = ((views.project(points) - 0.5).abs() <= 0.5).all(-1).any(0)
    # The rays that see a face run backwards on the whole, so that is the direction asked for where a family's density depends on it.
    values = []
    for part in points[framed].split(chunk):
        if callback is not None:
            callback()
        samples = scene.geometry(part[None, :, None, :], part.new_tensor([0.0, 0.0, -1.0]).expand(1, len(part), 3))
        values.append(_activated(samples.density, scene.rule).flatten())
    grid = points.new_zeros(len(points))
    grid[framed] = torch.cat(values)
    return grid.reshape(resolution, resolution, resolution).cpu().numpy()


def _activated(density: Tensor, rule: Rule) -> Tensor:
    """Raw density → density per world unit, as the `rule` does inside its weights; opacities are measured over an assumed 0.02 units."""
    if rule == "midpoint":
        return F.softplus(density - 1)
    return F.relu(density) if rule == "left" else -(1 - density).clamp(min=1e-6).log() / 0.02


def _surface(grid: np.ndarray, level: float, bounds: float) -> tuple[np.ndarray, np.ndarray]:
    """Vertices and outward faces of the closed surface at `level`. Cavities that nothing looks into are filled."""
    if not grid.max() > level:
        raise ModelError("This face has no solid surface, so no mesh can be made of it: draw or invert it again.")
    solid = np.asarray(ndimage.binary_fill_holes(np.pad(grid > level, 1)))
    closed = np.pad(grid, 1)
    closed[solid & (closed <= level)] = 2 * level
    # Beyond twice the level it makes no difference to where the surface is, but steep steps make the triangles ragged.
    vertices, faces, _, _ = marching_cubes(np.minimum(closed, 2 * level), level, gradient_direction="ascent")
    spacing = 2 * bounds / (len(grid) - 1)
    return ((vertices - 1) * spacing - bounds).astype(np.float32), faces.astype(np.int32)


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
