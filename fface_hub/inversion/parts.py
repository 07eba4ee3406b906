"""Every face has its parts: what keeps brows, eyes, nose and lips in an inversion whose pictures are too small to insist on them.

At 64² an eye is a dark smudge, which a brow explains as well. So the area of each part's label may not fall far below the mean face's; and
where pupils were found in the photo, the eyes must lie around them.
"""

from __future__ import annotations

import torch
from torch import Tensor

from fface_hub.generators.base import Generator
from fface_hub.inversion.align import FaceCrop
from fface_hub.inversion.objective import InvertSettings, grid_rays
from fface_hub.rendering.renderer import render_rays

PARTS = ("brow", "eye", "nose", "lips")
"""Classes of the base layout that no face is without."""
SHARE = 0.6
"""Of the mean face's area: as small as a part may get before it counts."""
NEAR = 0.07
"""How far from a found pupil, in picture sides, an eye still counts as there: half the width of an eye and some blur."""


class Parts:
    """The areas of the parts in the mean face, and the loss of a face that has less; zero for a layout without such classes."""

    def __init__(self, generator: Generator, settings: InvertSettings) -> None:
        names = generator.layout.names
        self.ids = [names.index(name) for name in PARTS if name in names]
        self.eye = next((at for at, index in enumerate(self.ids) if names[index] == "eye"), None)
        mean = generator.mean_latents()
        camera = generator.default_camera.to(mean.geometry.device)
        _, origins, directions = grid_rays(camera, settings.side, torch.Generator().manual_seed(settings.seed))
        with torch.no_grad():
            rays = render_rays(generator.scene(mean), origins, directions, settings.sampling(), color=False)
        self.wanted = SHARE * self._soft(rays.logits)[0].mean(dim=0)

    def loss(self, logits: Tensor, uv: Tensor, pupils: Tensor | None = None) -> Tensor:
        """Sum over the parts, and over the eyes around the photo's `pupils [2,2]` (None: not known), of how much of the wanted area is
        missing, 0 to 1 each, from `logits [1,R,K]` at `uv [1,R,2]` of a grid."""
        soft = self._soft(logits)[0]
        missing = (1 - soft.mean(dim=0) / self.wanted.clamp_min(1e-6)).clamp_min(0)
        if pupils is not None and self.eye is not None:
            near = torch.cdist(uv[0], pupils) < NEAR
            areas = torch.stack([(soft[:, self.eye] * near[:, side]).mean() for side in range(2)])
            each = (1 - areas / (self.wanted[self.eye] / 2).clamp_min(1e-6)).clamp_min(0)
            missing = torch.cat([missing, each])
        return missing.sum()

    def _soft(self, logits: Tensor) -> Tensor:
        """Probabilities of the parts, `[1,R,parts]`."""
        return logits.softmax(dim=-1)[..., self.ids]


def pupils_of(found: FaceCrop) -> Tensor:
    """The found pupils as picture positions `(u, v)` of the crop, `[2,2]`."""
    return torch.tensor([[(x - found.box.left) / found.box.size, (y - found.box.top) / found.box.size] for x, y in found.eyes])
