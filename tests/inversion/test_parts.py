"""The parts of a face in an inversion: nothing is lost while they are there, and each missing one costs."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from fface_hub.inversion.align import Box, FaceCrop
from fface_hub.inversion.objective import InvertSettings
from fface_hub.inversion.parts import PARTS, SHARE, Parts, pupils_of
from tests.tiny import new_solid_generator

SETTINGS = InvertSettings(rays=256, coarse=8, fine=8)
# Pupils at a quarter and three quarters of a crop of 100 pixels that starts at (20, 10).
FOUND = FaceCrop(Box(20, 10, 100), ((45.0, 50.0), (95.0, 50.0)), 0.0, 0.0, 0.0, "haar", 1, "")


@pytest.fixture
def parts() -> Parts:
    """Of a generator whose mean face is set by hand: every part covers a tenth of the picture."""
    found = Parts(new_solid_generator(), SETTINGS)
    found.wanted = torch.full((len(PARTS),), SHARE * 0.1)
    return found


def picture(parts: Parts, areas: dict[str, list[int]]) -> tuple[Tensor, Tensor]:
    """Certain logits of a 16 × 16 grid whose given cells show parts, and the places of the cells."""
    centres = (torch.arange(16) + 0.5) / 16
    v, u = torch.meshgrid(centres, centres, indexing="ij")
    logits = torch.zeros(1, 256, 15)
    logits[..., 1] = 50.0
    for name, cells in areas.items():
        logits[0, cells, 1] = 0.0
        logits[0, cells, parts.ids[PARTS.index(name)]] = 50.0
    return logits, torch.stack([u, v], dim=-1).reshape(1, 256, 2)


ROWS = {name: list(range(32 * at, 32 * at + 30)) for at, name in enumerate(("brow", "nose", "lips"))}  # 30 of 256: more than .1 · .6
# (.25, .4) and (.75, .4): row 6 (from .375 to .4375), columns 3 and 4, and 11 and 12.
EYES = [6 * 16 + column for column in (3, 4, 11, 12)] + list(range(200, 230))


def test_pupils_are_found_in_the_crop() -> None:
    torch.testing.assert_close(pupils_of(FOUND), torch.tensor([[0.25, 0.4], [0.75, 0.4]]))


def test_a_missing_part_costs_one_and_half_of_it_a_half(parts: Parts) -> None:
    logits, uv = picture(parts, {**ROWS, "eye": EYES})
    assert float(parts.loss(logits, uv)) == pytest.approx(0.0, abs=1e-5)
    logits, uv = picture(parts, {"nose": ROWS["nose"], "lips": ROWS["lips"], "eye": EYES})
    assert float(parts.loss(logits, uv)) == pytest.approx(1.0, abs=1e-5)
    parts.wanted[PARTS.index("nose")] = 60 / 256
    logits, uv = picture(parts, {**ROWS, "eye": EYES})
    assert float(parts.loss(logits, uv)) == pytest.approx(0.5, abs=1e-5)  # 30 cells of 60


def test_eyes_must_lie_at_the_pupils(parts: Parts) -> None:
    parts.wanted[PARTS.index("eye")] = 4 / 256  # two cells at each pupil
    logits, uv = picture(parts, {**ROWS, "eye": EYES})
    assert float(parts.loss(logits, uv, pupils_of(FOUND))) == pytest.approx(0.0, abs=1e-5)
    logits, uv = picture(parts, {**ROWS, "eye": EYES[4:]})  # as many eyes, elsewhere: both pupils go without
    assert float(parts.loss(logits, uv, pupils_of(FOUND))) == pytest.approx(2.0, abs=1e-5)
    assert float(parts.loss(logits, uv)) == pytest.approx(0.0, abs=1e-5)  # nobody knows where the eyes are


def test_the_wanted_areas_are_those_of_the_mean_face() -> None:
    generator = new_solid_generator()
    generator.update_mean(100)
    wanted = Parts(generator, SETTINGS).wanted
    more = Parts(generator, replace(SETTINGS, rays=1024)).wanted
    assert bool((wanted > 0).all()) and bool((wanted < SHARE).all())
    torch.testing.assert_close(wanted, more, rtol=0.2, atol=1e-3)
