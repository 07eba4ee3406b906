"""The classes on the face: all there, of plausible size, in their anatomical order, and the same on both sides."""

from __future__ import annotations

import numpy as np
import pytest

from fface_hub.heads.atlas import border_fields, fine_labels, load_atlas, skin_masks
from fface_hub.heads.config import GEOMETRY_INDEX, GEOMETRY_SIZE
from fface_hub.heads.regions import below_jaw, closed_curve, nostril_field, outline_field, scalp_field, signed_distance
from fface_hub.heads.shape import head_shape
from fface_hub.heads.surface import Surface
from fface_hub.heads.template import load_template
from fface_hub.layouts import FINE_24

ID = {name: FINE_24.index(name) for name in FINE_24.names}
ON_SKIN = ("skin", "brow", "ear", "nose", "lips", "neck", "ala", "eyelid", "nose tip", "nostril", "jaw", "chin")


@pytest.fixture(scope="module")
def skin() -> Surface:
    """The middling head's skin."""
    return head_shape(np.zeros(GEOMETRY_SIZE, np.float32)).surface("skin")


@pytest.fixture(scope="module")
def centres(skin: Surface) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Label, centre on the mean head (basis units) and area of every triangle of the head without the added neck."""
    template = load_template()
    inside = np.flatnonzero(~(template.neck_mask | template.socket_mask))
    labels = fine_labels(skin, inside, np.full((len(inside), 3), 1 / 3))
    corners = skin.extra["template"][skin.faces[inside]]
    areas = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1) / 2
    return labels, corners.mean(axis=1), areas


def test_every_skin_class_is_painted_and_no_other() -> None:
    assert set(np.unique(load_atlas().labels)) == {ID[name] for name in ON_SKIN}


def test_areas_are_those_of_a_face(centres: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    labels, _, areas = centres
    square_cm = {name: float(areas[labels == ID[name]].sum()) * 42**2 for name in ON_SKIN}
    bounds = {
        "brow": (6, 25), "nose": (8, 40), "lips": (8, 40), "ala": (2, 12), "eyelid": (8, 40), "nose tip": (3, 14), "nostril": (0.8, 6),
        "jaw": (40, 160), "chin": (8, 50), "ear": (40, 200),
    }  # fmt: skip
    for name, (low, high) in bounds.items():
        assert low < square_cm[name] < high, (name, square_cm[name])


def test_classes_follow_each_other_down_the_face(centres: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    labels, points, areas = centres

    def height(name: str) -> float:
        chosen = labels == ID[name]
        return float(np.average(points[chosen, 1], weights=areas[chosen]))

    order = [height(name) for name in ("brow", "eyelid", "nose", "nose tip", "nostril", "lips", "chin")]
    assert order == sorted(order, reverse=True)
    tip, wing = points[labels == ID["nose tip"]], points[labels == ID["ala"]]
    assert np.abs(tip[:, 0]).max() < 0.03 and np.abs(wing[:, 0]).min() > 0.01 and tip[:, 2].mean() > wing[:, 2].mean() + 0.02
    assert points[labels == ID["jaw"], 1].max() < 0.0 and np.abs(points[labels == ID["chin"], 0]).max() < 0.065
    ears = points[labels == ID["ear"]]
    assert np.abs(ears[:, 0]).min() > 0.15 and ears[:, 2].max() < -0.05


def test_left_and_right_are_alike(centres: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    labels, points, areas = centres
    for name in ON_SKIN:
        chosen = labels == ID[name]
        left = areas[chosen & (points[:, 0] > 0)].sum()
        right = areas[chosen & (points[:, 0] < 0)].sum()
        assert left == pytest.approx(right, rel=0.06), name


def test_the_whole_neck_is_neck(skin: Surface) -> None:
    added = np.flatnonzero(load_template().neck_mask)
    assert (fine_labels(skin, added, np.full((len(added), 3), 1 / 3)) == ID["neck"]).all()


def test_thicker_brows_grow_outwards() -> None:
    counts = []
    for value in (-2.0, 0.0, 2.0):
        z = np.zeros(GEOMETRY_SIZE, np.float32)
        z[GEOMETRY_INDEX["brow_thickness"]] = value
        skin = head_shape(z).surface("skin")
        random = np.random.RandomState(0)
        triangles = np.flatnonzero(~(load_template().neck_mask | load_template().socket_mask)).repeat(8)
        weights = random.dirichlet(np.ones(3), len(triangles))
        labels = fine_labels(skin, triangles, weights)
        counts.append((labels == ID["brow"]).sum())
        fields = border_fields(skin, triangles, weights)
        agree = (fields["brow"] > 0) == (labels == ID["brow"])
        assert agree[np.isin(labels, [ID["brow"], ID["skin"]])].mean() > 0.999
    assert counts[0] < 0.8 * counts[1] and counts[1] < 0.9 * counts[2]


def test_eyes_are_labelled_by_the_angle_from_the_gaze() -> None:
    eye = head_shape(np.zeros(GEOMETRY_SIZE, np.float32)).surface("eye_left")
    corner = np.zeros(len(eye.faces))
    weights = np.stack([corner + 1, corner, corner], axis=1)
    labels = fine_labels(eye, np.arange(len(eye.faces)), weights)
    direction = eye.normals[eye.faces[:, 0]]
    angle = np.degrees(np.arccos(np.clip(direction @ eye.extra["gaze"], -1, 1)))
    iris, pupil = eye.extra["radii"]
    expected = np.where(angle < pupil, ID["pupil"], np.where(angle < iris, ID["iris"], ID["eye"]))
    clear = (np.abs(angle - iris) > 0.1) & (np.abs(angle - pupil) > 0.1)
    np.testing.assert_array_equal(labels[clear], expected[clear])


def test_distance_to_a_circle() -> None:
    turn = np.linspace(0, 2 * np.pi, 2000, endpoint=False)
    circle = np.stack([np.cos(turn), np.sin(turn)], axis=1)
    # centre: 1 inside; (0.5, 0): 0.5 inside; (2, 0): 1 outside
    np.testing.assert_allclose(signed_distance(np.array([[0, 0], [0.5, 0], [2.0, 0]]), circle), [1, 0.5, -1], atol=1e-3)


def test_half_outlines_are_closed_by_their_mirror() -> None:
    curve = closed_curve(((0.0, 1.0), (0.7, 0.7), (1.0, 0.0), (0.7, -0.7), (0.0, -1.0)))
    np.testing.assert_allclose(curve.mean(axis=0), [0, 0], atol=1e-2)
    np.testing.assert_allclose(np.linalg.norm(curve, axis=1), 1, atol=0.03)
    behind = outline_field(np.array([[0.0, 0.0, -1.0], [0.0, 0.0, 1.0]]), ((0.0, 1.0), (1.0, 0.0), (0.0, -1.0)), 0.0, reach=0.04)
    np.testing.assert_allclose(behind, [-0.04, 0.04])


def test_named_heights() -> None:
    points = np.array([[0.0, -0.30, 0.0], [0.0, -0.05, 0.10]])  # throat, upper lip
    assert below_jaw(points)[0] > 0 > below_jaw(points)[1]
    hair = scalp_field(np.array([[0.0, 0.30, 0.0], [0.0, 0.10, 0.117], [0.0, -0.2, -0.3]]))  # crown, forehead, nape
    assert hair[0] > 0 > hair[1] and hair[2] < 0
    assert nostril_field(np.array([[0.0272, -0.045, 0.1240], [0.0, -0.05, 0.14]]))[0] < 1e-6


def test_masks_cover_every_vertex(skin: Surface) -> None:
    masks = skin_masks()
    assert {"template", "cheeks", "nose", "sockets", "beard", "scalp", "ears"} == set(masks)
    for name, value in masks.items():
        assert len(value) == len(skin.vertices)
        if name not in ("template", "scalp"):
            assert value.min() >= 0 and value.max() <= 1.0001 and value.max() > 0.5
