"""Rays that are looked at once, however often an adapter is asked about them.

Density is frozen, so the weights ω of a ray's samples are constants, and a pixel's logits S = Σ ω_k s_k are linear in those of its samples.
What an adapter reads of a sample never changes either. So each view is marched once, samples that weigh next to nothing are dropped, and
labels cost the adapter's own small network: no backbone, no planes, no sorting.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Self

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from fface_hub.cameras import Camera
from fface_hub.errors import ModelError
from fface_hub.generators.base import Generator
from fface_hub.latents import Latents
from fface_hub.memory import in_parts
from fface_hub.progress import check_finite
from fface_hub.rendering.renderer import CHUNKS, Relabel, bytes_per_ray, march
from fface_hub.rendering.sampling import Sampling

LIMIT = 1_500_000_000
"""Bytes that a cache may take; joining its views takes as much again for a moment, and the whole process is to stay below 4 GB."""
RAYS_AT_ONCE = 4096


@dataclass(frozen=True)
class Views:
    """`V` pictures of `resolution`² pixels, as rays: the face `latents[v]` seen by `cameras[v]` through `pixels[v]` (int64 `[V,R]`, counted
    row by row from the top left)."""

    latents: Latents
    cameras: Camera
    pixels: Tensor
    resolution: int

    def __len__(self) -> int:
        return len(self.pixels)

    def rays(self, views: Tensor, picks: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Origins and unit directions `[B,R',3]` of the rays `picks [B,R']` (None: all) of `views [B]`, through the pixel centres."""
        pixels = self.pixels[views] if picks is None else self.pixels[views].gather(1, picks)
        uv = torch.stack([pixels % self.resolution, pixels // self.resolution], dim=-1)
        return self.cameras[views].rays_at((uv.to(self.cameras.cam2world.dtype) + 0.5) / self.resolution)


class RayCache:
    """The samples of `V` views of `R` rays each that weigh more than ε: what an adapter reads of them, and ω.

    One row per sample, ray after ray, and where each ray starts: rays through the background keep almost no sample and rays through a head
    many, so rows padded to one length per ray would be empty for the most part. `values [P,F+1+K₀]` are features, raw density and the
    generator's logits; `weights [P]`; `starts [V·R+1]`; and per ray `directions [V·R,3]` and `empty [V·R]`, the background's share 1 − Σω
    over all samples times its logit.
    """

    def __init__(self, values: Tensor, weights: Tensor, counts: Tensor, rays: tuple[Tensor, Tensor], shape: tuple[int, int, int]) -> None:
        self.values, self.weights = values, weights
        self.starts = F.pad(counts.cumsum(0), (1, 0))
        self.directions, self.empty = rays
        self.views, self.rays, self.features = shape

    @classmethod
    @torch.no_grad()
    def build(
        cls,
        generator: Generator,
        views: Views,
        sampling: Sampling | None = None,
        epsilon: float = 0.0,
        dtype: torch.dtype = torch.float32,
        limit: int = LIMIT,
        callback: Callable[[int], None] | None = None,
    ) -> Self:
        """March every ray of `views` once and keep the samples with ω > `epsilon`.

        With `epsilon` 0 labels and losses are those of rendering with the same `sampling`, up to rounding. A jitter is drawn once per ray.
        `dtype` is that of the values: float16 halves the memory; reading it is no faster and no slower, so a fit, which need not save,
        takes float32. `callback` is told the bytes so far after every chunk of rays and may raise `CancelledError`. Raises `ModelError` as
        soon as it is clear that more than `limit` bytes would be needed, `OptimisationError` for scenes with numbers that are not finite.
        """
        blocks: list[tuple[Tensor, ...]] = []
        features, size = 0, 0
        for number in range(len(views)):
            for found, geometry, *block in _look_at(generator, views, number, sampling or Sampling(), epsilon):
                features = found.shape[1]
                blocks.append((torch.cat([found, geometry], dim=1).to(dtype), *block))
                size += sum(part.nbytes for part in blocks[-1])
                if callback is not None:
                    callback(size)
            _check_size(size * len(views) / (number + 1), limit)
        values, weights, counts, directions, empty = (torch.cat(column) for column in zip(*blocks, strict=True))
        return cls(values, weights, counts, (directions, empty), (len(views), views.pixels.shape[1], features))

    @property
    def bytes(self) -> int:
        """Memory that the cache takes."""
        return sum(x.nbytes for x in (self.values, self.weights, self.starts, self.directions, self.empty))

    def logits(self, adapter: Relabel, views: Tensor, picks: Tensor) -> Tensor:
        """Logits `[B,R',K]` of the rays `picks [B,R']` of `views [B]` (int64), differentiable with respect to the adapter."""
        rays = (views[:, None] * self.rays + picks).flatten()
        first = self.starts[rays]
        counts = self.starts[rays + 1] - first
        begins = counts.cumsum(0) - counts  # where each ray starts among the samples that are picked now
        owner = torch.repeat_interleave(counts)  # and the ray that each of those belongs to
        rows = (first - begins)[owner] + torch.arange(len(owner), device=owner.device)
        values = self.values.index_select(0, rows).float()  # several times as fast as values[rows]
        directions = self.directions[rays].index_select(0, owner)
        logits = adapter(values[:, : self.features], values[:, self.features :], directions)
        sums = _WeightedSums.apply(logits, self.weights[rows], owner, begins)
        background = F.pad(self.empty[rays][:, None], (0, sums.shape[-1] - 1))
        return (sums + background).unflatten(0, picks.shape)

    @torch.no_grad()
    def labels(self, adapter: Relabel, view: int) -> Tensor:
        """Labels `[R]` of all rays of one view."""
        every = torch.arange(self.rays, device=self.weights.device)[None]
        views = every.new_tensor([view])
        return torch.cat([self.logits(adapter, views, picks).argmax(-1)[0] for picks in every.split(RAYS_AT_ONCE, dim=1)])


def own_logits(features: Tensor, geometry: Tensor, directions: Tensor) -> Tensor:
    """The generator's own labelling, as an adapter would give it."""
    return geometry[..., 1:]


def _look_at(generator: Generator, views: Views, number: int, sampling: Sampling, epsilon: float) -> Iterator[tuple[Tensor, ...]]:
    """One view, some rays after others: features, geometry, weights, samples per ray, directions and the background's logit."""
    scene = generator.scene(views.latents[number])
    origins, directions = views.rays(torch.tensor([number], device=views.pixels.device))
    drawn = sampling.drawn(directions)

    def work(window: slice) -> tuple[Tensor, ...]:
        """Some rays of the view."""
        samples, _, weights = march(scene, origins[:, window], directions[:, window], drawn.part(window))
        check_finite(weights, f"The look at view {number + 1}")
        keep = weights > epsilon
        geometry = torch.cat([samples.density[keep][:, None], samples.logits[keep]], dim=1)
        empty = (1 - weights.sum(-1)) * scene.empty_logit
        return samples.features[keep], geometry, weights[keep], keep.sum(-1)[0], directions[0, window], empty[0]

    return in_parts(work, origins.shape[1], bytes_per_ray(scene, drawn), CHUNKS.get(scene.device.type))


def _check_size(size: float, limit: int) -> None:
    if size > limit:
        raise ModelError(
            f"What the fit looks at would take about {size / 1e9:.1f} GB of memory, more than the {limit / 1e9:.1f} GB that are allowed: "
            "choose fewer samples, fewer mixes, fewer rays per view or a lower resolution."
        )


class _WeightedSums(torch.autograd.Function):
    """`values [T,K]`, `weights [T]`, `owner [T]` (ascending), `begins [Q]` → Σ weights · values of each owner `[Q,K]`.

    The gradient goes to the values. The embedding-bag kernel forward, a gather backward: for 35,000 samples of 17 classes 1 ms on a CPU
    core, where `index_add` takes 4 and the network 28. Unlike kernels that scatter it also adds in a fixed order on a GPU.
    """

    @staticmethod
    def forward(ctx: Any, values: Tensor, weights: Tensor, owner: Tensor, begins: Tensor) -> Tensor:
        ctx.save_for_backward(weights, owner)
        if not len(values):
            return values.new_zeros(len(begins), values.shape[1])
        rows = torch.arange(len(values), device=values.device)
        return F.embedding_bag(rows, values, begins, per_sample_weights=weights, mode="sum")

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None, None]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """The same weights, each times the gradient of its owner."""
        weights, owner = ctx.saved_tensors
        return grads[0].index_select(0, owner) * weights[:, None], None, None, None
