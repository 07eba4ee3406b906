"""The guided tour on a tiny random generator: its stations fit together. That the result is good is for tests/e2e to say."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from fface_hub.adapters.adapter import Adapter
from fface_hub.editing.edit import EditSettings
from fface_hub.errors import FaceNotFoundError, ModelError
from fface_hub.generators.triplane import TriplaneGenerator
from fface_hub.inversion.objective import InvertSettings
from fface_hub.layouts import BASE_15, NASAL_WING_17, Layout
from fface_hub.pipeline import edit_portrait
from fface_hub.progress import Step

PHOTO = Path(__file__).resolve().parent.parent / "examples" / "photos" / "astronaut.jpg"
INVERT = InvertSettings(resolution=16, rays=64, coarse=4, fine=4, w_steps=1, free_steps=1, tuning_steps=1)
EDIT = EditSettings(steps=2, resolution=16, coarse=4, fine=4)


def test_a_photo_goes_through_all_stations(tiny_generator: TriplaneGenerator) -> None:
    painted_on: list[tuple[Tensor, Layout]] = []
    steps: list[Step] = []

    def paint(labels: Tensor, layout: Layout) -> Tensor:
        painted_on.append((labels, layout))
        return torch.full_like(labels, layout.index("nose"))

    tour = edit_portrait(PHOTO, paint, tiny_generator, None, INVERT, EDIT, resolution=16, callback=steps.append)
    assert painted_on[0][1] == BASE_15 and torch.equal(painted_on[0][0], tour.seen.labels[0])
    assert tour.inversion.crop is not None and tour.inversion.retouch is not None
    assert tour.edited.region.any() and (tour.edited.target[tour.edited.region] == BASE_15.index("nose")).all()
    assert tour.views.image.shape[:2] == (5, 3) and "the search starts from the mean face" in tour.note
    assert len([step for step in steps if step.losses]) == 3 + 2  # one of each stage of the inversion, two of the edit


def test_an_adapter_of_another_generator_is_refused_before_the_work(tiny_generator: TriplaneGenerator) -> None:
    adapter = Adapter(NASAL_WING_17.to_dict(), "", "0" * 64, 8, 16)
    with pytest.raises(ModelError):
        edit_portrait(PHOTO, lambda labels, layout: labels, tiny_generator, adapter, callback=lambda step: pytest.fail("it began to work"))


def test_a_photo_without_a_face_is_refused(tiny_generator: TriplaneGenerator, tmp_path: Path) -> None:
    from PIL import Image

    Image.new("RGB", (200, 200), (90, 90, 90)).save(tmp_path / "wall.png")
    with pytest.raises(FaceNotFoundError):
        edit_portrait(tmp_path / "wall.png", lambda labels, layout: labels, tiny_generator)
