"""Meshes of balls and shells of known size."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from fface_hub.cameras import look_at
from fface_hub.errors import CancelledError, ModelError
from fface_hub.generators.base import GeometrySamples, Scene
from fface_hub.layouts import BASE_15
from fface_hub.rendering.mesh import _find_level, _seen, extract_mesh


class Shape(Scene):
    """Solid where `inside` of the points is positive; colours are the points themselves, the label says whether x > 0."""

    batch, near, far, rule, fingerprint, layout = 1, 2.25, 3.3, "midpoint", "shape", BASE_15

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def geometry(self, points: Tensor, directions: Tensor) -> GeometrySamples:
        distance = points.norm(dim=-1)
        inside = 0.3 - distance
        if self.kind == "shell":
            inside = torch.minimum(inside, distance - 0.15)
        if self.kind == "steep":
            inside = 1000 * inside
        if self.kind == "two":
            inside = torch.maximum(inside, 0.08 - (points - points.new_tensor([0.4, 0.4, 0.4])).norm(dim=-1))
        if self.kind == "cut":
            inside = 0.6 - distance
        if self.kind == "pillar":
            inside = torch.maximum(inside, 0.1 - points[..., [0, 2]].norm(dim=-1))
        if self.kind == "empty":
            inside = -torch.ones_like(distance)
        right = (points[..., 0] > 0).float()
        return GeometrySamples(points, 4000 * inside, points, torch.stack([1 - right, right], dim=-1))

    def color(self, samples: GeometrySamples) -> Tensor:
        return samples.points * 2


# softplus(4000·(r − d) − 1) = 35 at d = r − 0.009: the surface lies that much inside.
BALL = 4 / 3 * math.pi * 0.291**3


def test_a_ball_has_its_volume_and_faces_outwards() -> None:
    mesh = extract_mesh(Shape("ball"), resolution=48)
    assert mesh.volume == pytest.approx(BALL, rel=0.08)
    centres = mesh.vertices[mesh.faces].mean(axis=1)
    corners = mesh.vertices[mesh.faces]
    flat = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    assert ((flat * centres).sum(axis=1) >= 0).mean() > 0.999
    assert np.linalg.norm(mesh.vertices, axis=1).std() < 0.006


def test_vertices_lie_on_the_surface_however_steep_it_is() -> None:
    # softplus(4000·(0.3 − d) − 1) = 35 at d = 0.3 − 36 / 4000 = 0.291. Density is a line there, along radii at least.
    even = np.linalg.norm(extract_mesh(Shape("ball"), resolution=48).vertices, axis=1)
    assert np.abs(even - 0.291).max() < 1e-4
    # A thousand times as steep it is a wall at 0.3. Four halvings of an edge, 1/47 long, leave 1/752 = 0.0013 of it.
    mesh = extract_mesh(Shape("steep"), resolution=48)
    assert np.abs(np.linalg.norm(mesh.vertices, axis=1) - 0.3).max() < 1 / 752
    assert mesh.volume == pytest.approx(4 / 3 * math.pi * 0.3**3, rel=0.01)


def test_a_vertex_on_no_edge_of_the_grid_stays() -> None:
    # Steps are 0.5 long, and the first point of the grid is 1 step away from the layer of air: −0.5 in the world.
    grid = np.zeros((5, 5, 5), dtype=np.float32)
    grid[2, 2, 2] = 70
    places = np.array([[1.9, 2, 2], [2, 2, 2.1], [1, 1, 1], [1.5, 1.5, 1.5]], dtype=np.float32)
    found = _find_level(Shape("ball"), places, grid, 35, lambda points: 100 * (0.4 - points.abs().sum(-1)))
    # 100·(0.4 − |x|) = 35 at |x| = 0.05, a tenth of a step from the middle: linear there, so found exactly.
    assert found == pytest.approx(np.array([[-0.05, 0, 0], [0, 0, 0.05], [-0.5, -0.5, -0.5], [-0.25, -0.25, -0.25]]), abs=1e-6)


def test_colours_and_labels_are_those_of_the_place_where_it_is_seen() -> None:
    mesh = extract_mesh(Shape("ball"), resolution=48)
    # colour = 2·point in [-1, 1] → (2·x + 1)·127.5
    away = np.abs(mesh.colors - ((2 * mesh.vertices + 1) * 127.5).round()).max(axis=1)
    x, z = mesh.vertices[:, 0], mesh.vertices[:, 2]
    front = z > 0.12
    assert away[front].max() <= 1 and (mesh.labels == (x > 0))[front].all()
    assert mesh.colors.dtype == np.uint8 and mesh.faces.dtype == np.int32
    # A camera 35° to the side and 2.7 away sees no farther round than 0.291 · sin(35° − asin(0.291 / 2.7)) = 0.14 behind the middle; those
    # above and below less. What lies behind has colours of what they see last.
    back = z < -0.2
    depths = mesh.colors[back, 2] / 255 - 0.5
    assert -0.14 < depths.min() <= depths.max() < 0.03
    sides = back & (np.abs(x) > 0.1)
    assert (mesh.labels == (x > 0))[sides].all()


def test_what_lies_behind_something_is_not_seen() -> None:
    points = np.array([[0, 0, 0.2], [0, 0, 0.1], [0, 0, 0.19], [0.2, 0, 0.1], [0, 0.9, 0.1]], np.float32)
    normals = torch.tensor([[0.0, 0.0, 1.0]]).expand(5, 3)
    assert _seen(points, normals, look_at(0.0)).tolist() == [True, False, True, True, False]
    assert not _seen(points, -normals, look_at(0.0)).any()


def test_a_mesh_ends_where_the_pictures_end() -> None:
    # A pillar through the cube: the picture of the front camera, 2.7 away from its middle, is 2.7 / 4.2647 = 0.633 high there.
    mesh = extract_mesh(Shape("pillar"), resolution=64)
    assert np.abs(mesh.vertices[:, 1]).max() == pytest.approx(0.633 / 2, abs=0.02)


def test_cavities_are_filled_and_crumbs_are_left_out() -> None:
    solid = extract_mesh(Shape("ball"), resolution=40)
    assert extract_mesh(Shape("shell"), resolution=40).volume == pytest.approx(solid.volume, rel=0.01)
    assert extract_mesh(Shape("two"), resolution=40).volume == pytest.approx(solid.volume, rel=0.01)


def test_a_shape_that_leaves_the_cube_is_closed_at_its_faces() -> None:
    mesh = extract_mesh(Shape("cut"), resolution=32)
    # each edge of a closed surface belongs to two triangles, once in each direction
    edges = np.concatenate([mesh.faces[:, [0, 1]], mesh.faces[:, [1, 2]], mesh.faces[:, [2, 0]]])
    there, back = {tuple(e) for e in edges.tolist()}, {tuple(e[::-1]) for e in edges.tolist()}
    assert there == back
    assert mesh.volume > BALL


def test_air_has_no_mesh_and_work_can_be_stopped() -> None:
    with pytest.raises(ModelError, match="no solid surface"):
        extract_mesh(Shape("empty"), resolution=16)

    def stop() -> None:
        raise CancelledError("stopped")

    with pytest.raises(CancelledError):
        extract_mesh(Shape("ball"), resolution=16, callback=stop)
