"""Portraits: true landmarks and angles, varied light, and shards that are continued."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from fface_hub.cameras import PIVOT
from fface_hub.errors import FFaceError
from fface_hub.heads.config import APPEARANCE_SIZE, HELD_OUT_SEED
from fface_hub.heads.head import head_latents
from fface_hub.heads.portraits import (
    KEYS,
    MOST_PITCH,
    MOST_YAW,
    PortraitSettings,
    draw_portraits,
    landmarks,
    portrait_camera,
    portrait_head,
    portrait_light,
)
from fface_hub.heads.records import read_records, shard_path, write_records
from fface_hub.inversion.landmarks import METRES_PER_UNIT, POINTS, mean_head
from fface_hub.inversion.pose import orbit_angles, project

SMALL = PortraitSettings(heads=4, views=1, resolution=24, per_shard=2)


def test_cameras_stand_around_the_face_and_look_at_it() -> None:
    rng = np.random.default_rng(0)
    cameras = [portrait_camera(rng) for _ in range(200)]
    yaws = np.array([orbit_angles(camera)[0] for camera in cameras])
    assert 60 < np.abs(yaws).max() < MOST_YAW + 5 and np.mean(np.abs(yaws) < 30) > 0.5
    assert max(abs(orbit_angles(camera)[1]) for camera in cameras) < MOST_PITCH + 8
    for camera in cameras[:20]:
        assert project(camera, torch.tensor([PIVOT]))[0].tolist() == pytest.approx([0.5, 0.5], abs=1e-5)


def test_landmarks_and_angles_are_those_of_the_picture() -> None:
    drawn = draw_portraits(5, replace(SMALL, views=2, resolution=64))
    assert drawn["images"].shape == (2, 3, 64, 64) and drawn["images"].dtype == torch.uint8
    assert drawn["opacity"].unique().tolist() == [0, 255]
    assert drawn["points"].shape == (2, len(POINTS), 2) and drawn["angles"].shape == (2, 2)
    # The tip of the nose is on the head, and the pupils are above the corners of the mouth.
    column, row = (drawn["points"][0, POINTS.index("nose_tip")] * 64).long().tolist()
    assert drawn["opacity"][0, row, column] == 255
    assert bool((drawn["points"][:, :2, 1] < drawn["points"][:, 3:5, 1]).all())
    again = draw_portraits(5, replace(SMALL, views=2, resolution=64))
    assert all(torch.equal(drawn[key], again[key]) for key in drawn)


def test_expressions_are_livelier_and_nothing_else() -> None:
    plain, lively = head_latents(3), portrait_head(3)
    assert lively.trait("smile") == pytest.approx(1.5 * plain.trait("smile"))
    assert lively.trait("nose_width") == plain.trait("nose_width")
    np.testing.assert_array_equal(lively.appearance_z, plain.appearance_z)


def test_light_comes_from_many_sides() -> None:
    rng = np.random.default_rng(0)
    keys = np.stack([portrait_light(rng, np.zeros(APPEARANCE_SIZE, np.float32)).key for _ in range(100)])
    np.testing.assert_allclose(np.linalg.norm(keys, axis=1), 1, rtol=1e-5)
    assert keys[:, 0].min() < -0.7 and keys[:, 0].max() > 0.7 and (keys[:, 2] > 0).all()


def test_the_written_mean_head_is_that_of_the_heads() -> None:
    measured = torch.stack([landmarks(head_latents(seed).geometry_z) for seed in range(64)]).mean(dim=0)
    # In millimetres; 64 heads whose landmarks spread by up to 5 have a mean that is off by up to 2.
    assert ((measured - mean_head()).norm(dim=1) * METRES_PER_UNIT * 1000).max() < 2


def test_shards_are_continued_and_not_mixed(tmp_path: Path) -> None:
    assert write_records(tmp_path, SMALL, draw_portraits, workers=1, progress=False) == 4
    first = read_records(tmp_path, SMALL, KEYS)
    assert first["images"].shape == (4, 3, 24, 24)
    shard_path(tmp_path, 1).unlink()
    assert write_records(tmp_path, SMALL, draw_portraits, workers=1, progress=False) == 2
    again = read_records(tmp_path, SMALL, KEYS)
    assert all(torch.equal(first[key], again[key]) for key in first)
    with pytest.raises(FFaceError, match="another data set"):
        write_records(tmp_path, replace(SMALL, resolution=32), draw_portraits, workers=1, progress=False)


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"heads": 3}, "must be a multiple"),
        ({"heads": 0}, "must be a multiple"),
        ({"first_seed": HELD_OUT_SEED - 2}, "held out"),
        ({"first_seed": -2}, "Seeds"),
    ],
)
def test_settings_that_cannot_be(wrong: dict[str, int], sentence: str) -> None:
    with pytest.raises(FFaceError, match=sentence):
        replace(SMALL, **wrong)
