"""The space of latents that a generator really uses, in whitened coordinates: where the W stage of an inversion moves."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from fface_hub.generators.base import Generator
from fface_hub.latents import Latents


@dataclass(frozen=True)
class LatentSpace:
    """Mean and principal axes of a generator's latents.

    `mean [V]` and `axes [K,V]` hold style rows in one vector: the geometry's, and the appearance's behind them unless the generator always
    gives both halves the same rows. Each axis is one standard deviation long, so coordinates of plausible faces are standard normal. Rows
    that are always equal (W) stay equal, whatever the coordinates. `spread`, the deviation of a single number, is the unit of free rows
    (W+).
    """

    mean: Tensor
    axes: Tensor
    spread: float
    geometry_shape: tuple[int, ...]
    appearance_shape: tuple[int, ...]

    def latents(self, coordinates: Tensor, rows: Tensor | None = None) -> Latents:
        """Latents (batch 1) at `coordinates [K]`, moved by free `rows [V]` in units of `spread`."""
        flat = self.mean + coordinates @ self.axes
        if rows is not None:
            flat = flat + self.spread * rows
        size = math.prod(self.geometry_shape)
        if len(flat) == size:
            # One tensor for both halves: a scene then computes its planes once.
            geometry = flat.reshape(self.geometry_shape)
            return Latents(geometry, geometry.reshape(self.appearance_shape))
        return Latents(flat[:size].reshape(self.geometry_shape), flat[size:].reshape(self.appearance_shape))


def latent_space(generator: Generator, samples: int = 1000, axes: int = 160, seed: int = 0) -> LatentSpace:
    """The space spanned by `samples` faces drawn from `generator` (without truncation), with at most `axes` principal axes.

    Facts 3.9: the original projectors start from the mean of 10,000 mapped draws and walk in raw W.
    """
    with torch.no_grad():
        drawn = generator.sample(samples, seed, truncation=1.0)
        start = generator.mean_latents()
        mean, rows = flat_latents(start)[0], flat_latents(drawn)
        if torch.equal(drawn.geometry.flatten(1), drawn.appearance.flatten(1)):
            size = rows.shape[1] // 2
            mean, rows = mean[:size], rows[:, :size]
        centred = rows - rows.mean(dim=0)
        # The axes of a few samples in a huge space come from the small matrix of their dot products (on the CPU: not every device knows
        # float64).
        values, vectors = torch.linalg.eigh((centred @ centred.T).cpu().double())
        values, vectors = values.flip(0)[: min(axes, samples - 1)], vectors.flip(1)[:, : min(axes, samples - 1)]
        kept = values > 1e-5 * values[0]
        unit = (vectors[:, kept] / values[kept].sqrt()).T.to(rows) @ centred
        deviations = (values[kept] / (samples - 1)).sqrt().to(rows)
        return LatentSpace(
            mean=mean,
            axes=unit * deviations[:, None],
            spread=float(centred.square().mean().sqrt()),
            geometry_shape=tuple(start.geometry.shape),
            appearance_shape=tuple(start.appearance.shape),
        )


def flat_latents(latents: Latents) -> Tensor:
    """Both halves in one vector per face, `[B,V]`."""
    return torch.cat([latents.geometry.flatten(1), latents.appearance.flatten(1)], dim=1)
