"""A region composite: geometry and labels of one scene and, for some classes, the colours of others.

Its latents have one appearance for each class of a layout (`Latents.appearance [B,K,L,D]`); background, super-resolution and what no class
speaks for follow the first, that of class 0.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from fface_hub.adapters.adapter import Adapter
from fface_hub.editing.kept import KeptScene
from fface_hub.errors import ModelError
from fface_hub.generators.base import Field, Generator, GeometrySamples, Scene, WrappedScene
from fface_hub.latents import Latents
from fface_hub.rendering.compositing import composite, sample_weights
from fface_hub.rendering.renderer import Relabel

SILHOUETTE, SURFACE = 1.0, 4.0
"""By how much the logit of a pixel's class must be ahead of the background's, and of any other's, for the full change of colour: where it
is 3 and 55 times as likely.

Across a border a logit changes by about 5 from pixel to pixel (128², bundled generator). Before the background colours do not change with
the class, so the ramp may be steep; two surfaces run into one another over a pixel or two, where the other appearance would show the
colour of the wrong one: light skin at the edge of dark hair.
"""


class RegionScene(WrappedScene):
    """`base`, with the colours of the scenes of `others` (ids of classes → scene, the same batch) where a ray meets those classes.

    Colour of a sample: c + g·m·(c' − c), for c of `base`, c' of the other scene at the same point, m the softmax of the sample's logits
    summed over the classes, and g in [0, 1] from the logits of the whole ray, as the renderer composites them: 0 unless its label is one of
    the classes, and a ramp (see `SILHOUETTE`) up to 1. m keeps what shines through from behind in its own colour. No gradient flows
    through g and m. So, whatever the camera and the number of samples:

    - density, logits, labels, depth and opacity are those of `base`, bit for bit if that is rendered `exact`, too;
    - a pixel with another label keeps its colour. Where two labels tie, rounding may leave it 1e-5 away.

    What it costs: colour at a border belongs to the label, not to how much of the pixel the class covers, so a rim, about a pixel wide, of
    the former colour stays outside, in the background around the hair above all.

    Classes are those of `adapter`'s layout, or else the scene's own. A point alone on its ray, as meshes ask for, is a ray's only sample.
    """

    def __init__(self, base: Scene, others: Mapping[tuple[int, ...], Scene], adapter: Relabel | None = None) -> None:
        for scene in others.values():
            if scene.batch != base.batch:
                raise ValueError(f"{scene.batch} faces cannot lend their colours to {base.batch}: the batches must be equal")
            if scene.fingerprint != base.fingerprint:
                raise ModelError("A face can only take its colours from faces of the same generator.")
        super().__init__(base)
        self.others, self.adapter = dict(others), adapter
        self.numbers_per_sample += max((s.numbers_per_sample for s in others.values()), default=0)

    def geometry(self, points: Tensor, directions: Tensor) -> GeometrySamples:
        """The base's own; the directions travel along in `lookup`, since colours depend on whole rays here."""
        samples = self.inner.geometry(points, directions)
        own = points.new_zeros(*points.shape[:3], 0) if samples.lookup is None else samples.lookup
        return replace(samples, lookup=torch.cat([own, directions[:, :, None].expand_as(points)], dim=-1))

    def color(self, samples: GeometrySamples) -> Tensor:
        """See the class. `ValueError` for samples that another scene made."""
        if samples.lookup is None:
            raise ValueError("a region composite colours the samples that it made")
        own, directions = samples.lookup[..., :-3], samples.lookup[:, :, 0, -3:]
        color = self.inner.color(replace(samples, lookup=own if own.shape[-1] else None))
        with torch.no_grad():
            logits = self._labels(samples, directions)
            gate, shares = self._gate(samples, logits, directions), logits.softmax(dim=-1)
        rays = (gate > 0).any(0).nonzero()[:, 0]
        if len(rays) == 0:
            return color
        points, gate, shares, kept = samples.points[:, rays], gate[:, rays, None, None], shares[:, rays], color[:, rays]
        for classes, scene in self.others.items():
            theirs = scene.color(scene.geometry(points, directions[:, rays]))
            weight = gate * shares[..., list(classes)].sum(-1, keepdim=True)
            color = color.index_add(1, rays, weight * (theirs - kept))
        return color

    def field(self) -> Field | None:
        """None: colours depend on whole rays."""
        return None

    def _labels(self, samples: GeometrySamples, directions: Tensor) -> Tensor:
        """Logits `[B,R,S,K]` of the samples in the layout that the classes belong to."""
        if self.adapter is None:
            return samples.logits
        return self.adapter(samples.features, torch.cat([samples.density[..., None], samples.logits], dim=-1), directions[:, :, None])

    def _gate(self, samples: GeometrySamples, logits: Tensor, directions: Tensor) -> Tensor:
        """g `[B,R]`: how clearly the classes are what the rays show."""
        # Depth up to a constant of the ray: weights ask for differences only.
        depths, order = (samples.points * directions[:, :, None]).sum(-1).sort(dim=-1, stable=True)
        alone = depths.shape[-1] == 1
        weights = torch.ones_like(depths) if alone else sample_weights(samples.density.gather(-1, order), depths, self.rule)
        weights = weights.gather(-1, order.argsort(dim=-1))
        pixel = composite(weights, logits)
        pixel[..., 0] += (1 - weights.sum(-1)) * self.empty_logit
        chosen = torch.zeros(pixel.shape[-1], dtype=torch.bool, device=pixel.device)
        chosen[[index for classes in self.others for index in classes]] = True
        ramp = torch.full_like(pixel[0, 0], SURFACE)
        ramp[0] = SILHOUETTE
        ahead = (pixel[..., chosen].amax(-1, keepdim=True) - pixel) / ramp
        return ahead[..., ~chosen].amin(-1).clamp(0, 1)


def face_scene(
    generator: Generator, latents: Latents, adapter: Adapter | None = None, over: Callable[[Scene, Tensor, Tensor], Scene] | None = None
) -> Scene:
    """The scene of `latents` with one appearance or, as a region composite, with one per class of the layout (adapter's, else generator's);
    if something is kept of them, a scene of two for each edit.

    Appearances that are equal share a scene. `over` makes of each scene, given its `geometry [B,L,D]` before all edits and its `appearance
    [B,L,D]`, what is shown in its place. Raises `ModelError` for another number of appearances or another generator's adapter.
    """
    first = latents.geometry if latents.kept is None else latents.kept.layers[0].geometry

    def under(number: int) -> Scene:
        """The scene with the appearance of that number."""
        scene = _under(generator, latents, number)
        return scene if over is None else over(scene, first, latents.appearance[:, number])

    base = under(0)
    if latents.appearance.shape[1] == 1:
        return base
    if adapter is not None:
        adapter.check(generator)
    layout = generator.layout if adapter is None else adapter.layout
    if latents.appearance.shape[1] != len(layout):
        raise ModelError(
            f"This face has {latents.appearance.shape[1]} appearances and the layout '{layout.name}' {len(layout)} classes: use the layout "
            "in which its colours were put together."
        )
    groups = _equal(latents.appearance)
    others = {group: under(group[0]) for group in groups if 0 not in group}
    return RegionScene(base, others, adapter) if others else base


def _under(generator: Generator, latents: Latents, number: int) -> Scene:
    """The scene of `latents` under the appearance of that `number`."""
    scene, kept = generator.scene(Latents(latents.geometry, latents.appearance[:, number : number + 1])), latents.kept
    if kept is None:
        return scene
    before = replace(latents, geometry=kept.geometry, kept=kept.earlier)
    return KeptScene(_under(generator, before, number), scene, kept)


def _equal(appearance: Tensor) -> Sequence[tuple[int, ...]]:
    """Classes with equal rows of `appearance [B,K,L,D]`, together."""
    groups: list[tuple[int, ...]] = []
    for index in range(appearance.shape[1]):
        known = next((i for i, group in enumerate(groups) if torch.equal(appearance[:, group[0]], appearance[:, index])), None)
        if known is None:
            groups.append((index,))
        else:
            groups[known] += (index,)
    return groups
