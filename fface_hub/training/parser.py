"""Training of the parser: labels of rendered portraits, pixel by pixel."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from fface_hub.heads.portraits import PortraitSettings
from fface_hub.training.augment import Augmenter, Batch
from fface_hub.training.portraits import PortraitConfig, PortraitRun
from fface_hub.trunks import PARSER, TRAINED_SIDE, ParserNet


@dataclass(frozen=True)
class ParserConfig(PortraitConfig):
    """Pictures are cut to `side`². Pixels of a class weigh as 1 / (its share + `floor`), so that a pupil is learnt as well as a cheek."""

    name: str = PARSER
    network: dict[str, Any] = field(default_factory=dict)
    data: PortraitSettings = field(default_factory=lambda: PortraitSettings(heads=2_048))
    batch: int = 24
    learning_rate: float = 3e-3
    side: int = TRAINED_SIDE
    floor: float = 0.02


HEADS_PARSER = ParserConfig()


class ParserRun(PortraitRun):
    """A run of the parser."""

    config: ParserConfig

    def new_network(self) -> ParserNet:
        """See `PortraitRun`."""
        return ParserNet(**self.config.network)

    def losses(self, portraits: Batch, random: torch.Generator) -> dict[str, Tensor]:
        """See `PortraitRun`; "right" is the share of pixels that are labelled rightly."""
        images, labels = Augmenter(random, self.config.side).labelled(portraits)
        labels = labels.to(self.device)
        with torch.autocast(self.device.type, dtype=torch.bfloat16):
            logits = self.network(images.to(self.device, memory_format=torch.channels_last)).float()
        shares = torch.bincount(labels.flatten(), minlength=logits.shape[1]) / labels.numel()
        loss = F.cross_entropy(logits, labels, weight=1 / (shares + self.config.floor))
        return {"loss": loss, "right": (logits.argmax(1) == labels).float().mean()}
