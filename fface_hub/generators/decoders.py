"""The small networks that read a point's plane features: density and labels on one side, colour on the other."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fface_hub.generators.stylegan import FullyConnected

LABEL_HIDDEN = 64
"""Hidden units of a label head, and of an adapter."""


def two_layers(inputs: int, hidden: int, outputs: int) -> nn.Sequential:
    """FC, softplus, FC: keys `0` and `2`, as in the official state dicts."""
    return nn.Sequential(FullyConnected(inputs, hidden), nn.Softplus(), FullyConnected(hidden, outputs))


def to_color(x: Tensor) -> Tensor:
    """EG3D's output curve sigmoid · 1.002 − 0.001, moved from [0, 1] to [-1, 1]."""
    return torch.sigmoid(x) * 2.004 - 1.002


class PlainDecoder(nn.Module):
    """EG3D's decoder: density and colour from one network, no labels (one class stands for all)."""

    def __init__(self, features: int, hidden: int, colors: int) -> None:
        super().__init__()
        self.net = two_layers(features, hidden, 1 + colors)

    def geometry(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """`[...,F]` → raw density `[...]`, raw logits `[...,K]` (the logit 0 of the one class, if there are no labels)."""
        known = self.first(features)
        return known[..., 0], self.labels(features, known)

    def first(self, features: Tensor) -> Tensor:
        """`[...,F]` → what is known once the density is, `[...,*]`: the raw density is the first number."""
        return self.net(features)[..., :1]

    def labels(self, features: Tensor, known: Tensor) -> Tensor:
        """Raw logits `[...,K]` from features and what `first` made of them."""
        return torch.zeros_like(known)

    def color(self, features: Tensor) -> Tensor:
        """`[...,F]` → colours `[...,C]` in [-1, 1]."""
        return to_color(self.net(features)[..., 1:])


class LabelledDecoder(PlainDecoder):
    """EG3D's decoder with a head for labels, which has the form of an adapter that looks at no view: what was fitted as one can move in.

    Logits are FC(softplus(FC(softplus([f ‖ density])))); density and colour are those of the plain decoder, to the bit.
    """

    def __init__(self, features: int, hidden: int, colors: int, classes: int) -> None:
        super().__init__(features, hidden, colors)
        self.label_net = two_layers(features + 1, LABEL_HIDDEN, classes)

    def labels(self, features: Tensor, known: Tensor) -> Tensor:
        """Raw logits `[...,K]`."""
        return self.label_net(F.softplus(torch.cat([features, known], dim=-1)))


class DisentangledDecoder(nn.Module):
    """NeRFFaceEditing's decoders: density and labels from normalised features, colour from features with their statistics given back."""

    def __init__(self, features: int, hidden: int, colors: int, classes: int) -> None:
        super().__init__()
        self.geo_net = two_layers(features, hidden, 1 + classes)
        self.app_net = two_layers(features, hidden, colors)

    def geometry(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Mean of the normalised planes `[...,F]` → raw density `[...]`, raw logits `[...,K]`."""
        known = self.first(features)
        return known[..., 0], self.labels(features, known)

    def first(self, features: Tensor) -> Tensor:
        """`[...,F]` → raw density and logits `[...,1+K]`, which come from one layer."""
        return self.geo_net(features)

    def labels(self, features: Tensor, known: Tensor) -> Tensor:
        """The logits among what `first` made."""
        return known[..., 1:]

    def color(self, features: Tensor) -> Tensor:
        """Mean of the denormalised planes `[...,F]` → colours `[...,C]` in [-1, 1]."""
        return to_color(self.app_net(features))

    def color_under(self, lookup: Tensor, coverage: Tensor, mean: Tensor, std: Tensor) -> Tensor:
        """The same colours `[B,R,S,C]` from normalised samples of every plane, `lookup [B,R,S,P·F]`, and the statistics `[B,P,F]`.

        The first layer is linear: its weights take in the deviations and the mean over planes, and `coverage [B,R,S,P]` scales the means.
        """
        first, activation, last = self.app_net
        assert isinstance(first, FullyConnected)
        planes = mean.shape[1]
        weight = first.weight.T * (first.gain / planes)  # [F,H]
        scales = (std[..., None] * weight).flatten(1, 2)  # [B,PF,H]
        shifts = mean @ weight  # [B,P,H]
        # One matrix product for a face, not one for each ray.
        hidden = torch.baddbmm(first.bias * first.multiplier, coverage.flatten(1, 2), shifts)
        hidden = torch.baddbmm(hidden, lookup.flatten(1, 2), scales)
        return to_color(last(activation(hidden))).unflatten(1, lookup.shape[1:3])
