"""StyleGAN2's layers, sized by arguments, with the parameter names of the official tri-plane checkpoints.

Every modulated convolution is the unfused form: the input is scaled by the style, one convolution with shared weights serves the whole
batch, and the output is scaled by the demodulation.
Karras et al. 2020, "Analyzing and Improving the Image Quality of StyleGAN", section 2.2.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

GAIN = math.sqrt(2)
SLOPE = 0.2


class FullyConnected(nn.Module):
    """Equalised-learning-rate linear layer: y = x (W m / √in)ᵀ + b m, W stored as N(0, 1) / m, then lrelu · √2 if `activate`."""

    def __init__(self, inputs: int, outputs: int, multiplier: float = 1.0, activate: bool = False, bias: float = 0.0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs) / multiplier)
        self.bias = nn.Parameter(torch.full((outputs,), bias))
        self.multiplier = multiplier
        self.gain = multiplier / math.sqrt(inputs)
        self.activate = activate

    def forward(self, x: Tensor) -> Tensor:
        """`[...,in]` → `[...,out]`."""
        y = torch.addmm(self.bias, x.reshape(-1, x.shape[-1]), self.weight.T, beta=self.multiplier, alpha=self.gain)
        y = y.reshape(*x.shape[:-1], len(self.bias))
        return F.leaky_relu(y, SLOPE) * GAIN if self.activate else y


def add_upsampled(new: Tensor, image: Tensor) -> Tensor:
    """`new [B,2H,2H,C]` plus `image [B,H,H,C]` at twice its size, by the FIR filter [1,3,3,1] with zeros outside.

    Zero insertion and that filter weigh the two nearest samples ¾ and ¼ along each axis: a matrix U [2H,H], applied to rows and columns.
    Two matrix products cost less than zero insertion or interpolation, forwards and backwards.
    """
    batch, size, _, channels = image.shape
    with torch.autocast(image.device.type, enabled=False):  # as in ToImage: the sum stays in float32
        weights = _upsampling_matrix(size, image.dtype, image.device)
        tall = torch.matmul(weights, image.reshape(batch, size, size * channels)).reshape(-1, size, channels)
        added = torch.baddbmm(new.reshape(-1, 2 * size, channels), weights.expand(2 * size * batch, -1, -1), tall)
    return added.reshape(new.shape)


# Constants are kept: on a GPU, making one costs more than using it, and waits for all that was asked before.
@functools.lru_cache(maxsize=64)
def _upsampling_matrix(size: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """U `[2H,H]`: output 2i is ¾ of sample i and ¼ of the one before, output 2i+1 is ¾ of sample i and ¼ of the one after."""
    near = torch.eye(size, dtype=dtype, device=device)
    before, after = near.roll(-1, dims=1).tril(), near.roll(1, dims=1).triu()
    return torch.stack([0.75 * near + 0.25 * before, 0.75 * near + 0.25 * after], dim=1).reshape(2 * size, size)


@functools.lru_cache(maxsize=64)
def upsampling_kernel(channels: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """The FIR filter [1,3,3,1] for each of `channels`, `[C,1,4,4]`; its gain of 4, 2 on each axis, makes up for the inserted zeros."""
    taps = torch.tensor([1.0, 3.0, 3.0, 1.0], dtype=dtype, device=device) / 4
    return torch.outer(taps, taps).expand(channels, 1, 4, 4)


def upsampling_conv(x: Tensor, weight: Tensor) -> Tensor:
    """3×3 convolution to twice the size: transposed with stride 2 (2H+1), then the FIR filter with one pixel of zeros (2H)."""
    y = F.conv_transpose2d(x, weight.transpose(0, 1), stride=2)
    channels = y.shape[1]
    return F.conv2d(y, upsampling_kernel(channels, y.dtype, y.device), padding=1, groups=channels)


class StyledConv(nn.Module):
    """Modulated and demodulated 3×3 convolution, optional upsampling, constant noise, bias, lrelu · √2, optional clamp."""

    noise_const: Tensor

    def __init__(
        self, inputs: int, outputs: int, latent: int, resolution: int, up: bool = False, noise: bool = True, clamp: float | None = None
    ) -> None:
        super().__init__()
        self.affine = FullyConnected(latent, inputs, bias=1.0)
        self.weight = nn.Parameter(torch.randn(outputs, inputs, 3, 3))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.up = up
        self.clamp = clamp
        self.noise_strength: nn.Parameter | None = None
        if noise:
            self.noise_strength = nn.Parameter(torch.zeros([]))
            self.register_buffer("noise_const", torch.randn(resolution, resolution))

    def forward(self, x: Tensor, row: Tensor, noise: bool = True) -> Tensor:
        """`x [B,Cin,H,W]`, `row [B,D]` → `[B,Cout,H',W']`."""
        with torch.autocast(x.device.type, enabled=False):  # styles are tiny, and their rounding would shift every pixel alike
            style = self.affine(row.float())  # [B,Cin]
            demodulation = (style.square() @ self.weight.float().square().sum((2, 3)).T + 1e-8).rsqrt()  # [B,Cout]
        x = x * style[:, :, None, None].to(x.dtype)
        y = upsampling_conv(x, self.weight) if self.up else F.conv2d(x, self.weight, padding=1)
        # lrelu is positively homogeneous, so its gain √2 goes into the scale and the bias: one pass over memory less.
        scale = (demodulation * GAIN)[:, :, None, None].to(y.dtype)
        y = torch.addcmul((self.bias * GAIN)[:, None, None].to(y.dtype), y, scale)
        if noise and self.noise_strength is not None:
            y = y + (self.noise_const * (self.noise_strength * GAIN)).to(y.dtype)
        y = F.leaky_relu(y, SLOPE, inplace=True)
        return y if self.clamp is None else y.clamp(-self.clamp, self.clamp)


class ToImage(nn.Module):
    """1×1 modulated convolution without demodulation: features → image (or plane) channels."""

    def __init__(self, inputs: int, outputs: int, latent: int, clamp: float | None = None) -> None:
        super().__init__()
        self.affine = FullyConnected(latent, inputs, bias=1.0)
        self.weight = nn.Parameter(torch.randn(outputs, inputs, 1, 1))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.clamp = clamp

    def forward(self, x: Tensor, row: Tensor) -> Tensor:
        """`x [B,Cin,H,W]`, `row [B,D]` → float32 `[B,H,W,Cout]`, channels last: so points look up whole rows of channels."""
        batch, channels, height, width = x.shape
        with torch.autocast(x.device.type, enabled=False):  # planes add up over all blocks: half precision would show
            style = self.affine(row.float()) / math.sqrt(channels)  # [B,Cin]
            weight = style[:, :, None] * self.weight[:, :, 0, 0].float().T  # [B,Cin,Cout]: at 1×1 a weight per sample is cheap
            pixels = x.float().permute(0, 2, 3, 1).reshape(batch, height * width, channels)
            y = torch.baddbmm(self.bias.float(), pixels, weight).reshape(batch, height, width, -1)
        return y if self.clamp is None else y.clamp(-self.clamp, self.clamp)


class Block(nn.Module):
    """One resolution of a "skip" network: conv0 (upsampling), conv1, and an image that is added to the upsampled image so far.

    A block without `inputs` is the first: it starts from a learnt constant and has no conv0.
    """

    def __init__(
        self, inputs: int | None, outputs: int, latent: int, resolution: int, image_channels: int, noise: bool, clamp: float | None = None
    ) -> None:
        super().__init__()
        if inputs is None:
            self.const = nn.Parameter(torch.randn(outputs, resolution, resolution))
            self.conv0 = None
        else:
            self.conv0 = StyledConv(inputs, outputs, latent, resolution, up=True, noise=noise, clamp=clamp)
        self.conv1 = StyledConv(outputs, outputs, latent, resolution, noise=noise, clamp=clamp)
        self.torgb = ToImage(outputs, image_channels, latent, clamp=clamp)

    def forward(self, x: Tensor | None, image: Tensor | None, rows: Iterator[Tensor], noise: bool = True) -> tuple[Tensor, Tensor]:
        """Features `[B,C,H,W]` and image `[B,H,W,C]` of the resolution before → of this one. `rows` gives the style `[B,D]` of conv0, conv1
        and torgb in turn.
        """
        if self.conv0 is None:
            row = next(rows)
            x = self.const.expand(len(row), -1, -1, -1).contiguous(memory_format=torch.channels_last)
            x = self.conv1(x, row, noise)
        else:
            x = self.conv1(self.conv0(x, next(rows), noise), next(rows), noise)
        assert x is not None
        new = self.torgb(x, next(rows))
        return x, new if image is None else add_upsampled(new, image)


class Synthesis(nn.Module):
    """Style rows `[B,L,D]` → an image `[B,channels,N,N]`, L = 2 log2 N − 2: row 2k−1 feeds block k's conv0 and the torgb before it."""

    def __init__(self, resolution: int, channels: int, latent: int, channel_base: int, channel_max: int, noise: bool) -> None:
        super().__init__()
        self.resolutions = [2**power for power in range(2, int(math.log2(resolution)) + 1)]
        self.num_rows = 2 * len(self.resolutions)
        width: int | None = None
        for size in self.resolutions:
            outputs = min(channel_base // size, channel_max)
            self.add_module(f"b{size}", Block(width, outputs, latent, size, channels, noise))
            width = outputs

    def forward(self, rows: Tensor, noise: bool = True) -> Tensor:
        """`rows [B,L,D]` → `[B,channels,N,N]` in float32, whatever autocast computes in; channels last in memory."""
        x, image = None, None
        for index, size in enumerate(self.resolutions):
            # The image of one block and the first convolution of the next share a row.
            used = [0, 1] if index == 0 else [2 * index - 1, 2 * index, 2 * index + 1]
            x, image = self.get_submodule(f"b{size}")(x, image, iter([rows[:, i] for i in used]), noise)
        assert image is not None
        return image.permute(0, 3, 1, 2)


def normalise_second_moment(x: Tensor) -> Tensor:
    """`[B,D]` scaled to a mean square of 1."""
    return x * (x.square().mean(dim=1, keepdim=True) + 1e-8).rsqrt()


class CameraMapping(nn.Module):
    """EG3D's mapping: z and the conditioning camera, each normalised, through a few layers to one w; `w_avg` is the mean of many."""

    w_avg: Tensor

    def __init__(self, z: int, camera: int, latent: int, layers: int, multiplier: float = 0.01) -> None:
        super().__init__()
        self.embed = FullyConnected(camera, latent)
        self.layers = _stack(self, z + latent, latent, layers, multiplier)
        self.register_buffer("w_avg", torch.zeros(latent))

    def forward(self, z: Tensor, camera: Tensor) -> Tensor:
        """`z [B,Z]`, `camera [B,25]` → w `[B,D]`."""
        x = torch.cat([normalise_second_moment(z), normalise_second_moment(self.embed(camera))], dim=1)
        for name in self.layers:
            x = self.get_submodule(name)(x)
        return x


class PlainMapping(nn.Module):
    """z → w without normalisation: the numbers of a rendered head mean something each, and so does their length."""

    w_avg: Tensor

    def __init__(self, z: int, latent: int, layers: int, multiplier: float) -> None:
        super().__init__()
        self.layers = _stack(self, z, latent, layers, multiplier)
        self.register_buffer("w_avg", torch.zeros(latent))

    def forward(self, z: Tensor) -> Tensor:
        """`z [B,Z]` → w `[B,D]`."""
        for name in self.layers:
            z = self.get_submodule(name)(z)
        return z


class PairMapping(nn.Module):
    """Two mappings side by side: the geometry z drives the early style rows, the appearance z the late ones."""

    def __init__(self, geometry_z: int, appearance_z: int, latent: int, layers: int, multiplier: float) -> None:
        super().__init__()
        self.geometry = PlainMapping(geometry_z, latent, layers, multiplier)
        self.appearance = PlainMapping(appearance_z, latent, layers, multiplier)


def _stack(module: nn.Module, inputs: int, latent: int, layers: int, multiplier: float) -> list[str]:
    """Adds fc0, fc1 … to `module` (the official names) and returns them."""
    names = [f"fc{index}" for index in range(layers)]
    for index, name in enumerate(names):
        module.add_module(name, FullyConnected(inputs if index == 0 else latent, latent, multiplier, activate=True))
    return names
