"""Rays of which only what shows is computed, with gradients or without: the fast twin of `renderer.render_rays`.

A step of an edit or an inversion looks at some thousand rays of 48 samples, of which about a quarter show. All are looked at by the
scene's `Field`, without gradients: that tells where the fine ones go and what each weighs. Those that weigh more than `SLIGHT` are then
computed as the scene does; the density of the others stands, and neither their labels nor their colours are asked for.

So what is left out of a value is at most `SLIGHT` for each sample, whose weight the others of its ray take. Of a gradient it is as
little by the rule "midpoint": a density that lets next to nothing show moves its weight by no more, since softplus and its derivative
vanish together, and behind a surface all is multiplied by the light that gets there. (By "left" a density that just begins to show would
have all of its gradient.) Only the depth of a ray on which next to nothing shows, a quotient of two such sums, may differ.
"""

from __future__ import annotations

import torch
from torch import Tensor

from fface_hub.generators.base import Field, Scene
from fface_hub.rendering.compositing import RayOutputs, Relabel, composite_depth, one_hot_background, sample_weights
from fface_hub.rendering.fast import Tile
from fface_hub.rendering.sampling import Sampling, importance, stratified

SLIGHT = 1e-5
"""Weight below which a sample counts for nothing."""


def render_sparse(
    field: Field, scene: Scene, origins: Tensor, directions: Tensor, sampling: Sampling, adapter: Relabel | None = None, color: bool = True
) -> RayOutputs:
    """`renderer.render_rays` of the one face of `scene`, whose `field` it is."""
    behind = scene.background(directions) if color else None
    origins, directions = origins[0], directions[0]
    depths, density = _probe(scene, field, origins.detach(), directions.detach(), sampling)
    showing = (~(sample_weights(density, depths, scene.rule) <= SLIGHT)).flatten().nonzero()[:, 0]
    owners = showing // depths.shape[1]
    along = directions.index_select(0, owners)
    points = origins.index_select(0, owners) + depths.flatten().index_select(0, showing)[:, None] * along
    samples = scene.geometry(points[None, :, None], along[None])
    density = density.flatten().index_copy(0, showing, samples.density.flatten()).reshape(depths.shape)
    weights = sample_weights(density, depths, scene.rule)
    logits = samples.logits
    if adapter is not None:
        logits = adapter(samples.features, torch.cat([samples.density[..., None], logits], dim=-1), along[None, :, None])
    values = [torch.ones_like(samples.density[..., None]), logits, *([scene.color(samples)] if color else [])]
    picked = weights.flatten().index_select(0, showing)
    flat = picked[:, None] * torch.cat(values, dim=-1).flatten(0, 2)
    sums = flat.new_zeros(len(origins), flat.shape[1]).index_add(0, owners, flat)[None]
    opacity, kept, classes = weights.sum(-1)[None], sums[..., :1], logits.shape[-1]
    # Rays on which nothing shows are empty.
    empty = 1 - torch.where(kept == 0, 0.0, opacity[..., None])
    sums = sums * (1 - empty) / torch.where(kept == 0, 1.0, kept)
    seen = sums[..., 1 : 1 + classes]
    if scene.empty_logit:
        seen = seen + empty * scene.empty_logit * one_hot_background(seen)
    picture = sums[..., 1 + classes :]
    if color:
        picture = picture + empty * (-1.0 if behind is None else behind)
    return RayOutputs(picture, seen, composite_depth(weights, depths)[None], opacity)


@torch.no_grad()
def _probe(scene: Scene, field: Field, origins: Tensor, directions: Tensor, sampling: Sampling) -> tuple[Tensor, Tensor]:
    """Sorted depths of all samples of the rays, coarse and fine, and their raw densities, both `[R,S]`."""
    tile = Tile(field, scene, 0, origins, directions)
    coarse = tile.look(stratified(scene.near, scene.far, directions[None], sampling)[0])
    if sampling.fine == 0:
        return coarse.depths, coarse.density
    fine = tile.look(importance(coarse.depths[None], tile.between(coarse)[None], sampling)[0])
    depths, order = torch.cat([coarse.depths, fine.depths], dim=1).sort(dim=1, stable=True)
    return depths, torch.cat([coarse.density, fine.density], dim=1).gather(1, order)
