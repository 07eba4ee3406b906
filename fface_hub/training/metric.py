"""How much a step along each axis of a latent basis shows: a metric on coordinates, by which encoders are judged.

All coordinates have deviation 1, but one turns a hat on and another moves a nostril. To first order a wrong answer changes pictures and
labels by J·Δ, so its squared error there is Δᵀ G Δ with G = JᵀJ, for the price of a matrix product instead of a rendering.
"""

from __future__ import annotations

import torch
from torch import Tensor

from fface_hub.cameras import look_at
from fface_hub.generators.base import Generator
from fface_hub.inversion.encoder import LatentBasis
from fface_hub.latents import Latents
from fface_hub.rendering.renderer import render
from fface_hub.rendering.sampling import Sampling

YAW = 15.0
"""Of the one view, in degrees: what shows from the front and what shows from the side."""
RESOLUTION = 40
SAMPLING = Sampling(20, 16)
SEED = 1
"""Of the faces that are drawn."""
AT_ONCE = 8
STEP = 0.4
"""Length of the differences, in standard deviations."""
LABELS, FLOOR = 0.25, 2e-3
"""Weight of label probabilities beside colours; a class of the mean share s of the picture counts by 1 / √(s + FLOOR)."""
RIDGE = 0.1
"""What is added to the diagonal, whose mean is 1: no coordinate is free."""


@torch.no_grad()
def picture_metric(generator: Generator, basis: LatentBasis, faces: int = 5) -> Tensor:
    """G `[N·K,N·K]` averaged over `faces` drawn faces, its mean diagonal 1 + RIDGE. Differences of pictures and of label probabilities at
    `RESOLUTION`² pixels."""
    count = basis.axes.shape[0] * basis.axes.shape[1]
    center = basis.coordinates(generator.sample(faces, SEED, truncation=1.0).geometry)
    total = torch.zeros(count, count)
    for face in range(faces):
        color, labels = _seen(generator, basis, center[face : face + 1])
        weights = LABELS / (labels.mean(dim=(0, 1)) + FLOOR).sqrt()
        jacobian = []
        for part in torch.arange(count, device=center.device).split(AT_ONCE):
            moved = center[face].repeat(len(part), 1, 1)
            moved.view(len(part), -1)[torch.arange(len(part)), part] += STEP
            colors, probabilities = _seen(generator, basis, moved)
            change = [(colors - color).flatten(1), ((probabilities - labels) * weights).flatten(1)]
            jacobian.append(torch.cat(change, dim=1).cpu() / STEP)
        rows = torch.cat(jacobian)
        total += rows @ rows.T / faces
    return total / total.diagonal().mean() + RIDGE * torch.eye(count)


def _seen(generator: Generator, basis: LatentBasis, coordinates: Tensor) -> tuple[Tensor, Tensor]:
    """Colours `[B,P,C]` and label probabilities `[B,P,K]` of all pixels at `coordinates [B,N,K]`."""
    rows = basis.rows(coordinates)
    scene = generator.scene(Latents(rows, rows[:, None]))
    views = render(scene, look_at(YAW).to(rows.device), RESOLUTION, SAMPLING, finish=False, exact=True)
    return views.raw.flatten(2).transpose(1, 2), views.logits.softmax(dim=1).flatten(2).transpose(1, 2)
