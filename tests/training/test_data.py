"""Batches from shards: whose colours they are, and that their order can be continued."""

from __future__ import annotations

from typing import Any

import torch

from fface_hub.heads.shards import HeadShards
from fface_hub.training.data import Batches, Cursor, decode, merge


def expected(source: Any, geometry_seed: int, appearance_seed: int, origins: torch.Tensor, directions: torch.Tensor) -> torch.Tensor:
    hits = source.trace(source.latents(geometry_seed)[0])(origins.numpy(), directions.numpy())
    return torch.from_numpy(source.shade(hits, source.latents(appearance_seed)[1])).float()


def test_colors_belong_to_the_appearance_that_the_batch_names(source: Any, shards: HeadShards) -> None:
    record = shards.group(1, slice(None))  # seeds 4 to 7, each with the appearance of the next
    for shift, partners in ((0, [1, 2, 3, 0]), (1, [3, 0, 1, 2])):
        batch = decode(record, source, shift)
        assert batch.partner.tolist() == partners
        for head in range(4):
            wears = 4 + (head + shift) % 4
            assert torch.equal(batch.appearance_z[head], torch.from_numpy(source.latents(wears)[1]))
            rays = (batch.origins[head], batch.directions[head])
            own = expected(source, 4 + head, wears, *rays)
            # The swapped colour is that of the partner's appearance in this batch.
            swap = expected(source, 4 + head, 4 + (partners[head] + shift) % 4, *rays)
            assert (batch.colors[head] - own).abs().median() < 0.01  # 8 bits; a ray on a border may fall on its other side
            assert (batch.swapped[head] - swap).abs().median() < 0.01


def test_rays_alternate_between_views(source: Any, shards: HeadShards) -> None:
    batch = decode(shards.group(0, slice(None)), source)
    assert torch.equal(batch.origins[0, 0], batch.origins[0, 2])
    assert not torch.equal(batch.origins[0, 0], batch.origins[0, 1])


def test_every_group_comes_once_per_epoch_and_the_order_continues(source: Any, shards: HeadShards) -> None:
    batches = Batches(shards, source, seed=3, groups=1, rays=32)
    seen = [batches.next()[0] for _ in range(6)]
    firsts = [tuple(batch.geometry_z[0].tolist()) for batch in seen]
    assert len(set(firsts[:2])) == len(set(firsts[2:4])) == 2
    again = Batches(shards, source, seed=3, groups=1, rays=32)
    for _ in range(3):
        again.next()
    resumed = Batches(shards, source, seed=3, groups=1, rays=32)
    resumed.cursor = Cursor(**again.cursor.state())
    for batch in seen[3:]:
        assert torch.equal(resumed.next()[0].directions, batch.directions)


def test_merged_groups_keep_their_partners(source: Any, shards: HeadShards) -> None:
    both = merge([decode(shards.group(i, slice(0, 8)), source) for i in range(2)])
    assert both.partner.tolist() == [1, 2, 3, 0, 5, 6, 7, 4]
