"""Looking at a generator while it learns: heads that it never saw beside the truth, as figures and as a picture."""

from __future__ import annotations

from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from fface_hub.generators.triplane import TriplaneGenerator
from fface_hub.heads.truth import Truth
from fface_hub.layouts import BASE_15
from fface_hub.metrics import mean_iou, psnr
from fface_hub.rendering.renderer import render
from fface_hub.rendering.sampling import Sampling

SAMPLING = Sampling(24, 24)


@torch.no_grad()
def evaluate(generator: TriplaneGenerator, truth: Truth, sheet: Path | None = None) -> dict[str, float]:
    """`psnr`, `miou_base15` and `swap_psnr`; the picture `sheet` has columns of heads and six rows: truth, network, true labels, labels,
    true swap (the next head's appearance), swap."""
    device = next(generator.parameters()).device
    latents = generator.map(truth.geometry_z.to(device), truth.appearance_z.to(device))
    order = torch.arange(len(truth.images), device=device).roll(-1)
    camera, resolution = truth.camera.to(device), truth.images.shape[-1]
    own = render(generator.scene(latents), camera, resolution, SAMPLING)
    other = render(generator.scene(latents.with_appearance(latents[order])), camera, resolution, SAMPLING)
    image, labels, swapped = own.image.cpu(), own.labels.cpu(), other.image.cpu()
    if sheet is not None:
        colors = BASE_15.colors
        rows = [pixels(truth.images), pixels(image), colors[truth.labels], colors[labels], pixels(truth.swapped), pixels(swapped)]
        grid = torch.cat([torch.cat(list(row), dim=1) for row in rows], dim=0)
        sheet.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(grid.numpy()).save(sheet)
    return {
        "psnr": psnr(image, truth.images).mean().item(),
        "miou_base15": mean_iou(labels, truth.labels, len(BASE_15)).mean().item(),
        "swap_psnr": psnr(swapped, truth.swapped).mean().item(),
    }


def pixels(images: Tensor) -> Tensor:
    """`[B,3,h,h]` in [-1, 1] → uint8 `[B,h,h,3]`."""
    return ((images.clamp(-1, 1) + 1) * 127.5).round().byte().permute(0, 2, 3, 1)
