"""Sample sets whose painter is the truth: faces of the bundled generator with the labels of the rendered heads that they stand for."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from fface_hub.adapters.samples import Origin, Sample, SampleSet
from fface_hub.cameras import Camera, painting_view
from fface_hub.errors import FFaceError, ModelError
from fface_hub.generators.triplane import TriplaneGenerator
from fface_hub.heads.config import HELD_OUT_SEED
from fface_hub.heads.render import camera_rays
from fface_hub.heads.shards import RaySource
from fface_hub.latents import Latents
from fface_hub.layouts import FINE_24, Layout
from fface_hub.metrics import MINIMUM_PIXELS
from fface_hub.progress import Callback, Step
from fface_hub.rendering.renderer import render

CANDIDATES = 6
"""Heads that are looked at for each one that is chosen."""


def sample_set(
    source: RaySource,
    generator: TriplaneGenerator,
    layout: Layout,
    count: int = 10,
    seed: int = 0,
    resolution: int = 128,
    callback: Callback | None = None,
) -> SampleSet:
    """`count` faces of `generator` in `layout`, as somebody would have painted them who saw the heads themselves.

    The picture is the generator's, the labels are those of the head with the same latents, from the same camera. Of six times as many
    training heads those are chosen that show every class as often as possible: a painter would pick so too. Raises `ModelError` for a
    generator that was not trained on heads, `FFaceError` if the seeds reach the held-out ones.
    """
    candidates = range(seed * CANDIDATES * count, (seed + 1) * CANDIDATES * count)
    if candidates.stop > HELD_OUT_SEED:
        raise FFaceError(f"Seed {seed} would draw heads that are held out for measuring: choose a smaller seed.")
    head_latents(source, generator, [candidates[0]])  # refuses a generator of other latents before the work
    seen = []
    for index, head in enumerate(candidates):
        labels = true_labels(source, head, painting_view(0), resolution, layout)
        seen.append(torch.bincount(labels.flatten(), minlength=len(layout)) >= MINIMUM_PIXELS)
        if callback is not None:
            callback(Step(index + 1, len(candidates), {}))
    samples = []
    for index, pick in enumerate(covering(torch.stack(seen), count)):
        camera = painting_view(index)
        latents = head_latents(source, generator, [candidates[pick]])
        picture = render(generator.scene(latents), camera.to(latents.geometry.device), resolution).image[0].cpu()
        labels = true_labels(source, candidates[pick], camera, resolution, layout)
        samples.append(Sample(picture, labels, camera, latents.to("cpu").detach(), Origin.of(generator)))
    return SampleSet(layout, tuple(samples))


def covering(present: Tensor, count: int) -> list[int]:
    """`count` rows of `present [N,K]` (bool), picked greedily; a class is worth 1 / (1 + how often it is there already)."""
    times = torch.zeros(present.shape[1])
    picks: list[int] = []
    for _ in range(count):
        worth = (present / (1 + times)).sum(dim=1)
        worth[picks] = -1
        picks.append(int(worth.argmax()))
        times += present[picks[-1]]
    return picks


def head_latents(source: RaySource, generator: TriplaneGenerator, seeds: Sequence[int]) -> Latents:
    """The generator's latents of the heads of `seeds`; `ModelError` if it does not take theirs."""
    pairs = [source.latents(seed) for seed in seeds]
    geometry, appearance = (torch.from_numpy(np.stack(half)).float() for half in zip(*pairs, strict=True))
    sizes = generator.config["z_dim"], generator.config["appearance_z_dim"]
    if generator.config["mapping"] != "pair" or sizes != (geometry.shape[1], appearance.shape[1]):
        raise ModelError("This generator was not trained on rendered heads: paint samples on its own faces instead.")
    device = generator.mean_latents().geometry.device
    with torch.no_grad():
        return generator.map(geometry.to(device), appearance.to(device))


def true_labels(source: RaySource, seed: int, camera: Camera, resolution: int, layout: Layout) -> Tensor:
    """Labels `[h,h]` of the head of `seed` in `layout`, of the rays through the pixel centres of `camera` (one)."""
    geometry_z, _ = source.latents(seed)
    labels = np.asarray(source.labels(source.trace(geometry_z)(*camera_rays(camera, resolution))), np.int64)
    return FINE_24.convert(torch.from_numpy(labels).reshape(resolution, resolution), layout)
