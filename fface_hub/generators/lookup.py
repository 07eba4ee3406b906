"""Bilinear look-up in feature planes.

On a CPU the forward pass is a weighted sum of table rows, four for each point and plane, and so is the backward pass once the rows are
sorted; positions get theirs through the weights. All of it runs on the embedding-bag kernels, several times as fast as `grid_sample`
and its scattering gradient.
"""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

NOTHING = -30.0
"""Raw density where there is nothing: softplus, as tri-planes are rendered, makes 1e-13 of it."""


def look_up(planes: Tensor, grid: Tensor) -> Tensor:
    """Samples `[B,M,P,C]` of `planes [B,P,C,N,N]` at `grid [B,M,P,2]` (width, height in [-1, 1]): bilinear, zeros outside.

    Texel centres lie at half pixels. Differentiable, on the CPU once.
    """
    if planes.device.type != "cpu" or planes.dtype != torch.float32:
        return look_up_slow(planes, grid)
    batch, count, channels, size = len(planes), planes.shape[1], planes.shape[2], planes.shape[3]
    table = planes.permute(0, 3, 4, 1, 2).reshape(-1, channels)  # row ((b N + y) N + x) P + p: no copy for planes of a backbone
    rows, weights = corners(grid, size)
    found = F.embedding_bag(rows, table.detach(), per_sample_weights=weights, mode="sum")
    return _OfTable.apply(table, found, rows, weights.detach()).reshape(batch, -1, count, channels)


def look_up_slow(planes: Tensor, grid: Tensor) -> Tensor:
    """The obvious twin, by `grid_sample`."""
    found = F.grid_sample(planes.flatten(0, 1), grid.transpose(1, 2).flatten(0, 1)[:, :, None], mode="bilinear", align_corners=False)
    return found[..., 0].unflatten(0, planes.shape[:2]).permute(0, 3, 1, 2)


def cut(density: Tensor, points: Tensor, bounds: float) -> Tensor:
    """Raw `density [...]` at `points [...,3]`, but `NOTHING` outside the cube of half side `bounds` (infinite: everywhere as it is).

    Out there a point may still lie within one of the planes, and a decoder may see anything in that: training hardly looks there.
    """
    return density if bounds == math.inf else density.masked_fill(points.abs().amax(-1) > bounds, NOTHING)


def corners(grid: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Table rows (int32) and bilinear weights `[B·M·P,4]` of the texels around `grid [B,M,P,2]`; texels outside weigh 0."""
    batch, _, count, _ = grid.shape
    position = ((grid + 1) * (size / 2) - 0.5).clamp(-1, size)
    lower = position.floor()
    upper_weight = position - lower
    lower_weight = (1 - upper_weight) * ((lower >= 0) & (lower < size))
    upper_weight = upper_weight * (lower < size - 1)
    lower = lower.to(torch.int32)
    upper = (lower + 1).clamp_(0, size - 1)
    lower = lower.clamp_(0, size - 1)
    ints = {"dtype": torch.int32, "device": grid.device}
    first = torch.arange(batch, **ints)[:, None, None] * (size * size * count) + torch.arange(count, **ints)  # [B,1,P]
    (left, top), (right, bottom) = lower.unbind(-1), upper.unbind(-1)  # [B,M,P] each
    left, right, top, bottom = left * count, right * count, top * (size * count) + first, bottom * (size * count) + first
    (left_w, top_w), (right_w, bottom_w) = lower_weight.unbind(-1), upper_weight.unbind(-1)
    rows = torch.stack([top + left, top + right, bottom + left, bottom + right], dim=-1)
    weights = torch.stack([top_w * left_w, top_w * right_w, bottom_w * left_w, bottom_w * right_w], dim=-1)
    return rows.reshape(-1, 4), weights.reshape(-1, 4)


class PlaneTable:
    """Planes as rows of channels, for look-ups without gradients: one gather takes the mean over all planes of a point.

    `planes [B,P,C,N,N]`; `axes` are the coordinates (0, 1, 2) that index width and height of each plane, 2P numbers. A border of zeros
    stands for what lies outside, so no texel has to be tested. Rows are linear in the number of a point's texel, and weights products of
    two terms linear in its place within the texel: small matrix products make both.
    """

    def __init__(self, planes: Tensor, axes: list[int]) -> None:
        count, self.size = planes.shape[1], planes.shape[3]
        side = self.size + 3  # positions are clamped to [-1, N], whose upper texel is N + 1: one texel in front and two behind
        self.face_rows = side * side * count
        # Row numbers are exact as float32 up to 2²⁴, unless a GPU rounds its products.
        exact = torch.float64 if planes.device.type == "cuda" or self.face_rows >= 2**24 else torch.float32
        self.texels = F.pad(planes.permute(0, 3, 4, 1, 2), (0, 0, 0, 0, 1, 2, 1, 2)).reshape(-1, planes.shape[2])
        step, start = torch.zeros(3, 4 * count, dtype=exact), torch.zeros(4 * count, dtype=exact)
        slopes, offsets = torch.zeros(2, 3, 4 * count), torch.zeros(2, 4 * count)
        for column in range(4 * count):
            plane, down, right = column // 4, column // 2 % 2, column % 2
            width, height = axes[2 * plane], axes[2 * plane + 1]
            step[width, column] += count
            step[height, column] += count * side
            start[column] = plane + count * (right + 1) + count * side * (down + 1)
            slopes[0, width, column], offsets[0, column] = 2 * right - 1, 1 - right
            slopes[1, height, column], offsets[1, column] = (2 * down - 1) / count, (1 - down) / count
        self.step, self.start, self.slopes, self.offsets = (x.to(planes.device) for x in (step, start, slopes, offsets))

    def corners(self, points: Tensor, bounds: float, face: int) -> tuple[Tensor, Tensor]:
        """Rows (int32) and weights `[M,4P]` of the texels around `points [M,3]` of one face, in the cube of half side `bounds`."""
        position = (points * (self.size / (2 * bounds)) + (self.size - 1) / 2).clamp_(-1, self.size)
        lower = position.floor()
        between = position.sub_(lower)
        rows = torch.addmm(self.start, lower.to(self.step.dtype), self.step).to(torch.int32)
        if face:
            rows += face * self.face_rows
        weights = torch.addmm(self.offsets[0], between, self.slopes[0])
        return rows, weights.mul_(torch.addmm(self.offsets[1], between, self.slopes[1]))

    def mean(self, rows: Tensor, weights: Tensor) -> Tensor:
        """Mean over planes of their bilinear samples, `[M,C]`."""
        return F.embedding_bag(rows, self.texels, per_sample_weights=weights, mode="sum")


class _OfTable(torch.autograd.Function):
    """`found [Q,C]` = Σ_j weights · table[rows] as it is; gives `table [T,C]` its gradient, where that of `embedding_bag` is slow.
    `rows`, `weights [Q,J]`."""

    @staticmethod
    def forward(ctx: Any, table: Tensor, found: Tensor, rows: Tensor, weights: Tensor) -> Tensor:
        ctx.save_for_backward(rows, weights)
        ctx.length = len(table)
        return found.view_as(found)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, Tensor, None, None]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """The transposed sum: sorted by table row, each row gathers from the samples that used it."""
        rows, weights = ctx.saved_tensors
        if not ctx.needs_input_grad[0]:
            return None, grads[0], None, None
        order = rows.flatten().sort().indices
        used = torch.bincount(rows.flatten(), minlength=ctx.length)
        starts = used.cumsum(0) - used
        samples = order // rows.shape[1]
        grad = F.embedding_bag(samples, grads[0].contiguous(), starts, per_sample_weights=weights.flatten()[order], mode="sum")
        return grad, grads[0], None, None
