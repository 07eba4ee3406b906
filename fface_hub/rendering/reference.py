"""The original renderer as its papers and facts state it: what the fast one is measured against, and nothing else uses.

EG3D's two-pass volume rendering (Chan et al. 2022, sections 4.2 and 4.3, after Mildenhall et al. 2020) over NeRFFaceEditing's two plane
sets: the backbone runs for every view, both sets are sampled at each point with `grid_sample`, every sample gets its labels and its colour,
all of them are sorted by depth, and neighbours are averaged before they are marched. The layers and the super-resolution are this
library's own, as it trains them, and rays come in tiles that suit a processor's cache: it is a fair opponent, not a strawman.
"""

from __future__ import annotations

import torch
from torch import Tensor

from fface_hub.cameras import Camera
from fface_hub.generators.base import GeometrySamples, Rendering, Scene
from fface_hub.generators.decoders import PlainDecoder
from fface_hub.generators.lookup import cut, look_up_slow
from fface_hub.generators.triplane import TriplaneScene
from fface_hub.rendering.compositing import RayOutputs, Relabel, interval_weights, one_hot_background
from fface_hub.rendering.renderer import CHUNKS, to_rendering
from fface_hub.rendering.sampling import Sampling, importance, stratified


class WrittenScene(TriplaneScene):
    """The same faces as `scene`, with both plane sets side by side, each sampled where it is asked for."""

    def __init__(self, scene: TriplaneScene) -> None:
        vars(self).update(vars(scene))
        self.appearance = scene.planes
        if not isinstance(scene.generator.decoder, PlainDecoder):
            self.appearance = scene.statistics.give_back(scene.planes)

    def geometry(self, points: Tensor, directions: Tensor) -> GeometrySamples:
        """Three look-ups in the geometry's planes."""
        features = self._sample(self.planes, points)
        density, logits = self.generator.decoder.geometry(features)
        return GeometrySamples(points, cut(density, points, self.end), features, logits)

    def color(self, samples: GeometrySamples) -> Tensor:
        """Three more in the appearance's planes."""
        return self.generator.decoder.color(self._sample(self.appearance, samples.points))

    def field(self) -> None:
        """None: this scene is the slow way."""
        return None

    def _sample(self, planes: Tensor, points: Tensor) -> Tensor:
        return look_up_slow(planes, self._grid(points).flatten(1, 2)).mean(dim=2).unflatten(1, points.shape[1:3])


@torch.no_grad()
def render_reference(
    scene: Scene, camera: Camera, resolution: int = 128, sampling: Sampling | None = None, adapter: Relabel | None = None
) -> Rendering:
    """The raw picture (not super-resolved), labels and depth of a `scene` of rule `midpoint`, B faces seen by B cameras."""
    if scene.rule != "midpoint":
        raise ValueError("the original renderer averages densities at mid-points")
    origins, directions = camera.to(scene.device).expand(scene.batch).rays(resolution)
    step = max(1, CHUNKS.get(scene.device.type, 32768) // scene.batch)
    parts = [
        _march(scene, o, d, sampling or Sampling(), adapter) for o, d in zip(origins.split(step, 1), directions.split(step, 1), strict=True)
    ]
    return to_rendering(RayOutputs.cat(parts, dim=1))


def _march(scene: Scene, origins: Tensor, directions: Tensor, sampling: Sampling, adapter: Relabel | None) -> RayOutputs:
    """Two passes, one sort, one march over the intervals between samples."""

    def look(depths: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        samples = scene.geometry(origins[:, :, None] + depths[..., None] * directions[:, :, None], directions)
        logits = samples.logits
        if adapter is not None:
            logits = adapter(samples.features, torch.cat([samples.density[..., None], logits], dim=-1), directions[:, :, None])
        return samples.density, logits, scene.color(samples)

    depths = stratified(scene.near, scene.far, directions, sampling)
    found = look(depths)
    if sampling.fine:
        fine = importance(depths, interval_weights(found[0], depths), sampling)
        more = look(fine)
        depths, order = torch.cat([depths, fine], dim=-1).sort(dim=-1, stable=True)
        density = torch.cat([found[0], more[0]], dim=-1).gather(-1, order)
        logits, color = (
            torch.cat([a, b], dim=2).gather(2, order[..., None].expand(*order.shape, a.shape[-1]))
            for a, b in zip(found[1:], more[1:], strict=True)
        )
        found = density, logits, color
    middle = (depths[..., 1:] + depths[..., :-1]) / 2
    weights = interval_weights(found[0], depths)
    logits, color = ((x[:, :, 1:] + x[:, :, :-1]) / 2 for x in found[1:])
    opacity = weights.sum(-1)
    empty = 1 - opacity[..., None]
    depth = ((weights * middle).sum(-1) / opacity).nan_to_num(torch.inf).clamp(depths.min(), depths.max())
    pixel_logits = (weights[..., None] * logits).sum(2)
    if scene.empty_logit:
        pixel_logits = pixel_logits + empty * scene.empty_logit * one_hot_background(pixel_logits)
    behind = scene.background(directions)
    return RayOutputs((weights[..., None] * color).sum(2) + empty * (-1.0 if behind is None else behind), pixel_logits, depth, opacity)
