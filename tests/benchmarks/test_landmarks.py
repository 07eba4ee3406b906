"""The landmark benchmark: perfect answers have no error, and wrong ones the error that they have."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from fface_hub.benchmarks import landmarks as module
from fface_hub.benchmarks.landmarks import run
from fface_hub.errors import ModelError
from fface_hub.heads.truth import random_camera
from fface_hub.inversion.detect import Detection
from fface_hub.inversion.landmarks import FIVE, LandmarkNet, Landmarks, Square
from fface_hub.inversion.pose import HeadFit, orbit_angles
from fface_hub.progress import Step

NETWORK = LandmarkNet(side=32, channels=(4, 4, 4, 4), hidden=8).eval()


def test_perfect_and_wrong_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    views: list[module._View] = []
    draw = module._view
    roll_error, shift = 0.0, 0.0

    def keep(seed: int, resolution: int) -> module._View:
        views.append(draw(seed, resolution))
        return views[-1]

    def locate(pixels: np.ndarray, face: Detection, network: Any) -> tuple[np.ndarray, HeadFit]:
        view = views[-1]
        yaw, pitch, roll = orbit_angles(view.camera)
        points = view.points[:FIVE] + (np.array([shift * view.pupils, 0.0]))
        return points, HeadFit(yaw, pitch, roll + roll_error, 0.0, 0.0, 1.0)

    monkeypatch.setattr(module, "_view", keep)
    monkeypatch.setattr(module, "locate_head", locate)
    monkeypatch.setattr(module, "look", lambda pixels, square, network: Landmarks(views[-1].points, (0.0, 0.0, 0.0)))
    monkeypatch.setattr(module, "haar", lambda pixels: [Detection(Square((0.0, 0.0), 1.0))] if len(views) % 2 else [])
    steps: list[Step] = []
    figures = run(NETWORK, identities=4, resolution=32, callback=steps.append)
    assert [step.index for step in steps] == [1, 2, 3, 4] and figures["identities"] == 4 and figures["haar_found"] == 0.5
    for name in ("yaw", "pitch", "roll", "rotation", "rotation_p90", "points", "haar_rotation", "haar_points"):
        assert figures[name] == pytest.approx(0, abs=0.05), name
    assert figures["network_rotation"] > 3  # the true angles are not zero
    roll_error, shift = 10.0, 0.25
    figures = run(NETWORK, identities=2, resolution=32)
    assert (figures["roll"], figures["rotation"], figures["points"]) == pytest.approx((10, 10, 0.25), abs=0.01)
    assert figures["yaw"] == pytest.approx(0, abs=1e-6)


def test_views_are_those_of_held_out_heads() -> None:
    view = module._view(1_000_000, 48)
    assert view.pixels.shape == (48, 48, 3) and view.pixels.std() > 5
    np.testing.assert_allclose(view.camera.to_vector(), random_camera(1_000_000).to_vector())
    # The default camera shows the pupils of a middling head 0.23 of the picture apart.
    assert view.pupils / 48 == pytest.approx(0.23, abs=0.04)


def test_other_models_are_refused() -> None:
    with pytest.raises(ModelError, match="heads-landmarks"):
        run(object())
