"""FFaceNeRF's annotations: tensors that a GPU wrote, gaps in the numbers, rounded cameras, and masks with a colour that no class has."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from fface_hub.adapters import samples_annotations as module
from fface_hub.adapters.samples import Origin, SampleSet
from fface_hub.adapters.samples_import import ImportSettings, import_samples
from fface_hub.cameras import look_at
from fface_hub.cli import main
from fface_hub.errors import FFaceError, LayoutError, ModelError
from fface_hub.generators.triplane import TriplaneGenerator
from fface_hub.layouts import CHIN_20, EYES_19, NASAL_WING_17
from fface_hub.rendering.renderer import render

SETTINGS = ImportSettings(resolution=8)
NUMBERS = (5, 22, 27)  # with gaps, as theirs


def rounded(numbers: torch.Tensor) -> torch.Tensor:
    """Float32 with the ten bits of precision that TF32 has."""
    return ((numbers.view(torch.int32) + 0x1000) & ~0x1FFF).view(torch.float32)


def save(value: Any, path: Path, gpu: bool = False, zipped: bool = True) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(value, path, _use_new_zipfile_serialization=zipped)
    if gpu:  # the place is a text in the pickle, which in the old form no sum is kept of
        path.write_bytes(path.read_bytes().replace(b"X\x03\x00\x00\x00cpu", b"X\x06\x00\x00\x00cuda:0"))


@pytest.fixture
def annotations(tmp_path: Path, tiny_generator: TriplaneGenerator) -> Path:
    """Three faces with label maps of two layouts."""
    folder = tmp_path / "data"
    latents = tiny_generator.sample(3, 1)
    for index, number in enumerate(NUMBERS):
        save(latents.geometry[index : index + 1].clone(), folder / "ws" / f"ws{number:04d}.pt", gpu=True, zipped=False)
        camera = look_at((0.0, -23.0, 23.0)[index]).to_vector()
        save(rounded(camera), folder / "camera_params" / f"c{number:04d}.pt", gpu=index == 1, zipped=index != 1)
        for layout in (NASAL_WING_17, EYES_19):
            ids = torch.arange(256).reshape(16, 16) % len(layout)
            name = "base" if layout is NASAL_WING_17 else "eyes"
            save(ids.to(torch.uint8 if index else torch.int64), folder / f"labels_{name}" / f"label{number:04d}.pt")
    save(rounded(look_at(0.0).to_vector()), folder / "camera_params" / "c_front.pt")
    save(torch.zeros(16, 16, dtype=torch.uint8), folder / "labels_base" / "label0099.pt")
    return folder


def test_annotations_become_samples(annotations: Path, tiny_generator: TriplaneGenerator) -> None:
    found = import_samples(tiny_generator, annotations, annotations / "labels_base", None, SETTINGS)
    assert found.layout == NASAL_WING_17 and [sample.name for sample in found.samples] == ["label0005", "label0022", "label0027"]
    assert found.notes[0] == "'label0099.pt' has no style rows of that number and was left out."
    latents = tiny_generator.sample(3, 1)
    for index, sample in enumerate(found.samples):
        # Nearest pixels of 16² at 8²: every second one, from the second on.
        assert torch.equal(sample.labels, (torch.arange(256).reshape(16, 16) % 17)[1::2, 1::2])
        assert sample.latents is not None and sample.origin == Origin.of(tiny_generator)
        assert torch.equal(sample.latents.geometry, latents.geometry[index : index + 1])
        assert torch.equal(sample.latents.appearance, sample.latents.geometry[:, None])
        # TF32 leaves errors of 1e-3 in a rotation; here it is one again, and near the exact camera.
        rotation = sample.camera.cam2world[0, :3, :3]
        assert torch.allclose(rotation @ rotation.T, torch.eye(3), atol=1e-6)
        exact = look_at((0.0, -23.0, 23.0)[index])
        assert 0 < float((sample.camera.cam2world - exact.cam2world).abs().max()) < 2e-3
        view = render(tiny_generator.scene(sample.latents), sample.camera, 8)
        assert torch.equal(sample.image, view.image[0].detach())
    found.check(tiny_generator)


def test_the_layout_chooses_the_folder_or_the_folder_the_layout(annotations: Path, tiny_generator: TriplaneGenerator) -> None:
    assert import_samples(tiny_generator, annotations, None, EYES_19, SETTINGS).layout == EYES_19
    assert import_samples(tiny_generator, annotations, annotations / "labels_eyes", None, SETTINGS).layout == EYES_19
    with pytest.raises(ModelError, match=r"Say with --labels .* there are labels_base, labels_eyes in 'data'"):
        import_samples(tiny_generator, annotations, None, None, SETTINGS)
    with pytest.raises(ModelError, match="Say with --labels"):
        import_samples(tiny_generator, annotations, None, CHIN_20, SETTINGS)
    (annotations / "labels_eyes").rename(annotations / "painted")
    with pytest.raises(LayoutError, match="layout of the label maps in 'painted' is not known"):
        import_samples(tiny_generator, annotations, annotations / "painted", None, SETTINGS)
    (annotations / "empty").mkdir()
    with pytest.raises(ModelError, match="no label maps in 'empty'"):
        import_samples(tiny_generator, annotations, annotations / "empty", EYES_19, SETTINGS)


def test_masks_with_a_colour_that_is_nearly_a_class(annotations: Path, tiny_generator: TriplaneGenerator) -> None:
    """The chin masks paint the jaw in a colour that no class has, and whose nearest is another class."""
    masks, palette = annotations / "images_test_chin", CHIN_20.colors.numpy()
    skin, jaw, chin = (CHIN_20.index(name) for name in ("skin", "jaw", "chin"))
    ids = np.full((16, 16), skin)
    ids[8:, :] = chin
    pixels = np.dstack([palette[ids], np.full((16, 16), 255, np.uint8)]).astype(np.uint8)
    pixels[12:, 4:8, :3] = (0, 200, 200)
    (masks / "22").mkdir(parents=True)
    Image.fromarray(pixels, "RGBA").save(masks / "22" / "seg22.png")
    found = import_samples(tiny_generator, annotations, masks, None, SETTINGS)
    assert found.layout == CHIN_20 and len(found) == 1
    ids[12:, 4:8] = jaw
    assert torch.equal(found.samples[0].labels, torch.from_numpy(ids)[1::2, 1::2])
    assert "'seg22.png': 16 pixels (6.2%) are painted (0, 200, 200), which is no class; they were taken as 'jaw'" in found.notes[0]
    assert "targets for edit" in found.notes[1]
    # In a layout without a jaw it stays a colour of no class, and is reported as one.
    with pytest.raises(LayoutError, match=r"'seg22.png': .*colours that the layout 'eyes-19' does not have.*\(10, 10, 160\)"):
        import_samples(tiny_generator, annotations, masks, EYES_19, SETTINGS)


@pytest.mark.parametrize(
    ("file", "value", "message"),
    [
        ("ws/ws0022.pt", torch.ones(1, 14, 512), r"'ws0022.pt': these are \[1, 14, 512\] numbers, .*fface-hub convert"),
        ("ws/ws0022.pt", {"w": 1}, "'ws0022.pt' holds no tensor"),
        ("ws/ws0022.pt", torch.full((1, 6, 16), torch.nan), "'ws0022.pt' holds values that are not finite"),
        ("camera_params/c0022.pt", torch.ones(1, 25), "'c0022.pt': the camera must be 25 finite numbers"),
        ("camera_params/c0022.pt", torch.ones(3), "'c0022.pt': the camera must be 25 finite numbers"),
        ("labels_eyes/label0022.pt", torch.full((4, 4), 19), "'label0022.pt': its class ids go from 19 to 19.*has 19 classes"),
        ("labels_eyes/label0022.pt", torch.full((4, 4), -1), "'label0022.pt': its class ids go from -1"),
        ("labels_eyes/label0022.pt", torch.zeros(4, 5, dtype=torch.uint8), "'label0022.pt': a label map must be a square"),
        ("labels_eyes/label0022.pt", torch.zeros(4, 4), "'label0022.pt': a label map must be a square of class ids"),
    ],
)
def test_bad_files_are_named_before_anything_is_rendered(
    annotations: Path, tiny_generator: TriplaneGenerator, monkeypatch: pytest.MonkeyPatch, file: str, value: Any, message: str
) -> None:
    monkeypatch.setattr(module, "render", lambda *_: pytest.fail("a face was rendered"))
    save(value, annotations / file)
    with pytest.raises(FFaceError, match=message):
        import_samples(tiny_generator, annotations, annotations / "labels_eyes", None, SETTINGS)


def test_a_program_in_the_place_of_a_tensor_is_not_run(annotations: Path, tiny_generator: TriplaneGenerator, tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    (annotations / "ws" / "ws0022.pt").write_bytes(f"cposix\nsystem\n(S'touch {canary}'\ntR.".encode())
    with pytest.raises(ModelError, match=r"'ws0022.pt' holds no tensor"):
        import_samples(tiny_generator, annotations, annotations / "labels_eyes", None, SETTINGS)
    assert not canary.exists()


def test_labels_that_are_not_the_generators_faces_are_noticed(annotations: Path, tiny_generator: TriplaneGenerator) -> None:
    drawn = import_samples(tiny_generator, annotations, annotations / "labels_base", None, SETTINGS)
    assert "is it the one that drew these faces?" in drawn.notes[-1]  # labels of a ramp agree in one pixel of fifteen
    for number, sample in zip(NUMBERS, drawn.samples, strict=True):
        assert sample.latents is not None
        own = render(tiny_generator.scene(sample.latents), sample.camera, 8).labels[0]
        save(own.to(torch.uint8), annotations / "labels_base" / f"label{number:04d}.pt")
    again = import_samples(tiny_generator, annotations, annotations / "labels_base", None, SETTINGS)
    assert len(again.notes) == 1


def test_the_command(annotations: Path, tiny_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["samples", "import", str(annotations), "--labels", str(annotations / "labels_eyes"), "--resolution", "16"]
    assert main([*command, "--generator", str(tiny_folder), "--device", "cpu", "--out", str(tmp_path / "set")]) == 0
    assert "wrote 3 samples" in capsys.readouterr().out
    samples = SampleSet.load(tmp_path / "set")
    assert samples.layout == EYES_19 and len(samples) == 3 and all(sample.latents is not None for sample in samples.samples)
