"""The form in which an adapter learns: features behind a gate, a start from the parents' logits, no view.

Whatever the form, a plain adapter comes out. Learning computes with the very weights that it will have, so nothing is lost on the way.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.func import functional_call

from fface_hub.adapters.adapter import FRONTAL, Adapter
from fface_hub.generators.stylegan import FullyConnected
from fface_hub.layouts import Layout

CARRIED = 4.0
"""Offset of hidden units that carry a logit: softplus is a straight line from there on, to .02."""


@dataclass(frozen=True)
class Form:
    """In which form an adapter learns; what comes out is the same small network in each.

    `injection` of the features f̂ into the hidden layer is "open" as in FFaceNeRF, "gated" by a factor γ for each hidden unit that starts
    at 0 (with one sample FFaceNeRF is better off without injection), or "none": γ stays 0. With `warm_start` the first labels are the
    generator's own, each class having the logit of its parent, instead of random ones. Without `view_direction` every ray counts as a
    frontal one, and labels do not lean on the view.
    """

    injection: Literal["open", "gated", "none"] = "open"
    warm_start: bool = False
    view_direction: bool = True


class Learner:
    """An adapter while it learns: h = softplus(γ ⊙ W_f·softplus(f̂) + W_y·softplus(y) + W_d·d + b), s = V·h + c.

    `adapter` is what it folds into: γ goes into W_f, and a direction that is not looked at goes into b.
    """

    def __init__(self, adapter: Adapter, form: Form) -> None:
        self.adapter, self.form = adapter, form
        self.features: int = adapter.config["feature_channels"]
        self.gain = _layers(adapter)[0].gain
        self.weights = {name: weight.detach().clone().requires_grad_() for name, weight in adapter.named_parameters()}
        first = self.weights["net.0.weight"]
        self.gate = None if form.injection == "open" else first.new_zeros(len(first)).requires_grad_(form.injection == "gated")
        self.fold()

    def __call__(self, features: Tensor, geometry: Tensor, directions: Tensor | None = None) -> Tensor:
        """As `Adapter.forward`, differentiable with respect to `parameters`."""
        return functional_call(self.adapter, self.folded(), (features, geometry, directions))

    def parameters(self) -> list[Tensor]:
        """What is learnt."""
        gate = [] if self.gate is None or not self.gate.requires_grad else [self.gate]
        return [*self.weights.values(), *gate]

    def folded(self) -> dict[str, Tensor]:
        """The weights of the adapter that computes the same, by name."""
        first, bias = self.weights["net.0.weight"], self.weights["net.0.bias"]
        if self.gate is not None:
            first = torch.cat([first[:, : self.features] * self.gate[:, None], first[:, self.features :]], dim=1)
        if not self.form.view_direction:
            bias = bias + self.gain * first[:, -3:] @ first.new_tensor(FRONTAL)
            first = F.pad(first[:, :-3], (0, 3))
        return {**self.weights, "net.0.weight": first, "net.0.bias": bias}

    @torch.no_grad()
    def fold(self) -> Adapter:
        """Bring `adapter` up to date, and return it."""
        weights = self.folded()
        for name, weight in self.adapter.named_parameters():
            weight.copy_(weights[name])
        return self.adapter


@torch.no_grad()
def warm_start(adapter: Adapter, known: Layout, gated: bool) -> None:
    """Let `adapter`, just initialised, label as its generator does, whose layout is `known`.

    For each ancestor of its classes one hidden unit carries h = softplus(softplus(y) + 4) ≈ softplus(y) + 4, and every class reads the unit
    of its nearest ancestor: s = h − softplus(4), which is softplus(y) to .02 and orders the classes as y does. Classes without an ancestor
    in `known` start at 0, like a class that the generator rules out. The other units keep their random weights, and are not read yet.
    Carriers read features with random weights only if these are `gated`, since both at 0 would never learn.
    """
    first, last = _layers(adapter)
    nearest = parents(adapter.layout, known)
    features: int = adapter.config["feature_channels"]
    last.weight.zero_()
    for unit, parent in enumerate(sorted({parent for parent in nearest if parent is not None})):
        readers = torch.tensor([other == parent for other in nearest], device=last.bias.device)
        first.weight[unit, features if gated else 0 :] = 0
        first.weight[unit, features + 1 + parent] = 1 / first.gain  # density comes before the logits
        first.bias[unit] = CARRIED
        last.weight[readers, unit] = 1 / last.gain
        last.bias[readers] = -F.softplus(torch.tensor(CARRIED)).item()


def parents(layout: Layout, known: Layout) -> list[int | None]:
    """The number in `known` of the nearest ancestor of each class of `layout`, which may be itself (None if it has none there)."""
    ids = {name: number for number, name in enumerate(known.names)}
    return [next((ids[name] for name in layout.ancestors(item) if name in ids), None) for item in layout.classes]


def _layers(adapter: Adapter) -> tuple[FullyConnected, FullyConnected]:
    first, last = (layer for layer in adapter.net if isinstance(layer, FullyConnected))
    return first, last
