"""What both stages of an inversion share: their settings, the rays of one step, and how pictures are compared on them."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from fface_hub.cameras import Camera
from fface_hub.generators.base import Generator
from fface_hub.layouts import BASE_15
from fface_hub.losses import ImageLoss, gradient_l1
from fface_hub.parsing import Parser
from fface_hub.rendering.sampling import Sampling


@dataclass(frozen=True)
class InvertSettings:
    """How to invert. The defaults take about ten seconds on two cores with the bundled generator and its encoder.

    A photo is compared at `resolution`² pixels through `rays` rays per step (a square number), `coarse` + `fine` samples each. Three
    stages: `w_steps` in the generator's own latents, `free_steps` with every style row free (W+), and `tuning_steps` of a `tuning`:
    "retouch" (`retouch_fit`: colours in the volume) or "weights" (`tuning`: the generator's own); 0 leave it out.
    `learning_rate` of latents, in standard deviations; `tuning_rate` of weights. `prior` holds latents to the mean face, `parts` keeps
    brows, eyes, nose and lips, `hold` the geometry to what it was before weights were tuned. A retouch sees `detail`² pixels of a photo and
    has `texels`² in a plane; `plain`, `smooth` and `unseen` weigh what holds it back (`fit_retouch`). `backdrop`: put the photo's
    surroundings behind the head.
    `perceptual`: a further distance of the rays' pictures, such as `perceptual.load_perceptual()`. `parser`: labels that the
    face shall have, too, as `parsing.load_parser()` reads them in the photo; `labels` weighs them. `seed` of all randomness.
    """

    resolution: int = 64
    rays: int = 2304
    coarse: int = 24
    fine: int = 24
    w_steps: int = 30
    free_steps: int = 16
    tuning: Literal["retouch", "weights"] = "retouch"
    tuning_steps: int = 20
    learning_rate: float = 0.1
    tuning_rate: float = 3e-3
    prior: float = 0.003
    parts: float = 0.1
    hold: float = 3.0
    detail: int = 128
    texels: int = 192
    plain: float = 0.5
    smooth: float = 0.25
    unseen: float = 2.0
    backdrop: bool = True
    perceptual: ImageLoss | None = None
    parser: Parser | None = None
    labels: float = 0.1
    seed: int = 0

    @classmethod
    def starting(cls, encoder: object, **changes: Any) -> InvertSettings:
        """As suits the start: `encoder`, or the mean face if that is None."""
        return cls.longer(**changes) if encoder is None else cls(**changes)

    @classmethod
    def longer(cls, **changes: Any) -> InvertSettings:
        """For a start from the mean face: many smaller steps of fewer rays, which take twice as long."""
        return replace(cls(rays=1024, w_steps=100, free_steps=60, learning_rate=0.06, tuning_steps=40), **changes)

    @classmethod
    def pivotal(cls, **changes: Any) -> InvertSettings:
        """The slow and plain way: many steps from wherever it starts, then pivotal tuning of the weights (Roich et al. 2021)."""
        return replace(cls(rays=1024, w_steps=120, free_steps=100, learning_rate=0.06, tuning="weights", tuning_steps=160), **changes)

    @property
    def total(self) -> int:
        """Steps of all stages."""
        return self.w_steps + self.free_steps + self.tuning_steps

    @property
    def side(self) -> int:
        """Rays along one side of the picture."""
        return max(8, math.isqrt(self.rays))

    def sampling(self, jitter: torch.Generator | None = None) -> Sampling:
        """Samples per ray, with or without jitter."""
        return Sampling(self.coarse, self.fine, jitter)


def grid_rays(camera: Camera, side: int, jitter: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """One ray in each cell of a `side`² grid over the picture, at one random place common to all cells: `uv [1,R,2]`, origins, directions.

    The rays of one step form a regular picture, whose edges can be compared; those of many steps cover it all.
    """
    device = camera.cam2world.device
    offset = torch.rand(2, generator=jitter, device=jitter.device).to(device)
    cells = torch.arange(side, device=device)
    v, u = torch.meshgrid((cells + offset[0]) / side, (cells + offset[1]) / side, indexing="ij")
    uv = torch.stack([u, v], dim=-1).reshape(1, -1, 2)
    origins, directions = camera.rays_at(uv)
    return uv, origins, directions


def look_up(image: Tensor, uv: Tensor) -> Tensor:
    """Bilinear values `[1,R,C]` of an `image [1,C,h,w]` at `uv [1,R,2]` in [0, 1]."""
    values = F.grid_sample(image, 2 * uv[:, :, None] - 1, mode="bilinear", padding_mode="border", align_corners=False)
    return values[..., 0].transpose(1, 2)


def picture_losses(color: Tensor, target: Tensor, side: int, perceptual: ImageLoss | None = None) -> dict[str, Tensor]:
    """Differences of two pictures on grid rays, `[1,R,3]` each: of single rays; of means over 4² rays, which forgives small shifts; of
    edges; and the `perceptual` one, if there is such a loss.
    """
    ours, theirs = (x.transpose(1, 2).unflatten(2, (side, side)) for x in (color, target))
    losses = {
        "color": (ours - theirs).abs().mean(),
        "coarse": (F.avg_pool2d(ours, 4) - F.avg_pool2d(theirs, 4)).abs().mean(),
        "edges": 0.5 * gradient_l1(ours, theirs),
    }
    return losses if perceptual is None else {**losses, "perceptual": perceptual(ours, theirs)}


class ParsedLabels:
    """The labels that a parser reads in the framed photo, as a guide: what is hair, skin or cloth is not left to colours alone.

    `labels [1,H,W]` are in the generator's layout. Classes count by the root of their area, so that eyes and brows are heard beside hair.
    """

    def __init__(self, generator: Generator, image: Tensor, parser: Parser) -> None:
        """Parse `image [1,3,H,W]`. Raises `LayoutError` for a generator whose layout does not hold the classes of base-15."""
        self.labels = BASE_15.convert(parser(image).cpu(), generator.layout).to(image.device)
        share = torch.bincount(self.labels.flatten(), minlength=len(generator.layout)) / self.labels.numel()
        weights = torch.where(share > 0, share.clamp(min=1e-3).rsqrt(), torch.zeros_like(share))
        self.weights = weights / (weights * share).sum()

    def loss(self, logits: Tensor, uv: Tensor) -> Tensor:
        """Cross-entropy of `logits [1,R,K]` at `uv [1,R,2]` with the parsed labels there."""
        height, width = self.labels.shape[1:]
        column, row = (uv[0] * uv.new_tensor([width, height])).long().unbind(dim=-1)
        wanted = self.labels[0, row.clamp(0, height - 1), column.clamp(0, width - 1)]
        return (F.cross_entropy(logits[0], wanted, reduction="none") * self.weights[wanted]).mean()

    def agreement(self, labels: Tensor) -> float:
        """Share of the pixels of rendered `labels [1,h,w]` that have the parsed label."""
        parsed = F.interpolate(self.labels[:, None].float(), labels.shape[1:], mode="nearest-exact")[:, 0]
        return float((parsed.to(labels.device) == labels).double().mean())


def ramp(index: int, total: int, warm: float = 0.05, cool: float = 0.25) -> float:
    """Factor of the step size at step `index` from 0: up over the first `warm`, down by a half cosine over the last `cool`.

    StyleGAN2's projector (Karras et al. 2020, section 5) and those of EG3D and NeRFFaceEditing after it.
    """
    progress = (index + 0.5) / total
    down = min(1.0, (1 - progress) / cool)
    return min(1.0, progress / warm) * (0.5 - 0.5 * math.cos(math.pi * down))
