"""Sets made of pictures and label maps from elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from fface_hub.adapters import samples_import as module
from fface_hub.adapters.samples import Origin, Sample, SampleSet
from fface_hub.adapters.samples_import import ImportSettings, import_samples
from fface_hub.cameras import look_at
from fface_hub.doors import save_label_map
from fface_hub.errors import FaceNotFoundError, FFaceError, ImageError, LayoutError, ModelError
from fface_hub.generators.triplane import TriplaneGenerator
from fface_hub.inversion.align import Box, FaceCrop
from fface_hub.inversion.inversion import Inversion
from fface_hub.inversion.objective import InvertSettings
from fface_hub.layouts import LabelClass, Layout
from fface_hub.progress import Step

LAYOUT = Layout("three", (LabelClass("background", (0, 0, 0)), LabelClass("a", (200, 0, 0)), LabelClass("b", (0, 0, 200))))
STEPS = InvertSettings(resolution=16, rays=64, coarse=4, fine=4, w_steps=1, free_steps=1)
QUICK = ImportSettings(resolution=4, cropped=True, invert=STEPS)


def picture(path: Path, width: int = 16, height: int = 16) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)


def painting(path: Path, width: int = 16, height: int = 16) -> None:
    """The left half of class a, the right half of class b, as RGB."""
    image = Image.new("RGB", (width, height), (200, 0, 0))
    image.paste((0, 0, 200), (width // 2, 0, width, height))
    path.parent.mkdir(exist_ok=True)
    image.save(path)


HALVES = [[1, 1, 2, 2]] * 4


def test_cropped_photos_are_inverted_without_tuning(tmp_path: Path, tiny_generator: TriplaneGenerator) -> None:
    for name in ("a", "b"):
        picture(tmp_path / f"{name}.jpg")
        painting(tmp_path / f"{name}_labels.png")
    picture(tmp_path / "c.png")
    steps: list[Step] = []
    samples = import_samples(tiny_generator, tmp_path, None, LAYOUT, QUICK, steps.append)
    assert [sample.name for sample in samples.samples] == ["a.jpg", "b.jpg"]
    assert samples.notes == ("'c.png' has no label map and was left out.",)
    samples.check(tiny_generator)
    assert all(sample.labels.tolist() == HALVES and sample.origin == Origin.of(tiny_generator) for sample in samples.samples)
    finished = [(step.index, step.total) for step in steps if step.losses]
    assert finished == [(n, 4) for n in (1, 2, 3, 4)]  # 2 steps for each of 2 photos
    assert [step.index for step in steps] == sorted(step.index for step in steps)


def test_the_face_is_cut_out_of_picture_and_label_map_alike(
    tmp_path: Path, tiny_generator: TriplaneGenerator, monkeypatch: pytest.MonkeyPatch
) -> None:
    picture(tmp_path / "a.png", 40, 20)
    painting(tmp_path / "labels" / "a.png", 40, 20)  # the border between a and b is at column 20
    face = FaceCrop(Box(12, 4, 16), ((0.0, 0.0), (1.0, 0.0)), 7.0, 0.0, 0.0, "yunet", 1, "")
    asked: list[Any] = []

    def invert(generator: Any, photo: Any, camera: Any, settings: InvertSettings, callback: Any) -> Any:
        asked.append((photo, settings.tuning_steps))
        return type("Found", (), {"latents": generator.sample(1, 0), "camera": look_at(5.0)})

    monkeypatch.setattr(module, "find_face", lambda photo, metres_per_unit: face)
    monkeypatch.setattr(module, "invert", invert)
    settings = replace(QUICK, cropped=False, invert=InvertSettings())
    sample = import_samples(tiny_generator, tmp_path, tmp_path / "labels", LAYOUT, settings).samples[0]
    assert asked == [(tmp_path / "a.png", 0)]
    # Of columns 12 to 27 the new ones see 14, 18, 22 and 26: two before the border and two behind it.
    assert sample.labels.tolist() == HALVES
    assert sample.image.shape == (3, 256, 256) and torch.equal(sample.camera.cam2world, look_at(5.0).cam2world)


def test_pictures_of_a_set_keep_latents_and_cameras(tmp_path: Path, tiny_generator: TriplaneGenerator) -> None:
    latents, origin = tiny_generator.sample(2, 0), Origin.of(tiny_generator)
    empty = torch.zeros(4, 4, dtype=torch.int64)
    drawn = [Sample(torch.zeros(3, 8, 8), empty, look_at(10.0 * n), latents[n], origin) for n in range(2)]
    SampleSet(LAYOUT, tuple(drawn)).save(tmp_path / "set")
    painting(tmp_path / "exported" / "0001.png", 64, 64)
    samples = import_samples(tiny_generator, tmp_path / "set", tmp_path / "exported", None, QUICK)
    assert samples.layout == LAYOUT and len(samples) == 1
    assert samples.notes == ("'0000.png' has no label map in 'exported' and was left out.",)
    found = samples.samples[0]
    assert found.labels.tolist() == HALVES and found.latents is not None
    assert torch.equal(found.latents.geometry, latents[1].geometry)
    assert torch.allclose(found.camera.cam2world, look_at(10.0).cam2world, atol=1e-6)
    # Its own label maps, where no folder of others is given.
    assert [s.labels.tolist() for s in import_samples(tiny_generator, tmp_path / "set", settings=QUICK).samples] == [empty.tolist()] * 2


def test_a_set_without_latents_gets_them(tmp_path: Path, tiny_generator: TriplaneGenerator) -> None:
    SampleSet(LAYOUT, (Sample(torch.zeros(3, 16, 16), torch.ones(4, 4, dtype=torch.int64), look_at(0.0)),)).save(tmp_path / "set")
    samples = SampleSet.load(tmp_path / "set")
    with pytest.raises(ModelError, match=r"'0000[.]png', has no latents: 'fface-hub samples import'"):
        samples.check(tiny_generator)
    import_samples(tiny_generator, tmp_path / "set", settings=QUICK).check(tiny_generator)


def test_face_folders_keep_latents_and_cameras(tmp_path: Path, tiny_generator: TriplaneGenerator) -> None:
    latents = tiny_generator.sample(1, 3)
    Inversion(latents, look_at(10.0), tiny_generator).save(tmp_path / "seed-3", tiny_generator)
    picture(tmp_path / "seed-3" / "picture.png")
    painting(tmp_path / "seed-3" / "labels.png")
    sample = import_samples(tiny_generator, tmp_path, None, LAYOUT, QUICK).samples[0]
    assert sample.labels.tolist() == HALVES and sample.origin == Origin.of(tiny_generator) and sample.latents is not None
    assert torch.equal(sample.latents.geometry, latents.geometry)
    assert torch.allclose(sample.camera.to_vector(), look_at(10.0).to_vector())
    painting(tmp_path / "seed-3" / "labels.png", 16, 20)
    with pytest.raises(LayoutError, match=r"'seed-3/labels[.]png': the label map must be square"):
        import_samples(tiny_generator, tmp_path, None, LAYOUT, QUICK)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda f: (f / "a_labels.png").unlink(), ModelError, "No label map"),
        (lambda f: (f / "a.png").write_bytes(b"x"), ImageError, "'a.png': This file is not a picture"),
        (lambda f: (f / "a_labels.png").write_bytes(b"x"), ImageError, "'a_labels.png': This file is not a picture"),
        (lambda f: painting(f / "a_labels.png", 16, 20), LayoutError, "'a_labels.png': the label map is 16 × 20 pixels and its picture"),
        (lambda f: picture(f / "a_labels.png"), LayoutError, "'a_labels.png': 256 of 256 pixels"),
        (lambda f: (picture(f / "a.png", 20, 16), painting(f / "a_labels.png", 20, 16)), ImageError, "'a.png': the picture is 20 × 16"),
    ],
)
def test_bad_files_are_named_before_any_inversion(
    tmp_path: Path,
    tiny_generator: TriplaneGenerator,
    monkeypatch: pytest.MonkeyPatch,
    change: Callable[[Path], Any],
    error: type[FFaceError],
    message: str,
) -> None:
    monkeypatch.setattr(module, "invert", lambda *_: pytest.fail("an inversion was begun"))
    picture(tmp_path / "a.png")
    painting(tmp_path / "a_labels.png")
    change(tmp_path)
    with pytest.raises(error, match=message):
        import_samples(tiny_generator, tmp_path, None, LAYOUT, QUICK)


def test_what_is_missing_is_said(tmp_path: Path, tiny_generator: TriplaneGenerator) -> None:
    picture(tmp_path / "a.png", 64, 64)
    painting(tmp_path / "a_labels.png", 64, 64)
    with pytest.raises(FaceNotFoundError, match=r"'a[.]png': No face was found"):
        import_samples(tiny_generator, tmp_path, None, LAYOUT, replace(QUICK, cropped=False))
    with pytest.raises(LayoutError, match="--layout"):
        import_samples(tiny_generator, tmp_path, settings=QUICK)
    with pytest.raises(ModelError, match="There is no folder"):
        import_samples(tiny_generator, tmp_path / "none", None, LAYOUT, QUICK)
    save_label_map(torch.zeros(2, 2, dtype=torch.int64), LAYOUT, tmp_path / "x_labels.png")
    with pytest.raises(ModelError, match="No label map"):
        import_samples(tiny_generator, tmp_path, tmp_path.parent, LAYOUT, QUICK)
