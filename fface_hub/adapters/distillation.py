"""What the generator knows already: where its own classes are, on any number of faces that nobody has painted.

Ten samples show few hats, and one sample may show none. But a class of a new layout lies within its parent, and where the parents are the
generator was taught on thousands of heads: so on faces drawn at random, the probabilities of the parts of a class should add up to the
generator's. That is learning without forgetting (Li and Hoiem 2016), with the sums of Cermelli et al. 2020 ("Modeling the Background").
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from fface_hub.adapters.cache import Views, own_logits
from fface_hub.adapters.learner import parents
from fface_hub.adapters.mixing import TRUNCATION
from fface_hub.cameras import Camera, painting_view
from fface_hub.generators.base import Generator
from fface_hub.latents import Latents
from fface_hub.layouts import Layout
from fface_hub.rendering.renderer import Relabel

SMALLEST = 1e-6
"""Least probability that the logarithm sees."""


class Look(Protocol):
    """Where a fit gets pixel logits from: the cache, or the renderer. `at_once` views at a time."""

    at_once: int

    def logits(self, adapter: Relabel, views: Tensor, picks: Tensor) -> Tensor:
        """Logits `[B,R,K]` of the rays `picks [B,R]` of `views [B]`."""
        ...


@dataclass(frozen=True)
class Distillation:
    """How an adapter is held to its generator's classes: on `faces` drawn at random (truncation 0.7), each a picture of `resolution`²
    pixels of which `kept` drawn at random can be picked; each step looks at `rays` of `batch` of them.

    The loss counts `weight` / the number of samples: the more there is painted, the less has to be guessed.
    """

    weight: float = 2.0
    faces: int = 64
    resolution: int = 128
    kept: int = 512
    batch: int = 8
    rays: int = 128


def unpainted(generator: Generator, settings: Distillation, random: torch.Generator) -> Views:
    """The faces and their rays, from the front, left and right in turn."""
    seeds = torch.randint(2**31 - 1, (settings.faces,), generator=random).tolist()
    latents = Latents.cat([generator.sample(1, seed, TRUNCATION) for seed in seeds])
    device = latents.geometry.device
    cameras = Camera.from_vector(torch.cat([painting_view(number).to_vector() for number in range(settings.faces)])).to(device)
    pixels = torch.stack([torch.randperm(settings.resolution**2, generator=random)[: settings.kept] for _ in seeds])
    return Views(latents, cameras, pixels.to(device), settings.resolution)


class Teacher:
    """The generator's labels of `views`, and how far an adapter for `layout` is from them; `weight` is what that counts in a fit."""

    def __init__(self, look: Look, views: Views, layout: Layout, known: Layout, settings: Distillation, weight: float) -> None:
        self.look, self.settings, self.weight = look, settings, weight
        every = torch.arange(views.pixels.shape[1], device=views.pixels.device)[None]
        with torch.no_grad():
            logits = [look.logits(own_logits, every.new_tensor([view]), every) for view in range(len(views))]
        self.truth = torch.cat(logits).softmax(dim=-1)  # [V,R,K₀]
        self.parts = parts(layout, known).to(self.truth)

    def backward(self, adapter: Relabel, random: torch.Generator) -> Tensor:
        """−Σ_c q_c log Σ_{k in c} p_k, mean over rays drawn at random, and `weight` times its gradients: q are the probabilities that the
        generator gives to its classes, p those of the adapter."""
        count, rays, classes = self.truth.shape
        views = torch.randperm(count, generator=random)[: self.settings.batch]
        picks = torch.randint(rays, (len(views), self.settings.rays), generator=random)
        total = self.truth.new_zeros(())
        for view, pick in zip(views.split(self.look.at_once), picks.to(self.truth.device).split(self.look.at_once), strict=True):
            view = view.to(pick.device)
            probabilities = self.look.logits(adapter, view, pick).softmax(dim=-1) @ self.parts
            truth = self.truth[view].gather(1, pick[..., None].expand(-1, -1, classes))
            loss = -(truth * probabilities.clamp(min=SMALLEST).log()).sum() / picks.numel()
            (loss * self.weight).backward()
            total += loss.detach()
        return total


def parts(layout: Layout, known: Layout) -> Tensor:
    """Which classes of `layout` may be where `known` says which, bool `[K,K₀]`: those whose nearest ancestor it is, and those without one
    in `known`. Where a class of `known` has no part of its own in `layout`, any may be."""
    nearest = parents(layout, known)
    table = torch.tensor([[parent in (None, number) for number in range(len(known))] for parent in nearest], dtype=torch.bool)
    without = torch.tensor([number not in nearest for number in range(len(known))], dtype=torch.bool)
    return table | without
