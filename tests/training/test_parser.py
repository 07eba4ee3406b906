"""The parser's trainer on a few drawn discs: it learns to label them, and labels stay with the pictures they are of."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from fface_hub.inversion.landmarks import POINTS
from fface_hub.training.augment import Augmenter, Batch
from fface_hub.training.parser import HEADS_PARSER, ParserRun
from fface_hub.training.portraits import train_on_portraits
from fface_hub.training.trainer import Budget
from fface_hub.trunks import ParserNet

TINY = replace(HEADS_PARSER, network={"channels": [4, 6, 8], "width": 6}, batch=8, warmup=3, side=32)


@pytest.fixture
def portraits() -> Batch:
    """White discs of class 1 on black, of different sizes, around the middle."""
    line = (torch.arange(40) + 0.5) / 40 - 0.5
    radius = torch.linspace(0.15, 0.3, 12)[:, None, None]
    disc = line.square()[:, None] + line.square() < radius.square()
    return {
        "images": (255 * disc[:, None].expand(-1, 3, -1, -1)).to(torch.uint8),
        "opacity": (255 * disc).to(torch.uint8),
        "labels": disc.to(torch.uint8),
        "points": torch.full((12, len(POINTS), 2), 0.5),
        "angles": torch.zeros(12, 2),
    }


def test_labels_stay_with_their_pictures(portraits: Batch) -> None:
    """Cut, turned and mirrored alike. Without changes of colour the disc is white and its class is 1."""

    class Plain(Augmenter):
        def grain(self, images: torch.Tensor) -> torch.Tensor:
            return images

        background = lambda self, images, opacity, noise: images  # noqa: E731
        light = color = blur = grain

    images, labels = Plain(torch.Generator().manual_seed(0), 32).labelled(portraits)
    assert images.shape == (12, 3, 32, 32) and labels.shape == (12, 32, 32) and labels.dtype == torch.int64
    assert float(((images[:, 0] > 0) == (labels == 1)).float().mean()) > 0.98
    assert 0.03 < float(labels.float().mean()) < 0.5
    shares = labels.flatten(1).float().mean(dim=1)
    assert float(shares.std()) > 0.01, "squares must differ"


def test_a_run_learns_and_its_model_loads(tmp_path: Path, portraits: Batch) -> None:
    model = train_on_portraits(ParserRun(TINY, tmp_path, portraits), Budget(steps=60, log=10), progress=False)
    found = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert found[-1]["loss"] < found[0]["loss"] and found[-1]["right"] > 0.6
    network = ParserNet.from_pretrained(model)
    assert not network.training and network(torch.zeros(1, 3, 32, 32)).shape == (1, 24, 32, 32)
