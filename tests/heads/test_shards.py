"""Shards on balls instead of heads: what they hold, how rays are drawn, and that a killed writer can be continued."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fface_hub.cameras import RADIUS, Camera
from fface_hub.errors import FFaceError
from fface_hub.heads.shards import HeadShards, ShardSettings, choose_rays, shard_path, training_cameras, write_shards
from fface_hub.layouts import FINE_24

SKIN, IRIS = FINE_24.index("skin"), FINE_24.index("iris")
SMALL = ShardSettings(heads=8, views=2, rays=64, group=2, groups_per_shard=2, coarse=16)


class Balls:
    """A ball of radius .3 around the origin; its colour is the appearance z."""

    version = "balls"

    def __init__(self) -> None:
        self.drawn = 0

    def latents(self, seed: int) -> tuple[np.ndarray, np.ndarray]:
        return np.float32([seed]), np.float32([seed / 100, 0, -seed / 100])

    def trace(self, geometry_z: np.ndarray) -> Any:
        self.drawn += 1

        def cast(origins: np.ndarray, directions: np.ndarray) -> np.ndarray:
            along = (origins * directions).sum(1)
            inside = along**2 - ((origins**2).sum(1) - 0.3**2)
            return np.where(inside > 0, -along - np.sqrt(np.maximum(inside, 0)), np.inf).astype(np.float32)

        return cast

    def labels(self, hits: np.ndarray) -> np.ndarray:
        return np.where(np.isfinite(hits), SKIN, 0)

    def depth(self, hits: np.ndarray) -> np.ndarray:
        return hits

    def shade(self, hits: np.ndarray, appearance_z: np.ndarray) -> np.ndarray:
        return np.where(np.isfinite(hits)[:, None], appearance_z, np.float32(-1))


def test_records_hold_what_the_rays_see(tmp_path: Path) -> None:
    write_shards(tmp_path, SMALL, Balls(), workers=1, progress=False)
    shards = HeadShards(tmp_path)
    assert len(shards) == 4
    record = shards.group(1, slice(0, 48))  # seeds 2 and 3
    assert record["seeds"].tolist() == [2, 3]
    assert record["cameras"].shape == (2, 2, 25)
    assert record["uv"].shape == (2, 2, 48, 2)
    camera = Camera.from_vector(record["cameras"].flatten(0, 1))
    origins, directions = camera.rays_at(record["uv"].flatten(0, 1).float() / 65536)
    depths = record["depths"].flatten(0, 1).float() + RADIUS
    hit = depths.isfinite()
    assert torch.equal(hit, record["labels"].flatten(0, 1) == SKIN)
    radius = (origins + directions * depths.where(hit, 0)[..., None]).norm(dim=-1)[hit]
    assert radius.sub(0.3).abs().max() < 1e-3  # half precision of depth − 2.7 near −.3 is 1.2e-4
    # Seed 2 wears .02, then .03 (its neighbour's): (1.02, 1.03)·127.5 = 130.05, 131.3; seed 3 wears .03, then the first of the group, .02
    seen = record["colors"][..., 0][record["labels"] == SKIN].reshape(-1, 2)
    assert {tuple(pair) for pair in seen.tolist()} == {(130, 131), (131, 130)}


def test_a_killed_writer_is_continued(tmp_path: Path) -> None:
    source = Balls()
    assert write_shards(tmp_path, SMALL, source, workers=1, progress=False) == 8
    first = shard_path(tmp_path, 0).read_bytes()
    shard_path(tmp_path, 1).unlink()
    (tmp_path / "shard-00001.safetensors.partial").write_bytes(b"half a file")
    assert len(HeadShards(tmp_path)) == 2
    source.drawn = 0
    assert write_shards(tmp_path, SMALL, source, workers=1, progress=False) == 4
    assert source.drawn == 4
    assert shard_path(tmp_path, 0).read_bytes() == first
    assert len(HeadShards(tmp_path)) == 4


def test_shards_after_a_gap_do_not_count(tmp_path: Path) -> None:
    write_shards(tmp_path, SMALL, Balls(), workers=1, progress=False)
    shard_path(tmp_path, 0).rename(tmp_path / "elsewhere")
    with pytest.raises(FFaceError, match="no finished shard"):
        HeadShards(tmp_path)


def test_more_heads_extend_a_data_set_and_other_settings_are_refused(tmp_path: Path) -> None:
    write_shards(tmp_path, SMALL, Balls(), workers=1, progress=False)
    more = ShardSettings(heads=12, views=2, rays=64, group=2, groups_per_shard=2, coarse=16)
    assert write_shards(tmp_path, more, Balls(), workers=1, progress=False) == 4
    other = ShardSettings(heads=8, views=2, rays=32, group=2, groups_per_shard=2, coarse=16)
    with pytest.raises(FFaceError, match="another data set"):
        write_shards(tmp_path, other, Balls(), workers=1, progress=False)


@pytest.mark.parametrize(("heads", "first"), [(32, 1_000_000), (64, 999_968), (31, 0), (0, 0)])
def test_held_out_seeds_and_broken_counts_are_refused(heads: int, first: int) -> None:
    with pytest.raises(FFaceError):
        ShardSettings(heads=heads, first_seed=first)
    ShardSettings(heads=32, first_seed=999_968)  # the last one allowed


def test_rays_lie_denser_on_small_classes() -> None:
    labels = np.full((20, 20), SKIN)
    labels[10, 10] = IRIS
    uv = choose_rays(labels, 4200, np.random.default_rng(0))
    # The iris's weight 5 spreads to its 3×3 cells: 45 of 45 + 391·1 = 436, of 4200 rays 433.5
    inside = ((uv >= 9 / 20) & (uv < 12 / 20)).all(axis=1).sum()
    assert abs(inside - 4200 * 45 / 436) < 10
    assert uv.min() >= 0
    assert uv.max() < 1
    assert not np.all(np.diff(uv[:, 1]) >= 0)  # shuffled, so that any slice of rays covers the picture


def test_training_cameras_are_stratified_and_belong_to_the_seed() -> None:
    camera = training_cameras(7, 3)
    x, z = camera.cam2world[:, 0, 3], camera.cam2world[:, 2, 3]
    yaw = torch.rad2deg(torch.atan2(x, z))
    assert torch.bucketize(yaw, torch.tensor([-35.0, -35 / 3, 35 / 3, 35.0])).tolist() == [1, 2, 3]
    assert torch.equal(training_cameras(7, 3).cam2world, camera.cam2world)
    assert not torch.equal(training_cameras(8, 3).cam2world, camera.cam2world)
