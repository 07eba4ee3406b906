"""Super-resolution of the 512² EG3D models ("8x_dc"): 32 composited channels at 128² and the face's last style row → a picture at 512²."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fface_hub.generators.stylegan import GAIN, SLOPE, Block, StyledConv, ToImage, add_upsampled, upsampling_kernel

INPUT = 128


class SuperResolution(nn.Module):
    """Two style blocks, 128 → 256 → 512, with 256 and 128 channels, without noise; names as in the official checkpoints."""

    def __init__(self, channels: int, latent: int, clamp: float | None) -> None:
        super().__init__()
        self.block0 = Block(channels, 256, latent, 2 * INPUT, 3, noise=False, clamp=clamp)
        self.block1 = Block(256, 128, latent, 4 * INPUT, 3, noise=False, clamp=clamp)

    def forward(self, raw: Tensor, row: Tensor) -> Tensor:
        """`raw [B,C,h,w]` in [-1, 1], `row [B,D]` → picture `[B,3,512,512]`. Any volume resolution is resized to 128² first."""
        raw = _resized(raw)
        x, image = self.block0(raw, raw[:, :3].permute(0, 2, 3, 1), iter([row] * 3))
        _, image = self.block1(x, image, iter([row] * 3))
        return image.permute(0, 3, 1, 2)

    @torch.no_grad()
    def fast(self, raw: Tensor, row: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
        """The same picture without gradients, one face after another, so that styles go into the weights (6 MB) and not into the pixels
        (up to 134 MB), channels last, everything after a convolution in place.

        Equal to `forward` up to rounding in float32. In bfloat16 the convolutions and their activations round to 8 bits, as the original's
        do to 11 on a GPU; the picture is summed in float32. With the golden weights that is 60 dB from float32.
        """
        raw = _resized(raw.float())
        pictures = []
        for face, style in zip(raw.split(1), row.float().split(1), strict=True):
            x, image = face.to(dtype).contiguous(memory_format=torch.channels_last), face[:, :3].permute(0, 2, 3, 1).contiguous()
            for block in (self.block0, self.block1):
                assert block.conv0 is not None
                x = _styled(block.conv1, _styled(block.conv0, x, style), style)
                image = add_upsampled(_to_image(block.torgb, x, style), image)
            pictures.append(image.permute(0, 3, 1, 2))
        return torch.cat(pictures)


def native(device: torch.device) -> torch.dtype:
    """bfloat16 where `device` multiplies it in hardware, else float32: elsewhere it is slower, not faster."""
    if device.type == "cuda":
        quick = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        quick = device.type == "cpu" and torch.cpu._is_avx512_bf16_supported()
    return torch.bfloat16 if quick else torch.float32


def _resized(raw: Tensor) -> Tensor:
    if raw.shape[-1] == INPUT:
        return raw
    return F.interpolate(raw, size=(INPUT, INPUT), mode="bilinear", align_corners=False, antialias=True)


def _styled(layer: StyledConv, x: Tensor, row: Tensor) -> Tensor:
    """`StyledConv` without noise for one face: `x [1,Cin,H,W]` → `[1,Cout,H',W']`, both channels last."""
    weight = layer.weight * layer.affine(row)[0, :, None, None]
    weight = weight * (GAIN * (weight.square().sum((1, 2, 3), keepdim=True) + 1e-8).rsqrt())
    weight, bias = weight.to(x.dtype), (layer.bias * GAIN).to(x.dtype)
    if layer.up:
        transposed = weight.transpose(0, 1).contiguous(memory_format=torch.channels_last)
        fir = upsampling_kernel(len(bias), x.dtype, x.device)
        y = F.conv2d(F.conv_transpose2d(x, transposed, stride=2), fir, bias, padding=1, groups=len(bias))
    else:
        y = F.conv2d(x, weight.contiguous(memory_format=torch.channels_last), bias, padding=1)
    F.leaky_relu_(y, SLOPE)
    return y if layer.clamp is None else y.clamp_(-layer.clamp, layer.clamp)


def _to_image(layer: ToImage, x: Tensor, row: Tensor) -> Tensor:
    """`ToImage` for one face: `x [1,C,H,W]` → float32 `[1,H,W,3]`."""
    style = layer.affine(row)[0] / math.sqrt(x.shape[1])
    y = F.conv2d(x, (layer.weight * style[None, :, None, None]).to(x.dtype), layer.bias.to(x.dtype))
    y = y.permute(0, 2, 3, 1).float()
    return y if layer.clamp is None else y.clamp(-layer.clamp, layer.clamp)
