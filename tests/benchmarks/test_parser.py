"""The parser's benchmark: what its figures are, on a network that says one class everywhere."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from fface_hub.benchmarks.parser import run
from fface_hub.errors import ModelError
from fface_hub.trunks import ParserNet


class Skin(ParserNet):
    """All is skin."""

    def forward(self, image: Tensor) -> Tensor:
        logits = torch.zeros(1, 24, *image.shape[2:])
        logits[:, 1] = 1
        return logits


def test_figures_of_one_class_everywhere() -> None:
    figures = run(Skin(), identities=2, resolution=24)
    scores = figures["iou_per_class"]
    assert 0.05 < scores["skin"] < 0.6 and scores["hair"] == 0.0 and scores["background"] == 0.0
    # In base-15 jaw, chin and eyelid are skin, too, so there is more of it and fewer classes are missed.
    assert figures["miou"] < figures["miou_base15"] < 0.3 and figures["identities"] == 2


def test_what_is_no_parser_is_refused() -> None:
    with pytest.raises(ModelError, match="heads-parser"):
        run(object())
