"""The example layout: its rule paints what it says, and it fits in with the public commands."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path

import torch

from examples.makeup.paint import MAKEUP, ellipse, paint, paint_set
from fface_hub.adapters.samples import Origin, Sample, SampleSet
from fface_hub.cameras import look_at
from fface_hub.generators.triplane import TriplaneGenerator
from fface_hub.layouts import BASE_15

SKIN, EYE, NOSE, LIPS, SHADOW, BLUSH = (MAKEUP.index(name) for name in ("skin", "eye", "nose", "lips", "eye shadow", "blush"))


def face() -> torch.Tensor:
    """A face of 64²: two eyes of 8 × 3 pixels, 20 rows above the lips."""
    labels = torch.full((64, 64), SKIN)
    labels[20:23, 16:24] = EYE
    labels[20:23, 40:48] = EYE
    labels[28:34, 30:34] = NOSE
    labels[40:43, 26:38] = LIPS
    return labels


def test_an_ellipse_has_its_area_and_turns_with_the_clock() -> None:
    mask = ellipse(torch.Size((64, 64)), (30.0, 20.0), (16.0, 4.0), tilt=30)
    assert abs(int(mask.sum()) - math.pi * 16 * 4) < 8
    # On screen y goes down: 30 degrees with the clock carry a point 14 to the right to (30 + 14 cos 30, 20 + 14 sin 30) = (42, 27).
    assert mask[27, 42] and not mask[13, 42]


def test_zones_lie_on_skin_above_the_eyes_and_on_the_cheeks() -> None:
    labels = face()
    painted = paint(labels)
    assert torch.equal(painted[labels != SKIN], labels[labels != SKIN])
    # Eye centres: x 19.5 and 43.5, y 21. Above them, still within .7 × 8 = 5.6 rows, lies shadow; below them never.
    assert painted[17, 19] == SHADOW and painted[17, 43] == SHADOW and not (painted[21:] == SHADOW).any()
    # Lips lie 20 rows lower: blush round (19.5 − 5.6, 32) and (43.5 + 5.6, 32), its outer end the higher one.
    assert painted[32, 14] == BLUSH and painted[32, 49] == BLUSH
    rows, columns = (painted == BLUSH).nonzero(as_tuple=True)
    assert rows[columns == columns.max()].float().mean() < 32 and rows[columns == columns.min()].float().mean() < 32
    assert torch.equal(painted.flip(1), paint(labels.flip(1)))
    assert torch.equal(MAKEUP.convert(painted, BASE_15), labels)


def test_nothing_is_painted_round_an_eye_that_is_not_seen() -> None:
    labels = face()
    labels[20:23, 40:48] = SKIN
    painted = paint(labels)
    assert (painted[:, :32] == BLUSH).any() and torch.equal(painted[:, 32:], labels[:, 32:])
    labels[labels == LIPS] = SKIN
    assert torch.equal(paint(labels), labels)


def test_a_set_keeps_all_but_its_labels(tiny_generator: TriplaneGenerator) -> None:
    sample = Sample(torch.zeros(3, 64, 64), face(), look_at(0), tiny_generator.sample(1, 3), Origin.of(tiny_generator))
    painted = paint_set(SampleSet(MAKEUP, (sample,), ("To be painted: blush.",)))
    assert torch.equal(painted.samples[0].labels, paint(face())) and painted.notes == ()
    assert painted.samples[0].latents is sample.latents and painted.samples[0].origin == sample.origin


def test_the_command_paints_the_faces_of_a_folder(tiny_generator: TriplaneGenerator, tmp_path: Path) -> None:
    sample = Sample(torch.zeros(3, 64, 64), face(), look_at(0), tiny_generator.sample(1, 3), Origin.of(tiny_generator))
    SampleSet(MAKEUP, (sample,)).save(tmp_path / "faces")
    root = Path(__file__).resolve().parents[2]
    command = [sys.executable, "-m", "examples.makeup.paint", str(tmp_path / "faces")]
    result = subprocess.run(command, cwd=root, capture_output=True, text=True)
    assert result.returncode == 0 and "now run  python -m fface_hub.cli samples check" in result.stdout, result.stderr
    assert torch.equal(SampleSet.load(tmp_path / "faces").samples[0].labels, paint(face()))
