"""Encoders: their basis spans the generator's latents, no change is no move, and they know which generator they are of."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from fface_hub.errors import ModelError
from fface_hub.inversion.encoder import SIDE, CanonicalEditor, Encoder, LatentBasis
from fface_hub.inversion.pose import orbit_angles
from fface_hub.layouts import BASE_15, NASAL_WING_17
from fface_hub.models import Model
from tests.tiny import random_generator, solid_generator

SMALL = {"latent_dim": 16, "plane_resolution": 16, "channel_base": 128, "channel_max": 16}
SIZES = {"channels": (6, 8), "hidden": 8, "label_channels": 2}


def of_solid(axes: int = 3) -> dict[str, object]:
    generator = solid_generator()
    basis = LatentBasis.of(generator, axes, samples=300)
    return {
        "generator_id": "solid",
        "generator_fingerprint": generator.fingerprint,
        "groups": basis.groups,
        "latent_dim": basis.means.shape[1],
        "axes": axes,
    }


def encoder() -> Encoder:
    torch.manual_seed(0)
    model = Encoder(**of_solid(), **SIZES)  # pyright: ignore
    model.set_basis(LatentBasis.of(solid_generator(), 3, samples=300))
    return model.eval()


def editor() -> CanonicalEditor:
    torch.manual_seed(0)
    model = CanonicalEditor(**of_solid(), **SIZES)  # pyright: ignore
    model.set_basis(LatentBasis.of(solid_generator(), 3, samples=300))
    return model.eval()


def test_rows_that_are_always_equal_are_one_group() -> None:
    # Planes of 16² have 6 rows, the last third of which the appearance drives.
    assert LatentBasis.of(solid_generator(), 4, samples=50).groups == (0, 0, 0, 0, 1, 1)
    single = random_generator(z_dim=4, latent_dim=16, plane_resolution=16, channel_base=128, channel_max=16)
    assert set(LatentBasis.of(single, 4, samples=50).groups) == {0}


def test_coordinates_of_drawn_faces_have_deviation_one_and_give_their_rows_back() -> None:
    generator = solid_generator()
    basis = LatentBasis.of(generator, 16, samples=400)
    rows = generator.sample(400, 0, 1.0).geometry
    coordinates = basis.coordinates(rows)
    assert coordinates.shape == (400, 2, 16)
    strong = basis.axes.norm(dim=-1) > 1e-3
    deviations = coordinates.std(dim=0)[strong]
    assert torch.allclose(deviations, torch.ones_like(deviations), atol=0.05)
    assert torch.allclose(basis.rows(coordinates), rows, atol=1e-3)  # as many axes as numbers


def test_the_encoder_gives_latents_and_a_camera() -> None:
    latents, camera = encoder().encode(torch.rand(2, 3, 40, 40) * 2 - 1)
    assert latents.geometry.shape == (2, 6, 16) and torch.equal(latents.appearance[:, 0], latents.geometry)
    assert torch.equal(latents.geometry[:, 0], latents.geometry[:, 3]) and not torch.equal(latents.geometry[:, 0], latents.geometry[:, 4])
    with torch.no_grad():
        _, angles = encoder()(torch.zeros(1, 3, SIDE, SIDE))
    _, camera = encoder().encode(torch.zeros(1, 3, SIDE, SIDE))
    assert orbit_angles(camera)[:2] == pytest.approx(angles[0].tolist(), abs=1e-3)
    with pytest.raises(ValueError, match="square"):
        encoder().encode(torch.zeros(1, 3, 8, 9))


def test_labels_count_where_they_are_given() -> None:
    image = torch.zeros(1, 3, SIDE, SIDE)
    given = (None, torch.zeros(1, 16, 16).long(), torch.ones(1, 16, 16).long())
    without, nothing, skin = (encoder().encode(image, labels)[0].geometry for labels in given)
    assert not torch.equal(without, nothing) and not torch.equal(nothing, skin)


def test_no_change_is_no_move() -> None:
    image, labels = torch.rand(1, 3, 32, 32) * 2 - 1, torch.randint(0, 17, (32, 32))
    still = editor().guess(image, labels, labels, NASAL_WING_17)
    assert still.shape == (3,) and not still.any()
    painted = labels.clone()
    painted[8:20, 8:20] = NASAL_WING_17.index("ala")
    moved = editor().guess(image, labels, painted, NASAL_WING_17)
    assert moved.abs().max() > 0
    # In a layout without the class, the class that it merges into is what is seen.
    merged, base = (NASAL_WING_17.convert(x, BASE_15) for x in (painted, labels))
    assert not torch.equal(editor().guess(image, base, merged, BASE_15), moved)


def test_they_are_saved_with_their_basis_and_fit_one_generator_only(tmp_path: Path) -> None:
    for model in (encoder(), editor()):
        folder = tmp_path / type(model).__name__
        model.save_pretrained(folder)
        again = Model.from_pretrained(folder)
        assert type(again) is type(model)
        assert all(torch.equal(a, b) for a, b in zip(model.state_dict().values(), again.state_dict().values(), strict=True))
        assert again.fits(solid_generator()) and again.fits(solid_generator().tuned_copy())  # pyright: ignore
        with pytest.raises(ModelError, match="'solid'"):
            again.check(random_generator(3, latent_dim=16, plane_resolution=16, channel_base=128, channel_max=16, z_dim=4))  # pyright: ignore


@pytest.mark.parametrize(
    "wrong",
    [{"channels": [8]}, {"hidden": 0}, {"groups": [0, 2]}, {"groups": []}, {"label_channels": 0}, {"axes": 5000}, {"layout": "../x"}],
)
def test_sizes_that_cannot_be(wrong: dict[str, object]) -> None:
    with pytest.raises(ModelError, match=r"An encoder|looks like a path"):
        Encoder.from_config({**of_solid(), **wrong})
