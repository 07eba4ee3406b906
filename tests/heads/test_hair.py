"""Hair: smooth in its traits, inside the cube, and where a hairline should be."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from fface_hub.heads.build import hair_traits
from fface_hub.heads.config import GEOMETRY_DIMS
from fface_hub.heads.hair import HairTraits, build_hair, hat_edge, scalp_depth
from fface_hub.heads.skull import POLAR_STEPS, Skull, angles, directions, grid_faces
from fface_hub.heads.surface import Surface
from fface_hub.heads.tubes import ball

TRAITS = HairTraits(length=0.3, curl=0.3, volume=0.5, recede=0.2, comb=0.3, part=0.3)
EARS = np.array([[0.19, 0.0, 0.05], [-0.19, 0.0, 0.05]], np.float32)


@pytest.fixture(scope="module")
def skull() -> Skull:
    skin = ball("skin", np.array([0.0, 0.06, 0.06], np.float32), np.array([0.18, 0.22, 0.22], np.float32), "skin", 1)
    return Skull.measure(skin, np.array([0.0, 0.06, 0.06], np.float32))


def locks(skull: Skull, traits: HairTraits) -> Surface:
    return build_hair(skull, EARS, traits)[1]


def test_skull_measures_an_ellipsoid(skull: Skull) -> None:
    # Up it is 0.22, to the side 0.18; the ball has 16 × 11 facets, whose middles lie up to 2 % inside.
    assert skull.radius.shape[0] == POLAR_STEPS
    found = skull.radius_at(np.float64([0, np.pi / 2]), np.float64([0, np.pi / 2]))
    assert found.tolist() == pytest.approx([0.22, 0.18], rel=0.03)


def test_angles_undo_directions() -> None:
    polar, azimuth = np.float64([0.3, 1.2, 2.0]), np.float64([-2.5, 0.1, 3.0])
    found = angles(0.7 * directions(polar, azimuth))
    np.testing.assert_allclose(found, [polar, azimuth, [0.7] * 3], atol=1e-5)


def test_grid_faces_close_the_ring() -> None:
    # 2 rows × 3 columns: 3 quads when wrapped, 2 when not, two triangles each.
    assert grid_faces(2, 3, wrap=True).shape == (6, 3) and grid_faces(2, 3, wrap=False).shape == (4, 3)


def test_hairline() -> None:
    crown, face, nape = (np.float64(np.deg2rad(angle)) for angle in (10, 80, 120))
    front, back = np.float64(0.0), np.float64(np.pi)
    assert scalp_depth(crown, front, 0.2) > 0.3 and scalp_depth(face, front, 0.2) < -0.3 and scalp_depth(nape, back, 0.2) > 0
    assert scalp_depth(np.float64(np.deg2rad(30)), front, 1.0) < 0, "bald on top"
    assert scalp_depth(np.float64(np.deg2rad(95)), back, 1.0) > 0.2, "but not behind"


def test_the_line_recedes_steadily() -> None:
    polar, azimuth = np.meshgrid(np.deg2rad(np.linspace(0, 130, 40)), np.deg2rad(np.arange(0, 360, 15)))
    fields = [scalp_depth(polar, azimuth, recede) for recede in np.linspace(0, 1, 21)]
    steps = np.abs(np.diff(fields, axis=0)).max(axis=(1, 2))
    assert steps.max() < 0.25, "no jump for one twentieth of the way"


def test_longer_hair_hangs_lower(skull: Skull) -> None:
    lowest = [np.quantile(locks(skull, replace(TRAITS, length=length)).vertices[:, 1], 0.02) for length in (0.03, 0.2, 0.5)]
    assert lowest[0] > lowest[1] + 0.03 > lowest[2] + 0.06


@pytest.mark.parametrize("name", ["length", "curl", "volume", "comb", "part"])
def test_a_small_change_of_a_trait_moves_hair_a_little(skull: Skull, name: str) -> None:
    before = locks(skull, TRAITS)
    after = locks(skull, replace(TRAITS, **{name: getattr(TRAITS, name) + 0.004}))
    assert len(before.vertices) == len(after.vertices)
    moved = np.linalg.norm(after.vertices - before.vertices, axis=1)
    assert moved.max() > 0 and np.quantile(moved, 0.98) < 0.02


def test_hair_stays_out_of_the_face_and_the_head(skull: Skull) -> None:
    hair = locks(skull, replace(TRAITS, length=0.5, comb=0.0))
    before_eyes = (np.abs(hair.vertices[:, 0]) < 0.07) & (hair.vertices[:, 2] > 0.2) & (hair.vertices[:, 1] < 0.06)
    assert before_eyes.mean() < 0.002
    _, _, distance = angles(hair.vertices - skull.center)
    assert np.quantile(distance, 0.01) > 0.16


def test_hat_presses_hair(skull: Skull) -> None:
    free, pressed = (locks(skull, replace(TRAITS, volume=1.0, pressed=value)) for value in (False, True))

    def height(surface: Surface) -> float:
        polar, azimuth, distance = angles(surface.vertices - skull.center)
        covered = polar < hat_edge(np.abs(azimuth)) - 0.2
        return float((distance - skull.radius_at(polar, azimuth))[covered].max())

    assert height(pressed) < 0.04 < height(free)


def test_hair_is_light_enough_to_draw_often(skull: Skull) -> None:
    assert sum(len(item.faces) for item in build_hair(skull, EARS, TRAITS)) < 60_000


def test_traits_follow_latents() -> None:
    z = dict.fromkeys(GEOMETRY_DIMS, 0.0)
    plain = hair_traits(z)
    assert hair_traits({**z, "hair_length": 1.5}).length > plain.length + 0.1
    assert hair_traits({**z, "gender": 1.0}).length > hair_traits({**z, "gender": -1.0}).length
    assert hair_traits({**z, "hairline": 2.0}).recede > plain.recede
    assert hair_traits({**z, "hair_style": 2.0}).comb > 0.8
