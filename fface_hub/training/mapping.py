"""Mapping networks learn what latents mean before any picture is rendered: w must tell the traits of the head in a linear way.

The style layers read w linearly, so a threshold of z (a hat or none) or a hue that goes round reaches a picture only once the mapping has
bent it straight. From pictures alone that takes longer than all the rest; from the traits themselves it takes minutes.
"""

from __future__ import annotations

import math
import multiprocessing
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm, trange

from fface_hub.errors import ModelError
from fface_hub.generators.stylegan import FullyConnected, PairMapping
from fface_hub.generators.triplane import TriplaneGenerator
from fface_hub.heads.config import APPEARANCE_SIZE, GEOMETRY_SIZE
from fface_hub.heads.traits import look_traits, shape_traits, surface_traits
from fface_hub.training.config import TrainConfig

COMPONENTS = {"skin": 64, "cap": 16, "locks": 12, "clothes": 8}
"""Principal components of each part of `surface_traits` that w must tell."""
BATCH, SURFACE_BATCH = 768, 512
"""Latents per step: of those with traits in closed form, and of those with surfaces."""


@dataclass(frozen=True)
class Lessons:
    """How long mappings are taught: `draws` latents with traits in closed form, `heads` with surfaces (29 ms each), `steps` of Adam."""

    draws: int = 60_000
    heads: int = 6_144
    steps: int = 8_000
    learning_rate: float = 0.03
    workers: int = 2


@dataclass(frozen=True)
class Subject:
    """Latents `z [N,Z]` and what w must tell of them, `traits [N,A]`; `batch` of them in a step. With `background [N,3]` in [-1, 1], also
    the colour that the generator's background layer shall have."""

    z: Tensor
    traits: Tensor
    batch: int
    background: Tensor | None = None


def taught_generator(config: TrainConfig, lessons: Lessons | None = None, progress: bool = True) -> TriplaneGenerator:
    """A generator of fresh weights, but with mappings and background that know the rendered heads. The same for the same seed.

    Raises `ModelError` for a config whose latents are not those of the rendered heads.
    """
    lessons = lessons or Lessons()
    sizes = config.generator.get("z_dim"), config.generator.get("appearance_z_dim")
    if config.generator.get("mapping") != "pair" or sizes != (GEOMETRY_SIZE, APPEARANCE_SIZE):
        raise ModelError("Only a mapping 'pair' with the latent sizes of the rendered heads can be taught their traits.")
    torch.manual_seed(config.seed)  # layers draw their first weights from the global generator
    generator = TriplaneGenerator(**config.generator)
    mapping = generator.backbone.mapping
    assert isinstance(mapping, PairMapping)
    rng = np.random.default_rng([config.seed, 4])
    z = rng.standard_normal((lessons.draws, APPEARANCE_SIZE)).astype(np.float32)
    traits = np.stack([look_traits(row) for row in z])
    looks = Subject(torch.from_numpy(z), standardised(traits), BATCH + SURFACE_BATCH, torch.from_numpy(traits[:, :3]) * 2 - 1)
    teach(mapping.appearance, [looks], lessons, generator.background, progress)
    z = rng.standard_normal((lessons.draws, GEOMETRY_SIZE)).astype(np.float32)
    shapes = Subject(torch.from_numpy(z), standardised(np.stack([shape_traits(row) for row in z])), BATCH)
    teach(mapping.geometry, [shapes, _surfaces(z[: lessons.heads], lessons.workers, progress)], lessons, None, progress)
    generator.update_mean()
    return generator


def teach(
    mapping: nn.Module,
    subjects: Sequence[Subject],
    lessons: Lessons,
    layer: FullyConnected | None = None,
    progress: bool = True,
) -> None:
    """Fit `mapping` so that linear readings of w (thrown away afterwards) tell every trait, and the tanh of `layer` the background of the
    subjects that have one; mean squared error, cosine rate."""
    width = mapping(subjects[0].z[:1]).shape[1]
    readings = [FullyConnected(width, subject.traits.shape[1]) for subject in subjects]
    parameters = [*mapping.parameters(), *(p for reading in readings for p in reading.parameters())]
    parameters += [] if layer is None else list(layer.parameters())
    optimiser = torch.optim.Adam(parameters, lessons.learning_rate, (0.9, 0.99), fused=True)
    random = torch.Generator().manual_seed(0)
    for step in trange(lessons.steps, unit="step", desc="mapping", disable=not progress):
        for group in optimiser.param_groups:
            group["lr"] = lessons.learning_rate * min(1.0, (step + 1) / 50) * (0.5 + 0.5 * math.cos(math.pi * step / lessons.steps))
        loss = torch.zeros(())
        for subject, reading in zip(subjects, readings, strict=True):
            chosen = torch.randint(len(subject.z), (subject.batch,), generator=random)
            w = mapping(subject.z[chosen])
            loss = loss + (reading(w) - subject.traits[chosen]).square().mean()
            if layer is not None and subject.background is not None:
                loss = loss + 10 * (layer(w).tanh() - subject.background[chosen]).square().mean()
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()


def standardised(values: np.ndarray) -> Tensor:
    """`[N,A]` with mean 0 and deviation 1 in each column; columns that never change are left out."""
    deviation = values.std(axis=0)
    kept = deviation > 1e-4
    return torch.from_numpy(((values - values.mean(axis=0)) / np.maximum(deviation, 1e-6))[:, kept].astype(np.float32))


def components(values: np.ndarray, count: int) -> Tensor:
    """The first principal components `[N,count]` of `values [N,D]`, the k-th with a deviation of √(σ_k/σ_1): all count, large ones more."""
    left, sizes, _ = np.linalg.svd((values - values.mean(axis=0)).astype(np.float64), full_matrices=False)
    count = min(count, len(sizes))
    return torch.from_numpy((left[:, :count] * np.sqrt(len(values) * sizes[:count] / sizes[0])).astype(np.float32))


def _surfaces(z: np.ndarray, workers: int, progress: bool) -> Subject:
    with ExitStack() as stack:
        if workers > 1:
            pool = stack.enter_context(multiprocessing.get_context("spawn").Pool(workers))
            built = pool.imap(surface_traits, list(z), chunksize=32)
        else:
            built = map(surface_traits, z)
        found = list(tqdm(built, total=len(z), unit="head", desc="surfaces", disable=not progress))
    parts = [components(np.stack([item[name] for item in found]), count) for name, count in COMPONENTS.items()]
    return Subject(torch.from_numpy(z), torch.cat(parts, dim=1), SURFACE_BATCH)
