"""Held-out heads seen from seven sides, as rays that are looked at once: every adapter of a generator is measured on the same ones.

A file per head holds the samples of its rays, in half precision, and the truth in the finest layout, so that one set of files serves all
layouts and runs, and one head at a time is in memory. Files that are there are not made again.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor

from fface_hub.adapters.cache import RayCache, Views
from fface_hub.cameras import Camera, look_at
from fface_hub.files import write_tensors
from fface_hub.generators.triplane import TriplaneGenerator
from fface_hub.heads.render import camera_rays
from fface_hub.heads.samples import head_latents
from fface_hub.heads.shards import RaySource
from fface_hub.layouts import FINE_24, Layout
from fface_hub.metrics import MINIMUM_PIXELS, iou_per_class
from fface_hub.rendering.renderer import Relabel
from fface_hub.rendering.sampling import Sampling

VIEWS = ((0.0, 0.0), (-23.0, 0.0), (23.0, 0.0), (-35.0, 0.0), (35.0, 0.0), (0.0, -10.0), (0.0, 10.0))
"""Yaw and pitch in degrees: the three that samples are painted from, and four that no adapter was fitted on."""


@dataclass(frozen=True)
class Sight:
    """How held-out heads are looked at: label maps of `resolution`², of which `sparse` keeps every other pixel (the black squares of a
    chess-board), and rays whose samples of no more than `epsilon` are dropped.

    Measured on the bundled generator (14 pictures): at the defaults .04 % of the labels differ from those of rendering, and the mIoU by
    .0006 (by .004 for a single picture, which is what half of the pixels do). A head takes 127 MB on the disk and an adapter half a second
    on a CPU core.
    """

    resolution: int = 128
    sparse: bool = True
    epsilon: float = 1e-3

    def pixels(self) -> Tensor:
        """Indices `[R]` of the pixels that are looked at."""
        every = torch.arange(self.resolution**2)
        return every[(every % self.resolution + every // self.resolution) % 2 == 0] if self.sparse else every


@dataclass(frozen=True)
class Scores:
    """IoU `[N,V,K]` of `N` heads in `V` views, NaN where a class has fewer than eight true pixels in a picture."""

    table: Tensor

    @property
    def miou(self) -> float:
        """Mean over the classes of a picture, then over pictures."""
        return self.table.nanmean(dim=2).nanmean().item()

    @property
    def by_view(self) -> list[float]:
        """The same for each view."""
        return self.table.nanmean(dim=2).nanmean(dim=0).tolist()

    def per_class(self, layout: Layout) -> dict[str, float | None]:
        """Mean over the pictures where a class counts; None if there is none."""
        means = self.table.flatten(0, 1).nanmean(dim=0)
        return {name: None if x.isnan() else x.item() for name, x in zip(layout.names, means, strict=True)}


class HeldOut:
    """The held-out heads of a generator, those of `seeds`, in a folder of their own below `folder`."""

    def __init__(self, folder: Path, generator: TriplaneGenerator, source: RaySource, seeds: range, sight: Sight | None = None) -> None:
        self.generator, self.source, self.seeds, self.sight = generator, source, seeds, sight or Sight()
        told = [generator.fingerprint, source.version, VIEWS, asdict(self.sight)]
        self.folder = folder / f"views-{hashlib.sha256(json.dumps(told).encode()).hexdigest()[:16]}"
        yaws, pitches = torch.tensor(VIEWS).unbind(dim=1)
        self.cameras = look_at(yaws, pitches)

    def prepare(self, callback: Callable[[int], None] | None = None) -> None:
        """Make the files that are missing; `callback` is told how many heads are there."""
        self.folder.mkdir(parents=True, exist_ok=True)
        for done, seed in enumerate(self.seeds, 1):
            if not self._path(seed).exists():
                store(self._path(seed), self._look(seed))
            if callback is not None:
                callback(done)

    @torch.no_grad()
    def scores(self, relabel: Relabel, layout: Layout, table: Tensor | None = None) -> Scores:
        """How well `relabel` labels the heads in `layout`; `table` leads from its classes to those of the layout, if they differ."""
        device = self.generator.mean_latents().geometry.device
        merged = FINE_24.table_to(layout)
        scores = []
        for seed in self.seeds:
            tensors = load_file(self._path(seed))
            cache = self._cache(tensors, device)
            labels = torch.stack([cache.labels(relabel, view).cpu() for view in range(len(VIEWS))])
            counts = torch.zeros(len(VIEWS), len(layout), dtype=torch.int64).index_add_(1, merged, tensors["counts"].long())
            found = labels if table is None else table[labels]
            iou = iou_per_class(found, merged[tensors["labels"].long()], len(layout))
            scores.append(iou.where(counts >= MINIMUM_PIXELS, torch.nan))
        return Scores(torch.stack(scores))

    def _path(self, seed: int) -> Path:
        return self.folder / f"{seed}.safetensors"

    def _views(self, seed: int) -> Views:
        """The views of one head, or only their rays."""
        latents = head_latents(self.source, self.generator, [seed])[torch.zeros(len(VIEWS), dtype=torch.int64)]
        device, pixels = latents.geometry.device, self.sight.pixels()
        return Views(latents, self.cameras.to(device), pixels.expand(len(VIEWS), -1).to(device), self.sight.resolution)

    @torch.no_grad()
    def _look(self, seed: int) -> dict[str, Tensor]:
        """What the file of one head holds."""
        cache = RayCache.build(self.generator, self._views(seed), Sampling(), self.sight.epsilon, torch.float16)
        truth = self._truth(seed)
        return {
            "values": cache.values.cpu(),
            "weights": cache.weights.half().cpu(),
            "samples": cache.starts.diff().to(torch.uint8).cpu(),  # on each ray
            "empty": cache.empty.cpu(),
            "labels": truth[:, self.sight.pixels()].contiguous(),
            "counts": torch.stack([torch.bincount(view, minlength=len(FINE_24)) for view in truth.long()]).int(),
        }

    def _truth(self, seed: int) -> Tensor:
        """Labels `[V,h·h]` (uint8, FINE_24) of whole pictures."""
        trace = self.source.trace(self.source.latents(seed)[0])
        return torch.stack([trace_labels(self.source, trace, camera, self.sight.resolution) for camera in self.cameras])

    def _cache(self, tensors: dict[str, Tensor], device: torch.device) -> RayCache:
        pixels = self.sight.pixels()
        uv = torch.stack([pixels % self.sight.resolution, pixels // self.sight.resolution], dim=-1) + 0.5
        _, directions = self.cameras.rays_at((uv / self.sight.resolution).expand(len(VIEWS), -1, -1))
        values, weights, samples, empty = (tensors[name].to(device) for name in ("values", "weights", "samples", "empty"))
        features = values.shape[1] - 1 - len(self.generator.layout)
        rays = directions.flatten(0, 1).to(device), empty
        return RayCache(values, weights.float(), samples.long(), rays, (len(VIEWS), len(pixels), features))


def trace_labels(source: RaySource, trace: Callable[..., object], camera: Camera, resolution: int) -> Tensor:
    """Labels `[h·h]` (uint8, FINE_24) of a built head, of the rays through the pixel centres of `camera` (one)."""
    return torch.from_numpy(np.asarray(source.labels(trace(*camera_rays(camera, resolution))), np.uint8))


def store(path: Path, tensors: dict[str, Tensor]) -> None:
    """Write `path` in one step, also where another process writes it at the same time."""
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    write_tensors(tensors, partial)
    os.replace(partial, path)
