"""Sample sets: the folder form, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from fface_hub.adapters import samples_rows
from fface_hub.adapters.samples import Origin, Sample, SampleSet, read_folder
from fface_hub.cameras import Camera, look_at
from fface_hub.errors import FFaceError, ImageError, LayoutError, ModelError
from fface_hub.generators.triplane import TriplaneGenerator
from fface_hub.latents import Latents
from fface_hub.layouts import NASAL_WING_17, LabelClass, Layout


def make(count: int = 2, with_latents: bool = True) -> SampleSet:
    random = torch.Generator().manual_seed(0)
    samples = []
    for number in range(count):
        image = torch.randint(256, (3, 8, 8), generator=random) / 127.5 - 1
        labels = torch.randint(17, (4, 4), generator=random)
        latents = Latents(torch.randn(1, 6, 3, generator=random), torch.randn(1, 1, 6, 3, generator=random)) if with_latents else None
        samples.append(Sample(image, labels, look_at(20.0 * number), latents))
    return SampleSet(NASAL_WING_17, tuple(samples))


def test_round_trip(tmp_path: Path) -> None:
    original = make()
    original.save(tmp_path / "set")
    loaded = SampleSet.load(tmp_path / "set")
    assert loaded.layout == NASAL_WING_17
    for before, after in zip(original.samples, loaded.samples, strict=True):
        assert torch.allclose(before.image, after.image, atol=1e-6)
        assert torch.equal(before.labels, after.labels)
        assert torch.allclose(before.camera.to_vector(), after.camera.to_vector(), atol=1e-6)
        assert before.latents is not None
        assert after.latents is not None
        assert torch.equal(before.latents.geometry, after.latents.geometry)


def test_the_folder_is_an_imagefolder(tmp_path: Path) -> None:
    make(1).save(tmp_path)
    row = json.loads((tmp_path / "metadata.jsonl").read_text())
    assert set(row) == {"file_name", "labels", "camera", "latents"}
    assert len(row["camera"]) == 25
    assert all((tmp_path / row[key]).is_file() for key in ("file_name", "labels", "latents"))
    assert {item["name"] for item in json.loads((tmp_path / "layout.json").read_text())["classes"]} >= {"ala", "iris"}


def test_metadata_that_is_larger_than_it_says_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a file may be that grows while it is read; those of the kernel say that they have no bytes at all."""
    make(1).save(tmp_path)
    (tmp_path / "metadata.jsonl").unlink()
    (tmp_path / "metadata.jsonl").symlink_to("/proc/self/status")
    assert (tmp_path / "metadata.jsonl").stat().st_size == 0
    monkeypatch.setattr(samples_rows, "MAX_METADATA_BYTES", 100)
    monkeypatch.setattr("fface_hub.adapters.samples.inside", lambda folder, path: path)
    with pytest.raises(ModelError, match="is larger than"):
        SampleSet.load(tmp_path)


def test_a_set_that_is_replaced_while_it_is_read_is_read_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = make(1), make(3)
    first.save(tmp_path / "set")
    read, saves = samples_rows.read_image, [second]

    def read_later(path: Path) -> Image.Image:
        if saves:
            saves.pop().save(tmp_path / "set")
        return read(path)

    monkeypatch.setattr(samples_rows, "read_image", read_later)
    assert len(SampleSet.load(tmp_path / "set")) == 3 and not saves


def test_latents_may_be_absent(tmp_path: Path) -> None:
    make(1, with_latents=False).save(tmp_path)
    assert "latents" not in json.loads((tmp_path / "metadata.jsonl").read_text())
    assert SampleSet.load(tmp_path).samples[0].latents is None


def test_published_cameras_are_made_orthonormal(tmp_path: Path) -> None:
    make(1).save(tmp_path)
    vector = look_at(23.0).to_vector() * (1 + 4e-4)  # as rounded to TF32
    vector[0, 15] = 1.0
    edit_row(tmp_path, camera=vector[0].tolist())
    rotation = SampleSet.load(tmp_path).samples[0].camera.cam2world[0, :3, :3]
    assert torch.allclose(rotation @ rotation.T, torch.eye(3), atol=1e-6)
    assert torch.allclose(rotation, look_at(23.0).cam2world[0, :3, :3], atol=1e-3)


def edit_row(folder: Path, **changes: Any) -> None:
    path = folder / "metadata.jsonl"
    row = json.loads(path.read_text().splitlines()[0])
    path.write_text(json.dumps({**row, **changes}) + "\n")


def flipped_camera() -> list[float]:
    camera = look_at(0.0)
    return Camera(camera.cam2world @ torch.diag(torch.tensor([-1.0, 1.0, 1.0, 1.0])), camera.intrinsics).to_vector()[0].tolist()


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda f: f.rename(f.with_name("moved")), ModelError, "There is no folder"),
        (lambda f: (f / "layout.json").write_text('{"name": 1}'), LayoutError, "'layout.json': A layout must be an object"),
        (lambda f: edit_row(f, generator={"id": "a"}), ModelError, "'generator' must have"),
        (lambda f: (f / "metadata.jsonl").unlink(), ModelError, "has no metadata.jsonl"),
        (lambda f: (f / "layout.json").unlink(), ModelError, "has no layout.json"),
        (lambda f: (f / "metadata.jsonl").write_text("{\n"), ModelError, "Row 1"),
        (lambda f: (f / "metadata.jsonl").write_text(""), LayoutError, "empty"),
        (lambda f: (f / "metadata.jsonl").write_bytes(b"\xff\xfe"), ModelError, "UTF-8"),
        (lambda f: edit_row(f, extra=1), ModelError, "exactly"),
        (lambda f: edit_row(f, file_name="../0000.png"), ModelError, "without a path"),
        (lambda f: edit_row(f, labels=3), ModelError, "without a path"),
        (lambda f: edit_row(f, latents="none.safetensors"), ModelError, "missing"),
        (lambda f: edit_row(f, camera=[0.0] * 25), ModelError, "Sample 1, 'metadata.jsonl': the camera"),
        (lambda f: edit_row(f, camera=look_at(0.0).to_vector()[0].tolist()[:24]), ModelError, "25 finite numbers"),
        (lambda f: edit_row(f, camera=["1"] * 25), ModelError, "25 finite numbers"),
        (lambda f: edit_row(f, camera=flipped_camera()), ModelError, "rigid"),
        (lambda f: (f / "0000.png").write_bytes(b"no picture"), ImageError, "Sample 1"),
        (lambda f: (f / "0000_labels.png").write_bytes((f / "0000.png").read_bytes()), LayoutError, "Sample 1"),
        (lambda f: (f / "0000.safetensors").write_bytes(b"no tensors"), ModelError, "Sample 1"),
    ],
)
def test_bad_folders_give_one_plain_sentence(tmp_path: Path, change: Callable[[Path], Any], error: type[FFaceError], message: str) -> None:
    make(1).save(tmp_path / "set")
    change(tmp_path / "set")
    with pytest.raises(error, match=message):
        SampleSet.load(tmp_path / "set")


def test_labels_beyond_the_layout_and_shapes_are_refused() -> None:
    image = torch.zeros(3, 4, 4)
    with pytest.raises(LayoutError, match="beyond the 17 classes"):
        SampleSet(NASAL_WING_17, (Sample(image, torch.full((4, 4), 17), look_at(0.0)),))
    with pytest.raises(LayoutError, match="3 × 4"):
        Sample(image, torch.zeros(4, 3, dtype=torch.int64), look_at(0.0))
    with pytest.raises(ImageError, match="square"):
        Sample(torch.zeros(3, 4, 5), torch.zeros(4, 4, dtype=torch.int64), look_at(0.0))


HALVES = Layout("halves", (LabelClass("background", (0, 0, 0)), LabelClass("left", (255, 0, 0)), LabelClass("right", (0, 255, 0))))


def painted(*ids: int, side: int = 20, **more: Any) -> SampleSet:
    """Samples of `HALVES`, each wholly of one class."""
    return SampleSet(HALVES, tuple(Sample(torch.zeros(3, 8, 8), torch.full((side, side), k), look_at(0.0), **more) for k in ids))


def paint(folder: Path, number: int, pixels: list[tuple[int, int]], color: tuple[int, int, int]) -> None:
    """Pixels of a label map in another colour, and the file as RGB, as a painting program would save it."""
    image = Image.open(folder / f"{number:04d}_labels.png").convert("RGB")
    for pixel in pixels:
        image.putpixel(pixel, color)
    image.save(folder / f"{number:04d}_labels.png")


def test_where_latents_come_from_and_what_files_were_called_is_kept(tmp_path: Path) -> None:
    latents, origin = Latents(torch.zeros(1, 2, 3), torch.zeros(1, 1, 2, 3)), Origin("org/heads", "ab" * 32)
    painted(1, 2, latents=latents, origin=origin).save(tmp_path)
    loaded = SampleSet.load(tmp_path).samples
    assert [sample.origin for sample in loaded] == [origin, origin]
    assert [sample.name for sample in loaded] == ["0000.png", "0001.png"]


def test_saving_fewer_samples_leaves_none_of_the_old_ones_but_other_files(tmp_path: Path) -> None:
    painted(0, 1, 2).save(tmp_path / "set", {"README.md": "how"})
    (tmp_path / "set" / "face.xcf").write_text("a painter's own file")
    painted(2).save(tmp_path / "set")
    assert sorted(p.name for p in (tmp_path / "set").iterdir()) == [
        "0000.png",
        "0000_labels.png",
        "README.md",
        "face.xcf",
        "layout.json",
        "metadata.jsonl",
    ]


def test_a_folder_that_is_called_like_a_hub_id_must_be_asked_for_as_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    painted(0, 1).save("my/set")
    with pytest.raises(ModelError, match=r"cannot be reached.* For the folder beside you write './my/set'"):
        SampleSet.load("my/set")  # the endpoint of the tests refuses connections
    assert len(SampleSet.load("./my/set")) == len(SampleSet.load(Path("my/set"))) == 2


def test_an_interrupted_save_leaves_the_old_set_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    painted(1, 2).save(tmp_path / "set")
    before = {path.name: path.read_bytes() for path in (tmp_path / "set").iterdir()}
    calls: list[int] = []
    kept = samples_rows.save_label_map

    def full(*args: Any) -> None:
        calls.append(1)
        if len(calls) == 2:
            raise OSError(28, "No space left on device")
        kept(*args)

    monkeypatch.setattr(samples_rows, "save_label_map", full)
    with pytest.raises(ModelError, match=r"No space left on device.*unchanged"):
        painted(2, 2, 2).save(tmp_path / "set")
    assert {path.name: path.read_bytes() for path in (tmp_path / "set").iterdir()} == before
    assert [path.name for path in tmp_path.iterdir()] == ["set"]


def test_every_problem_is_named_at_once(tmp_path: Path) -> None:
    painted(0, 1, 2, 1).save(tmp_path)
    (tmp_path / "0000.png").write_bytes(b"no picture")
    paint(tmp_path, 1, [(x, 3) for x in range(5)], (9, 9, 9))  # 5 of 400 are 1.25 %
    paint(tmp_path, 2, [(x, 3) for x in range(4)], (9, 9, 9))  # 4 of 400 are 1 %, which is put right
    samples, problems = read_folder(tmp_path)
    assert samples is None
    assert [(p.file, p.pixels, p.error is None) for p in problems] == [
        ("0000.png", None, False),
        ("0001_labels.png", None, False),
        ("0002_labels.png", 4, True),
    ]
    assert "5 of 400 pixels (1.2%)" in problems[1].message and "column 0, row 3 with (9, 9, 9)" in problems[1].message


def test_a_usable_set_says_what_it_will_not_teach(tmp_path: Path) -> None:
    painted(1).save(tmp_path)
    paint(tmp_path, 0, [(0, 0), (1, 0)], (0, 255, 0))
    samples = SampleSet.load(tmp_path)
    assert samples.pixels == {"background": 0, "left": 398, "right": 2}
    assert ["no sample" in note or "only 2 pixels" in note or "only one sample" in note for note in samples.notes] == [True] * 3
    assert "Class 'background'" in samples.notes[0] and "Class 'right'" in samples.notes[1]


def test_label_maps_of_several_sizes_are_named(tmp_path: Path) -> None:
    mixed = SampleSet(HALVES, (*painted(0, 1).samples, *painted(2, side=10).samples))
    mixed.save(tmp_path)
    with pytest.raises(LayoutError, match=r"'0002_labels[.]png' is 10 × 10 pixels, and the others are 20 × 20"):
        SampleSet.load(tmp_path)


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        ([{"name": f"class {k}", "color": [k, 0, 0]} for k in range(65)], "'layout.json': .* has 65"),
        (
            [{"name": "a", "color": [1, 2, 3]}, {"name": "b", "color": [1, 2, 3]}],
            "'layout.json': Class 'b' has the same colour .* class 'a'",
        ),
    ],
)
def test_bad_layouts_name_file_and_class(tmp_path: Path, classes: list[dict[str, Any]], message: str) -> None:
    painted(0).save(tmp_path)
    (tmp_path / "layout.json").write_text(json.dumps({"name": "bad", "classes": classes}))
    with pytest.raises(LayoutError, match=message):
        SampleSet.load(tmp_path)


def test_latents_of_another_generator_are_named(tiny_generator: TriplaneGenerator) -> None:
    latents, own = tiny_generator.sample(1, 0), Origin.of(tiny_generator)
    assert own == Origin("unnamed", tiny_generator.fingerprint)
    painted(0, 1, latents=latents, origin=own).check(tiny_generator)
    painted(0, latents=latents).check(tiny_generator)  # of old sets nothing is known but the shape
    with pytest.raises(ModelError, match=r"Sample 1, 'a[.]png', has latents of another generator, or of other weights of 'org/x'"):
        painted(0, latents=latents, origin=Origin("org/x", "00" * 32), name="a.png").check(tiny_generator)
    with pytest.raises(ModelError, match="Sample 1 has latents of another generator: their shape"):
        painted(0, latents=Latents(torch.zeros(1, 3, 5), torch.zeros(1, 1, 3, 5))).check(tiny_generator)
    with pytest.raises(ModelError, match="Sample 1 has no latents"):
        painted(0).check(tiny_generator)
    assert len(painted(0, 1, 2).foreign(tiny_generator)) == 3
