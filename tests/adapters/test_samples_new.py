"""Faces to paint: which are chosen, where their labels start, and what the guide says."""

from __future__ import annotations

import json
import re

import pytest
import torch

from fface_hub.adapters.adapter import Adapter
from fface_hub.adapters.samples import Origin
from fface_hub.adapters.samples_new import draw, farthest_points, painting_guide, propose, starting_note, starting_table
from fface_hub.cameras import look_at
from fface_hub.errors import ModelError
from fface_hub.generators.triplane import TriplaneGenerator
from fface_hub.layouts import BASE_15, EYES_19, LabelClass, Layout
from fface_hub.progress import Step
from fface_hub.rendering.renderer import render
from fface_hub.rendering.sampling import Sampling

OWN = Layout(
    "own",
    (
        LabelClass("nothing", (0, 0, 0)),
        LabelClass("skin", (1, 0, 0)),
        LabelClass("upper lip", (2, 0, 0), "lips"),
        LabelClass("lower lip", (3, 0, 0), "lips"),
        LabelClass("gem", (4, 0, 0)),
    ),
)


def test_the_farthest_points_are_chosen_after_the_most_average_one() -> None:
    points = torch.tensor([[0.0], [9.0], [5.0], [10.0], [1.0], [4.0]])
    # The mean is 29/6 = 4.8: first 5. Farthest from 5: 0 and 10 (both 5 away), the first of them is 0. Then 10 (5 from 5). Then 9 is 1 from
    # 10, 1 is 1 from 0, 4 is 1 from 5: the first of these is 9.
    assert farthest_points(points, 4) == [2, 0, 3, 1]
    assert sorted(farthest_points(points, 6)) == list(range(6))
    assert sorted(farthest_points(torch.zeros(3, 2), 3)) == [0, 1, 2]
    with pytest.raises(ValueError, match="7 of 6"):
        farthest_points(points, 7)


def test_labels_start_at_the_same_class_the_parent_or_the_first_part() -> None:
    table = dict(zip(BASE_15.names, starting_table(BASE_15, OWN).tolist(), strict=True))
    assert table["skin"] == 1 and table["lips"] == 2 and table["background"] == table["nose"] == table["eye"] == 0
    table = dict(zip(EYES_19.names, starting_table(EYES_19, BASE_15).tolist(), strict=True))
    assert table["pupil"] == BASE_15.index("eye") and table["eyelid"] == BASE_15.index("skin") and table["hat"] == BASE_15.index("hat")
    note = starting_note(BASE_15, OWN)
    assert "(lips as upper lip)" in note and note.endswith("To be painted: lower lip, gem.")
    assert "everything starts as class 0" in starting_note(BASE_15, Layout("far", (LabelClass("a", (0, 0, 0)), LabelClass("b", (1, 1, 1)))))


def test_drawn_faces_bring_all_that_a_fit_needs(tiny_generator: TriplaneGenerator) -> None:
    steps: list[Step] = []
    samples = draw(tiny_generator, OWN, 4, seed=1, resolution=16, callback=steps.append)
    assert len(samples) == 4 and samples.layout == OWN and [step.index for step in steps] == [1, 2, 3, 4]
    samples.check(tiny_generator)
    first, fourth = samples.samples[0], samples.samples[3]
    assert first.origin == Origin.of(tiny_generator) and first.latents is not None and fourth.latents is not None
    assert not torch.equal(first.latents.geometry, fourth.latents.geometry)
    assert torch.equal(first.camera.cam2world, look_at(0.0).cam2world) and torch.equal(fourth.camera.cam2world, look_at(0.0).cam2world)
    assert torch.equal(samples.samples[1].camera.cam2world, look_at(-23.0).cam2world)
    view = render(tiny_generator.scene(first.latents), look_at(0.0), 16)
    assert torch.equal(first.labels, starting_table(BASE_15, OWN)[view.labels[0]])
    again = draw(tiny_generator, OWN, 1, seed=1, resolution=16)
    other = draw(tiny_generator, OWN, 1, seed=2, resolution=16)
    assert torch.equal(again.samples[0].image, first.image) and not torch.equal(other.samples[0].image, first.image)


def test_faces_come_one_by_one_and_go_on_where_they_were_left(tiny_generator: TriplaneGenerator) -> None:
    every = draw(tiny_generator, OWN, 3, resolution=16).samples
    rest = propose(tiny_generator, OWN, 3, resolution=16, done={1})
    for found, wanted in zip(rest, every[::2], strict=True):
        assert torch.equal(found.image, wanted.image) and torch.equal(found.camera.cam2world, wanted.camera.cam2world)
    few = next(propose(tiny_generator, OWN, 3, resolution=16, sampling=Sampling(8, 8)))
    assert not torch.equal(few.image, every[0].image) and torch.equal(few.camera.cam2world, every[0].camera.cam2world)


def test_an_adapter_that_is_good_already_gives_the_start(tiny_generator: TriplaneGenerator) -> None:
    adapter = Adapter(OWN.to_dict(), "tiny", tiny_generator.fingerprint, 8)
    adapter.initialise(torch.Generator().manual_seed(0))
    sample = draw(tiny_generator, OWN, 1, resolution=16, adapter=adapter).samples[0]
    assert sample.latents is not None
    view = render(tiny_generator.scene(sample.latents), sample.camera, 16, adapter=adapter)
    assert torch.equal(sample.labels, view.labels[0])
    with pytest.raises(ModelError, match="does not fit"):
        draw(tiny_generator, OWN, 1, resolution=16, adapter=Adapter(OWN.to_dict(), "other", "0" * 64, 8))


def test_the_guide_has_the_colours_in_every_form() -> None:
    guide = painting_guide(OWN, "So it <starts>.")
    assert guide["palette.gpl"].splitlines()[:2] == ["GIMP Palette", "Name: own"]
    assert "  2   0   0\tupper lip" in guide["palette.gpl"].splitlines()
    text = guide["README.md"]
    assert "| 2 | upper lip | #020000 | lips |" in text and "&#60;starts&#62;" in text and "nothing else is nothing" in text
    block = re.search(r"```json\n(.*?)\n```", text, re.DOTALL)
    assert block is not None
    assert [(item["name"], item["color"]) for item in json.loads(block[1])][4] == ("gem", "#040000")
