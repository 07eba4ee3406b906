"""What is worn: there when its latent says so, where it belongs, and with its own class."""

from __future__ import annotations

import numpy as np
import pytest

from fface_hub.cameras import look_at
from fface_hub.heads.build import build_surfaces
from fface_hub.heads.head import Head, head_latents
from fface_hub.heads.render import render_head
from fface_hub.heads.surface import Surface
from fface_hub.heads.tubes import ball, joined, loft, tube
from fface_hub.layouts import FINE_24

ALL_ON = {"glasses": 1.5, "hat": 2.0, "earrings": 1.6, "necklace": 1.8}
CLASSES = {"glasses": "glasses", "hat": "hat", "earrings": "earring", "necklace": "necklace"}


@pytest.fixture(scope="module")
def bare() -> Head:
    return head_latents(5).with_traits(hair_length=-1.0, **{name: -value for name, value in ALL_ON.items()})


def labels_of(head: Head, yaw: float = 0.0) -> np.ndarray:
    return render_head(head, look_at(yaw), 96, supersample=1).labels.numpy()


@pytest.mark.parametrize("name", list(ALL_ON))
def test_a_switch_adds_one_thing(bare: Head, name: str) -> None:
    worn = bare.with_traits(**{name: ALL_ON[name]})
    fine = FINE_24.index(CLASSES[name])
    before, after = labels_of(bare, 10.0), labels_of(worn, 10.0)
    assert (before == fine).sum() == 0 and (after == fine).sum() >= 4
    extra = {item.name for item in build_surfaces(worn.geometry_z)} - {item.name for item in build_surfaces(bare.geometry_z)}
    assert extra == {name}


def test_eyes_are_seen_through_glasses(bare: Head) -> None:
    iris = FINE_24.index("iris")
    before, after = labels_of(bare), labels_of(bare.with_traits(glasses=1.5))
    assert (after == iris).sum() > 0.6 * (before == iris).sum()


def test_a_hat_is_on_top_and_the_face_is_free(bare: Head) -> None:
    labels = labels_of(bare.with_traits(hat=2.0))[:, 38:58]
    rows = np.flatnonzero((labels == FINE_24.index("hat")).any(axis=1))
    brows = np.flatnonzero((labels == FINE_24.index("brow")).any(axis=1))
    assert rows.max() < brows.min() and rows.min() < 20


def test_clothes_fill_the_bottom(bare: Head) -> None:
    bottom = labels_of(bare)[-1]
    below = np.isin(bottom, [FINE_24.index("cloth"), FINE_24.index("neck")])
    assert below[30:66].all() and (bottom == FINE_24.index("cloth")).sum() > 10


def test_glasses_rest_before_the_eyes_and_on_the_ears(bare: Head) -> None:
    surfaces = {item.name: item for item in build_surfaces(bare.with_traits(glasses=1.5).geometry_z)}
    glasses, eye = surfaces["glasses"].vertices, surfaces["eye_left"].vertices
    assert glasses[:, 2].max() > eye[:, 2].max() and glasses[:, 2].max() < 0.40
    assert glasses[:, 2].min() < 0.06 and abs(glasses[:, 0].max() + glasses[:, 0].min()) < 0.03


def area_of_boundary(surface: Surface) -> int:
    """Number of edges with a triangle on one side only."""
    edges = np.sort(np.stack([surface.faces, np.roll(surface.faces, -1, axis=1)], axis=-1).reshape(-1, 2), axis=1)
    return int((np.unique(edges, axis=0, return_counts=True)[1] == 1).sum())


def test_a_closed_tube_has_no_edge_and_the_given_radius() -> None:
    angle = np.arange(24) * (2 * np.pi / 24)
    ring = np.stack([np.cos(angle), np.sin(angle), np.zeros(24)], axis=1)
    surface = tube("ring", ring, 0.1, "metal", 6, closed=True)
    assert area_of_boundary(surface) == 0
    # A torus: the distance of every vertex from the circle of radius 1 is 0.1.
    radial = np.hypot(surface.vertices[:, 0], surface.vertices[:, 1]) - 1
    np.testing.assert_allclose(np.hypot(radial, surface.vertices[:, 2]), 0.1, atol=1e-5)


def test_normals_point_outwards() -> None:
    surface = ball("ball", np.array([1, 2, 3], np.float32), np.array([1, 2, 1], np.float32), "metal", 6)
    assert ((surface.vertices - [1, 2, 3]) * surface.normals).sum(axis=1).min() > 0
    angle = np.arange(16) * (2 * np.pi / 16)
    rings = np.stack([np.stack([np.sin(angle), np.full(16, height), np.cos(angle)], axis=1) for height in (1.0, 0.0, -1.0)])
    cylinder = loft("cylinder", rings, "cloth", 12)
    assert (cylinder.vertices * cylinder.normals)[:, [0, 2]].sum(axis=1).min() > 0.9


def test_joined_keeps_triangles() -> None:
    one = ball("one", np.zeros(3), 1.0, "metal", 6)
    both = joined("both", [one, ball("two", np.array([5, 0, 0], np.float32), 1.0, "metal", 6)])
    assert len(both.faces) == 2 * len(one.faces) and both.vertices[both.faces[len(one.faces) :]][..., 0].min() >= 4
