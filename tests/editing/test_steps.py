"""What an edit looks at: rays that stand for the whole picture, and sides of which the painter saw the surface and left it alone."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from fface_hub.cameras import look_at
from fface_hub.editing.edit import EditSession, EditSettings, edit
from fface_hub.editing.regions import grown
from fface_hub.editing.sides import YAWS, rays_from_sides, seen_in_front
from fface_hub.editing.steps import RING, Edited, Face, Moves, Offset, Rays, Task
from fface_hub.errors import ModelError, OptimisationError
from fface_hub.generators.base import GeometrySamples
from fface_hub.inversion.encoder import CanonicalEditor, LatentBasis
from fface_hub.latents import Latents
from fface_hub.rendering.renderer import render, render_rays
from fface_hub.rendering.sampling import Sampling
from tests.editing.test_edit import FACE, SETTINGS, BallGenerator, BallScene, labels_of, moved
from tests.tiny import solid_generator


def test_rays_stand_for_all_pixels() -> None:
    region = torch.zeros(40, 40, dtype=torch.bool)
    region[10:14, 10:15] = True  # 20 pixels; with its ring 16 · 17 of them
    near, labels = grown(region, RING), torch.zeros(40, 40, dtype=torch.int64)
    rays = Rays.choose(region, near, labels, 200, torch.Generator().manual_seed(0))
    inside = region.flatten()[rays.pixels]
    row, column = rays.pixels // 40, rays.pixels % 40
    ring = (row >= 10 - RING) & (row < 14 + RING) & (column >= 10 - RING) & (column < 15 + RING) & ~inside
    assert int(inside.sum()) == 20 and int(ring.sum()) == 50 and len(rays.pixels) == 200
    assert len(rays.pixels.unique()) == 200
    assert rays.area[inside].unique().tolist() == [1.0]
    assert float(rays.area[ring].sum()) == pytest.approx(16 * 17 - 20) and float(rays.area.sum()) == pytest.approx(1600)
    every = Rays.choose(region, near, labels, None, torch.Generator())
    assert torch.equal(every.pixels, torch.arange(1600)) and every.area.unique().tolist() == [1.0]


def test_small_classes_beyond_are_looked_at_whole() -> None:
    region, labels = torch.zeros(40, 40, dtype=torch.bool), torch.zeros(40, 40, dtype=torch.int64)
    region[:4, :4] = True
    labels[20:, :] = 3
    labels[30, 10:16] = 1  # an iris
    labels[:4, :4] = 2  # only what is painted on is of this class
    for count in (40, 400, 1500):
        rays = Rays.choose(region, grown(region, RING), labels, count, torch.Generator().manual_seed(0))
        of = labels.flatten()[rays.pixels]
        beyond = ~grown(region, RING).flatten()[rays.pixels]
        assert count - 3 <= len(rays.pixels) <= count and float(rays.area.sum()) == pytest.approx(1600)
        assert rays.area[beyond & (of == 1)].tolist() == [1.0] * 6 if count > 40 else bool((beyond & (of == 1)).any())
        assert rays.area[beyond & (of == 0)].unique().numel() == 1 and (of[beyond] != 2).all()


def test_what_changes_is_held_to_what_was_to_change() -> None:
    generator, camera = BallGenerator(), look_at(0.0)
    scene = generator.scene(FACE)
    before = render(scene, camera, 32, Sampling(16, 16))
    target = before.labels[0].clone()
    target[12:16, 12:16] = 2
    region = target != before.labels[0]
    settings = replace(SETTINGS, rays=None, side_rays=0, overlap_weight=2.0, resolution=32, coarse=16, fine=16)
    face = Face(generator, generator.scene, FACE, camera)
    edited = Edited(face, None, Moves.of(face))
    task = Task(edited, settings, scene, before, region, target)
    right = before.logits[0].softmax(0).gather(0, target[None])[0]  # of each pixel, that it has the label that it is to have
    rim = grown(region, RING) & ~region
    overlap = right[region].sum() / (region.sum() + (1 - right[rim]).sum())
    with torch.no_grad():
        assert float(task.losses(task.start)["overlap"]) == pytest.approx(2 * (1 - float(overlap)), abs=1e-4)
        assert "overlap" not in Task(edited, replace(settings, overlap_weight=0.0), scene, before, region, target).losses(task.start)


def test_colors_outside_count_half_by_area_and_half_by_class() -> None:
    generator, camera = BallGenerator(), look_at(0.0)
    scene = generator.scene(FACE)
    before = render(scene, camera, 32, Sampling(16, 16))
    labels = before.labels[0]
    region = torch.zeros(32, 32, dtype=torch.bool)
    region[:2] = True  # background only
    face = Face(generator, generator.scene, FACE, camera)
    settings = replace(SETTINGS, rays=None, side_rays=0, resolution=32, coarse=16, fine=16)
    task = Task(Edited(face, None, Moves.of(face)), settings, scene, before, region, labels)
    for number in (0, 1, 2):
        some = (labels == number) & ~region
        assert task.held.reshape(32, 32)[some].unique().numel() == 1
        share = float(task.held.reshape(32, 32)[some].sum()) / (30 / 32)
        assert share == pytest.approx(0.5 * float(some.sum()) / (30 * 32) + 0.5 / 3, abs=1e-5)
    assert not task.held[region.flatten()].any()
    everything = Task(Edited(face, None, Moves.of(face)), settings, scene, before, torch.ones_like(region), labels)
    assert not everything.held.any()  # nothing is left outside


def test_sides_are_what_the_painter_saw_and_did_not_paint() -> None:
    scene, camera = BallGenerator().scene(FACE), look_at(0.0)
    front = render(scene, camera, 32, Sampling(16, 16))
    rays = rays_from_sides(3 * 24**2)
    seen = render_rays(scene, *rays, Sampling(16, 16))
    surface = (rays[0] + seen.depth[..., None] * rays[1])[0]
    nothing = torch.zeros(32, 32, dtype=torch.bool)
    sides = seen_in_front(rays, seen, camera, front, nothing)
    assert sides.shape == (3 * 24**2,) and 0 < int(sides.sum()) < len(sides)
    assert set(seen.logits[0, sides].argmax(-1).tolist()) <= {1, 2}  # ball and spot, and no ray that meets nothing
    # The ball ends some way below r = .25, where fog begins; from z = 2.7 one sees the half of it that is in front.
    assert float(surface[sides][:, 2].min()) > -0.02 and float(surface[sides].norm(dim=-1).max()) < 0.25
    left = nothing.clone()
    left[:, :16] = True
    halved = seen_in_front(rays, seen, camera, front, left)
    assert 0 < int(halved.sum()) < int(sides.sum()) and float(surface[halved][:, 0].min()) > -0.01
    assert not seen_in_front(rays, seen, camera, front, ~nothing).any()
    none = rays_from_sides(0)
    assert none[0].shape == none[1].shape == (1, 0, 3) and len(YAWS) == 3


def test_what_is_seen_from_the_sides_is_held() -> None:
    generator, camera = BallGenerator(), look_at(0.0)
    scene = generator.scene(FACE)
    before = render(scene, camera, 32, Sampling(16, 16))
    region = torch.zeros(32, 32, dtype=torch.bool)
    region[:2] = True
    settings = replace(SETTINGS, rays=None, side_rays=400, side_weight=1.0, resolution=32, coarse=16, fine=16)
    face = Face(generator, generator.scene, FACE, camera)
    edited = Edited(face, None, Moves.of(face))
    task = Task(edited, settings, scene, before, region, before.labels[0])
    with torch.no_grad():
        same, known = task.losses(task.start), task.losses_before()
        offset = replace(task.start.copy(), rows=moved(1.5, 0.0, 0.8).geometry - FACE.geometry)
        other = task.losses(offset)
        painted = Task(edited, settings, scene, before, torch.ones_like(region), before.labels[0]).losses(task.start)
    assert list(same) == list(known)
    for name, value in same.items():
        torch.testing.assert_close(known[name], value)
    labels = task.logits[0, 32**2 :].log_softmax(-1).amax(-1)
    assert len(labels) > 50 and float(same["sides"]) == pytest.approx(-float(labels.mean()), rel=1e-4)  # colours are as they were
    assert float(other["sides"]) > float(same["sides"]) + 0.05
    assert "sides" not in painted  # nothing is left that was not painted


def test_a_face_moves_along_the_axes_and_its_colour_rows_stay() -> None:
    generator = solid_generator()
    session = EditSession(generator, generator.sample(1, 0, 1.0))
    moves = session.moves
    assert moves.basis is not None and moves.moving.flatten().tolist() == [True] * 4 + [False] * 2
    face = session.face.latents
    start = moves.zero(face)
    assert torch.equal(moves.apply(face, start).geometry, face.geometry)
    start.coordinates[0] = 2.0
    start.rows[:] = 0.5
    found = moves.apply(face, start)
    wanted = face.geometry + 0.5 + 2 * moves.basis.axes[0, 0]
    assert torch.allclose(found.geometry[:, :4], wanted[:, :4]) and torch.equal(found.geometry[:, 4:], face.geometry[:, 4:])
    assert torch.equal(found.appearance, face.appearance)
    free = Moves.of(EditSession(BallGenerator(), FACE).face)
    assert free.basis is None and free.moving.flatten().tolist() == [True, True, False]


def session_with_editor(guess: float) -> tuple[EditSession, torch.Tensor]:
    """A session whose editor always answers `guess` along the first axis, and labels of the face moved by 1 along it."""
    generator = solid_generator()
    basis = LatentBasis.of(generator, 4, samples=200)
    editor = CanonicalEditor("solid", generator.fingerprint, basis.groups, basis.means.shape[1], 4, 2, (4, 4), 4)
    editor.set_basis(basis)
    answer = torch.tensor([[guess, 0.0, 0.0, 0.0]])
    editor.forward = lambda image, before, after: answer  # type: ignore[method-assign]
    face = generator.sample(1, 3, 1.0)
    session = EditSession(generator, face, editor=editor)
    goal = Latents(face.geometry + basis.axes[0, 0] * session.moves.moving, face.appearance)
    target = render(generator.scene(goal), generator.default_camera, 24, Sampling(8, 8)).labels[0]
    return session, target


QUICK = replace(SETTINGS, resolution=24, coarse=8, fine=8, steps=1, learning_rate=0.0, free_rate=0.0)


def test_the_editors_guess_is_taken_where_it_helps() -> None:
    session, target = session_with_editor(1.0)
    result = session.apply(target, QUICK)
    assert bool(result.region.any()) and result.matched > 0.95
    # The last result is where the next stroke may begin.
    assert session.apply(target, replace(QUICK, guess=False, warm=True)).matched == result.matched
    assert session.apply(target, replace(QUICK, guess=False)).matched < result.matched
    wrong, target = session_with_editor(-3.0)
    unmoved = wrong.apply(target, QUICK)
    assert torch.equal(unmoved.latents.geometry, wrong.face.latents.geometry)
    half, target = session_with_editor(2.0)
    assert half.apply(target, QUICK).matched > 0.95  # half of it is right


def test_a_stroke_begins_where_the_last_one_ended() -> None:
    goal = labels_of(BallGenerator(), moved(0.4, 0.3, 0.3))
    session = EditSession(BallGenerator(), FACE)
    settings = replace(SETTINGS, steps=12)
    first = session.apply(goal, settings)
    second = session.apply(goal, replace(settings, warm=True))
    assert second.losses[0]["loss"] < first.losses[0]["loss"] - 0.05
    assert second.losses[0]["loss"] == pytest.approx(min(step["loss"] for step in first.losses), abs=0.02)
    fresh = EditSession(BallGenerator(), FACE).apply(goal, settings)
    assert fresh.losses[0]["loss"] == pytest.approx(first.losses[0]["loss"])


def test_it_ends_when_nothing_gets_better() -> None:
    target = labels_of(BallGenerator(), moved(0.4, 0.3, 0.3))
    result = EditSession(BallGenerator(), FACE).apply(target, replace(SETTINGS, steps=200, patience=5, tolerance=0.01))
    assert 5 <= len(result.losses) < 120
    assert not math.isnan(result.losses[-1]["loss"])
    assert EditSettings.preview().steps <= 5


def test_steps_that_lead_nowhere_get_smaller_from_the_best_on() -> None:
    target = labels_of(BallGenerator(), moved(0.4, 0.3, 0.3))
    far = replace(SETTINGS, steps=40, free_rate=20.0, patience=40)  # the first step is a thousand times too long

    def lowest(backoff: int) -> float:
        return min(step["loss"] for step in EditSession(BallGenerator(), FACE).apply(target, replace(far, backoff=backoff)).losses)

    start = EditSession(BallGenerator(), FACE).apply(target, replace(SETTINGS, steps=1)).losses[0]["loss"]
    assert lowest(backoff=40) == pytest.approx(start) and lowest(backoff=3) < 0.9 * start


def test_the_painted_region_counts_besides_its_ring() -> None:
    target = labels_of(BallGenerator(), moved(0.4, 0.3, 0.3))

    def region(inside: float, ring: float) -> float:
        settings = replace(SETTINGS, steps=1, inside_weight=inside, region_weight=ring)
        return EditSession(BallGenerator(), FACE).apply(target, settings).losses[0]["region"]

    assert region(0.0, 0.0) == 0
    assert region(0.1, 0.2) == pytest.approx(region(0.1, 0.0) + region(0.0, 0.2), rel=1e-5)
    assert region(0.1, 0.0) > 2 * region(0.0, 0.1) > 0  # in the ring every label is right


def test_gradients_that_are_not_finite_stop_it_before_they_spoil_the_last_step(monkeypatch: pytest.MonkeyPatch) -> None:
    true = Moves.apply

    def apply(self: Moves, latents: Latents, offset: Offset) -> Latents:
        """The same face, by a root at 0, whose slope is infinite."""
        return true(self, latents, offset).offset((offset.rows - offset.rows.detach()).square().sum().sqrt())

    monkeypatch.setattr(Moves, "apply", apply)
    face = solid_generator().sample(1, seed=7)
    target = (labels_of(solid_generator(), face) + 1) % 15
    with pytest.raises(OptimisationError, match="not finite") as caught:
        edit(solid_generator(), face, target, settings=replace(SETTINGS, steps=2))
    assert isinstance(caught.value.best, Latents) and torch.equal(caught.value.best.geometry, face.geometry)


def test_editors_of_another_generator_are_refused() -> None:
    editor = CanonicalEditor("org/other", "0" * 64, (0,), 16, 4, 2, (4, 4), 4)
    with pytest.raises(ModelError, match="org/other"):
        EditSession(solid_generator(), solid_generator().mean_latents(), editor=editor)


class Swelling(BallGenerator):
    """The ball of `BallGenerator` grows on all sides by its second row's second number."""

    def scene(self, latents: Latents) -> BallScene:
        """See `BallScene`."""

        class Swollen(BallScene):
            def geometry(self, points: torch.Tensor, directions: torch.Tensor) -> GeometrySamples:
                samples = super().geometry(points, directions)
                return replace(samples, density=samples.density + 10 * self.rows[:, 1, 1].reshape(-1, 1, 1))

        return Swollen(latents)


def test_a_locked_background_stays_where_it_is_not_painted() -> None:
    """More ball is painted on its right side only, and it cannot grow there without growing on the left."""
    generator = Swelling()
    before = labels_of(generator, FACE)
    target = before.clone()
    swollen = torch.zeros(1, 3, 4)
    swollen[0, 1, 1] = 0.5
    target[:, 16:][labels_of(generator, FACE.offset(swollen))[:, 16:] > 0] = 1
    target[before == 2] = 2
    spread = {}
    for weight in (0.0, 10.0):
        result = edit(generator, FACE, target, settings=replace(SETTINGS, background_weight=weight, keep=False))
        unpainted = (before == 0) & ~result.region
        spread[weight] = int((result.after.labels[0] != 0)[unpainted].sum()), result.matched
        assert ("background" in result.losses[0]) == (weight > 0)
    assert spread[0.0][0] > 10 and spread[10.0][0] < spread[0.0][0] / 2, spread


def test_a_face_within_reach_moves_no_farther() -> None:
    target = labels_of(BallGenerator(), moved(1.5, 0.0, 0.8))
    free, held = (edit(BallGenerator(), FACE, target, settings=replace(SETTINGS, reach=reach)) for reach in (None, 0.4))
    ways = [float((result.latents.geometry - FACE.geometry).norm()) for result in (free, held)]
    assert ways[0] > 1 and 0.3 < ways[1] <= 0.4 + 1e-6
    assert len(held.losses) > 1 and held.losses[-1]["loss"] < held.losses[0]["loss"]
    # Along the axes of a basis and in the free rows, each for itself: (3, 4) has the length 5.
    offset = Offset(torch.tensor([3.0, 4.0]), torch.full((1, 1, 1), 0.5))
    offset.pull_back(2.0)
    torch.testing.assert_close(offset.coordinates, torch.tensor([1.2, 1.6]))
    assert float(offset.rows) == 0.5
    offset.pull_back(None)
    torch.testing.assert_close(offset.coordinates, torch.tensor([1.2, 1.6]))
