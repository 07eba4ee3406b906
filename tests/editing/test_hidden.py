"""What a painter cannot see of a thing that goes: by hand on label maps and balls, and on a head whose hair is cut."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from fface_hub import Generator
from fface_hub.cameras import Camera, look_at
from fface_hub.editing.composite import face_scene
from fface_hub.editing.edit import EditSession, EditSettings
from fface_hub.editing.hidden import BEFORE, BEHIND, _Shown, from_sides, gone_and_new
from fface_hub.editing.kept import KeptScene, keep
from fface_hub.generators.base import Rendering, Scene
from fface_hub.inversion.encoder import bundled_editor
from fface_hub.latents import Latents
from fface_hub.rendering.renderer import render
from fface_hub.rendering.sampling import Sampling
from tests.rendering.test_fast import Solids

CAMERA, MANY = look_at(0.0), Sampling(64, 32)
FACE = Latents(torch.zeros(1, 1, 1), torch.zeros(1, 1, 1, 1))
HEAD, HAIR = (0.0, 0.0, 0.1, 0.15), (0.0, 0.0, -0.25, 0.22)  # classes 1 and 2; from the front hair is a ring around the head


def look(scene: Scene, camera: Camera, side: int) -> Rendering:
    return render(scene, camera, side, MANY)


def test_what_goes_and_what_comes_by_hand() -> None:
    before, after = torch.zeros(10, 10, dtype=torch.int64), torch.zeros(10, 10, dtype=torch.int64)
    before[:2], after[:2] = 1, 1  # 20 pixels of class 1, of which 5 go to class 2: a quarter of it, and all of that
    after[0, :5] = 2
    before[5, 0], after[5, 0] = 3, 0  # all of class 3, and a hundredth of the picture
    region = before != after
    assert [kind.tolist() for kind in gone_and_new(before, after, region, 5)] == [
        [False, True, False, True, False],
        [False, False, True, False, False],
    ]
    after[0, 4] = 1  # four of twenty are less than a quarter
    went, came = gone_and_new(before, after, region, 5)
    assert went.tolist() == [False, False, False, True, False] and came.tolist() == [False, False, True, False, False]
    assert not torch.stack(gone_and_new(before, after, torch.zeros_like(region), 5)).any()  # what was not painted


def test_little_is_no_reason_to_look() -> None:
    before, after = Solids(HEAD, (0.0, 0.0, 0.25, 0.01)), Solids(HEAD)
    views = look(before, CAMERA, 64), look(after, CAMERA, 64)
    region = views[0].labels[0] != views[1].labels[0]
    assert bool(region.any())

    def never(scene: Scene, camera: Camera, side: int) -> Rendering:
        raise AssertionError("nobody has to look")

    assert from_sides((before, after), views, CAMERA, region, never) is None


def test_what_the_painter_saw_is_a_shell_but_where_it_was_painted() -> None:
    seen = look(Solids(HEAD), CAMERA, 64)
    free = torch.zeros(64, 64, dtype=torch.bool)
    free[:, :32] = True
    shown = _Shown(seen, CAMERA, free)
    origins, directions = CAMERA.rays(64)
    pixel = 32 * 64 + 34
    ways = seen.depth[0, 0, 32, 34] + torch.tensor([-BEFORE - 0.002, -BEFORE + 0.002, 0.0, BEHIND - 0.002, BEHIND + 0.002])
    points = origins[0, pixel] + ways[:, None] * directions[0, pixel]
    assert shown.at(points).tolist() == [False, True, True, True, False]
    assert not shown.at(points * torch.tensor([-1.0, 1.0, 1.0])).any()  # on the painted side
    empty, beyond = origins[0, 63] + 2.7 * directions[0, 63], torch.tensor([2.0, 0.0, 0.0])
    assert not shown.at(torch.stack([empty, beyond])).any()


@pytest.mark.parametrize("comes", [False, True])
def test_what_goes_goes_from_all_sides_and_what_comes_comes_to_all(comes: bool) -> None:
    scenes = (Solids(HEAD), Solids(HEAD, HAIR)) if comes else (Solids(HEAD, HAIR), Solids(HEAD))
    views = look(scenes[0], CAMERA, 64), look(scenes[1], CAMERA, 64)
    region = views[0].labels[0] != views[1].labels[0]
    beside = from_sides(scenes, views, CAMERA, region, look)
    assert beside is not None and beside[1].dtype == torch.uint8 and beside[1].shape == (len(beside[0]), 2, 64, 64)
    alone, all_around = (KeptScene(*scenes, keep(FACE, CAMERA, region, scenes[0], views, also)) for also in (None, beside))
    for yaw in (-40.0, 30.0):
        wanted, *found = (look(scene, look_at(yaw), 64) for scene in (scenes[1], alone, all_around))
        wrong = [float(((each.depth - wanted.depth).abs() > 0.02).float().mean()) for each in found]
        assert wrong[1] < wrong[0] / 3 and wrong[0] > 0.01, (yaw, wrong)
    front, before = look(all_around, CAMERA, 64), views[0]
    away = torch.nn.functional.max_pool2d(region[None].float(), 9, stride=1, padding=4)[0] == 0
    assert float((front.raw - before.raw)[0, :, away].abs().max()) < 1 / 127.5
    assert torch.equal(front.labels[0][away], before.labels[0][away])


@pytest.mark.slow
def test_hair_that_is_cut_in_front_does_not_hang_on_behind() -> None:
    generator = Generator.from_pretrained("heads-triplane")
    hair, size = generator.layout.index("hair"), 128
    drawn = generator.sample(12, seed=3)
    scenes = [generator.scene(drawn[index]) for index in range(len(drawn))]
    low = [(render(scene, CAMERA, 32).labels[0, 18:] == hair).sum() for scene in scenes]
    face = drawn[int(torch.stack(low).argmax())]
    session = EditSession(generator, face, editor=bundled_editor(generator))
    before = session.before()
    painted = before.labels[0].clone()
    painted[size // 2 :][painted[size // 2 :] == hair] = 0  # all below the eyes
    result, alone = (
        session.apply(painted, EditSettings(steps=12, all_around=way), original_labels=before.labels[0]) for way in (True, False)
    )
    assert torch.equal(result.latents.geometry, alone.latents.geometry)
    for yaw in (-30.0, 30.0):
        each = [face_scene(generator, latents) for latents in (face, alone.latents, result.latents, replace(result.latents, kept=None))]
        given, left, now, asked = (float((render(scene, look_at(yaw), 64).labels[0, 32:] == hair).float().sum()) for scene in each)
        # `asked`: what the edited face itself has there, of which nothing is kept.
        assert given > left > 1.25 * asked and now - asked < 0.2 * (left - asked), (yaw, given, left, now, asked)
    front, shown = (render(face_scene(generator, latents), generator.default_camera, size).raw for latents in (face, result.latents))
    away = torch.nn.functional.max_pool2d(result.region[None].float(), 17, stride=1, padding=8)[0] == 0
    assert float((front - shown)[0, :, away].abs().max()) < 1 / 127.5
