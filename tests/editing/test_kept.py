"""Scenes of two: by hand on balls, the fast and the exact way, and edits whose surroundings stay to the last bit."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from fface_hub.cameras import look_at, orbit
from fface_hub.editing.composite import face_scene
from fface_hub.editing.edit import EditSession, EditSettings, edit
from fface_hub.editing.kept import FADE, FAINT, GROW, MARGIN, PLAIN, RAMP, WIDE, KeptScene, keep
from fface_hub.editing.steps import Edited, Task
from fface_hub.errors import ModelError
from fface_hub.generators.base import Rendering
from fface_hub.inversion.inversion import Inversion
from fface_hub.kept import LAYERS
from fface_hub.latents import Latents
from fface_hub.rendering.renderer import render, render_rays
from fface_hub.rendering.sampling import Sampling
from tests.editing.test_composite import FEW, Halves
from tests.tiny import solid_generator

CAMERA = look_at(0.0)
SHORT = EditSettings(steps=3, resolution=32, rays=200, side_rays=64, coarse=12, fine=12)


def box(size: int, rows: slice, columns: slice) -> torch.Tensor:
    region = torch.zeros(size, size, dtype=torch.bool)
    region[rows, columns] = True
    return region


def moved(face: Latents, region: torch.Tensor, by: float = 0.5) -> Latents:
    """`face` moved as an edit of `region` moves it."""
    delta = by * torch.randn(face.geometry.shape, generator=torch.Generator().manual_seed(1))
    return replace(face.offset(delta), kept=keep(face, CAMERA, region, face_scene(solid_generator(), face)))


def test_each_side_of_the_line_shows_its_own_scene() -> None:
    region = box(128, slice(None), slice(0, 64))
    kept = keep(Latents(torch.zeros(1, 1, 1), torch.zeros(1, 1, 1, 1)), CAMERA, region, Halves(0.2))
    scene = KeptScene(Halves(0.2), Halves(-0.6), kept)
    for exact in (False, True):
        row = render(scene, CAMERA, 128, FEW, exact=exact).raw[0, 0, 64]
        before, after = (render(Halves(grey), CAMERA, 128, FEW).raw[0, 0, 64] for grey in (0.2, -0.6))
        # Shares by distance from column 63: 1 at one pixel, 1/2 at two, 0 at three.
        assert torch.equal(row[66:], before[66:])
        torch.testing.assert_close(row[:65], after[:65], atol=1e-5, rtol=0)
        torch.testing.assert_close(row[65], (before[65] + after[65]) / 2, atol=5e-3, rtol=0)


def view(size: int, depth: float, opacity: float, spilled: torch.Tensor | None = None, grey: float = 1.0) -> Rendering:
    """A flat thing of class 1, and of class 2 where it is to have `spilled [h,h]`."""
    flat = torch.ones(1, 1, size, size)
    labels = flat[:, 0].long() if spilled is None else flat[:, 0].long() + spilled
    return Rendering(grey * flat, grey * flat, flat, labels, depth * flat, opacity * flat)


def test_the_narrow_rim_by_hand() -> None:
    size = 128
    face, scene = Latents(torch.zeros(1, 1, 1), torch.zeros(1, 1, 1, 1)), Halves(0.2)
    assert (size * GROW, size * RAMP) == (1, 2)
    maps = keep(face, CAMERA, box(size, slice(64, 65), slice(64, 65)), scene).maps[0]
    # 255 up to 1 pixel, (3 − 2) / 2 at 2 pixels, and at √2 and √5 what lies between; it goes through the head.
    assert maps[0, 64, 64:68].tolist() == [255, 255, 128, 0]
    assert maps[0, 65, 65].item() == round(255 * (3 - 2**0.5) / 2) and maps[0, 66, 65].item() == round(255 * (3 - 5**0.5) / 2)
    assert (maps[1] == 255).all()


def test_the_rim_is_wide_where_no_label_spilled() -> None:
    size = 128
    face, scene = Latents(torch.zeros(1, 1, 1), torch.zeros(1, 1, 1, 1)), Halves(0.2)
    region, spilled = box(size, slice(64, 65), slice(64, 65)), box(size, slice(64, 65), slice(69, 70))
    assert (size * WIDE, size * FADE) == (3, 3)
    maps = keep(face, CAMERA, region, scene, (view(size, 2.4, 1.0), view(size, 2.5, 1.0, spilled, grey=0.5))).maps[0]
    # To the left 255 up to 3 pixels, then (6 − 4) / 3 and (6 − 5) / 3. To the right the pixels around the spilled one, 5 away, are narrow:
    # 4 away no share at all, 3 away the mean of 3 × 3 pixels of which three count, (9 − 3) / 9, of the wide 1.
    assert maps[0, 64, 57:65].tolist() == [0, 0, 85, 170, 255, 255, 255, 255]
    assert maps[0, 64, 65:71].tolist() == [255, 255, 170, round(255 * 3 / 9 * 2 / 3), 0, 0]


def test_the_wide_rim_is_where_colours_change() -> None:
    size = 128
    face, scene, region = Latents(torch.zeros(1, 1, 1), torch.zeros(1, 1, 1, 1)), Halves(0.2), box(128, slice(64, 65), slice(64, 65))
    before, narrow = view(size, 2.4, 1.0), keep(face, CAMERA, region, scene).maps[0, 0]

    def rim(after: Rendering) -> torch.Tensor:
        return keep(face, CAMERA, region, scene, (before, after)).maps[0, 0]

    assert torch.equal(rim(view(size, 2.5, 1.0, grey=1 - FAINT + 1e-4)), narrow)
    # Two fifths of the way from faint to plain: as much of the wide rim's 1, 2/3 and 1/3 at 3, 4 and 5 pixels.
    assert rim(view(size, 2.5, 1.0, grey=1 - FAINT - 0.4 * (PLAIN - FAINT)))[64, 64:71].tolist() == [255, 255, 128, 102, 68, 34, 0]
    # One pixel of another colour three to the left: it counts in all pixels around it, of which these then take the mean of 3 × 3. That is
    # all of it three to the left; two thirds, half way from faint to plain, to both sides; and a third, which is faint, beyond.
    after = view(size, 2.5, 1.0)
    after.raw[0, 0, 64, 61] -= PLAIN
    assert rim(after)[64, 57:67].tolist() == [0, 0, 0, 85, 255, 128, 255, 255, 255, 128]


def test_the_depth_of_an_edit_by_hand() -> None:
    face, scene, region = Latents(torch.zeros(1, 1, 1), torch.zeros(1, 1, 1, 1)), Halves(0.2), box(64, slice(32, 33), slice(32, 33))
    depths = keep(face, CAMERA, region, scene, (view(64, 2.4, 1.0), view(64, 2.5, 1.0))).maps[0, 1]
    assert (depths == round(255 * (2.5 + MARGIN - scene.near) / (scene.far - scene.near))).all()
    # Where the ray ends nowhere after the edit, it goes all the way.
    assert (keep(face, CAMERA, region, scene, (view(64, 2.4, 1.0), view(64, 2.5, 0.2))).maps[0, 1] == 255).all()


def test_the_fast_way_agrees_with_the_exact_one() -> None:
    generator = solid_generator()
    face = moved(generator.sample(1, seed=3), box(32, slice(8, 20), slice(8, 20)))
    scene = face_scene(generator, face)
    assert isinstance(scene, KeptScene) and scene.field() is not None
    for camera in orbit(3):
        fast, exact = (render(scene, camera, 48, Sampling(24, 24), exact=way) for way in (False, True))
        torch.testing.assert_close(fast.image, exact.image, atol=2e-3, rtol=0)
        assert (fast.labels == exact.labels).float().mean() > 0.99


def test_gradients_flow_to_the_edited_face_where_it_is_seen() -> None:
    generator, face = solid_generator(), solid_generator().sample(1, seed=3)
    rows = face.geometry.clone().requires_grad_()
    kept = keep(face, CAMERA, box(8, slice(2, 5), slice(2, 5)), generator.scene(face))
    scene = face_scene(generator, Latents(rows, face.appearance, kept))
    origins, directions = CAMERA.rays(8)
    inside, outside = 3 * 8 + 3, 7 * 8 + 7
    for ray, flows in ((inside, True), (outside, False)):
        seen = render_rays(scene, origins[:, ray : ray + 1], directions[:, ray : ray + 1], Sampling(12, 0))
        (gradient,) = torch.autograd.grad(seen.color.sum() + seen.logits.sum(), rows, allow_unused=True, retain_graph=True)
        assert (gradient is not None and bool(gradient.any())) == flows


@pytest.mark.parametrize("inverted", [False, True])
def test_what_was_not_painted_stays_to_the_last_bit(inverted: bool) -> None:
    generator = solid_generator()
    latents = generator.sample(1, seed=3)
    face = Inversion(latents, CAMERA, generator) if inverted else latents
    session = EditSession(generator, face)
    before = session.before(SHORT)
    target = before.labels[0].clone()
    target[10:16, 10:16] = (target[10:16, 10:16] + 1) % len(generator.layout)
    result = session.apply(target, SHORT, original_labels=before.labels[0])
    assert result.latents.kept is not None and not torch.equal(result.latents.geometry, latents.geometry)
    views = [
        render(face_scene(generator, each), CAMERA, 32, Sampling(12, 12), finish=False, exact=True) for each in (latents, result.latents)
    ]
    same = (views[0].raw == views[1].raw).all(1)[0] & (views[0].logits == views[1].logits).all(1)[0]
    far = torch.ones(32, 32, dtype=torch.bool)
    far[7:19, 7:19] = False  # 3 pixels around it: the wide rim at 32² is 1.5 wide, and shares are looked up between two pixels
    assert bool(same[far].all()) and not bool(same[10:16, 10:16].all())
    assert torch.equal(result.after.labels[0][far], before.labels[0][far])


def test_without_it_all_of_the_face_is_the_edited_one() -> None:
    generator = solid_generator()
    face = generator.sample(1, seed=3)
    labels = render(generator.scene(face), generator.default_camera, 32, Sampling(12, 12), finish=False).labels[0]
    target = labels.clone()
    target[10:16, 10:16] = (target[10:16, 10:16] + 1) % len(generator.layout)
    result = edit(generator, face, target, settings=replace(SHORT, keep=False), original_labels=labels)
    assert result.latents.kept is None


def test_a_second_edit_keeps_the_first_to_the_last_bit() -> None:
    generator = solid_generator()
    first = moved(generator.sample(1, seed=3), box(32, slice(4, 8), slice(4, 8)))
    session = EditSession(generator, first, camera=CAMERA)
    before = session.before(SHORT)
    target = before.labels[0].clone()
    target[20:26, 20:26] = (target[20:26, 20:26] + 1) % len(generator.layout)
    second = session.apply(target, SHORT, original_labels=before.labels[0]).latents
    assert first.kept is not None and second.kept is not None and second.kept.earlier is not None
    assert second.kept.earlier.same(first.kept) and torch.equal(second.kept.geometry, first.geometry)
    scenes = [face_scene(generator, each) for each in (generator.sample(1, seed=3), first, second)]
    zero, one, two = (render(scene, CAMERA, 32, Sampling(12, 12), exact=True).raw[0] for scene in scenes)
    elsewhere = torch.ones(32, 32, dtype=torch.bool)
    elsewhere[18:28, 18:28] = False
    assert torch.equal(one[:, elsewhere], two[:, elsewhere])
    assert not torch.equal(one[:, 22:24, 22:24], two[:, 22:24, 22:24]) and not torch.equal(zero[:, 5:7, 5:7], one[:, 5:7, 5:7])
    # The fast way, whose labels and colours go through both layers as well.
    for camera in orbit(3):
        fast, exact = (render(scenes[2], camera, 48, Sampling(24, 24), exact=way) for way in (False, True))
        torch.testing.assert_close(fast.image, exact.image, atol=2e-3, rtol=0)
        assert (fast.labels == exact.labels).float().mean() > 0.99


def test_edits_beyond_the_layers_of_a_face_are_shown_as_they_are() -> None:
    generator, face = solid_generator(), solid_generator().sample(1, seed=3)
    for _ in range(LAYERS):
        face = moved(face, box(32, slice(4, 8), slice(4, 8)), by=0.1)
    session = EditSession(generator, face, camera=CAMERA)
    before = session.before(SHORT)
    target = before.labels[0].clone()
    assert session.apply(target, SHORT).latents.tensors().keys() == face.tensors().keys()  # nothing painted, nothing joined
    target[20:26, 20:26] = (target[20:26, 20:26] + 1) % len(generator.layout)
    result = session.apply(target, SHORT, original_labels=before.labels[0])
    assert result.latents.kept is not None and len(result.latents.kept.layers) == LAYERS
    shown = render(face_scene(generator, result.latents), CAMERA, 32, Sampling(12, 12), finish=False)
    torch.testing.assert_close(result.after.raw, shown.raw, atol=5e-3, rtol=0)


def test_a_face_that_was_edited_is_where_a_search_begins_as_a_whole() -> None:
    """Nothing is kept of it on the way, so what its picture shows is not where the search begins."""
    generator, region = solid_generator(), box(32, slice(8, 20), slice(8, 20))
    face = generator.sample(1, seed=3)
    for latents, whole in ((face, True), (moved(face, region), False)):
        session = EditSession(generator, latents)
        before = session.before(SHORT)
        task = Task(Edited(session.face, None, session.moves), SHORT, face_scene(generator, latents), before, region, before.labels[0])
        with torch.no_grad():
            known, seen = task.losses_before(), task.losses(task.start)
        for name, value in seen.items():
            torch.testing.assert_close(known[name], value)
        assert (float(known["image"]) < 1e-9) == whole


def test_best_latents_on_the_way_keep_the_rest_too() -> None:
    generator, steps = solid_generator(), []
    session = EditSession(generator, generator.sample(1, seed=3))
    target = (session.before(SHORT).labels[0] + (torch.arange(32) < 4)) % len(generator.layout)
    session.apply(target, SHORT, steps.append, original_labels=session.before(SHORT).labels[0])
    best = [step.best for step in steps if step.index and step.best is not None]
    assert len(best) == 3 and all(latents.kept is not None for latents in best)


def test_one_scene_is_not_enough_for_such_a_face() -> None:
    face = moved(solid_generator().sample(1, seed=3), box(8, slice(2, 5), slice(2, 5)))
    with pytest.raises(ModelError, match="face_scene"):
        solid_generator().scene(face)
    samples = Halves(0.2).geometry(torch.zeros(1, 1, 1, 3), torch.tensor([[[0.0, 0.0, -1.0]]]))
    assert face.kept is not None
    with pytest.raises(ValueError, match="the samples that it made"):
        KeptScene(Halves(0.2), Halves(0.1), face.kept).color(samples)
