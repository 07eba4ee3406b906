"""Training on balls (tests/balls.py)."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from fface_hub.heads.shards import HeadShards
from fface_hub.inversion.landmarks import POINTS
from fface_hub.training.augment import Batch
from fface_hub.training.config import TrainConfig
from tests.balls import Balls, ball_config, ball_shards


@pytest.fixture(scope="session")
def source() -> Balls:
    """Balls."""
    return Balls()


@pytest.fixture(scope="session")
def shards(tmp_path_factory: pytest.TempPathFactory) -> HeadShards:
    """Eight balls in groups of four, two views of 96 rays each."""
    return ball_shards(tmp_path_factory.mktemp("balls"))


@pytest.fixture
def config() -> TrainConfig:
    """A tiny network: planes of 16², 4 channels."""
    return ball_config()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where a run goes."""
    return tmp_path / "run"


@pytest.fixture
def portraits() -> Batch:
    """Twelve pictures of noise with random landmarks."""
    generator = torch.Generator().manual_seed(0)
    return {
        "images": torch.randint(0, 256, (12, 3, 40, 40), generator=generator, dtype=torch.uint8),
        "opacity": torch.full((12, 40, 40), 255, dtype=torch.uint8),
        "points": 0.3 + 0.4 * torch.rand(12, len(POINTS), 2, generator=generator),
        "angles": 20 * torch.randn(12, 2, generator=generator),
    }
