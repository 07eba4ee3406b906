"""Moves: what encoders learn from is what the heads show, and a few traits move."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from fface_hub.cameras import look_at
from fface_hub.heads.build import build_head
from fface_hub.heads.config import GEOMETRY_SIZE
from fface_hub.heads.edits import REACH
from fface_hub.heads.head import head_latents
from fface_hub.heads.moves import KEYS, LEAST, MOST_YAW, MoveSettings, draw_moves, random_move, view_angles
from fface_hub.heads.render import trace

SMALL = MoveSettings(heads=2, views=3, resolution=24, per_shard=2, edits=2)


def test_one_to_three_traits_move_and_none_out_of_reach() -> None:
    rng = np.random.default_rng(0)
    face = rng.standard_normal(GEOMETRY_SIZE).astype(np.float32)
    face[5] = 3.0  # further out than anything is moved to
    for _ in range(200):
        moved = random_move(rng, face)
        changed = np.flatnonzero(moved != face)
        assert 1 <= len(changed) <= 3
        assert (np.abs(moved - face)[changed] <= 2.5 + 1e-5).all()
        assert (np.abs(moved) <= np.maximum(REACH, np.abs(face)) + 1e-5).all()
    far = np.abs(np.stack([random_move(rng, np.zeros_like(face)) for _ in range(50)]))
    assert far[far > 0].min() >= LEAST


def test_views_begin_in_front_and_cover_both_sides() -> None:
    angles = np.stack([view_angles(np.random.default_rng(seed), 5) for seed in range(50)])
    assert (angles[:, 0] == 0).all()
    assert (np.diff(angles[:, 1:, 0], axis=1) > 0).all()  # one in each quarter
    assert angles[..., 0].min() < -0.9 * MOST_YAW and angles[..., 0].max() > 0.9 * MOST_YAW


def test_a_record_is_of_the_head_that_it_names() -> None:
    record = draw_moves(5, SMALL)
    assert set(record) == set(KEYS) and record["seeds"].tolist() == [5]
    assert record["images"].shape == (1, 3, 3, 24, 24) and record["moved_labels"].shape == (1, 2, 24, 24)
    head = head_latents(5)
    origins, directions = (rays[0].numpy() for rays in look_at(0.0).rays(24))
    moves = [np.zeros_like(head.geometry_z), *record["moves"][0].numpy()]
    for move, labels in zip(moves, [record["labels"][0, 0], *record["moved_labels"][0]], strict=True):
        traits = {"geometry_z": head.geometry_z + move, "appearance_z": head.appearance_z}
        seen = trace(build_head(replace(head, **traits)), origins, directions).labels.reshape(24, 24)
        assert float((torch.from_numpy(seen.astype(np.uint8)) == labels).float().mean()) > 0.999
    np.testing.assert_array_equal(record["appearance_z"][0, 0], head.appearance_z)
    again = draw_moves(5, SMALL)
    assert all(torch.equal(record[key], again[key]) for key in record)
