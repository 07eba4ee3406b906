"""Where an inversion starts: what an encoder says is taken up, checked and measured."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from fface_hub.cameras import Camera, look_at
from fface_hub.errors import ImageError, ModelError
from fface_hub.generators.base import Generator
from fface_hub.inversion import encoder as module
from fface_hub.inversion.encoder import bundled_editor, find_editor
from fface_hub.inversion.invert import invert
from fface_hub.inversion.looks import Look
from fface_hub.inversion.objective import InvertSettings, ParsedLabels
from fface_hub.inversion.start import bundled_encoder, encoded, mean_start
from fface_hub.latents import Latents
from fface_hub.models import Model
from fface_hub.rendering.renderer import render
from tests.tiny import SIZES, new_solid_generator, random_generator, solid_generator

QUICK = InvertSettings(resolution=32, rays=256, coarse=12, fine=12, w_steps=1, free_steps=0, tuning_steps=0)


class Oracle:
    """An encoder that was told the answer of each photo, and the generator that it is for; `seen` are the labels that it was given."""

    def __init__(self, answers: list[tuple[Latents, Camera]], generator: Generator | None = None) -> None:
        self.answers, self.generator = iter(answers), generator or solid_generator()
        self.seen: list[Tensor | None] = []

    def check(self, generator: Generator) -> None:
        if generator is not self.generator:
            raise ModelError("This encoder is of another generator.")

    def encode(self, image: Tensor, labels: Tensor | None = None) -> tuple[Latents, Camera]:
        self.seen.append(labels)
        return next(self.answers)


def face(seed: int) -> Latents:
    return solid_generator().sample(1, seed, 1.0)


def photo(latents: Latents, camera: Camera) -> Look:
    return Look(render(solid_generator().scene(latents), camera, 64).image, solid_generator().default_camera)


def test_an_encoders_latents_are_the_start_and_those_beyond_the_axes_stay() -> None:
    generator, latents = solid_generator(), face(3)
    begin = encoded(Oracle([(latents, look_at(20.0))]), generator, [photo(latents, look_at(20.0))], QUICK, keep_cameras=False)
    torch.testing.assert_close(begin.space.latents(begin.coordinates).geometry, latents.geometry, atol=1e-4, rtol=0)
    rows = latents.geometry + 0.3 * torch.randn(latents.geometry.shape, generator=torch.Generator().manual_seed(0))
    free = Latents(rows, rows[:, None])  # each row another: no w gives it
    begin = encoded(Oracle([(free, look_at(20.0))]), generator, [photo(latents, look_at(20.0))], QUICK, keep_cameras=False)
    torch.testing.assert_close(begin.space.latents(begin.coordinates).geometry, rows, atol=1e-4, rtol=0)
    # Prior and steps go by coordinates, so those are what the axes can say.
    assert begin.coordinates.abs().max() > 0.1


def test_the_better_camera_is_taken_and_a_given_one_is_kept() -> None:
    generator, latents = solid_generator(), face(3)
    right, wrong = look_at(25.0), look_at(-25.0)
    for guess, encoders, kept, wanted in ((wrong, right, False, right), (right, wrong, False, right), (wrong, right, True, wrong)):
        look = replace(photo(latents, right), camera=guess)
        begin = encoded(Oracle([(latents, encoders)]), generator, [look], QUICK, keep_cameras=kept)
        assert torch.equal(begin.looks[0].camera.cam2world, wanted.cam2world)


def test_photos_of_different_people_are_refused() -> None:
    generator = solid_generator()
    mean = generator.mean_latents()
    away = face(3).geometry - mean.geometry
    other = Latents(mean.geometry - away, (mean.geometry - away)[:, None])  # the opposite of a face is another
    views = [look_at(0.0)] * 3
    looks = [photo(face(3), camera) for camera in views]
    near = Latents(mean.geometry + 0.5 * away, (mean.geometry + 0.5 * away)[:, None])
    with pytest.raises(ImageError, match="Photos 1 and 3 seem to show different people"):
        encoded(Oracle(list(zip([face(3), near, other], views, strict=True))), generator, looks, QUICK, keep_cameras=False)
    begin = encoded(Oracle(list(zip([face(3), near, face(3)], views, strict=True))), generator, looks, QUICK, keep_cameras=False)
    middle = mean.geometry + (2.5 / 3) * away
    torch.testing.assert_close(begin.space.latents(begin.coordinates).geometry, middle, atol=1e-4, rtol=0)


def test_invert_starts_there() -> None:
    generator, latents = solid_generator(), face(3)
    look = photo(latents, look_at(20.0))
    told = invert(generator, look.image, settings=QUICK, encoder=Oracle([(latents, look_at(20.0))]))
    alone = invert(generator, look.image, settings=QUICK)
    assert told.losses["psnr"] > alone.losses["psnr"] + 3


def test_a_parsers_labels_are_told_to_the_encoder() -> None:
    generator, latents = solid_generator(), face(3)
    oracle = Oracle([(latents, look_at(0.0))])
    look = photo(latents, look_at(0.0))
    look = replace(look, parsed=ParsedLabels(generator, look.image, lambda image: torch.full((1, 64, 64), 7)))
    encoded(oracle, generator, [look], QUICK, keep_cameras=True)
    labels = oracle.seen[0]
    assert labels is not None and labels.shape == (1, 64, 64) and set(labels.unique().tolist()) == {7}


def test_an_encoder_of_another_generator_is_refused() -> None:
    look = photo(face(3), look_at(0.0))
    with pytest.raises(ModelError, match="another generator"):
        invert(solid_generator(), look.image, settings=QUICK, encoder=Oracle([], new_solid_generator(seed=1)))


def test_without_one_it_starts_from_the_mean_face() -> None:
    begin = mean_start(solid_generator(), [], QUICK)
    torch.testing.assert_close(begin.space.latents(begin.coordinates).geometry, solid_generator().mean_latents().geometry)


def test_the_bundled_encoder_is_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "bundled_names", lambda: ["heads-triplane"])
    assert bundled_encoder(solid_generator()) == (
        None,
        "No encoder is bundled: the search starts from the mean face, which takes more steps.",
    )
    oracle = Oracle([])
    monkeypatch.setattr(module, "bundled_names", lambda: [module.ENCODER])
    monkeypatch.setattr(Model, "from_pretrained", lambda name, device: oracle)
    found, note = bundled_encoder(solid_generator())
    assert found is oracle and module.ENCODER in note
    found, note = bundled_encoder(new_solid_generator(seed=1))
    assert found is None and "another generator" in note


def test_the_bundled_editor_is_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "bundled_names", lambda: ["heads-triplane"])
    assert find_editor(solid_generator()) == (None, "No editor is bundled: the edit starts from the face as it is.")
    assert bundled_editor(solid_generator()) is None
    oracle, devices = Oracle([]), []
    monkeypatch.setattr(module, "bundled_names", lambda: [module.EDITOR])
    monkeypatch.setattr(Model, "from_pretrained", lambda name, device: devices.append(device) or oracle)
    found, note = find_editor(solid_generator())
    assert found is oracle and module.EDITOR in note and devices == [solid_generator().device]
    assert bundled_editor(solid_generator()) is oracle
    found, note = find_editor(new_solid_generator(seed=1))
    assert found is None and "another generator" in note and "the face as it is" in note
    assert bundled_editor(new_solid_generator(seed=1)) is None


def test_single_mappings_have_a_start_too() -> None:
    generator = random_generator(mapping="single", z_dim=8, **SIZES)
    latents = generator.sample(1, 4, 1.0)
    look = Look(torch.zeros(1, 3, 32, 32), generator.default_camera)
    begin = encoded(Oracle([(latents, look_at(0.0))], generator), generator, [look], QUICK, keep_cameras=True)
    torch.testing.assert_close(begin.space.latents(begin.coordinates).geometry, latents.geometry, atol=1e-4, rtol=0)
