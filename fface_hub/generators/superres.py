"""Super-resolution of the 512² EG3D models ("8x_dc"): 32 composited channels at 128² and the face's last style row → a picture at 512²."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from fface_hub.generators.stylegan import Block

INPUT = 128


class SuperResolution(nn.Module):
    """Two style blocks, 128 → 256 → 512, with 256 and 128 channels, without noise; names as in the official checkpoints."""

    def __init__(self, channels: int, latent: int, clamp: float | None) -> None:
        super().__init__()
        self.block0 = Block(channels, 256, latent, 2 * INPUT, 3, noise=False, clamp=clamp)
        self.block1 = Block(256, 128, latent, 4 * INPUT, 3, noise=False, clamp=clamp)

    def forward(self, raw: Tensor, row: Tensor) -> Tensor:
        """`raw [B,C,h,w]` in [-1, 1], `row [B,D]` → picture `[B,3,512,512]`. Any volume resolution is resized to 128² first."""
        if raw.shape[-1] != INPUT:
            raw = F.interpolate(raw, size=(INPUT, INPUT), mode="bilinear", align_corners=False, antialias=True)
        x, image = self.block0(raw, raw[:, :3].permute(0, 2, 3, 1), iter([row] * 3))
        _, image = self.block1(x, image, iter([row] * 3))
        return image.permute(0, 3, 1, 2)
