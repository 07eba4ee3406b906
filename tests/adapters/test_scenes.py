"""An adapter labels every scene of its own generator, tuned to a photograph or before a backdrop, and none of another generator."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from fface_hub import edit
from fface_hub.adapters.adapter import Adapter
from fface_hub.editing.edit import EditSettings
from fface_hub.errors import ModelError
from fface_hub.generators.base import Scene
from fface_hub.inversion.backdrop import BackdropScene
from fface_hub.inversion.inversion import Inversion
from fface_hub.inversion.invert import invert
from fface_hub.inversion.objective import InvertSettings
from fface_hub.layouts import NOSE_19
from fface_hub.rendering.renderer import render
from fface_hub.rendering.sampling import Sampling
from fface_hub.rendering.views import five_views
from tests.tiny import new_solid_generator, solid_generator

QUICK = InvertSettings(
    resolution=16, rays=64, coarse=8, fine=8, w_steps=2, free_steps=1, tuning="weights", tuning_steps=6, tuning_rate=0.02
)


@pytest.fixture(scope="module")
def adapter() -> Adapter:
    """One of the solid generator."""
    made = Adapter(NOSE_19.to_dict(), "org/solid", solid_generator().fingerprint, 8)
    made.initialise(torch.Generator().manual_seed(0))
    return made.eval()


@pytest.fixture(scope="module")
def inversion() -> Inversion:
    """A photograph, with the copy of the generator that was tuned to it and what is behind the head."""
    photo = torch.linspace(-1, 1, 3 * 32 * 32).reshape(1, 3, 32, 32)
    return invert(solid_generator(), photo, settings=QUICK)


def logits(scene: Scene, adapter: Adapter | None) -> Tensor:
    return render(scene, solid_generator().default_camera, 12, Sampling(6, 6), adapter=adapter).logits


def by_hand(scene: Scene, adapter: Adapter) -> Tensor:
    """The same through a plain function, which nobody checks."""
    plain = lambda features, geometry, directions: adapter(features, geometry, directions)  # noqa: E731
    return render(scene, solid_generator().default_camera, 12, Sampling(6, 6), adapter=plain).logits


def test_a_tuned_scene_and_one_before_a_backdrop_take_it(adapter: Adapter, inversion: Inversion, tmp_path: Path) -> None:
    tuned, own = inversion.generator, solid_generator()
    weights = [model.get_parameter("decoder.geo_net.0.weight") for model in (tuned, own)]  # type: ignore[attr-defined]
    assert not torch.equal(*weights) and tuned.fingerprint == own.fingerprint
    inversion.save(tmp_path / "face", own)
    scenes = {
        "own": own.scene(inversion.latents),
        "tuned": tuned.scene(inversion.latents),
        "backdrop": inversion.scene(),
        "saved face": Inversion.load(tmp_path / "face", own).scene(),
    }
    assert isinstance(scenes["backdrop"], BackdropScene)
    found = {name: logits(scene, adapter) for name, scene in scenes.items()}
    assert all(torch.equal(found[name], by_hand(scene, adapter)) for name, scene in scenes.items())
    assert all(torch.equal(found["tuned"], found[name]) for name in ("backdrop", "saved face"))
    assert not torch.equal(found["tuned"], found["own"]) and found["tuned"].shape[1] == len(NOSE_19)


def test_a_tuned_face_is_edited_in_its_layout(adapter: Adapter, inversion: Inversion) -> None:
    target = torch.full((12, 12), NOSE_19.index("nose"))
    settings = EditSettings(steps=2, resolution=12, rays=None, coarse=6, fine=6)
    result = edit(solid_generator(), inversion, target, adapter, settings=settings)
    assert not torch.equal(result.latents.geometry, inversion.latents.geometry) and result.losses


def test_an_adapter_that_only_names_the_generator_is_refused(adapter: Adapter, inversion: Inversion) -> None:
    forged = Adapter(NOSE_19.to_dict(), "org/solid", solid_generator().fingerprint, 5, 3)
    with pytest.raises(ModelError, match=r"reads 5 features and 3 geometry channels .* whatever it says"):
        logits(solid_generator().scene(inversion.latents), forged)


def test_another_generators_scenes_are_refused_wherever_they_come_from(adapter: Adapter, inversion: Inversion) -> None:
    other = new_solid_generator(seed=1)
    foreign = replace(inversion, generator=other.tuned_copy())
    for refused in (
        lambda: logits(other.scene(inversion.latents), adapter),
        lambda: logits(other.tuned_copy().scene(inversion.latents), adapter),
        lambda: logits(foreign.scene(), adapter),
        lambda: five_views(foreign.scene(), 8, adapter, Sampling(4, 0)),
        lambda: edit(other, inversion.latents, torch.zeros(12, 12, dtype=torch.int64), adapter),
        lambda: edit(other, foreign, torch.zeros(12, 12, dtype=torch.int64), adapter),
    ):
        with pytest.raises(ModelError, match="does not fit this one"):
            refused()
    with pytest.raises(ModelError, match="inverted with another generator"):
        edit(solid_generator(), foreign, torch.zeros(12, 12, dtype=torch.int64), adapter)
