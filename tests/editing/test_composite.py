"""The region composite: two colours on a scene of known geometry, by hand, and what must not change on random tri-planes."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import pytest
import torch
from torch import Tensor

from fface_hub.adapters.adapter import Adapter
from fface_hub.cameras import look_at
from fface_hub.editing.composite import RegionScene, face_scene
from fface_hub.editing.edit import EditSettings, edit
from fface_hub.editing.transfer import transfer
from fface_hub.errors import ModelError
from fface_hub.generators.base import GeometrySamples, Rule, Scene
from fface_hub.inversion.inversion import Inversion
from fface_hub.latents import Latents
from fface_hub.layouts import BASE_15, NOSE_19, LabelClass, Layout
from fface_hub.rendering.mesh import extract_mesh
from fface_hub.rendering.renderer import render, render_rays
from fface_hub.rendering.sampling import Sampling
from fface_hub.rendering.views import five_views
from tests.tiny import new_solid_generator, solid_generator

HALVES = Layout("halves", (LabelClass("background", (0, 0, 0)), LabelClass("left", (255, 0, 0)), LabelClass("right", (0, 255, 0))))
LEFT, RIGHT = 1, 2
FEW = Sampling(12, 12)


class Halves(Scene):
    """A ball of radius 0.3, its left half (x < 0) of one class and its right of another, all in one grey."""

    near, far = 2.25, 3.3
    fingerprint = "halves"
    layout = HALVES
    empty_logit = 4.0

    def __init__(self, grey: float, batch: int = 1, rule: Rule = "midpoint", steep: float = 200.0) -> None:
        self.grey, self.batch, self.rule, self.steep = grey, batch, rule, steep

    def geometry(self, points: Tensor, directions: Tensor) -> GeometrySamples:
        """Logits grow with the distance from the plane x = 0."""
        density = 100 * (0.3 - points.norm(dim=-1))
        x = self.steep * points[..., 0]
        return GeometrySamples(points, density, points, torch.stack([torch.full_like(x, -5), -x, x], dim=-1))

    def color(self, samples: GeometrySamples) -> Tensor:
        """The same everywhere."""
        return torch.full_like(samples.points, self.grey)


def picture(scene: Scene, resolution: int = 33) -> Tensor:
    return render(scene, look_at(0.0), resolution, FEW).raw[0, 0]


@pytest.mark.parametrize("rule", ["midpoint", "left"])
def test_the_class_takes_the_other_colour_and_nothing_else_does(rule: Literal["midpoint", "left"]) -> None:
    base, other = Halves(0.2, rule=rule), Halves(-0.6, rule=rule)
    before, full = render(base, look_at(0.0), 33, FEW), render(other, look_at(0.0), 33, FEW)
    after = render(RegionScene(base, {(LEFT,): other}), look_at(0.0), 33, FEW)
    for name in ("logits", "labels", "depth", "opacity"):
        assert torch.equal(getattr(after, name), getattr(before, name))
    left = before.labels[0] == LEFT
    assert int(left.sum()) > 100
    assert torch.equal(after.raw[0][:, ~left], before.raw[0][:, ~left])
    # Deep inside, where x is 6 pixels away from the border, all is the other's: logits are far apart there, so m and g are 1.
    middle = after.raw[0, :, 16, 8]
    torch.testing.assert_close(middle, full.raw[0, :, 16, 8], rtol=0, atol=1e-4)
    assert (before.raw[0, 0, 16, 8] - full.raw[0, 0, 16, 8]).item() == pytest.approx(0.8, abs=0.02)  # 0.2 − (−0.6)


def test_the_ramp_and_the_share_by_hand() -> None:
    # At x = −0.005 logits are −5, 1 and −1: the class is 2 ahead of the other of 4 needed, so g = 0.5. m = e / (e + 1/e + e^-5) = 0.8789.
    base, other = Halves(0.2), Halves(-0.6)
    scene = RegionScene(base, {(LEFT,): other})
    points = torch.tensor([[[[-0.005, 0.0, 0.0]]]])
    samples = scene.geometry(points, torch.tensor([[[0.0, 0.0, -1.0]]]))
    assert scene.color(samples)[0, 0, 0, 0].item() == pytest.approx(0.2 + 0.5 * 0.8789 * (-0.8), abs=1e-3)
    assert scene.field() is None  # colours depend on whole rays, which a field does not know
    # On the other side the label is another, and the colour stays to the bit.
    samples = scene.geometry(-points, torch.tensor([[[0.0, 0.0, -1.0]]]))
    assert torch.equal(scene.color(samples), base.color(samples))


def test_two_classes_from_two_scenes_leave_no_gap_between_them() -> None:
    base, scenes = Halves(0.9), {(LEFT,): Halves(-0.6), (RIGHT,): Halves(-0.4)}
    row = picture(RegionScene(base, scenes))[16]
    left, right = (picture(scene)[16] for scene in scenes.values())
    torch.testing.assert_close(row[[10, 22]], torch.stack([left[10], right[22]]), rtol=0, atol=1e-3)
    assert row[16].item() == pytest.approx(-0.5, abs=0.01)  # on the border, half and half: the base's 0.9 plays no part


def test_samples_may_come_in_any_order_and_rays_in_parts() -> None:
    scene = RegionScene(Halves(0.2), {(LEFT,): Halves(-0.6)})
    origins, directions = look_at(25.0).rays(9)
    points = origins[:, :, None] + torch.linspace(2.3, 3.0, 20)[:, None] * directions[:, :, None]
    samples = scene.geometry(points, directions)
    order = torch.randperm(20, generator=torch.Generator().manual_seed(0)).expand(1, 81, -1)
    torch.testing.assert_close(scene.color(samples.select(order)), scene.color(samples).gather(2, order[..., None].expand(-1, -1, -1, 3)))
    whole, parts = (render(scene, look_at(25.0), 9, FEW, chunk=size) for size in (100, 7))
    assert torch.equal(whole.labels, parts.labels) and torch.allclose(whole.raw, parts.raw, atol=1e-5)


def test_samples_of_another_scene_batches_and_generators_are_refused() -> None:
    base = Halves(0.2)
    scene = RegionScene(base, {(LEFT,): Halves(-0.6)})
    with pytest.raises(ValueError, match="that it made"):
        scene.color(base.geometry(torch.zeros(1, 1, 1, 3), torch.zeros(1, 1, 3)))
    with pytest.raises(ValueError, match="2 faces cannot lend"):
        RegionScene(base, {(LEFT,): Halves(0.0, batch=2)})
    stranger = Halves(0.0)
    stranger.fingerprint = "another"
    with pytest.raises(ModelError, match="same generator"):
        RegionScene(base, {(LEFT,): stranger})


@pytest.fixture(scope="module")
def pair() -> tuple[Latents, Latents]:
    """Two faces of the solid generator, and what they show differs."""
    return solid_generator().sample(1, 0, 1.0), solid_generator().sample(1, 1, 1.0)


def shown(scene: Scene) -> list[str]:
    """Classes that the front view of a scene shows, the background aside."""
    labels = render(scene, look_at(0.0), 16, FEW).labels.unique()
    return [BASE_15.names[i] for i in labels.tolist() if i > 0]


@pytest.mark.parametrize("yaw", [0.0, 30.0])
def test_only_the_class_changes_on_a_random_triplane(pair: tuple[Latents, Latents], yaw: float) -> None:
    generator, (face, other) = solid_generator(), pair
    before = render(generator.scene(face), look_at(yaw), 24, FEW, exact=True)
    changed = 0
    for name in shown(generator.scene(face)):
        scene = face_scene(generator, transfer(generator, face, other, classes=[name]))
        after = render(scene, look_at(yaw), 24, FEW)
        assert all(torch.equal(getattr(before, key), getattr(after, key)) for key in ("logits", "labels", "depth", "opacity"))
        moved = (after.raw - before.raw)[0].abs().amax(0)
        inside = before.labels[0] == BASE_15.index(name)
        assert not inside.all() and moved[~inside].max() < 1e-4  # 1/255 is 0.0078
        changed += bool(inside.any()) and bool(moved[inside].max() > 0.01)
    assert changed


def test_all_classes_together_are_the_whole_appearance_up_to_the_rim(pair: tuple[Latents, Latents]) -> None:
    generator, (face, other) = solid_generator(), pair
    scene = face_scene(generator, transfer(generator, face, other, classes=BASE_15.names[1:]))
    plain = [generator.scene(latents) for latents in (face, face.with_appearance(other))]
    own, whole, parts = (render(each, look_at(0.0), 24, FEW, exact=True).raw for each in (*plain, scene))
    clear = render(scene, look_at(0.0), 24, FEW).logits[0]
    solid = clear[1:].amax(0) - clear[0] > 1.0  # full change: nothing but the background competes
    assert solid.any() and (parts - whole)[0][:, solid].abs().mean() < 0.25 * (own - whole)[0][:, solid].abs().mean()


def test_equal_appearances_make_no_composite(pair: tuple[Latents, Latents]) -> None:
    generator, (face, _) = solid_generator(), pair
    repeated = Latents(face.geometry, face.appearance.expand(-1, len(BASE_15), -1, -1))
    assert not isinstance(face_scene(generator, repeated), RegionScene)
    assert torch.equal(picture(face_scene(generator, repeated)), picture(generator.scene(face)))


def test_it_works_in_a_batch_views_a_mesh_and_with_gradients(pair: tuple[Latents, Latents], monkeypatch: pytest.MonkeyPatch) -> None:
    generator, (face, other) = solid_generator(), pair
    name = shown(generator.scene(face))[0]
    mixed = transfer(generator, face, other, classes=[name])
    scene = face_scene(generator, mixed)
    assert five_views(scene, 8, None, FEW).image.shape == (5, 3, 8, 8)
    both = face_scene(generator, Latents.cat([mixed, mixed]))
    assert torch.allclose(render(both, look_at(0.0), 8, FEW).raw[1:], render(scene, look_at(0.0), 8, FEW).raw, atol=1e-5)
    monkeypatch.setattr("fface_hub.rendering.mesh._cover", lambda *_: None)  # what nobody sees would have colours of other classes
    mesh, plain = (extract_mesh(each, 24, 0.5) for each in (scene, generator.scene(face)))
    assert (mesh.vertices == plain.vertices).all() and (mesh.labels == plain.labels).all()
    other_label = mesh.labels != BASE_15.index(name)
    assert (mesh.colors[other_label] == plain.colors[other_label]).all() and not (mesh.colors == plain.colors).all()
    geometry = mixed.geometry.clone().requires_grad_()
    rays = render_rays(face_scene(generator, replace(mixed, geometry=geometry)), *look_at(0.0).rays(6), FEW)
    (gradient,) = torch.autograd.grad(rays.color.sum(), geometry)
    assert bool(gradient.isfinite().all()) and bool(gradient.any())


def test_an_adapter_may_name_the_classes(pair: tuple[Latents, Latents]) -> None:
    generator, (face, other) = solid_generator(), pair
    adapter = Adapter(NOSE_19.to_dict(), "a", generator.fingerprint, 8).eval()
    adapter.initialise(torch.Generator().manual_seed(3))
    before = render(generator.scene(face), look_at(20.0), 24, FEW, adapter=adapter, exact=True)
    counts = before.labels.flatten().bincount(minlength=len(NOSE_19))[1:]
    name = NOSE_19.names[1 + int(counts.argmax())]
    mixed = transfer(generator, face, other, classes=[name], adapter=adapter)
    after = render(face_scene(generator, mixed, adapter), look_at(20.0), 24, FEW, adapter=adapter)
    changed = (after.raw - before.raw)[0].abs().amax(0)
    family = [i for i, item in enumerate(NOSE_19.classes) if name in NOSE_19.ancestors(item)]
    inside = torch.isin(before.labels[0], torch.tensor(family))
    assert torch.equal(after.logits, before.logits) and changed[~inside].max() < 1e-4 < changed[inside].max()
    with pytest.raises(ModelError, match="19 appearances and the layout 'base-15' 15"):
        face_scene(generator, mixed)
    with pytest.raises(ModelError, match="does not fit"):
        face_scene(new_solid_generator(seed=1), mixed, adapter)


def test_an_inversion_shows_saves_and_edits_it(pair: tuple[Latents, Latents], tmp_path: object) -> None:
    generator, (face, other) = solid_generator(), pair
    name = shown(generator.scene(face))[0]
    inversion = Inversion(transfer(generator, face, other, classes=[name]), generator.default_camera, generator)
    inversion.save(str(tmp_path), generator)
    loaded = Inversion.load(str(tmp_path), generator)
    assert torch.equal(picture(loaded.scene(), 12), picture(inversion.scene(), 12))
    target = torch.full((12, 12), BASE_15.index(name))
    result = edit(generator, loaded, target, settings=EditSettings(steps=2, resolution=12, rays=None, coarse=6, fine=6))
    assert torch.equal(result.latents.appearance, inversion.latents.appearance) and result.losses
