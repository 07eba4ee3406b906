"""Colours: pigments, light and the tone curve."""

from __future__ import annotations

import numpy as np
import pytest

from fface_hub.heads.config import APPEARANCE_DIMS, APPEARANCE_INDEX, APPEARANCE_SIZE
from fface_hub.heads.light import KEY_SAMPLES, Light, key_directions
from fface_hub.heads.look import Look, hair_albedo, skin_albedo, to_linear, to_srgb, uniform
from fface_hub.heads.mesh import HeadMesh, fibonacci_sphere
from fface_hub.heads.render import shade, trace
from fface_hub.heads.skin import skin_weights
from fface_hub.heads.tubes import ball


def look_with(**values: float) -> Look:
    z = np.zeros(APPEARANCE_SIZE, np.float32)
    for name, value in values.items():
        z[APPEARANCE_INDEX[name]] = value
    return Look.from_latent(z)


def test_srgb_and_back() -> None:
    values = np.linspace(0, 1, 50, dtype=np.float32)
    np.testing.assert_allclose(to_srgb(to_linear(values)), values, atol=1e-5)
    assert float(to_linear(np.float32(0.5))) == pytest.approx(0.21404, abs=1e-4)


def test_skin_darkens_with_melanin_and_reddens_with_blood() -> None:
    light, dark = skin_albedo(np.float32(0.2), np.float32(0.4)), skin_albedo(np.float32(1.8), np.float32(0.4))
    assert (light > dark * 2).all()
    pale, flushed = skin_albedo(np.float32(0.5), np.float32(0.2)), skin_albedo(np.float32(0.5), np.float32(1.0))
    assert flushed[0] / flushed[1] > 1.3 * pale[0] / pale[1]


def test_hair_runs_from_blond_to_black_and_grey() -> None:
    blond, black, grey = hair_albedo(0.2, 0.0, 0.0), hair_albedo(2.2, 0.0, 0.0), hair_albedo(2.2, 0.0, 1.0)
    assert blond[0] > 0.5 and black.max() < 0.06 and np.ptp(grey) < 0.03
    red = hair_albedo(1.0, 1.0, 0.0)
    brown = hair_albedo(1.0, 0.0, 0.0)
    assert red[0] / red[2] > 1.5 * brown[0] / brown[2]


def test_uniform_is_close_to_the_normal_distribution() -> None:
    # Φ(1) = 0.8413; the logistic function of 1.702 is 0.8458.
    assert float(uniform(np.float64(1.0))) == pytest.approx(0.8413, abs=0.01) and float(uniform(np.float64(0.0))) == 0.5


@pytest.mark.parametrize("sign", [-1, 1])
def test_every_appearance_is_a_possible_one(sign: int) -> None:
    for name in APPEARANCE_DIMS:
        look = look_with(**{name: 5.0 * sign})
        for color in (look.hair, look.brow, look.iris, look.cloth, look.background, look.accessory, look.metal):
            assert (color >= 0).all() and (color <= 1).all(), name
        assert abs(look.light_azimuth) <= 25 and look.melanin > 0 and look.blood > 0


def test_small_changes_of_appearance_are_small_changes_of_colour() -> None:
    for name in APPEARANCE_DIMS:
        for at in (-1.0, 0.0, 0.5):
            one, two = look_with(**{name: at}), look_with(**{name: at + 0.01})
            assert np.abs(one.cloth - two.cloth).max() < 0.06 and np.abs(one.background - two.background).max() < 0.06
            assert abs(one.light_azimuth - two.light_azimuth) < 0.5


def test_the_key_keeps_its_side() -> None:
    left, right = (Light.from_look(look_with(light_azimuth=value)) for value in (1.0, -1.0))
    assert left.key[0] > 0 > right.key[0] and left.key[2] > 0.6
    np.testing.assert_allclose(left.key * [-1, 1, 1], right.key, atol=1e-6)
    directions = key_directions(left)
    assert directions.shape == (KEY_SAMPLES, 3) and (directions @ left.key > 0.98).all()


def test_developing_keeps_order_and_range() -> None:
    light = Light.from_look(look_with())
    ramp = light.develop(np.linspace(0, 5, 100, dtype=np.float32))
    assert (np.diff(ramp) > 0).all() and ramp.min() >= 0 and ramp.max() <= 1


def test_a_ball_above_shades_a_ball_below() -> None:
    # The key stands 36° above the front: from the point (0, -0.15, 0.087) it lies in the direction (0, 0.59, 0.81), through the upper ball.
    below = ball("below", np.array([0, -0.2, 0], np.float32), 0.1, "cloth", 12)
    above = ball("above", np.array([0, 0.03, 0.33], np.float32), 0.12, "cloth", 12)
    ray = np.array([[0, -0.15, 0.15]], np.float32), np.array([[0, 0, -1]], np.float32)
    z = np.zeros(APPEARANCE_SIZE, np.float32)
    assert look_with().light_elevation == pytest.approx(36)
    free = shade(trace(HeadMesh([below]), *ray), z)
    shaded = shade(trace(HeadMesh([below, above]), *ray), z)
    assert (shaded < 0.8 * free).all()


def test_openness_is_full_on_a_lone_ball_and_less_beside_another() -> None:
    lone = ball("lone", np.zeros(3, np.float32), 0.1, "metal", 6)
    other = ball("other", np.array([0.25, 0, 0], np.float32), 0.12, "metal", 6)
    assert HeadMesh([lone]).openness(0).min() > 0.99
    pair = HeadMesh([lone, other]).openness(0)
    towards, away = lone.vertices[:, 0] > 0.08, lone.vertices[:, 0] < -0.08
    assert pair[towards].mean() < 0.8 and pair[away].mean() > 0.99


def test_fibonacci_directions_are_even() -> None:
    sphere = fibonacci_sphere(40)
    np.testing.assert_allclose(np.linalg.norm(sphere, axis=1), 1, atol=1e-6)
    assert np.abs(sphere.mean(axis=0)).max() < 0.03


def test_skin_weights_are_finite_and_symmetric_in_redness() -> None:
    weights = skin_weights()
    assert np.isfinite(weights).all() and weights.shape[1] == 10
    left, right = weights[weights[:, 0] > 0.02, 3].mean(), weights[weights[:, 0] < -0.02, 3].mean()
    assert left == pytest.approx(right, rel=0.1)
