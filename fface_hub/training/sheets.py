"""Looking at a generator while it learns: held-aside heads beside the truth, as figures and as a picture."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from fface_hub.cameras import Camera
from fface_hub.generators.triplane import TriplaneGenerator
from fface_hub.heads.shards import RaySource, training_cameras
from fface_hub.layouts import BASE_15, FINE_24
from fface_hub.metrics import mean_iou, psnr
from fface_hub.rendering.renderer import render
from fface_hub.rendering.sampling import Sampling


@dataclass(frozen=True)
class Samples:
    """Heads that no shard holds, one camera each, and their true pictures `[B,3,h,h]`, label maps `[B,h,h]` (base-15).

    `swapped [B,3,h,h]` are the true pictures of each geometry under the appearance of the next head.
    """

    geometry_z: Tensor
    appearance_z: Tensor
    camera: Camera
    images: Tensor
    swapped: Tensor
    labels: Tensor


def draw_samples(source: RaySource, first_seed: int, count: int = 8, resolution: int = 128) -> Samples:
    """Truth of `count` heads from `first_seed` on, point-sampled 2×2 per pixel; labels are those of the pixel-centre rays."""
    latents = [source.latents(first_seed + index) for index in range(count)]
    cameras = Camera.from_vector(torch.cat([training_cameras(first_seed + i, 3)[i % 3].to_vector() for i in range(count)]))
    images, swapped, labels = [], [], []
    for index, (geometry_z, appearance_z) in enumerate(latents):
        trace = source.trace(geometry_z)
        hits = trace(*_rays(cameras[index], 2 * resolution))
        for store, z in ((images, appearance_z), (swapped, latents[(index + 1) % count][1])):
            fine = torch.from_numpy(np.asarray(source.shade(hits, z), np.float32)).reshape(resolution, 2, resolution, 2, 3)
            store.append(fine.mean(dim=(1, 3)).permute(2, 0, 1))
        centre = source.labels(trace(*_rays(cameras[index], resolution)))
        labels.append(torch.from_numpy(centre.astype(np.int64)).reshape(resolution, resolution))
    return Samples(
        geometry_z=torch.from_numpy(np.stack([pair[0] for pair in latents])).float(),
        appearance_z=torch.from_numpy(np.stack([pair[1] for pair in latents])).float(),
        camera=cameras,
        images=torch.stack(images),
        swapped=torch.stack(swapped),
        labels=FINE_24.convert(torch.stack(labels), BASE_15),
    )


@torch.no_grad()
def evaluate(generator: TriplaneGenerator, samples: Samples, sheet: Path | None = None) -> dict[str, float]:
    """`psnr`, `miou_base15` and `swap_psnr` of the samples; the picture `sheet` has columns of heads and rows: truth, network, true labels,
    labels, true swap, swap (the next head's appearance)."""
    device = next(generator.parameters()).device
    latents = generator.map(samples.geometry_z.to(device), samples.appearance_z.to(device))
    order = torch.arange(len(samples.images), device=device).roll(-1)
    sampling = Sampling(32, 32)
    resolution = samples.images.shape[-1]
    own = render(generator.scene(latents), samples.camera.to(device), resolution, sampling)
    other = render(generator.scene(latents.with_appearance(latents[order])), samples.camera.to(device), resolution, sampling)
    image, labels, swapped = own.image.cpu(), own.labels.cpu(), other.image.cpu()
    if sheet is not None:
        colors = BASE_15.colors
        rows = [_pixels(samples.images), _pixels(image), colors[samples.labels], colors[labels], _pixels(samples.swapped), _pixels(swapped)]
        grid = torch.cat([torch.cat(list(row), dim=1) for row in rows], dim=0)
        sheet.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(grid.numpy()).save(sheet)
    return {
        "psnr": psnr(image, samples.images).mean().item(),
        "miou_base15": mean_iou(labels, samples.labels, len(BASE_15)).mean().item(),
        "swap_psnr": psnr(swapped, samples.swapped).mean().item(),
    }


def _rays(camera: Camera, resolution: int) -> tuple[np.ndarray, np.ndarray]:
    origins, directions = camera.rays(resolution)
    return np.ascontiguousarray(origins[0].numpy()), np.ascontiguousarray(directions[0].numpy())


def _pixels(images: Tensor) -> Tensor:
    """`[B,3,h,h]` in [-1, 1] → uint8 `[B,h,h,3]`."""
    return ((images.clamp(-1, 1) + 1) * 127.5).round().byte().permute(0, 2, 3, 1)
