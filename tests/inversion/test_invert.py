"""Inversion of pictures that a tiny random generator made itself, so that the truth is known to be within reach."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import Tensor

from fface_hub.cameras import look_at
from fface_hub.doors import to_tensor
from fface_hub.errors import CancelledError, FaceNotFoundError, ImageError, ModelError, OptimisationError
from fface_hub.generators.triplane import TriplaneGenerator
from fface_hub.inversion import invert as module
from fface_hub.inversion.align import Box, crop
from fface_hub.inversion.inversion import BACKDROP_FILE, LATENTS_FILE, TUNING_FILE, Inversion
from fface_hub.inversion.invert import invert
from fface_hub.inversion.looks import Look
from fface_hub.inversion.objective import InvertSettings, grid_rays, look_up, picture_losses, ramp
from fface_hub.inversion.space import latent_space
from fface_hub.latents import Latents
from fface_hub.metrics import psnr
from fface_hub.progress import Step, frozen
from fface_hub.rendering.renderer import render
from tests.tiny import new_solid_generator

QUICK = InvertSettings(resolution=32, rays=256, coarse=12, fine=12, w_steps=24, free_steps=10, tuning_steps=0, detail=24, texels=32)
WEIGHTS = replace(QUICK, tuning="weights")


@pytest.fixture(scope="module")
def generator() -> TriplaneGenerator:
    model = new_solid_generator(density=30.0, bias=0.0)
    model.update_mean(500)
    return model


@pytest.fixture(scope="module")
def photo(generator: TriplaneGenerator) -> Tensor:
    return render(generator.scene(generator.sample(1, seed=5, truncation=1.0)), look_at(4.0, -3.0), 64).image


@pytest.fixture(scope="module")
def pivot(generator: TriplaneGenerator, photo: Tensor) -> Inversion:
    return invert(generator, photo, settings=QUICK)


def test_the_latent_space_is_where_the_samples_are(generator: TriplaneGenerator) -> None:
    space = latent_space(generator, samples=300, axes=40)
    mean = generator.mean_latents()
    torch.testing.assert_close(space.latents(torch.zeros(len(space.axes))).geometry, mean.geometry)
    # One geometry w and one appearance w: moving along any axis keeps the rows of each third equal.
    moved = space.latents(torch.randn(len(space.axes), generator=torch.Generator().manual_seed(0)))
    early, late = moved.geometry[0, : generator.late_rows.start], moved.geometry[0, generator.late_rows.start :]
    torch.testing.assert_close(early, early[:1].expand_as(early), atol=1e-5, rtol=0)
    torch.testing.assert_close(late, late[:1].expand_as(late), atol=1e-5, rtol=0)
    # Fresh draws have coordinates of deviation 1: the axes are orthogonal, so c = (w − mean)·a / |a|².
    rows = generator.sample(300, seed=9, truncation=1.0).geometry.flatten(1) - space.mean
    coordinates = rows @ space.axes.T / space.axes.square().sum(dim=1)
    assert coordinates[:, :5].std().item() == pytest.approx(1.0, abs=0.15)


def test_the_views_of_all_photos_are_of_one_scene(generator: TriplaneGenerator, photo: Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    made, make = [], TriplaneGenerator.scene
    monkeypatch.setattr(TriplaneGenerator, "scene", lambda self, latents: made.append(make(self, latents)) or made[-1])
    cameras, latents = [look_at(0.0), look_at(25.0)], generator.sample(1, seed=5, truncation=1.0)
    views = module._views(Inversion(latents, cameras[0], generator), [Look(photo, camera) for camera in cameras], QUICK)
    assert len(made) == 1
    for camera, view in zip(cameras, views, strict=True):
        assert torch.equal(view.raw, render(made[0], camera, QUICK.resolution, QUICK.sampling(), finish=False).raw)


def test_both_halves_are_one_tensor(generator: TriplaneGenerator) -> None:
    space = latent_space(generator, samples=50, axes=10)
    free = torch.ones(len(space.mean))
    latents = space.latents(torch.zeros(len(space.axes)), free)
    assert latents.geometry.data_ptr() == latents.appearance.data_ptr()
    torch.testing.assert_close(latents.geometry, generator.mean_latents().geometry + space.spread)


def test_grid_rays_are_the_cells_shifted_alike() -> None:
    uv, origins, directions = grid_rays(look_at(0.0), 4, torch.Generator().manual_seed(1))
    cells = (uv.reshape(4, 4, 2) * 4).floor()
    assert cells[2, 3].tolist() == [3, 2]
    inside = uv.reshape(4, 4, 2) * 4 - cells
    torch.testing.assert_close(inside, inside[:1, :1].expand_as(inside), atol=1e-5, rtol=0)
    assert origins.shape == directions.shape == (1, 16, 3)


def test_picture_losses_by_hand() -> None:
    target = torch.zeros(1, 64, 3)
    ours = torch.zeros(1, 64, 3)
    ours[0, 0] = 1.0  # the left top ray of 8 × 8
    losses = picture_losses(ours, target, 8)
    assert losses["color"].item() == pytest.approx(1 / 64)
    assert losses["coarse"].item() == pytest.approx(1 / 16 / 4)  # one of four cells, of mean 1/16
    assert losses["edges"].item() == pytest.approx(0.5 * (1 / 56 + 1 / 56))  # one of 7·8 differences each way
    both = picture_losses(ours, target, 8, perceptual=lambda a, b: (a - b).square().sum())
    assert both["perceptual"].item() == 3.0 and both["color"] == losses["color"]
    assert look_up(torch.tensor([[[[0.0, 1.0]]]]), torch.tensor([[[0.5, 0.5]]])).item() == pytest.approx(0.5)


def test_the_ramp_rises_stays_and_falls() -> None:
    values = [ramp(index, 100) for index in range(100)]
    assert values[0] == pytest.approx(0.1) and values[50] == 1.0 and values[99] < 0.01
    # 87.5 % is half of the last quarter: half a cosine down is 0.5
    assert ramp(87, 100) == pytest.approx(0.5, abs=0.01)


def test_a_rendering_is_found_again(generator: TriplaneGenerator, photo: Tensor, pivot: Inversion) -> None:
    mean = render(generator.scene(generator.mean_latents()), generator.default_camera, 64)
    found = render(pivot.scene(), pivot.camera, 64)
    assert psnr(found.image, photo).item() > psnr(mean.image, photo).item() + 6
    assert pivot.losses["psnr"] > 26
    assert pivot.generator is generator and pivot.crop is None and pivot.seconds > 0


@pytest.mark.parametrize("tuning", ["retouch", "weights"])
def test_the_same_seed_gives_the_same_inversion(generator: TriplaneGenerator, photo: Tensor, tuning: Literal["retouch", "weights"]) -> None:
    settings = replace(QUICK, w_steps=2, free_steps=2, tuning_steps=2, tuning=tuning)
    first, second = invert(generator, photo, settings=settings), invert(generator, photo, settings=settings)
    assert torch.equal(first.latents.geometry, second.latents.geometry)
    assert first.losses == second.losses


def test_tuning_copies_holds_the_geometry_and_comes_back_from_disk(
    generator: TriplaneGenerator, photo: Tensor, pivot: Inversion, tmp_path: Path
) -> None:
    before = {key: value.clone() for key, value in generator.state_dict().items()}
    other = photo.flip(1)  # red for blue: colours that the generator must learn
    result = invert(generator, other, settings=replace(WEIGHTS, w_steps=8, free_steps=2, tuning_steps=45, tuning_rate=5e-3))
    assert all(torch.equal(value, before[key]) for key, value in generator.state_dict().items())
    assert all(parameter.requires_grad for parameter in generator.parameters())
    assert result.generator is not generator and result.generator.fingerprint == generator.fingerprint
    assert result.losses["psnr"] > result.losses["psnr_before_tuning"] + 1
    assert result.losses["depth_change"] < 0.05
    result.save(tmp_path / "face", generator)
    assert sorted(path.name for path in (tmp_path / "face").iterdir()) == sorted(
        [BACKDROP_FILE, LATENTS_FILE, TUNING_FILE, "inversion.json"]
    )
    assert all(value.dtype == torch.float16 for value in load_file(tmp_path / "face" / TUNING_FILE).values())
    loaded = Inversion.load(tmp_path / "face", generator)
    assert loaded.image is None and loaded.generator.fingerprint == generator.fingerprint
    views = [render(inversion.scene(), inversion.camera, 24).image for inversion in (result, loaded)]
    torch.testing.assert_close(views[0], views[1], atol=2e-3, rtol=0)  # only the backdrop was rounded
    with pytest.raises(ModelError, match="another generator"):
        Inversion.load(tmp_path / "face", new_solid_generator(seed=1))


def test_a_retouch_leaves_generator_and_geometry_alone(generator: TriplaneGenerator, photo: Tensor, pivot: Inversion) -> None:
    other = photo.flip(1)  # red for blue: colours that the generator does not know
    heard: list[Step] = []
    settings = replace(QUICK, w_steps=8, free_steps=2, tuning_steps=20)
    plain = invert(generator, other, settings=replace(settings, tuning_steps=0))
    result = invert(generator, other, settings=settings, callback=heard.append)
    assert result.generator is generator and result.retouch is not None and plain.retouch is None
    assert torch.equal(result.latents.geometry, plain.latents.geometry) and result.losses["depth_change"] == 0
    assert result.losses["psnr"] > plain.losses["psnr"] + 2 and result.losses["psnr_before_tuning"] == plain.losses["psnr"]
    assert [step.index for step in heard if step.losses][-20:] == list(range(11, 31)) and heard[-1].total == 30
    assert isinstance(heard[-1].best, Inversion)


def test_several_photos_share_one_face(generator: TriplaneGenerator, photo: Tensor) -> None:
    truth = generator.scene(generator.sample(1, seed=5, truncation=1.0))
    yaws = torch.tensor([-25.0, 25.0])
    photos = [render(truth, look_at(yaw), 64).image for yaw in yaws]
    settings = replace(QUICK, w_steps=16, free_steps=0, tuning_steps=6)
    found = invert(generator, photos, look_at(yaws), settings)
    assert len(found.latents) == len(found.camera) == 1 and found.others is not None and len(found.others) == 1
    # Each camera is its own photo's, and the face is one that both show.
    assert found.camera.cam2world[0, 0, 3] < -0.8 and found.others.cam2world[0, 0, 3] > 0.8
    views = [render(replace(found, backdrop=None).scene(), camera, 64).image for camera in (found.camera, found.others)]
    mean = render(generator.scene(generator.mean_latents()), look_at(yaws), 64).image
    for view, image, before in zip(views, photos, mean, strict=True):
        assert psnr(view, image).item() > psnr(before[None], image).item() + 3
    both = invert(generator, photos, look_at(yaws), replace(WEIGHTS, w_steps=2, free_steps=0, tuning_steps=2))
    assert both.generator is not generator and both.losses["psnr"] > 0


def test_photos_and_cameras_must_be_as_many(generator: TriplaneGenerator, photo: Tensor) -> None:
    with pytest.raises(ValueError, match="one camera for each photo, and these are 3 for 2"):
        invert(generator, [photo, photo], look_at(torch.zeros(3)), QUICK)
    for photos in ([], [photo] * 17):
        with pytest.raises(ImageError, match="from 1 to 16 photos"):
            invert(generator, photos, settings=QUICK)
    with pytest.raises(ImageError, match=r"Photo 2: .*not numbers"):
        invert(generator, [photo, photo * torch.nan], settings=QUICK)


def test_a_damaged_inversion_is_refused(generator: TriplaneGenerator, pivot: Inversion, tmp_path: Path) -> None:
    pivot.save(tmp_path / "face", generator)
    config = (tmp_path / "face" / "inversion.json").read_text()
    (tmp_path / "face" / "inversion.json").write_text(config.replace('"others": []', '"others": [[1, 2]]'))
    with pytest.raises(ModelError, match="further cameras"):
        Inversion.load(tmp_path / "face", generator)
    (tmp_path / "face" / "inversion.json").write_text(config.replace('"version": 1', '"version": 99'))
    with pytest.raises(ModelError, match="no inversion"):
        Inversion.load(tmp_path / "face", generator)
    with pytest.raises(ModelError):
        Inversion.load(tmp_path / "nothing", generator)


def test_an_inversion_that_is_replaced_while_it_is_read_is_read_anew(
    generator: TriplaneGenerator, pivot: Inversion, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The camera was the old one's and the latents were the new one's; nothing of the two is mixed."""
    moved = replace(pivot, latents=pivot.latents.offset(torch.ones(1)), camera=look_at(20.0))
    pivot.save(tmp_path / "face", generator)
    load, saves = Latents.load, [moved]

    def load_later(path: Path) -> Latents:
        if saves:
            saves.pop().save(tmp_path / "face", generator)
        return load(path)

    monkeypatch.setattr(Latents, "load", load_later)
    found = Inversion.load(tmp_path / "face", generator)
    assert not saves and torch.equal(found.latents.geometry, moved.latents.geometry)
    torch.testing.assert_close(found.camera.cam2world, moved.camera.cam2world)


def test_a_damaged_backdrop_is_refused(generator: TriplaneGenerator, pivot: Inversion, tmp_path: Path) -> None:
    pivot.save(tmp_path / "face", generator)
    texture = load_file(tmp_path / "face" / BACKDROP_FILE)["texture"]
    for wrong in (texture[:2], texture[:, 1:], texture[None]):
        save_file({"texture": wrong.contiguous(), "camera": pivot.camera.to_vector()[0]}, tmp_path / "face" / BACKDROP_FILE)
        with pytest.raises(ModelError, match="backdrop"):
            Inversion.load(tmp_path / "face", generator)


def test_progress_is_reported_and_cancelling_keeps_the_best(generator: TriplaneGenerator, photo: Tensor) -> None:
    steps: list[Step] = []

    def watch(step: Step) -> None:
        steps.append(step)
        if step.index == 9:
            raise CancelledError("stopped")

    with pytest.raises(CancelledError):
        invert(generator, photo, settings=replace(WEIGHTS, w_steps=4, free_steps=3, tuning_steps=5), callback=watch)
    # The face is found; the backdrop is done; the geometry that the tuning is to hold is looked at from the photo's side and five others.
    told = [step.index for step in steps]
    assert told == sorted(told) and set(told) == set(range(10)) and told.count(7) >= 8 and steps[0].total == 12
    steps = [step for step in steps if step.losses]
    assert [step.index for step in steps] == list(range(1, 10))
    assert steps[0].preview is not None and steps[0].preview.shape == (3, 32, 32)
    assert {"color", "coarse", "edges", "prior"} <= set(steps[0].losses) and "hold" in steps[8].losses
    assert isinstance(steps[8].best, Inversion) and steps[8].best.latents.geometry.isfinite().all()
    assert all(parameter.requires_grad for parameter in generator.parameters())


def test_numbers_that_are_not_finite_stop_it_with_what_was_reached(
    generator: TriplaneGenerator, photo: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []

    def broken(color: Tensor, target: Tensor, side: int, perceptual: None) -> dict[str, Tensor]:
        calls.append(1)
        losses = picture_losses(color, target, side)
        return losses if len(calls) < 3 else {"color": losses["color"] * torch.nan}

    monkeypatch.setattr(module, "picture_losses", broken)
    with pytest.raises(OptimisationError) as caught:
        invert(generator, photo, settings=QUICK)
    assert isinstance(caught.value.best, Inversion) and caught.value.best.latents.geometry.isfinite().all()


def test_gradients_that_are_not_finite_stop_it_even_in_the_last_step(
    generator: TriplaneGenerator, photo: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    def edged(color: Tensor, target: Tensor, side: int, perceptual: None) -> dict[str, Tensor]:
        return {"color": picture_losses(color, target, side)["color"] + (0 * color).sum().sqrt()}  # the root of 0 has no slope

    monkeypatch.setattr(module, "picture_losses", edged)
    with pytest.raises(OptimisationError) as caught:
        invert(generator, photo, settings=replace(QUICK, w_steps=1, free_steps=0))
    assert isinstance(caught.value.best, Inversion) and caught.value.best.latents.geometry.isfinite().all()


def test_tuning_works_while_another_thread_holds_the_generator_frozen(generator: TriplaneGenerator, photo: Tensor) -> None:
    with frozen(generator):
        result = invert(generator, photo, settings=replace(WEIGHTS, w_steps=1, free_steps=1, tuning_steps=1))
        assert not any(parameter.requires_grad for parameter in generator.parameters())
    assert isinstance(result.generator, TriplaneGenerator) and all(p.requires_grad for p in result.generator.parameters())


@pytest.mark.parametrize(
    ("bad", "error"),
    [
        (b"", ImageError),
        (b"no picture", ImageError),
        (Image.new("RGB", (64, 64), "grey"), FaceNotFoundError),
        (torch.zeros(1, 3, 8, 9), ImageError),
        (torch.full((1, 3, 8, 8), torch.nan), ImageError),
        (torch.zeros(2, 3, 8, 8), ImageError),
    ],
)
def test_bad_photos_get_their_error(generator: TriplaneGenerator, bad: object, error: type[Exception]) -> None:
    with pytest.raises(error):
        invert(generator, bad, settings=QUICK)  # pyright: ignore[reportArgumentType]


def test_a_photo_is_cropped_and_its_tilt_taken_up(generator: TriplaneGenerator) -> None:
    from skimage import data

    result = invert(generator, Image.fromarray(data.astronaut()), settings=replace(QUICK, w_steps=1, free_steps=1))
    assert result.crop is not None and result.crop.detector == "haar"
    assert result.image is not None and result.image.shape == (1, 3, 256, 256)
    right = result.camera.cam2world[0, :3, 0]
    assert np.rad2deg(float(torch.atan2(right[1], right[0]))) == pytest.approx(-result.crop.roll, abs=1.5)
    assert result.crop.fitted is None
    other = Box(result.crop.box.left - 20, result.crop.box.top, result.crop.box.size + 30)
    wide = invert(generator, Image.fromarray(data.astronaut()), settings=replace(QUICK, w_steps=1, free_steps=1), box=other)
    assert wide.crop is not None and wide.crop.box == other and wide.crop.fitted == result.crop.box
    assert wide.image is not None and torch.equal(wide.image, to_tensor(crop(Image.fromarray(data.astronaut()), other, 256)))
    # The head is as large in the world: it is seen by a lens that much wider.
    scale = wide.camera.intrinsics[0, 0, 0] / result.camera.intrinsics[0, 0, 0]
    assert float(scale) == pytest.approx(result.crop.box.size / other.size, rel=0.05)
    with pytest.raises(ImageError, match="does not hold the face"):
        invert(generator, Image.fromarray(data.astronaut()), settings=QUICK, box=Box(0, 300, 150))
    with pytest.raises(ValueError, match="one photo that is not framed"):
        invert(generator, torch.zeros(1, 3, 64, 64), settings=QUICK, box=other)
