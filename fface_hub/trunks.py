"""Networks whose features tell pictures apart: our own parser of heads, which is bundled, and VGG-16, whose weights are on the Hub."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from diffusers.configuration_utils import register_to_config
from torch import Tensor, nn

from fface_hub.errors import ModelError
from fface_hub.layouts import LAYOUTS
from fface_hub.models import Model, register

PARSER = "heads-parser"
TRAINED_SIDE = 96
"""Side of the pictures that it was trained on, in pixels."""
VGG_LAYERS = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))
"""Channels of VGG-16's convolutions (Simonyan and Zisserman 2015, table 1, D); before each group but the first, pictures are halved."""


class _Stage(nn.Module):
    """A convolution, at half the size but for the first stage, and a residual one (He et al. 2016), both normalised over the batch."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(outputs)
        self.second = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.norm1(self.first(x)))
        return torch.relu(x + self.norm2(self.second(x)))


@register
class ParserNet(Model):
    """Labels of a picture of one head, in `layout`; `features` is what it sees on the way.

    Five stages from the picture's size to a sixteenth of it; labels come from all of them, enlarged and added (Lin et al. 2017).
    """

    @register_to_config
    def __init__(self, layout: str = "fine-24", channels: tuple[int, ...] = (16, 32, 64, 96, 128), width: int = 32) -> None:
        super().__init__()
        self.layout = LAYOUTS[layout]
        inputs = (3, *channels[:-1])
        self.stages = nn.ModuleList([_Stage(a, b, 1 if n == 0 else 2) for n, (a, b) in enumerate(zip(inputs, channels, strict=True))])
        self.lateral = nn.ModuleList([nn.Conv2d(count, width, 1) for count in channels])
        self.merge = nn.ModuleList([nn.Conv2d(width, width, 3, 1, 1) for _ in channels[1:]])
        self.classify = nn.Conv2d(width, len(self.layout), 3, 1, 1)

    @classmethod
    def check_config(cls, config: dict[str, Any]) -> None:
        """`ModelError` for a layout that does not exist and sizes out of range."""
        sizes = [config.get("width", 1), *config.get("channels", (1, 1))]
        if config.get("layout", "fine-24") not in LAYOUTS or not 3 <= len(sizes) <= 9 or not all(1 <= size <= 512 for size in sizes):
            raise ModelError("A parser needs a published layout, two to eight stages, and sizes from 1 to 512.")

    def features(self, image: Tensor) -> list[Tensor]:
        """`image [B,3,H,W]` in [-1, 1] → what each stage sees, `[B,C,H,W]`, `[B,C,H/2,W/2]` and so on, none negative."""
        found = []
        for stage in self.stages:
            image = stage(image)
            found.append(image)
        return found

    def forward(self, image: Tensor) -> Tensor:
        """`image [B,3,H,W]` in [-1, 1] → logits `[B,K,H,W]`."""
        found = self.features(image)
        context = self.lateral[-1](found[-1])
        for index in range(len(found) - 2, -1, -1):
            larger = F.interpolate(context, found[index].shape[2:], mode="bilinear", align_corners=False)
            context = torch.relu(self.merge[index](self.lateral[index](found[index]) + larger))
        return self.classify(context)


class Vgg16(nn.Module):
    """The convolutions of VGG-16, under the names of the published weights (`features.0.weight` …); built with none of their values."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        inputs = 3
        for number, group in enumerate(VGG_LAYERS):
            layers += [nn.MaxPool2d(2)] if number else []
            for outputs in group:
                layers += [nn.Conv2d(inputs, outputs, 3, 1, 1), nn.ReLU()]
                inputs = outputs
        # Pooling after the last group would be number 30: the published names count on without it.
        self.layers = nn.Sequential(*layers)

    def forward(self, image: Tensor) -> list[Tensor]:
        """`image [B,3,H,W]`, normalised as the weights want it → activations at the end of each group of convolutions."""
        found = []
        for layer in self.layers:
            if isinstance(layer, nn.MaxPool2d):
                found.append(image)
            image = layer(image)
        return [*found, image]
