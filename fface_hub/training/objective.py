"""What the generator is trained on: rays of known heads, rendered by volume rendering and compared with the truth.

One backbone pass gives every head's normalised planes and statistics. Half of its rays are coloured with its own statistics, half with
those of another head of the batch: the geometry of a under the statistics of b must look like the head (geometry a, appearance b).
That leaves no room for colour in the normalised planes, nor for shape in the statistics.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from fface_hub.generators.base import GeometrySamples
from fface_hub.generators.triplane import Statistics, TriplaneGenerator, TriplaneScene
from fface_hub.layouts import BASE_15
from fface_hub.rendering.compositing import composite, sample_weights
from fface_hub.training.config import TrainConfig
from fface_hub.training.data import RayBatch
from fface_hub.training.optimiser import scheduled_rate


@dataclass(frozen=True)
class RayPrediction:
    """`color [B,R,3]`, `logits [B,R,K]`, `opacity [B,R]`, `depth [B,R]` Σωt (not divided by Σω), `spread [B,R]` Σω(t − truth)².

    `surface_color [B,R,3]`, `surface_logits [B,R,K]`: those of the one sample on the true surface (anything on rays that miss).
    """

    color: Tensor
    logits: Tensor
    opacity: Tensor
    depth: Tensor
    spread: Tensor
    surface_color: Tensor
    surface_logits: Tensor


def sample_depths(depths: Tensor, config: TrainConfig, near: float, far: float, jitter: torch.Generator) -> Tensor:
    """Sorted sample depths `[B,R,S]` of rays whose surface is at `depths [B,R]` (infinite: none), S = config.near + config.free.

    Free samples are stratified from near to far; of the near ones the first lies on the surface, the rest are stratified around it within
    a half width drawn per ray. Rays that hit nothing have all their samples stratified.
    """
    shape = depths.shape

    def strata(count: int) -> Tensor:
        noise = torch.rand(*shape, count, generator=jitter, device=jitter.device).to(depths.device)
        return (torch.arange(count, device=depths.device) + noise) / count  # in [0, 1)

    low, high = config.near_width
    width = torch.rand(*shape, 1, generator=jitter, device=jitter.device).to(depths.device)
    width = low * (high / low) ** width
    beside = (2 * strata(config.near - 1) - 1) * width
    surface = depths[..., None] + torch.cat([torch.zeros_like(width), beside], dim=-1)
    free = near + (far - near) * strata(config.free)
    known = torch.cat([surface, free], dim=-1).sort(dim=-1).values
    empty = near + (far - near) * strata(config.near + config.free)
    return torch.where(depths[..., None].isfinite(), known, empty)


def scenes(generator: TriplaneGenerator, batch: RayBatch, bfloat16: bool) -> tuple[TriplaneScene, TriplaneScene]:
    """The batch's heads under their own statistics and background, and under those of their partners; one backbone pass."""
    rows = generator.map(batch.geometry_z, batch.appearance_z).geometry
    with torch.autocast(rows.device.type, torch.bfloat16, enabled=bfloat16):
        planes = generator.planes(rows)
    normalised, own = generator.normalise(planes)
    background = None if generator.background is None else generator.background(rows[:, -1]).tanh()
    partner = batch.partner
    swapped = Statistics(own.mean[partner], own.std[partner])
    behind = None if background is None else background[partner]
    return generator.scene_from(normalised, own, background), generator.scene_from(normalised, swapped, behind)


def predict(own: TriplaneScene, swapped: TriplaneScene, batch: RayBatch, depths: Tensor, bfloat16: bool) -> RayPrediction:
    """Render the batch's rays at sorted `depths [B,R,S]`: the first half of the rays as `own`, the second half as `swapped`."""
    points = batch.origins[:, :, None] + depths[..., None] * batch.directions[:, :, None]
    half = points.shape[1] // 2
    with torch.autocast(points.device.type, torch.bfloat16, enabled=bfloat16):
        samples = own.geometry(points, batch.directions)
        first_rays, other_rays = _halves(samples, half)
        colors = torch.cat([own.color(first_rays), swapped.color(other_rays)], dim=1)
    weights = sample_weights(samples.density.float(), depths, own.rule)
    opacity = weights.sum(dim=-1)
    empty = (1 - opacity)[..., None]
    first, second = own.background(batch.directions[:, :half]), swapped.background(batch.directions[:, half:])
    behind = -1.0 if first is None or second is None else torch.cat([first, second], dim=1)
    logits = composite(weights, samples.logits.float())
    background_logit = torch.zeros(logits.shape[-1], device=logits.device)
    background_logit[0] = own.empty_logit
    truth = torch.where(batch.depths.isfinite(), batch.depths, 0.0)
    surface = (depths - truth[..., None]).abs().argmin(dim=-1)[..., None, None]
    return RayPrediction(
        color=composite(weights, colors.float()) + empty * behind,
        logits=logits + empty * background_logit,
        opacity=opacity,
        depth=(weights * depths).sum(dim=-1),
        spread=(weights * (depths - truth[..., None]).square()).sum(dim=-1),
        surface_color=colors.float().take_along_dim(surface, dim=2)[:, :, 0],
        surface_logits=samples.logits.float().take_along_dim(surface, dim=2)[:, :, 0],
    )


def losses(prediction: RayPrediction, batch: RayBatch, config: TrainConfig) -> dict[str, Tensor]:
    """The unweighted terms, scalars by name.

    `l1`, `l2` of the colours; `labels` cross-entropy of the composited logits; `depth` |Σωt − t̂| and `spread` Σω(t − t̂)² on rays that hit;
    `opacity` cross-entropy of Σω against hit or not. `surface_color` (L1) and `surface_labels` ask the sample on the true surface
    itself: it learns what it should be even while density is elsewhere and compositing passes it no gradient.
    """
    half = batch.colors.shape[1] // 2
    color = torch.cat([batch.colors[:, :half], batch.swapped[:, half:]], dim=1)
    hit = batch.depths.isfinite()
    share = hit.float().mean().clamp_min(1e-6)
    truth = torch.where(hit, batch.depths, 0.0)
    weight = torch.where(hit, 1.0, config.background_weight)
    weight = weight / weight.mean()
    classes = torch.tensor([config.class_weights.get(name, 1.0) for name in BASE_15.names], device=hit.device)
    nowhere = batch.labels.masked_fill(~hit, -100)  # cross-entropy's own mark for what does not count
    return {
        "l1": ((prediction.color - color).abs() * weight[..., None]).mean(),
        "l2": ((prediction.color - color).square() * weight[..., None]).mean(),
        "labels": F.cross_entropy(prediction.logits.flatten(0, 1), batch.labels.flatten(), classes),
        "depth": ((prediction.depth - truth).abs() * hit).mean() / share,
        "spread": (prediction.spread * hit).mean() / share,
        "opacity": F.binary_cross_entropy(prediction.opacity.clamp(1e-4, 1 - 1e-4), hit.float(), weight),
        "surface_color": ((prediction.surface_color - color).abs() * hit[..., None]).mean() / share,
        "surface_labels": F.cross_entropy(prediction.surface_logits.flatten(0, 1), nowhere.flatten(), classes),
    }


def objective(
    generator: TriplaneGenerator, batch: RayBatch, config: TrainConfig, jitter: torch.Generator
) -> tuple[Tensor, dict[str, Tensor]]:
    """Weighted loss of one batch and its terms."""
    own, swapped = scenes(generator, batch, config.bfloat16)
    depths = sample_depths(batch.depths, config, own.near, own.far, jitter)
    terms = losses(predict(own, swapped, batch, depths, config.bfloat16), batch, config)
    return sum((config.weights[name] * term for name, term in terms.items()), torch.zeros_like(terms["l1"])), terms


def learning_rate(config: TrainConfig, progress: float, step: int) -> float:
    """Rate at `progress` in [0, 1] of the run: see `scheduled_rate`."""
    return scheduled_rate(config.learning_rate, config.warmup, config.decay, progress, step)


def _halves(samples: GeometrySamples, half: int) -> tuple[GeometrySamples, GeometrySamples]:
    """The samples of the first rays and of the rest. `lookup` stays valid in the partner's scene, since both share their planes."""
    sizes = (half, samples.points.shape[1] - half)
    points, density, features, logits = (
        values.split(sizes, dim=1) for values in (samples.points, samples.density, samples.features, samples.logits)
    )
    lookup = (None, None) if samples.lookup is None else samples.lookup.split(sizes, dim=1)
    first, second = (GeometrySamples(points[i], density[i], features[i], logits[i], lookup[i]) for i in range(2))
    return first, second
