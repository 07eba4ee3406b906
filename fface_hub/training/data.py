"""From shards to batches of rays. Every choice follows from seed, epoch and position, so a resumed run sees the same batches."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fface_hub.cameras import RADIUS, Camera
from fface_hub.heads.shards import HeadShards, RaySource
from fface_hub.layouts import BASE_15, FINE_24


@dataclass(frozen=True)
class RayBatch:
    """Rays of B heads with their truth.

    `geometry_z [B,Zg]`, `appearance_z [B,Za]`; `origins`, `directions [B,R,3]`; `colors [B,R,3]` in [-1, 1] under the head's own appearance
    and `swapped [B,R,3]` under that of head `partner [B]`; `labels [B,R]` base-15; `depths [B,R]`, infinite where nothing is hit.
    """

    geometry_z: Tensor
    appearance_z: Tensor
    origins: Tensor
    directions: Tensor
    colors: Tensor
    swapped: Tensor
    partner: Tensor
    labels: Tensor
    depths: Tensor

    def to(self, device: torch.device | str) -> RayBatch:
        """The same batch on `device`."""
        return RayBatch(**{key: value.to(device, non_blocking=True) for key, value in vars(self).items()})


@dataclass
class Cursor:
    """Where a run is in its data: `position` steps into `epoch`, which shuffles the first `groups` groups."""

    epoch: int = 0
    position: int = 0
    groups: int = 0

    def state(self) -> dict[str, Any]:
        """JSON form."""
        return asdict(self)


class Batches:
    """Batches of shuffled groups. Shards that appear while training are taken up when the next epoch begins."""

    def __init__(self, shards: HeadShards, source: RaySource, seed: int, groups: int, rays: int) -> None:
        self.shards = shards
        self.source = source
        self.seed = seed
        self.groups = groups
        self.rays = rays // shards.settings.views
        if self.rays > shards.settings.rays:
            raise ValueError(f"{rays} rays per head asked for, {shards.settings.rays} per view stored")
        self.cursor = Cursor()
        self._order = np.zeros(0, np.int64)
        self._ordered: tuple[int, int] | None = None

    def next(self) -> list[RayBatch]:
        """The groups of the next step; moves the cursor."""
        cursor = self.cursor
        if cursor.groups == 0 or (cursor.position + 1) * self.groups > cursor.groups:
            self.shards.refresh()
            if len(self.shards) < self.groups:
                raise ValueError(f"{self.groups} groups per step asked for, {len(self.shards)} there")
            self.cursor = cursor = Cursor(cursor.epoch + 1, 0, len(self.shards))
        if self._ordered != (cursor.epoch, cursor.groups):
            self._order = np.random.default_rng([self.seed, cursor.epoch]).permutation(cursor.groups)
            self._ordered = (cursor.epoch, cursor.groups)
        chosen = self._order[cursor.position * self.groups : (cursor.position + 1) * self.groups]
        rng = np.random.default_rng([self.seed, cursor.epoch, cursor.position])
        cursor.position += 1
        return [self._read(int(index), rng) for index in chosen]

    def _read(self, index: int, rng: np.random.Generator) -> RayBatch:
        start = int(rng.integers(self.shards.settings.rays - self.rays + 1))
        record = self.shards.group(index, slice(start, start + self.rays))
        return decode(record, self.source, shift=int(rng.integers(2)))


def decode(record: dict[str, Tensor], source: RaySource, shift: int = 0) -> RayBatch:
    """A group's tensors as a batch. With `shift` 1 every head wears its neighbour's appearance, and its own is the swapped one."""
    group, views, _ = record["labels"].shape
    latents = [source.latents(int(seed)) for seed in record["seeds"]]
    geometry_z = torch.from_numpy(np.stack([pair[0] for pair in latents])).float()
    appearance_z = torch.from_numpy(np.stack([pair[1] for pair in latents])).float()
    camera = Camera.from_vector(record["cameras"].flatten(0, 1))
    origins, directions = camera.rays_at(record["uv"].flatten(0, 1).float() / 65536)
    members = torch.arange(group)

    def mixed(values: Tensor) -> Tensor:
        # Views alternate along the rays, so that any part of the rays sees all of them.
        return values.unflatten(0, (group, views)).transpose(1, 2).flatten(1, 2)

    colors = mixed(record["colors"].flatten(0, 1)).float() / 127.5 - 1
    fine = mixed(record["labels"].flatten(0, 1)).long()
    return RayBatch(
        geometry_z=geometry_z,
        appearance_z=appearance_z.roll(-shift, 0),
        origins=mixed(origins),
        directions=mixed(directions),
        colors=colors[:, :, shift],
        swapped=colors[:, :, 1 - shift],
        partner=(members + (1 if shift == 0 else -1)) % group,
        labels=FINE_24.convert(fine, BASE_15),
        depths=mixed(record["depths"].flatten(0, 1)).float() + RADIUS,
    )


def merge(batches: list[RayBatch]) -> RayBatch:
    """Several batches as one; partners stay within their own."""
    if len(batches) == 1:
        return batches[0]
    joined = {key: torch.cat([getattr(batch, key) for batch in batches]) for key in vars(batches[0])}
    sizes = [len(batch.partner) for batch in batches]
    starts = torch.tensor([sum(sizes[:index]) for index in range(len(sizes))]).repeat_interleave(torch.tensor(sizes))
    joined["partner"] = joined["partner"] + starts
    return RayBatch(**joined)
