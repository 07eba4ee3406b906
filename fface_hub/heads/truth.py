"""True pictures of heads from seeds, one random camera each, as batches: what benchmarks and sample sheets compare with."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fface_hub.cameras import Camera, look_at
from fface_hub.heads.render import camera_rays
from fface_hub.heads.shards import MAX_PITCH, MAX_YAW, RaySource
from fface_hub.layouts import BASE_15, FINE_24, Layout


@dataclass(frozen=True)
class Truth:
    """B heads in a ring: `geometry_z [B,Zg]`, `appearance_z [B,Za]`, one camera each.

    `images [B,3,h,h]`, `labels [B,h,h]` (base-15), `depths [B,1,h,h]` (infinite where nothing is hit), and `swapped [B,3,h,h]`, each
    geometry under the appearance of the next head.
    """

    geometry_z: Tensor
    appearance_z: Tensor
    camera: Camera
    images: Tensor
    swapped: Tensor
    labels: Tensor
    depths: Tensor


@dataclass(frozen=True)
class TrueView:
    """A rendered head from one camera: `image [3,h,h]`, `labels [h,h]`, `depth [h,h]` (infinite where nothing is hit)."""

    image: Tensor
    labels: Tensor
    depth: Tensor


def random_camera(seed: int) -> Camera:
    """The camera that head `seed` is measured from: yaw ±35°, pitch ±15°, uniform."""
    yaw, pitch = np.random.default_rng([seed, 3]).uniform(-1, 1, 2) * (MAX_YAW, MAX_PITCH)
    return look_at(float(yaw), float(pitch))


def true_views(
    source: RaySource, trace: Callable[..., Any], camera: Camera, looks: Sequence[np.ndarray], resolution: int, layout: Layout
) -> list[TrueView]:
    """A built head, which `trace` casts rays at, from one camera under each of `looks`, appearances `[Za]`. Pictures average 2×2 rays per
    pixel, labels (in `layout`) and depths are those of the pixel-centre rays."""
    centre, fine = (trace(*camera_rays(camera, side)) for side in (resolution, 2 * resolution))
    labels = torch.from_numpy(np.asarray(source.labels(centre), np.int64)).reshape(resolution, resolution)
    depth = torch.from_numpy(np.asarray(source.depth(centre), np.float32)).reshape(resolution, resolution)
    known = FINE_24.convert(labels, layout)
    return [TrueView(_average(source.shade(fine, look), resolution), known, depth) for look in looks]


def true_view(
    source: RaySource, trace: Callable[..., Any], camera: Camera, appearance_z: np.ndarray, resolution: int, layout: Layout
) -> TrueView:
    """`true_views` of a single appearance."""
    return true_views(source, trace, camera, [appearance_z], resolution, layout)[0]


def draw_truth(
    source: RaySource, first_seed: int, count: int, resolution: int = 128, callback: Callable[[int], None] | None = None
) -> Truth:
    """Heads `first_seed`, `first_seed + 1` …, as `true_view` draws them.

    `callback` gets the number of heads drawn so far.
    """
    latents = [source.latents(first_seed + index) for index in range(count)]
    cameras = [random_camera(first_seed + index) for index in range(count)]
    images, swapped, labels, depths = [], [], [], []
    for index, (geometry_z, appearance_z) in enumerate(latents):
        trace = source.trace(geometry_z)
        looks = appearance_z, latents[(index + 1) % count][1]
        own, other = true_views(source, trace, cameras[index], looks, resolution, BASE_15)
        images.append(own.image)
        swapped.append(other.image)
        labels.append(own.labels)
        depths.append(own.depth[None])
        if callback is not None:
            callback(index + 1)
    return Truth(
        geometry_z=torch.from_numpy(np.stack([pair[0] for pair in latents])).float(),
        appearance_z=torch.from_numpy(np.stack([pair[1] for pair in latents])).float(),
        camera=Camera.from_vector(torch.cat([camera.to_vector() for camera in cameras])),
        images=torch.stack(images),
        swapped=torch.stack(swapped),
        labels=torch.stack(labels),
        depths=torch.stack(depths),
    )


def _average(colors: np.ndarray, resolution: int) -> Tensor:
    """Colours of 2×2 rays per pixel `[4·h·h,3]` → picture `[3,h,h]`."""
    grid = torch.from_numpy(np.asarray(colors, np.float32)).reshape(resolution, 2, resolution, 2, 3)
    return grid.mean(dim=(1, 3)).permute(2, 0, 1)
