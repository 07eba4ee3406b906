"""Shared fixtures, and an environment in which no test reaches the network by accident."""

from __future__ import annotations

import os

# Read by these libraries when they are first imported. Port 9 of the loopback refuses connections, so a look-up on the Hub fails at once;
# the tests of the Hub start their own server and pass its address to a fresh process.
os.environ.setdefault("HF_ENDPOINT", "http://127.0.0.1:9")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
os.environ.setdefault("HF_HUB_DISABLE_XET", "1")
os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")

from pathlib import Path

import pytest
import torch

from fface_hub.generators.triplane import TriplaneGenerator
from tests.tiny import PAIR, random_generator


@pytest.fixture
def rng() -> torch.Generator:
    """A source of random numbers that starts at the same place in every test."""
    return torch.Generator().manual_seed(0)


@pytest.fixture(scope="session")
def tiny_generator() -> TriplaneGenerator:
    """A generator of a few thousand random weights with everything the bundled one has; shared, so leave it as it is."""
    return random_generator(**PAIR, noise=False)


@pytest.fixture(scope="session")
def tiny_folder(tiny_generator: TriplaneGenerator, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder that `tiny_generator` was saved to."""
    folder = tmp_path_factory.mktemp("models") / "tiny"
    tiny_generator.save_pretrained(folder)
    return folder
