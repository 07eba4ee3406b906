"""A face in one file: it comes back as it was, and what is no face of the generator is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from fface_hub.cameras import look_at
from fface_hub.errors import ModelError
from fface_hub.inversion.backdrop import Backdrop
from fface_hub.inversion.face_file import load_face_file, save_face_file
from fface_hub.inversion.inversion import Inversion, tuned_copy
from fface_hub.inversion.retouch import Retouch
from fface_hub.rendering.renderer import render
from tests.tiny import new_solid_generator, solid_generator


def face(whole: bool) -> Inversion:
    """A face with a camera of its own; with all that an inversion may have if it is to be `whole`."""
    generator = solid_generator()
    drawn = Inversion(generator.sample(1, seed=3), look_at(10.0), generator)
    if not whole:
        return drawn
    random = torch.Generator().manual_seed(0)
    tuned = tuned_copy(generator)
    with torch.no_grad():
        next(iter(tuned.parameters())).add_(0.25)  # type: ignore[attr-defined]
    backdrop = Backdrop(torch.rand(3, 8, 8, generator=random).half().float(), look_at(5.0))
    retouch = Retouch(torch.rand(3, 3, 8, 8, generator=random).half().float(), 0.5)
    return Inversion(drawn.latents, drawn.camera, tuned, backdrop, retouch=retouch.belonging_to(drawn.latents, generator))


RETOUCH = {"retouch.planes": torch.ones(3, 3, 4, 4), "retouch.bounds": torch.tensor(0.5)}


@pytest.mark.parametrize("whole", [False, True])
def test_a_face_comes_back_from_its_file(whole: bool, tmp_path: Path) -> None:
    before, generator = face(whole), solid_generator()
    save_face_file(before, generator, tmp_path / "a.safetensors")
    after = load_face_file(tmp_path / "a.safetensors", generator)
    assert (after.generator is generator) == (not whole) and after.generator.fingerprint == generator.fingerprint
    assert (after.retouch is None, after.backdrop is None) == (not whole, not whole)
    first, second = (render(one.scene(), one.camera, 16) for one in (before, after))
    torch.testing.assert_close(first.image, second.image, atol=1e-5, rtol=0)
    assert torch.equal(first.labels, second.labels)
    if whole:
        assert before.retouch is not None and after.retouch is not None and before.retouch.own is not None
        other = generator.sample(1, seed=4).lerp(before.latents, 0.9)
        shares = [each.shares(other.geometry, other.appearance[:, 0]) for each in (before.retouch, after.retouch)]
        assert shares[0] == shares[1] and 0 < shares[0][1] < 1


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"latents.geometry": None}, "lacks its latents"),
        ({"camera": None}, "lacks its latents, its camera"),
        ({"camera": torch.ones(24)}, "camera in 'a.safetensors' is damaged"),
        ({"camera": torch.full((25,), 1e9)}, "camera in 'a.safetensors' is damaged"),
        ({"generator": None}, "name of its generator"),
        ({"generator": torch.zeros(32, dtype=torch.uint8)}, "another generator"),
        ({"latents.geometry": torch.ones(1, 6, 15)}, "not those of one face"),
        ({"latents.geometry": torch.ones(2, 6, 16)}, "do not have the shapes"),
        ({"latents.appearance": torch.ones(1, 6, 16)}, "do not have the shapes"),
        ({"backdrop.texture": torch.ones(3, 4, 4)}, "backdrop in 'a.safetensors' is damaged"),
        ({"retouch.planes": torch.ones(3, 3, 4, 5), "retouch.bounds": torch.tensor(0.5)}, "retouch in 'a.safetensors' is damaged"),
        ({**RETOUCH, "retouch.reach": torch.ones(2)}, "retouch in 'a.safetensors' is damaged"),
        ({**RETOUCH, "retouch.reach": torch.ones(1), "retouch.own": torch.ones(2, 6, 16)}, "retouch in 'a.safetensors' is damaged"),
        ({**RETOUCH, "retouch.reach": torch.ones(2), "retouch.own": torch.ones(6, 16)}, "retouch in 'a.safetensors' is damaged"),
        ({"tuning.nothing": torch.ones(3)}, "no place for the weight 'nothing'"),
        ({"photo": torch.ones(3)}, "holds a tensor 'photo'"),
        ({"latents.more": torch.ones(3)}, "must have the keys 'geometry' and 'appearance' and no other"),
        ({"latents.kept.maps": torch.ones(1, 2, 4, 4, dtype=torch.uint8)}, "keeps of the time before its edits is damaged"),
    ],
)
def test_what_is_no_face_is_refused(changed: dict[str, Tensor | None], sentence: str, tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    save_face_file(face(whole=False), solid_generator(), path)
    tensors = {**load_file(path), **changed}
    save_file({key: value for key, value in tensors.items() if value is not None}, path)
    with pytest.raises(ModelError, match=sentence):
        load_face_file(path, solid_generator())


def test_a_face_of_other_weights_is_refused(tmp_path: Path) -> None:
    save_face_file(face(whole=False), solid_generator(), tmp_path / "a")
    with pytest.raises(ModelError, match="another generator"):
        load_face_file(tmp_path / "a", new_solid_generator(seed=1))
