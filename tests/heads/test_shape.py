"""The bare head: place, expression, eyes that turn, lids without gaps, teeth behind the lips."""

from __future__ import annotations

import numpy as np
import pytest

from fface_hub.cameras import look_at
from fface_hub.heads.config import GEOMETRY_INDEX, GEOMETRY_SIZE
from fface_hub.heads.controls import controls
from fface_hub.heads.eyes import fit_eyeball, gaze_axis
from fface_hub.heads.head import head_latents
from fface_hub.heads.shape import head_shape
from fface_hub.heads.surface import Surface, smooth_normals
from fface_hub.layouts import FINE_24
from tests.heads.caster import label_map

ID = {name: FINE_24.index(name) for name in FINE_24.names}


def traits(**values: float) -> np.ndarray:
    """Geometry z of the middling head with some dimensions set."""
    z = np.zeros(GEOMETRY_SIZE, np.float32)
    for name, value in values.items():
        z[GEOMETRY_INDEX[name]] = value
    return z


def share(labels: np.ndarray, *names: str) -> float:
    """Share of the picture's pixels that belong to these classes."""
    return float(np.isin(labels, [ID[name] for name in names]).mean())


def test_the_same_latents_give_the_same_vertices() -> None:
    z = head_latents(7).geometry_z
    for first, second in zip(head_shape(z).surfaces, head_shape(z.copy()).surfaces, strict=True):
        assert np.array_equal(first.vertices, second.vertices) and np.array_equal(first.normals, second.normals)


def test_every_head_is_whole_and_in_its_place() -> None:
    for seed in range(40):
        shape = head_shape(head_latents(seed).geometry_z)
        for item in shape.surfaces:
            assert np.isfinite(item.vertices).all() and item.vertices.dtype == np.float32 and item.faces.dtype == np.int32
            assert item.faces.max() < len(item.vertices) == len(item.normals)
            assert item.vertices[:, 2].max() < 0.40
            np.testing.assert_allclose(np.linalg.norm(item.normals, axis=1), 1, atol=1e-3)
        crown, menton = shape.landmarks["crown"], shape.landmarks["menton"]
        # The frontal picture reaches ±0.31 in height at the crown's depth and ±0.29 at the chin's.
        assert 0.20 < crown[1] < 0.31 and -0.32 < menton[1] < -0.17
        assert abs(shape.landmarks["nose_tip"][0]) < 0.02


def test_expression_moves_neither_skull_nor_size() -> None:
    calm, wild = head_shape(traits()), head_shape(traits(smile=2, jaw_open=2, brow_raise=2, gaze_x=2))
    for name in ("crown", "occiput", "ear_top_left", "eye_left"):
        np.testing.assert_allclose(calm.landmarks[name], wild.landmarks[name], atol=2e-3)
    assert wild.landmarks["menton"][1] < calm.landmarks["menton"][1] - 0.02


def test_controls_stay_in_range() -> None:
    for value in (-4.0, 4.0):
        control = controls(np.full(GEOMETRY_SIZE, value, np.float32))
        assert all(-1 <= item <= 1 for item in control.changes.values())
        assert all(0 <= item <= 1 for item in control.actions.values())
        assert all(0 <= control.phenotypes[name] <= 1 for name in ("age", "gender", "weight", "muscle"))
    with pytest.raises(ValueError, match="shape"):
        controls(np.zeros(3))


def test_a_sphere_is_found_from_its_front() -> None:
    random = np.random.RandomState(0)
    front = random.standard_normal((30, 3))
    front[:, 2] = np.abs(front[:, 2]) + 0.5
    eye = fit_eyeball(np.array([1.0, 2.0, 3.0]) + 0.5 * front / np.linalg.norm(front, axis=1, keepdims=True))
    np.testing.assert_allclose([*eye.center, eye.radius], [1, 2, 3, 0.5], atol=1e-5)


def test_gaze_is_to_the_persons_left_and_up() -> None:
    np.testing.assert_allclose(gaze_axis((0.0, 0.0)), [0, 0, 1], atol=1e-7)
    np.testing.assert_allclose(gaze_axis((30.0, 0.0)), [0.5, 0, np.sqrt(0.75)], atol=1e-6)
    assert gaze_axis((0.0, 10.0))[1] > 0


def test_both_irises_are_seen_and_turn_with_the_gaze() -> None:
    means = []
    for gaze in (-2.0, 0.0, 2.0):
        labels = label_map(head_shape(traits(gaze_x=gaze)), size=256)
        columns = np.nonzero(np.isin(labels, [ID["iris"], ID["pupil"]]))[1]
        left, right = columns[columns > 128], columns[columns < 128]
        assert min(len(left), len(right)) > 60
        means.append((left.mean(), right.mean()))
    assert means[0][0] + 2 < means[1][0] < means[2][0] - 2
    assert means[0][1] + 2 < means[1][1] < means[2][1] - 2


def test_closed_lids_cover_the_eyes_and_leave_no_gap() -> None:
    open_labels, closed = label_map(head_shape(traits()), size=256), label_map(head_shape(traits(blink=2.3)), size=256)
    eye = ("eye", "iris", "pupil")
    assert share(open_labels, *eye) > 0.005
    assert share(closed, *eye) < 0.05 * share(open_labels, *eye)
    assert share(closed, "eyelid") > 0.8 * share(open_labels, "eyelid")
    for size in (-2.0, 2.0):
        assert share(label_map(head_shape(traits(blink=2.4, eye_size=size, smile=1)), size=256), *eye) < 0.0004


@pytest.mark.parametrize("yaw", [-30.0, 0.0, 30.0])
def test_no_ray_slips_between_lid_and_eyeball(yaw: float) -> None:
    """Inside the ring of lid around each eye there is lid and eyeball only, never the dark behind them."""
    for values in (traits(), traits(eye_size=2, gaze_y=2), traits(eye_size=-2, gaze_y=-2, eyelid_fold=2), traits(blink=1.4)):
        shape = head_shape(values)
        labels = label_map(shape, yaw)
        allowed = np.isin(labels, [ID[name] for name in ("eye", "iris", "pupil", "eyelid", "skin", "nose", "background")])
        for side in ("left", "right"):
            camera = look_at(yaw)
            local = camera.cam2world[0].inverse().numpy() @ np.append(shape.landmarks[f"pupil_{side}"], 1)
            column, row = (192 * (0.5 + 4.2647 * local[:2] / local[2])).astype(int)
            box = (slice(row - 4, row + 5), slice(column - 4, column + 5))
            assert allowed[box].all()
            assert (labels[row, column - 2 : column + 3] != ID["background"]).all()


def test_teeth_hide_behind_closed_lips_and_show_in_a_smile() -> None:
    assert share(label_map(head_shape(traits())), "teeth", "mouth") < 0.0008
    assert share(label_map(head_shape(traits(smile=2, jaw_open=1.2))), "teeth") > 0.001
    assert share(label_map(head_shape(traits(jaw_open=2.3))), "mouth", "teeth") > 0.004


def test_normals_of_a_flat_square_point_along_z() -> None:
    vertices = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]], np.float32)
    normals = smooth_normals(vertices, np.array([[0, 1, 2], [0, 2, 3]]))
    np.testing.assert_allclose(normals, np.tile([0, 0, 1], (4, 1)), atol=1e-7)
    assert Surface("flat", vertices, np.array([[0, 1, 2]], np.int32), normals, "skin").extra == {}
