"""What faces take from one another: which numbers move, targets composed by hand, and every input that does not fit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from fface_hub.adapters.adapter import Adapter
from fface_hub.cameras import look_at
from fface_hub.editing.composite import face_scene
from fface_hub.editing.edit import EditSettings
from fface_hub.editing.transfer import class_ids, compose_labels, transfer, transfer_geometry
from fface_hub.errors import LayoutError, ModelError
from fface_hub.inversion.inversion import Inversion
from fface_hub.latents import Latents
from fface_hub.layouts import BASE_15, EYES_19, NASAL_WING_17
from fface_hub.rendering.renderer import render
from fface_hub.rendering.sampling import Sampling
from tests.editing.test_edit import BALL, FACE, SETTINGS, BallGenerator, iou, labels_of, moved
from tests.tiny import new_solid_generator, solid_generator

FEW = Sampling(12, 12)


def faces(count: int = 1, seed: int = 0) -> Latents:
    return solid_generator().sample(count, seed, 1.0)


def same(first: Latents, second: Latents) -> bool:
    return torch.equal(first.geometry, second.geometry) and torch.equal(first.appearance, second.appearance)


def test_the_whole_appearance_moves_colours_only() -> None:
    generator, face, other = solid_generator(), faces(), faces(seed=1)
    result = transfer(generator, face, other)
    assert same(result, face.with_appearance(other))
    before, after = (render(face_scene(generator, x), look_at(10.0), 16, FEW) for x in (face, result))
    assert torch.equal(before.logits, after.logits) and torch.equal(before.depth, after.depth)
    assert (before.raw - after.raw).abs().max() > 0.05


def test_interpolation_in_one_half_or_both() -> None:
    generator, face, other = solid_generator(), faces(), faces(seed=1)
    assert same(transfer(generator, face, other, 0.0, 0.0), face)
    assert same(transfer(generator, face, other, 1.0, 1.0), other)
    assert same(transfer(generator, face, other, 0.0, 1.0), other.with_appearance(face))
    half = transfer(generator, face, other, 0.5, 0.25)
    assert torch.allclose(half.geometry, 0.75 * face.geometry + 0.25 * other.geometry, atol=1e-6)
    assert torch.allclose(half.appearance, (face.appearance + other.appearance) / 2, atol=1e-6)


def test_classes_take_the_other_rows_one_after_another() -> None:
    generator, face, second, third = solid_generator(), faces(), faces(seed=1), faces(seed=2)
    hair, lips = BASE_15.index("hair"), BASE_15.index("lips")
    result = transfer(generator, transfer(generator, face, second, classes=["hair"]), third, 0.5, classes=["lips"])
    assert result.appearance.shape == (1, 15, *face.appearance.shape[2:])
    assert torch.equal(result.appearance[:, hair], second.appearance[:, 0])
    assert torch.allclose(result.appearance[:, lips], (face.appearance + third.appearance)[:, 0] / 2, atol=1e-6)
    rest = [i for i in range(15) if i not in (hair, lips)]
    assert bool((result.appearance[:, rest] == face.appearance).all()) and torch.equal(result.geometry, face.geometry)
    # A face that is a composite itself lends each class its own.
    assert torch.equal(transfer(generator, third, result, classes=["hair"]).appearance[:, hair], second.appearance[:, 0])
    assert same(transfer(generator, face, result), result)


def test_one_face_lends_to_a_batch_or_each_to_its_own() -> None:
    generator, several = solid_generator(), faces(3)
    one, each = transfer(generator, several, faces(seed=5)), transfer(generator, several, faces(3, seed=5), classes=["hair"])
    assert torch.equal(one.appearance, faces(seed=5).appearance.expand(3, -1, -1, -1)) and len(each) == 3
    assert torch.equal(each.appearance[2, BASE_15.index("hair")], faces(3, seed=5).appearance[2, 0])
    with pytest.raises(ValueError, match="2 faces cannot lend to 3"):
        transfer(generator, several, faces(2))
    with pytest.raises(ValueError, match="3 faces cannot lend to 1"):
        transfer(generator, faces(), several)


def test_a_photographed_face_gives_and_takes() -> None:
    generator, tuned = solid_generator(), solid_generator().tuned_copy()
    photo = Inversion(faces(seed=7), look_at(20.0), tuned)
    assert same(transfer(generator, photo, faces()), photo.latents.with_appearance(faces()))
    assert same(transfer(generator, faces(), photo), faces().with_appearance(photo.latents))
    foreign = replace(photo, generator=new_solid_generator(seed=1))
    for one, other in ((faces(), foreign), (foreign, faces())):
        with pytest.raises(ModelError, match="inverted with another generator"):
            transfer(generator, one, other)


@pytest.mark.parametrize(
    ("classes", "told"),
    [
        (["beard"], "no class 'beard'"),
        ([], "at least one class"),
        (["hair", "background"], "cannot be"),
        (["Hair"], "no class"),
        ("hair", r"write \['hair'\]"),
    ],
)
def test_classes_that_cannot_be_taken_are_told(classes: Sequence[str], told: str) -> None:
    with pytest.raises(LayoutError, match=told):
        transfer(solid_generator(), faces(), faces(seed=1), classes=classes)
    with pytest.raises(LayoutError, match=told):
        transfer_geometry(solid_generator(), faces(), faces(seed=1), classes)


def test_a_class_brings_those_that_merge_into_it() -> None:
    assert class_ids(BASE_15, ["nose"]) == [BASE_15.index("nose")]
    assert class_ids(NASAL_WING_17, ["nose"]) == [NASAL_WING_17.index(name) for name in ("nose", "ala")]
    assert class_ids(EYES_19, ["eye"]) == [EYES_19.index(name) for name in ("eye", "iris", "pupil")]
    assert class_ids(EYES_19, ["iris"]) == [EYES_19.index(name) for name in ("iris", "pupil")]


def test_latents_that_do_not_fit_are_told() -> None:
    generator, face = solid_generator(), faces()
    wide = Latents(torch.zeros(1, 6, 17), torch.zeros(1, 1, 6, 17))
    broken = Latents(face.geometry, face.appearance * torch.nan)
    many = Latents(face.geometry, face.appearance.expand(-1, 7, -1, -1))
    for one, other, told in ((face, wide, "made with it"), (wide, face, "made with it"), (face, broken, "not finite")):
        with pytest.raises(ModelError, match=told):
            transfer(generator, one, other)
    with pytest.raises(ModelError, match="7 appearances does not fit the 15"):
        transfer(generator, face, many, classes=["hair"])
    with pytest.raises(ModelError, match="different layouts"):
        transfer(generator, transfer(generator, face, face, classes=["hair"]), many)
    for appearance, geometry in ((1.5, 0.0), (1.0, -0.1), (float("nan"), 0.0)):
        with pytest.raises(ValueError, match="between 0 and 1"):
            transfer(generator, face, face, appearance, geometry)
    adapter = Adapter(NASAL_WING_17.to_dict(), "org/other", "0" * 64, 8)
    for call in (transfer, transfer_geometry):
        with pytest.raises(ModelError, match="org/other"):
            call(generator, face, face, classes=["nose"], adapter=adapter)


def grid(text: str) -> Tensor:
    return torch.tensor([[int(x) for x in row] for row in text.split()])


def test_labels_are_composed_pixel_by_pixel() -> None:
    # Class 2 moves one to the right. What it leaves becomes what the other shows there: 1. The 4 of the other, which this face has nowhere,
    # does not come along: there the nearest of the face's own classes is taken, 3 on the left.
    own = grid("1111 3221 3221 1111")
    other = grid("1111 1122 4422 1111")
    assert compose_labels(own, other, [2]).tolist() == grid("1111 3122 3322 1111").tolist()
    assert torch.equal(compose_labels(own, own, [2]), own)
    assert own.tolist() == grid("1111 3221 3221 1111").tolist()  # the input is left alone
    # A face that is nothing but the class can only take what the other shows.
    assert compose_labels(grid("22 22"), grid("24 22"), [2]).tolist() == grid("22 22").tolist()


def test_the_spot_of_another_ball_is_moved_onto_this_one() -> None:
    generator, other = BallGenerator(), moved(0.4, 0.3, 0.3)
    result = transfer_geometry(generator, FACE, other, ["spot"], settings=SETTINGS)
    wanted = labels_of(generator, other)
    assert BALL.index("spot") == 2 and torch.equal(result.target, wanted)  # the balls are the same otherwise
    assert iou(result.before.labels[0], wanted) < 0.8 < 0.9 < iou(result.after.labels[0], wanted)
    assert result.latents.geometry[0, 0, :2].tolist() == pytest.approx([0.4, 0.3], abs=0.12)
    assert torch.equal(result.latents.appearance, FACE.appearance)


def test_the_same_shape_is_no_edit_and_a_hidden_one_is_told() -> None:
    result = transfer_geometry(BallGenerator(), FACE, FACE, ["spot"], settings=SETTINGS)
    assert not result.region.any() and torch.equal(result.latents.geometry, FACE.geometry)
    with pytest.raises(LayoutError, match="shows no spot from here"):
        transfer_geometry(BallGenerator(), FACE, moved(0.0, 0.0, -2.0), ["spot"], settings=SETTINGS)
    with pytest.raises(ValueError, match="one other, and these are 1 and 2"):
        transfer_geometry(BallGenerator(), FACE, Latents.cat([FACE, FACE]), ["spot"], settings=SETTINGS)


def test_a_photographed_face_is_seen_by_its_own_camera() -> None:
    photo = Inversion(FACE, look_at(25.0), BallGenerator())
    settings = replace(SETTINGS, steps=1)
    result = transfer_geometry(BallGenerator(), photo, moved(0.4, 0.0, 0.0), ["spot"], settings=settings)
    expected = render(BallGenerator().scene(FACE), look_at(25.0), 32, Sampling(16, 16)).labels[0]
    assert torch.equal(result.before.labels[0], expected)
    front = transfer_geometry(BallGenerator(), photo, moved(0.4, 0.0, 0.0), ["spot"], camera=look_at(0.0), settings=settings)
    assert torch.equal(front.before.labels[0], labels_of(BallGenerator(), FACE))


def test_the_shape_moves_in_an_adapters_layout() -> None:
    generator = solid_generator()
    adapter = Adapter(NASAL_WING_17.to_dict(), "a", generator.fingerprint, 8)
    adapter.initialise(torch.Generator().manual_seed(3))
    face, other = faces(), faces(seed=1)
    shown = render(generator.scene(other), generator.default_camera, 12, Sampling(6, 6), adapter=adapter).labels.unique().tolist()
    name = next(NASAL_WING_17.names[i] for i in shown if i > 0)
    settings = EditSettings(steps=1, resolution=12, rays=None, coarse=6, fine=6)
    result = transfer_geometry(generator, face, other, [name], adapter, settings=settings)
    assert result.target.max() < len(NASAL_WING_17) and torch.equal(result.latents.appearance, face.appearance)


def test_a_composite_takes_a_shape_and_keeps_its_colours() -> None:
    several = Latents(FACE.geometry, FACE.appearance.repeat(1, len(BALL), 1, 1))
    several.appearance[:, 2] = -0.5
    result = transfer_geometry(BallGenerator(), several, moved(0.4, 0.0, 0.0), ["spot"], settings=replace(SETTINGS, steps=2))
    assert torch.equal(result.latents.appearance, several.appearance) and not torch.equal(result.latents.geometry, FACE.geometry)
