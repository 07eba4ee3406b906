"""The adapter: 18 kB that re-label any scene of one generator into a user's own class layout."""

from __future__ import annotations

from typing import Any

import torch
from diffusers.configuration_utils import register_to_config
from torch import Tensor, nn
from torch.nn import functional as F

from fface_hub.errors import ModelError
from fface_hub.generators.base import Generator, Scene
from fface_hub.generators.stylegan import FullyConnected
from fface_hub.layouts import Layout
from fface_hub.models import Model, check_generator_id, register

FRONTAL = (0.0, 0.0, -1.0)
"""Unit direction in which the frontal camera looks."""

MAX_CHANNELS = 4096


@register
class Adapter(Model):
    """Maps a scene's geometry samples to logits of its own `layout`; density and colour stay the generator's.

    FFaceNeRF's geometry adapter with feature injection, for f̂ the scene's features, y its raw density and logits, d the viewing direction:
    a = softplus([f̂ ‖ y]), h = softplus(FC([a ‖ d])), s = FC(h). Layers are equalised: weights N(0,1) scaled by 1/√in when used, biases 0.

    `geometry_channels` is 1 + the number of the generator's classes. The generator's id tells people where it comes from, its fingerprint
    decides whether the adapter fits (`check`). Raises `LayoutError` for a layout that breaks the rules.
    """

    @register_to_config
    def __init__(
        self,
        layout: dict[str, Any],
        generator_id: str,
        generator_fingerprint: str,
        feature_channels: int = 32,
        geometry_channels: int = 16,
        hidden: int = 64,
    ) -> None:
        super().__init__()
        self.layout = Layout.from_dict(layout)  # the classes of its logits
        self.net = nn.Sequential(
            FullyConnected(feature_channels + geometry_channels + 3, hidden),
            nn.Softplus(),
            FullyConnected(hidden, len(self.layout)),
        )

    @classmethod
    def check_config(cls, config: dict[str, Any]) -> None:
        """`LayoutError` for the layout, `ModelError` for sizes out of range."""
        Layout.from_dict(config["layout"])
        check_generator_id(config["generator_id"])
        sizes = [config.get(name, 1) for name in ("feature_channels", "geometry_channels", "hidden")]
        if not all(1 <= size <= MAX_CHANNELS for size in sizes):
            raise ModelError(f"An adapter's channel counts must lie between 1 and {MAX_CHANNELS}, not {sizes}.")

    def forward(self, features: Tensor, geometry: Tensor, directions: Tensor | None = None) -> Tensor:
        """Logits `[...,K]` from `features [...,F]`, `geometry [...,1+K₀]` (raw density first, then the generator's logits) and unit
        `directions`, broadcastable to `[...,3]`.

        Labels may lean on the view, and few-shot fits see few views; no direction stands for the frontal one: a labelling of the volume.
        Raises `ModelError` if the scene has other numbers of them: a stranger's adapter can name any generator.
        """
        counts = features.shape[-1], geometry.shape[-1]
        wanted = self.config["feature_channels"], self.config["geometry_channels"]
        if counts != wanted:
            raise ModelError(
                f"The adapter for layout '{self.layout.name}' reads {wanted[0]} features and {wanted[1]} geometry channels where this "
                f"generator has {counts[0]} and {counts[1]}: it was not fitted on it, whatever it says."
            )
        if directions is None:
            directions = features.new_tensor(FRONTAL)
        activated = F.softplus(torch.cat([features, geometry], dim=-1))
        return self.net(torch.cat([activated, directions.expand(*features.shape[:-1], 3)], dim=-1))

    def initialise(self, random: torch.Generator) -> None:
        """Draw the weights afresh from `random`, biases zero."""
        with torch.no_grad():  # not through `.data`, whose changes a fingerprint does not notice
            for name, parameter in self.named_parameters():
                parameter.copy_(torch.randn(parameter.shape, generator=random) if name.endswith("weight") else torch.zeros(parameter.shape))

    def check(self, source: Scene | Generator) -> None:
        """Raise `ModelError` unless `source` comes from the generator this adapter was fitted on (tuned copies keep its fingerprint)."""
        if source.fingerprint != self.config["generator_fingerprint"]:
            raise ModelError(
                f"The adapter for layout '{self.layout.name}' was fitted on the generator '{self.config['generator_id']}' and does not fit "
                "this one: load that generator, or fit an adapter on this one."
            )
