"""The edit: a scene of known geometry must reach its target, a tiny random generator must move towards one, and nothing is lost."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from fface_hub.adapters.adapter import Adapter
from fface_hub.cameras import Camera, look_at
from fface_hub.editing.edit import EditSettings, edit
from fface_hub.errors import CancelledError, LayoutError, ModelError, OptimisationError
from fface_hub.generators.base import Generator, GeometrySamples, Rule, Scene
from fface_hub.generators.triplane import TriplaneGenerator
from fface_hub.latents import Latents
from fface_hub.layouts import LabelClass, Layout
from fface_hub.progress import Step
from fface_hub.rendering.renderer import render
from fface_hub.rendering.sampling import Sampling
from tests.tiny import solid_generator

BALL = Layout("ball", (LabelClass("background", (0, 0, 0)), LabelClass("ball", (255, 0, 0)), LabelClass("spot", (0, 255, 0))))


class BallScene(Scene):
    """A ball of radius 0.25 with a round spot in front, whose place and radius are the first numbers of the geometry rows."""

    near, far = 2.25, 3.3
    rule: Rule = "midpoint"
    fingerprint = "ball"
    layout = BALL
    empty_logit = 5.0

    def __init__(self, latents: Latents) -> None:
        self.rows = latents.geometry
        self.tint = latents.appearance[:, 0, 0, :3].tanh()
        self.batch = len(self.rows)

    def geometry(self, points: Tensor, directions: Tensor) -> GeometrySamples:
        """A soft ball; the spot is where points lie near an axis along z."""
        density = 100 * (0.25 - points.norm(dim=-1))
        place = self.rows[:, 0, :2].reshape(-1, 1, 1, 2) * 0.1
        radius = 0.08 * (1 + self.rows[:, 1, 0].reshape(-1, 1, 1))
        spot = 60 * (radius - (points[..., :2] - place).norm(dim=-1))
        logits = torch.stack([torch.full_like(spot, -5), torch.zeros_like(spot), spot.clamp(-6, 6)], dim=-1)
        return GeometrySamples(points, density, points, logits)

    def color(self, samples: GeometrySamples) -> Tensor:
        """One colour everywhere."""
        return self.tint[:, None, None].expand(samples.points.shape)


class BallGenerator(Generator):
    """Latents of three rows of four numbers."""

    layout = BALL
    fingerprint = "ball"
    default_camera = look_at(0.0)

    def sample(self, count: int, seed: int, truncation: float = 0.7) -> Latents:
        """Faces whose geometry and appearance have nothing in common: there is no basis of both, and free rows move."""
        rows = torch.randn(count, 3, 4, generator=torch.Generator().manual_seed(seed))
        return Latents(rows, torch.full((count, 1, 3, 4), 0.3))

    def mean_latents(self) -> Latents:
        """A spot in the middle."""
        return Latents(torch.zeros(1, 3, 4), torch.full((1, 1, 3, 4), 0.3))

    def scene(self, latents: Latents) -> BallScene:
        """See `BallScene`."""
        return BallScene(latents)


SETTINGS = EditSettings(
    steps=60, resolution=32, rays=None, coarse=16, fine=16, free_rate=0.08, prior=0.0, patience=60, preview_every=10, dilate=0, side_rays=0
)
FACE = BallGenerator().mean_latents()


def labels_of(generator: Generator, latents: Latents, resolution: int = 32) -> Tensor:
    return render(generator.scene(latents), generator.default_camera, resolution, Sampling(16, 16)).labels[0]


def moved(x: float, y: float, radius: float) -> Latents:
    """The ball with its spot somewhere else."""
    delta = torch.zeros(1, 3, 4)
    delta[0, 0, 0], delta[0, 0, 1], delta[0, 1, 0] = x, y, radius
    return FACE.offset(delta)


def iou(labels: Tensor, target: Tensor, region: Tensor | None = None) -> float:
    """Mean intersection over union of the target's classes, within `region`."""
    inside = torch.ones_like(target, dtype=torch.bool) if region is None else region
    found, wanted = labels[inside], target[inside]
    return float(torch.stack([((found == k) & (wanted == k)).sum() / ((found == k) | (wanted == k)).sum() for k in wanted.unique()]).mean())


@pytest.mark.parametrize("rays", [None, 300])
def test_the_spot_moves_and_grows_to_its_target(rays: int | None) -> None:
    goal = moved(0.4, 0.3, 0.3)
    target = labels_of(BallGenerator(), goal)
    result = edit(BallGenerator(), FACE, target, settings=replace(SETTINGS, rays=rays))
    assert iou(result.before.labels[0], target) < 0.8
    assert iou(result.after.labels[0], target) > 0.9
    found = result.latents.geometry[0]
    assert found[0, :2].tolist() == pytest.approx([0.4, 0.3], abs=0.12)
    assert found[1, 0].item() == pytest.approx(0.3, abs=0.12)
    assert torch.equal(result.latents.appearance, FACE.appearance)
    assert torch.equal(result.region, result.before.labels[0] != target)


def test_without_overlap_loss() -> None:
    target = labels_of(BallGenerator(), moved(0.4, 0.3, 0.3))
    result = edit(BallGenerator(), FACE, target, settings=replace(SETTINGS, overlap_weight=0.0))
    assert all(set(losses) == {"loss", "cross_entropy", "region", "image", "prior", "matched"} for losses in result.losses)
    assert iou(result.after.labels[0], target) > iou(result.before.labels[0], target) + 0.1


def test_an_empty_edit_returns_the_face_unchanged() -> None:
    steps: list[Step] = []
    result = edit(BallGenerator(), FACE, labels_of(BallGenerator(), FACE), settings=SETTINGS, callback=steps.append)
    assert torch.equal(result.latents.geometry, FACE.geometry)
    assert not result.region.any()
    assert result.losses == []
    assert steps and all(step.index == 0 and not step.losses for step in steps)  # looked at, and no more


def test_only_painted_pixels_are_targets_where_the_original_is_known() -> None:
    shown = labels_of(BallGenerator(), FACE, 64)
    wrong = shown.clone()
    wrong[:32] = 1  # what was shown differs from what the generator says, but the user did not touch it
    painted = wrong.clone()
    painted[40:44, 30:34] = 2
    result = edit(BallGenerator(), FACE, painted, settings=replace(SETTINGS, steps=1), original_labels=wrong)
    assert result.region.nonzero().min(0).values.tolist()[0] >= 20
    assert torch.equal(result.target[:16], result.before.labels[0, :16])
    untouched = edit(BallGenerator(), FACE, wrong, settings=SETTINGS, original_labels=wrong)
    assert not untouched.region.any()


def test_a_stroke_that_vanishes_at_the_edits_size_is_told() -> None:
    shown = labels_of(BallGenerator(), FACE, 64)
    painted = shown.clone()
    painted[2, 2] = 2  # new pixels take rows and columns 1, 3, 5, ...
    with pytest.raises(LayoutError, match="too small"):
        edit(BallGenerator(), FACE, painted, settings=SETTINGS, original_labels=shown)


@pytest.mark.parametrize("rays", [None, 32 * 32])  # as many as there are: the same ones in every step
def test_the_best_step_is_kept_and_previews_come_as_often_as_asked(rays: int | None) -> None:
    steps: list[Step] = []
    target = labels_of(BallGenerator(), moved(0.3, 0.0, 0.0))
    # A rate so high that the last step is not the best.
    settings = replace(SETTINGS, steps=11, free_rate=1.5, preview_every=4, rays=rays, backoff=11)
    result = edit(BallGenerator(), FACE, target, settings=settings, callback=steps.append)
    ready = next(step for step in steps if step.best is not None)  # when the picture before is there
    assert ready.index == 0 and torch.equal(ready.best.geometry, FACE.geometry)
    # Between two steps, and while pictures are made, work asks whether it shall go on.
    assert {step.index for step in steps if not step.losses} == set(range(12))
    steps = [step for step in steps if step.losses]
    assert [step.index for step in steps] == list(range(1, 12))
    losses = [step.losses["loss"] for step in steps]
    assert losses.index(min(losses)) != 10
    assert torch.equal(result.latents.geometry, steps[losses.index(min(losses))].best.geometry)
    assert [step.index for step in steps if step.preview is not None] == [4, 8]
    preview = steps[3].preview
    assert preview is not None
    assert preview.shape == (3, 32, 32)
    # Rows run downwards and the middle is the ball's colour, tanh 0.3 = 0.2913.
    assert preview[:, 16, 16].tolist() == pytest.approx([0.2913] * 3, abs=0.01)


def test_the_last_step_is_looked_at_but_leads_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    backwards = []
    real = Tensor.backward
    monkeypatch.setattr(Tensor, "backward", lambda self: (backwards.append(self), real(self)))
    target = labels_of(BallGenerator(), moved(0.4, 0.3, 0.3))
    result = edit(BallGenerator(), FACE, target, settings=replace(SETTINGS, steps=3))
    assert len(result.losses) == 3 and len(backwards) == 2
    assert result.losses[2]["loss"] < result.losses[1]["loss"] < result.losses[0]["loss"]


def test_cancelling_keeps_the_best() -> None:
    seen: list[Step] = []

    def stop(step: Step) -> None:
        if step.losses:
            seen.append(step)
        if step.index == 15:
            raise CancelledError("Stopped.")

    target = labels_of(BallGenerator(), moved(0.4, 0.0, 0.0))
    with pytest.raises(CancelledError):
        edit(BallGenerator(), FACE, target, settings=SETTINGS, callback=stop)
    best = seen[-1].best
    assert len(seen) == 15
    assert iou(labels_of(BallGenerator(), best), target) > iou(labels_of(BallGenerator(), FACE), target)


def test_numbers_that_are_not_finite_stop_it_with_the_best() -> None:
    class Fragile(BallGenerator):
        def scene(self, latents: Latents) -> BallScene:
            away = float(latents.geometry.detach()[0, 0, 0])
            return BallScene(latents if away < 0.2 else latents.offset(torch.full((1,), torch.nan)))

    target = labels_of(BallGenerator(), moved(0.5, 0.0, 0.0))
    with pytest.raises(OptimisationError, match="not finite") as caught:
        edit(Fragile(), FACE, target, settings=SETTINGS)
    best = caught.value.best
    assert isinstance(best, Latents)
    assert 0.1 < float(best.geometry[0, 0, 0]) < 0.2


@pytest.mark.parametrize("half", ["geometry", "appearance"])
def test_latents_that_are_not_finite_are_refused_at_once(half: str) -> None:
    face = solid_generator().sample(1, seed=7)
    with pytest.raises(ModelError, match="These latents hold numbers that are not finite"):
        edit(solid_generator(), replace(face, **{half: getattr(face, half) * torch.nan}), torch.zeros(8, 8, dtype=torch.int64))


@pytest.mark.parametrize(
    ("target", "told"),
    [
        (torch.zeros(8, 8, dtype=torch.int64) - 1, "class ids from -1 to -1, and those of layout 'base-15' are 0 to 14"),
        (torch.full((8, 8), 15), "class ids from 15 to 15"),
        (np.zeros((8, 8), dtype=np.int64), "must be a tensor, and this is a ndarray: use torch.as_tensor"),
    ],
)
def test_label_maps_that_cannot_be_targets_are_told(target: Any, told: str) -> None:
    with pytest.raises(LayoutError, match=told):
        edit(solid_generator(), solid_generator().mean_latents(), target)


@pytest.mark.parametrize(
    ("models", "told"), [({"adapter": "a/b"}, r"Adapter.from_pretrained\('a/b'\)"), ({"editor": "e"}, "CanonicalEditor.from_pretrained")]
)
def test_the_name_of_a_model_is_not_the_model(models: dict[str, Any], told: str) -> None:
    with pytest.raises(TypeError, match=told):
        edit(solid_generator(), solid_generator().mean_latents(), torch.zeros(8, 8, dtype=torch.int64), **models)


@pytest.mark.parametrize("rays", [-1, 0, 1])
def test_an_edit_looks_at_rays_of_what_was_painted(rays: int) -> None:
    with pytest.raises(ValueError, match=f"no fewer than 2 rays, and these are {rays}"):
        EditSettings(rays=rays)


def test_perceptual_loss_sees_the_picture_with_the_region_greyed_out() -> None:
    seen: list[Tensor] = []

    def perceptual(image: Tensor, target: Tensor) -> Tensor:
        seen.append(target)
        return (image - target).abs().mean()

    target = labels_of(BallGenerator(), moved(0.3, 0.0, 0.0))
    result = edit(BallGenerator(), FACE, target, settings=replace(SETTINGS, steps=2, perceptual=perceptual))
    assert seen[0].shape == (1, 3, 32, 32)
    assert not seen[0][0, :, result.region].any()
    assert torch.equal(seen[0][0, :, ~result.region], result.before.raw[0][:, ~result.region])
    assert "perceptual" in result.losses[0]
    with pytest.raises(ValueError, match="whole pictures"):
        replace(SETTINGS, perceptual=perceptual, rays=10)


@pytest.mark.parametrize(
    "labels",
    [
        torch.zeros(32, 16, dtype=torch.int64),
        torch.full((32, 32), 3),
        torch.full((32, 32), -1),
        torch.zeros(1, 32, 32, dtype=torch.int64),
        torch.zeros(0, 0, dtype=torch.int64),
        torch.zeros(32, 32, dtype=torch.uint8),
    ],
)
def test_labels_that_do_not_fit_are_refused(labels: Tensor) -> None:
    with pytest.raises(LayoutError):
        edit(BallGenerator(), FACE, labels, settings=SETTINGS)


def test_one_face_is_seen_by_one_camera() -> None:
    with pytest.raises(ValueError, match="one camera"):
        edit(BallGenerator(), FACE, torch.zeros(32, 32, dtype=torch.int64), camera=look_at(torch.tensor([0.0, 10.0])), settings=SETTINGS)


@dataclass
class Inverted:
    """As much of an inversion as an edit asks for."""

    generator: Generator
    latents: Latents
    camera: Camera

    def scene(self, latents: Latents) -> Scene:
        return self.generator.scene(latents)


def test_an_inversion_brings_its_own_camera_and_generator() -> None:
    face: Any = Inverted(BallGenerator(), FACE, look_at(40.0))
    labels = labels_of(BallGenerator(), FACE)
    result = edit(BallGenerator(), face, labels, settings=replace(SETTINGS, steps=1))
    assert not torch.equal(result.before.labels[0], labels)  # seen from the side
    front = edit(BallGenerator(), face, labels, camera=look_at(0.0), settings=SETTINGS)
    assert not front.region.any()
    stranger = BallGenerator()
    stranger.fingerprint = "another"
    with pytest.raises(ModelError, match="another generator"):
        edit(stranger, face, labels, settings=SETTINGS)


@pytest.mark.parametrize("with_adapter", [False, True])
def test_labels_of_a_random_triplane_move_towards_the_target(with_adapter: bool) -> None:
    generator, face = solid_generator(), solid_generator().sample(1, 0, 1.0)
    adapter = None
    if with_adapter:
        adapter = Adapter(generator.layout.to_dict(), "a", generator.fingerprint, 8)
        adapter.initialise(torch.Generator().manual_seed(1))
    other = Latents(face.geometry.lerp(generator.sample(1, 1, 1.0).geometry, 0.4), face.appearance)
    settings = replace(SETTINGS, resolution=16, coarse=8, fine=8, steps=40)
    camera = generator.default_camera
    target = render(generator.scene(other), camera, 16, Sampling(8, 8), adapter=adapter).labels[0]
    result = edit(generator, face, target, adapter, settings=settings)
    before = (result.before.labels[0] == target).float().mean()
    after = (result.after.labels[0] == target).float().mean()
    assert before < 0.9
    assert after > before + 0.5 * (1 - before)
    assert all(p.requires_grad and p.grad is None for p in generator.parameters())
    first, second = (edit(generator, face, target, adapter, settings=replace(settings, steps=3)) for _ in range(2))
    assert torch.equal(first.latents.geometry, second.latents.geometry)


def test_the_faces_before_and_after_are_made_once(monkeypatch: pytest.MonkeyPatch) -> None:
    generator, face = solid_generator(), solid_generator().sample(1, 0, 1.0)
    settings = replace(SETTINGS, resolution=16, coarse=8, fine=8, steps=4, preview_every=2, keep=True)
    target = edit(generator, face, torch.zeros(16, 16, dtype=torch.int64), settings=settings).before.labels[0]
    target[4:9, 4:9] = (target[4:9, 4:9] + 1) % 3
    made: list[Tensor] = []
    planes = TriplaneGenerator.planes
    monkeypatch.setattr(TriplaneGenerator, "planes", lambda self, rows, noise=True: (made.append(rows), planes(self, rows, noise))[1])
    shared = edit(generator, face, target, settings=settings, callback=lambda _: None)
    few = len(made)
    monkeypatch.setattr(TriplaneGenerator, "_weights_version", lambda *_: None)
    apart = edit(generator, face, target, settings=settings, callback=lambda _: None)
    # Before, four steps, previews after two and four of them, and after.
    assert shared.latents.kept is not None and few == 1 + 4 + 2 + 1 < len(made) - few
    for result in (shared, apart):
        assert len(result.losses) == 4
    assert torch.equal(shared.latents.geometry, apart.latents.geometry) and torch.equal(shared.latents.kept.maps, apart.latents.kept.maps)  # type: ignore[union-attr]
    assert torch.equal(shared.after.image, apart.after.image) and shared.losses == apart.losses


def test_an_adapter_of_another_generator_is_refused() -> None:
    adapter = Adapter(solid_generator().layout.to_dict(), "org/faces", "0" * 64, 8)
    with pytest.raises(ModelError, match="org/faces"):
        edit(solid_generator(), solid_generator().mean_latents(), torch.zeros(16, 16, dtype=torch.int64), adapter)
