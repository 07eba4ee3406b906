"""True pictures of simple things: what is averaged, what is not, and whose appearance the swapped pictures wear."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from fface_hub.heads.truth import draw_truth, random_camera
from fface_hub.layouts import BASE_15, FINE_24

IRIS = FINE_24.index("iris")


class Stripes:
    """Columns of rays that alternate between an iris 2.5 away and nothing; appearance z is the colour of the iris."""

    version = "stripes"

    def latents(self, seed: int) -> tuple[np.ndarray, np.ndarray]:
        return np.float32([seed]), np.float32([seed / 10])

    def trace(self, geometry_z: np.ndarray) -> Any:
        def cast(origins: np.ndarray, directions: np.ndarray) -> np.ndarray:
            side = round(len(directions) ** 0.5)
            return np.where(np.arange(len(directions)) % side % 2 == 0, np.float32(2.5), np.float32(np.inf))

        return cast

    def labels(self, hits: np.ndarray) -> np.ndarray:
        return np.where(np.isfinite(hits), IRIS, 0)

    def depth(self, hits: np.ndarray) -> np.ndarray:
        return hits

    def shade(self, hits: np.ndarray, appearance_z: np.ndarray) -> np.ndarray:
        return np.where(np.isfinite(hits), appearance_z, np.float32(-1))[:, None].repeat(3, axis=1)


def test_pictures_are_averaged_and_labels_are_not() -> None:
    drawn: list[int] = []
    truth = draw_truth(Stripes(), 2, 3, resolution=4, callback=drawn.append)
    assert drawn == [1, 2, 3]
    # Seeds 2, 3, 4: each pixel averages two rays of colour .2 and two of −1 -> −.4; swapped: .3 -> −.35, and the last wears seed 2
    assert truth.images[0].unique().tolist() == pytest.approx([-0.4], abs=1e-6)
    assert truth.swapped[0].unique().tolist() == pytest.approx([-0.35], abs=1e-6)
    assert truth.swapped[2].unique().tolist() == pytest.approx([-0.4], abs=1e-6)
    eye = BASE_15.index("eye")
    assert torch.equal(truth.labels[1, 0], torch.tensor([eye, 0, eye, 0]))
    assert truth.depths[1, 0, 0].tolist() == [2.5, np.inf, 2.5, np.inf]
    assert truth.camera.cam2world.shape == (3, 4, 4)


def test_random_cameras_belong_to_the_seed_and_stay_in_range() -> None:
    position = torch.cat([random_camera(seed).cam2world for seed in range(200)])[:, :3, 3]
    yaw = torch.rad2deg(torch.atan2(position[:, 0], position[:, 2]))
    pitch = torch.rad2deg(torch.asin(position[:, 1] / position.norm(dim=1)))
    assert 33 < yaw.abs().max() <= 35.001
    assert 14 < pitch.abs().max() <= 15.001
    assert torch.equal(random_camera(5).cam2world, random_camera(5).cam2world)
