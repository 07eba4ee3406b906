"""Training of the landmark network: regression of points and angles on rendered portraits."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from fface_hub.inversion.landmarks import ANGLE_UNIT, FIVE, LandmarkNet
from fface_hub.training.augment import Augmenter, Batch
from fface_hub.training.portraits import PortraitConfig, PortraitRun


@dataclass(frozen=True)
class LandmarkConfig(PortraitConfig):
    """`five`, `others` and `angles` weigh the mean absolute errors of the first five points, of the rest (both in sides of the square) and
    of the angles (in units of 10°)."""

    name: str = "heads-landmarks"
    five: float = 20.0
    others: float = 10.0
    angles: float = 1.5


HEADS_LANDMARKS = LandmarkConfig()


class LandmarkRun(PortraitRun):
    """A run of the landmark network."""

    config: LandmarkConfig

    def new_network(self) -> LandmarkNet:
        """See `PortraitRun`."""
        return LandmarkNet(**self.config.network)

    def losses(self, portraits: Batch, random: torch.Generator) -> dict[str, Tensor]:
        """See `PortraitRun`; "five" is the error of the five points, "degrees" that of the angles."""
        config = self.config
        images, points, angles = Augmenter(random, self.network.config["side"])(portraits)
        points, angles = points.to(self.device), angles.to(self.device)
        with torch.autocast(self.device.type, dtype=torch.bfloat16):
            found, turned = self.network(images.to(self.device, memory_format=torch.channels_last))
        away = (found - points).abs().mean(dim=(0, 2))
        turn = (turned - angles).abs().mean()
        loss = config.five * away[:FIVE].mean() + config.others * away[FIVE:].mean() + config.angles * turn / ANGLE_UNIT
        return {"loss": loss, "five": away[:FIVE].mean(), "degrees": turn}
