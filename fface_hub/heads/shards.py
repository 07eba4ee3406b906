"""Training data: heads as ray records in safetensors shards, written by worker processes, resumable, read through memory maps.

A record is one geometry (Head of seed i) seen from V stratified cameras by R rays each. Rays are jittered inside pixels and lie denser on
small classes: a coarse grid of labels is traced first, then rays are drawn from its cells with the weights below. Every ray holds its
colour under the head's own appearance and under that of the next head of its group (the last one's next is the first), so that a trainer
that takes whole groups has the truth for swapped appearances of faces in the same batch. Latents are not stored: seeds give them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from itertools import count, takewhile
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import safe_open
from torch import Tensor

from fface_hub.cameras import RADIUS, Camera, look_at
from fface_hub.errors import FFaceError
from fface_hub.heads.build import build_surfaces
from fface_hub.heads.config import HEADS_VERSION, HELD_OUT_SEED
from fface_hub.heads.head import head_latents
from fface_hub.heads.mesh import HeadMesh
from fface_hub.heads.records import write_missing, write_shard
from fface_hub.heads.render import Hits, shade, trace
from fface_hub.layouts import FINE_24

MAX_YAW, MAX_PITCH = 35.0, 15.0
RAY_WEIGHTS = {
    "background": 0.35, "skin": 1, "brow": 3, "eye": 4, "glasses": 2, "ear": 1, "earring": 3, "nose": 1.5, "mouth": 4, "lips": 3,
    "neck": 0.7, "necklace": 2, "cloth": 0.6, "hair": 0.8, "hat": 0.8, "ala": 2, "iris": 5, "pupil": 5, "eyelid": 2.5,
    "nose tip": 1.5, "nostril": 3, "jaw": 0.9, "chin": 1, "teeth": 4,
}  # fmt: skip
"""How dense rays lie on a fine class, relative to skin."""

Float = NDArray[np.float32]


class RaySource(Protocol):
    """What draws the truth. `HeadSource` is the real one; tests bring simpler ones. Must be picklable."""

    version: str

    def latents(self, seed: int) -> tuple[Float, Float]:
        """Geometry z and appearance z of a seed."""
        ...

    def trace(self, geometry_z: Float) -> Any:
        """A function of origins and unit directions `[R,3]` that gives hits (built once per head)."""
        ...

    def labels(self, hits: Any) -> NDArray[np.integer[Any]]:
        """Fine class ids `[R]`, 0 for rays that hit nothing."""
        ...

    def depth(self, hits: Any) -> Float:
        """Distance along the ray `[R]`, infinite where nothing was hit."""
        ...

    def shade(self, hits: Any, appearance_z: Float) -> Float:
        """Colours `[R,3]` in [-1, 1]."""
        ...


class HeadSource:
    """The rendered heads as a source of rays."""

    version = HEADS_VERSION

    def latents(self, seed: int) -> tuple[Float, Float]:
        """Geometry z `[Zg]` and appearance z `[Za]` of a seed."""
        head = head_latents(seed)
        return head.geometry_z, head.appearance_z

    def trace(self, geometry_z: Float) -> Callable[[Float, Float], Hits]:
        """Builds the head, and gives what casts rays at it."""
        mesh = HeadMesh(build_surfaces(geometry_z))
        return lambda origins, directions: trace(mesh, origins, directions)

    def labels(self, hits: Hits) -> NDArray[np.integer[Any]]:
        """Fine classes `[R]`."""
        return hits.labels

    def depth(self, hits: Hits) -> Float:
        """Distances `[R]`, infinite where nothing was hit."""
        return np.where(hits.hit, hits.depth, np.float32(np.inf))

    def shade(self, hits: Hits, appearance_z: Float) -> Float:
        """Colours `[R,3]` in [-1, 1]."""
        return shade(hits, appearance_z) * 2 - 1


@dataclass(frozen=True)
class ShardSettings:
    """What a data set holds. `coarse` is the side of the label grid that rays are drawn from; seeds run from `first_seed`."""

    heads: int = 8192
    first_seed: int = 0
    views: int = 3
    rays: int = 2048
    group: int = 4
    groups_per_shard: int = 8
    coarse: int = 64

    def __post_init__(self) -> None:
        per_shard = self.group * self.groups_per_shard
        if self.heads <= 0 or self.heads % per_shard:
            raise FFaceError(f"The number of heads must be a multiple of {per_shard} (one shard), not {self.heads}.")
        if self.first_seed < 0 or self.first_seed + self.heads > HELD_OUT_SEED:
            raise FFaceError(f"Seeds from {HELD_OUT_SEED:,} on are held out for measuring: choose smaller seeds for training data.")

    @property
    def shards(self) -> int:
        """Number of files."""
        return self.heads // (self.group * self.groups_per_shard)


def training_cameras(seed: int, views: int) -> Camera:
    """`views` cameras of one head: yaw ±35° in equal strata, pitch ±15° at random."""
    rng = np.random.default_rng([seed, 1])
    yaw = -MAX_YAW + 2 * MAX_YAW * (np.arange(views) + rng.random(views)) / views
    pitch = MAX_PITCH * (2 * rng.random(views) - 1)
    return look_at(torch.from_numpy(yaw).float(), torch.from_numpy(pitch).float())


def choose_rays(labels: NDArray[np.integer[Any]], rays: int, rng: np.random.Generator) -> Float:
    """Picture positions `[rays,2]` drawn from a square grid of fine `labels [n,n]`, in random order.

    A cell's weight is the largest among it and its eight neighbours, so that borders and things smaller than a cell get their share.
    Systematic sampling (one uniform offset, equal steps of the cumulative weight), then a uniform place in the cell.
    """
    table = np.array([RAY_WEIGHTS[name] for name in FINE_24.names])
    padded = np.pad(table[labels], 1, mode="edge")
    n = len(labels)
    weights = np.max([padded[y : y + n, x : x + n] for y in range(3) for x in range(3)], axis=0).reshape(-1)
    steps = np.cumsum(weights) / weights.sum()
    cells = np.searchsorted(steps, (np.arange(rays) + rng.random()) / rays).clip(max=n * n - 1)
    cells = rng.permutation(cells)
    places = (np.stack([cells % n, cells // n], axis=1) + rng.random((rays, 2))) / n
    return places.astype(np.float32)


def _trace_view(source: RaySource, trace: Any, camera: Camera, uv: Float) -> Any:
    origins, directions = camera.rays_at(torch.from_numpy(uv)[None])
    return trace(np.ascontiguousarray(origins[0].numpy()), np.ascontiguousarray(directions[0].numpy()))


def head_record(source: RaySource, seed: int, other_seed: int, settings: ShardSettings) -> dict[str, Tensor]:
    """One record: `cameras [V,25]`, `uv [V,R,2]` uint16 (of 65,536), `colors [V,R,2,3]` uint8, `labels [V,R]`, `depths [V,R]` float16.

    Depths are stored less the camera's radius (half precision is finer near 0) and infinite where the ray hits nothing.
    """
    geometry_z, appearance_z = source.latents(seed)
    _, other_z = source.latents(other_seed)
    trace = source.trace(geometry_z)
    cameras = training_cameras(seed, settings.views)
    rng = np.random.default_rng([seed, 2])
    grid = (np.arange(settings.coarse, dtype=np.float32) + 0.5) / settings.coarse
    centres = np.stack(np.meshgrid(grid, grid), axis=-1).reshape(-1, 2).astype(np.float32)
    views: list[dict[str, Tensor]] = []
    for index in range(settings.views):
        camera = cameras[index]
        coarse = source.labels(_trace_view(source, trace, camera, centres)).reshape(settings.coarse, settings.coarse)
        places = np.floor(choose_rays(coarse, settings.rays, rng) * 65536)
        hits = _trace_view(source, trace, camera, (places / 65536).astype(np.float32))
        colors = np.stack([source.shade(hits, appearance_z), source.shade(hits, other_z)], axis=1)
        views.append(
            {
                "uv": torch.from_numpy(places.astype(np.uint16)),
                "colors": torch.from_numpy(np.rint((colors.clip(-1, 1) + 1) * 127.5).astype(np.uint8)),
                "labels": torch.from_numpy(source.labels(hits).astype(np.uint8)),
                "depths": torch.from_numpy((source.depth(hits) - RADIUS).astype(np.float16)),
            }
        )
    return {"cameras": cameras.to_vector(), **{key: torch.stack([view[key] for view in views]) for key in views[0]}}


def _write_shard(source: RaySource, settings: ShardSettings, job: tuple[int, Path]) -> int:
    index, path = job
    first = settings.first_seed + index * settings.group * settings.groups_per_shard
    records = []
    for group in range(settings.groups_per_shard):
        start = first + group * settings.group
        for member in range(settings.group):
            records.append(head_record(source, start + member, start + (member + 1) % settings.group, settings))
    tensors = {key: torch.stack([record[key] for record in records]) for key in records[0]}
    tensors["seeds"] = torch.arange(first, first + len(records))
    write_shard(tensors, path)
    return len(records)


def shard_path(folder: Path, index: int) -> Path:
    """File of shard `index` in `folder`."""
    return folder / f"shard-{index:05d}.safetensors"


def write_shards(folder: str | Path, settings: ShardSettings, source: RaySource, workers: int = 2, progress: bool = True) -> int:
    """Write the shards that `folder` lacks and return how many heads were drawn; a killed run is continued by the same call.

    Raises `FFaceError` if the folder holds shards of other settings or of another version of the heads. Settings may only differ in
    `heads`: more heads extend a data set. With one worker all is done in this process; more are spawned.
    """
    config = {**asdict(settings), "heads_version": source.version}
    paths = [shard_path(Path(folder), index) for index in range(settings.shards)]
    return write_missing(Path(folder), config, paths, partial(_write_shard, source, settings), workers, progress)


class HeadShards:
    """The complete shards of a folder, read through memory maps.

    Shards that appear later are found by `refresh`. Raises `FFaceError` if there are none.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        path = self.folder / "dataset.json"
        if not path.exists():
            raise FFaceError(f"'{self.folder.name}' holds no training data: write it first with the heads' shard writer.")
        config = json.loads(path.read_text())
        self.heads_version: str = config.pop("heads_version")
        self.settings = ShardSettings(**config)
        self.files: list[Path] = []
        self.refresh()

    def refresh(self) -> None:
        """Look for finished shards again: those from the first to the last before a gap, so that numbers of groups never change."""
        self.files = list(takewhile(Path.exists, (shard_path(self.folder, index) for index in count())))
        if not self.files:
            raise FFaceError(f"'{self.folder.name}' holds no finished shard yet: wait for the shard writer.")

    def __len__(self) -> int:
        """Number of groups."""
        return len(self.files) * self.settings.groups_per_shard

    def group(self, index: int, rays: slice) -> dict[str, Tensor]:
        """Group `index`: its heads' `seeds [G]`, `cameras [G,V,25]`, and of each view the `rays` (a slice of the stored R) of all else."""
        file, part = divmod(index, self.settings.groups_per_shard)
        heads = slice(part * self.settings.group, (part + 1) * self.settings.group)
        with safe_open(self.files[file], framework="pt") as tensors:
            whole = {key: tensors.get_slice(key)[heads] for key in ("seeds", "cameras")}
            return {**whole, **{key: tensors.get_slice(key)[heads, :, rays] for key in ("uv", "colors", "labels", "depths")}}

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        return (self.group(index, slice(None)) for index in range(len(self)))
