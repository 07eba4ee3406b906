"""What both stages of an inversion share: their settings, the rays of one step, and how pictures are compared on them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from fface_hub.cameras import Camera
from fface_hub.losses import ImageLoss, gradient_l1
from fface_hub.rendering.sampling import Sampling


@dataclass(frozen=True)
class InvertSettings:
    """How to invert. The defaults take under three minutes on two cores with the bundled generator.

    The photo is compared at `resolution`² pixels through `rays` rays per step (a square number), `coarse` + `fine` samples each. Three
    stages: `w_steps` in the generator's own latents, `free_steps` with every style row free (W+), `tuning_steps` on the weights (0: none).
    `learning_rate` of latents, in standard deviations; `tuning_rate` of weights. `prior` holds latents to the mean face, `parts` keeps
    brows, eyes, nose and lips, `hold` the geometry to what it was before tuning. `backdrop`: put the photo's surroundings behind the head.
    `perceptual`: a further distance of the rays' pictures, `losses.load_lpips()` where that extra is installed. `seed` of all randomness.
    """

    resolution: int = 64
    rays: int = 1024
    coarse: int = 24
    fine: int = 24
    w_steps: int = 120
    free_steps: int = 100
    tuning_steps: int = 160
    learning_rate: float = 0.06
    tuning_rate: float = 3e-3
    prior: float = 0.003
    parts: float = 0.1
    hold: float = 3.0
    backdrop: bool = True
    perceptual: ImageLoss | None = None
    seed: int = 0

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


def ramp(index: int, total: int, warm: float = 0.05, cool: float = 0.25) -> float:
    """Factor of the step size at step `index` from 0: up over the first `warm`, down by a half cosine over the last `cool`.

    StyleGAN2's projector (Karras et al. 2020, section 5) and those of EG3D and NeRFFaceEditing after it.
    """
    progress = (index + 0.5) / total
    down = min(1.0, (1 - progress) / cool)
    return min(1.0, progress / warm) * (0.5 - 0.5 * math.cos(math.pi * down))
