"""`fface-hub samples`: what it writes, and that every mistake is one sentence with exit code 2 and nothing half-written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from fface_hub.adapters.samples import SampleSet
from fface_hub.cli import main
from fface_hub.layouts import LabelClass, Layout

OWN = Layout(
    "own",
    (LabelClass("background", (0, 0, 0)), LabelClass("skin", (200, 0, 0)), LabelClass("gem", (0, 0, 200)), LabelClass("x", (9, 9, 9))),
)


@pytest.fixture(scope="module")
def model(tiny_folder: Path) -> list[str]:
    """Options that choose the tiny generator."""
    return ["--generator", str(tiny_folder), "--device", "cpu"]


@pytest.fixture(scope="module")
def drawn(model: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A set that `samples new` wrote, beside its layout and report; not to be changed."""
    folder = tmp_path_factory.mktemp("samples")
    (folder / "layout.json").write_text(json.dumps(OWN.to_dict()))
    new = ["samples", "new", "--layout", str(folder / "layout.json"), "--count", "3", "--resolution", "16", "--seed", "2"]
    assert main([*new, "--out", str(folder / "set"), "--json", str(folder / "new.json"), *model]) == 0
    return folder


def copy(folder: Path, target: Path) -> Path:
    """A copy of a set that may be changed."""
    target.mkdir()
    for path in folder.iterdir():
        (target / path.name).write_bytes(path.read_bytes())
    return target


def run(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, str, list[str]]:
    """Exit code, stdout, and our sentences on stderr."""
    capsys.readouterr()
    code = main(arguments)
    out, errors = capsys.readouterr()
    assert "Traceback" not in errors
    return code, out, [line for line in errors.splitlines() if line.startswith("fface-hub")]


def test_new_writes_a_set_to_paint(drawn: Path) -> None:
    samples = SampleSet.load(drawn / "set")
    assert len(samples) == 3 and samples.layout == OWN
    assert all(sample.latents is not None and sample.origin is not None for sample in samples.samples)
    names = {path.name for path in (drawn / "set").iterdir()}
    assert {"README.md", "palette.gpl", "0002.png", "0002_labels.png", "0002.safetensors"} <= names
    report = json.loads((drawn / "new.json").read_text())
    assert report["samples"] == 3 and report["layout"] == "own" and sum(report["pixels"].values()) == 3 * 16 * 16


def test_new_never_overwrites_what_was_painted(drawn: Path, model: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    before = (drawn / "set" / "0000_labels.png").read_bytes()
    code, _, errors = run(["samples", "new", "--layout", "eyes-19", "--out", str(drawn / "set"), *model], capsys)
    assert code == 2 and "would be lost" in errors[0] and (drawn / "set" / "0000_labels.png").read_bytes() == before


def test_new_tells_how_the_set_is_checked(tmp_path: Path, model: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    new = ["samples", "new", "--layout", "eyes-19", "--count", "1", "--resolution", "16", "--out", str(tmp_path / "set"), *model]
    code, out, _ = run(new, capsys)
    assert code == 0 and f"wrote 1 face to {tmp_path / 'set'}: " in out
    assert f"call 'python -m fface_hub.cli samples check {tmp_path / 'set'}'" in out


def test_check_of_a_painted_set(drawn: Path, tmp_path: Path, model: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    folder, report = copy(drawn / "set", tmp_path / "set"), tmp_path / "check.json"
    for number in range(3):  # 16 pixels of the gem, and 2 of 256 (0.8 %) in a colour that is nearly the gem's
        image = Image.open(folder / f"{number:04d}_labels.png").convert("RGB")
        image.paste((0, 0, 200), (0, 0, 4, 4))
        image.paste((0, 0, 190), (1, 1, 3, 2))
        image.save(folder / f"{number:04d}_labels.png")
    code, out, errors = run(["samples", "check", str(folder), "--json", str(report), *model], capsys)
    assert code == 0 and not errors
    figures = json.loads(report.read_text())
    assert figures["fittable"] and figures["errors"] == [] and figures["pixels"]["gem"] == 3 * 16
    found = [(row["file"], row["pixels"]) for row in figures["warnings"]]
    assert found[:3] == [(f"{number:04d}_labels.png", 2) for number in range(3)] and ("layout.json", 0) in found
    assert "warning: Class 'x' is painted in no sample" in out and "can be fitted" in out


def test_check_names_everything_that_stops_a_fit(drawn: Path, tmp_path: Path, model: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    folder, report = copy(drawn / "set", tmp_path / "set"), tmp_path / "check.json"
    (folder / "0000.png").write_bytes(b"x")
    Image.new("RGB", (16, 16), (1, 2, 3)).save(folder / "0001_labels.png")
    code, out, errors = run(["samples", "check", str(folder), "--json", str(report), *model], capsys)
    assert code == 2 and len(errors) == 1 and "2 errors" in errors[0]
    assert "'0000.png'" in out and "'0001_labels.png': 256 of 256 pixels (100.0%)" in out
    assert [row["file"] for row in json.loads(report.read_text())["errors"]] == ["0000.png", "0001_labels.png"]


def edit_rows(folder: Path, **changes: Any) -> None:
    rows = [json.loads(line) for line in (folder / "metadata.jsonl").read_text().splitlines()]
    text = "\n".join(json.dumps({key: value for key, value in {**row, **changes}.items() if value is not None}) for row in rows)
    (folder / "metadata.jsonl").write_text(text)


def test_latents_of_another_generator_or_none(drawn: Path, tmp_path: Path, model: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    folder = copy(drawn / "set", tmp_path / "set")
    edit_rows(folder, generator={"id": "org/other", "fingerprint": "0" * 64})
    code, out, _ = run(["samples", "check", str(folder), *model], capsys)
    assert code == 2 and "'0002.png', has latents of another generator, or of other weights of 'org/other'" in out
    edit_rows(folder, generator=None, latents=None)
    code, out, _ = run(["samples", "check", str(folder), *model], capsys)
    assert code == 2 and "'0001.png', has no latents: 'fface-hub samples import'" in out


def test_bad_sets_are_one_sentence(drawn: Path, tmp_path: Path, model: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "empty").mkdir()
    code, _, errors = run(["samples", "check", str(tmp_path / "empty"), *model], capsys)
    assert code == 2 and "has no metadata.jsonl" in errors[0]
    code, _, errors = run(["samples", "check", str(tmp_path / "none"), *model], capsys)
    assert code == 2 and "There is no folder" in errors[0]
    folder = copy(drawn / "set", tmp_path / "set")
    for classes, sentence in (
        ([{"name": f"class {k}", "color": [k, 0, 0]} for k in range(65)], "'layout.json': A layout needs between 1 and 64 classes"),
        ([{"name": "a", "color": [1, 1, 1]}, {"name": "b", "color": [1, 1, 1]}], "'layout.json': Class 'b' has the same colour"),
    ):
        (folder / "layout.json").write_text(json.dumps({"name": "bad", "classes": classes}))
        for command in (
            ["samples", "check", str(folder), *model],
            ["samples", "new", "--layout", str(folder / "layout.json"), "--out", str(tmp_path / "out"), *model],
            ["samples", "push", str(folder), "org/name"],
        ):
            code, _, errors = run(command, capsys)
            assert code == 2 and len(errors) == 1 and sentence in errors[0]
    assert not (tmp_path / "out").exists()


def test_import_takes_label_maps_of_another_program(
    drawn: Path, tmp_path: Path, model: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    masks = tmp_path / "SegmentationClass"
    masks.mkdir()
    Image.new("RGB", (32, 32), (0, 0, 200)).save(masks / "0001.png")
    command = ["samples", "import", str(drawn / "set"), "--labels", str(masks), "--resolution", "16", "--out", str(tmp_path / "out")]
    code, out, _ = run([*command, "--json", str(tmp_path / "import.json"), *model], capsys)
    assert code == 0 and "note: '0000.png' has no label map" in out and "wrote 1 sample to" in out
    samples = SampleSet.load(tmp_path / "out")
    assert len(samples) == 1 and samples.pixels["gem"] == 256
    original = SampleSet.load(drawn / "set").samples[1]
    assert samples.samples[0].origin == original.origin and torch.equal(samples.samples[0].image, original.image)
    assert json.loads((tmp_path / "import.json").read_text())["samples"] == 1


def test_import_inverts_photos(tmp_path: Path, model: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "layout.json").write_text(json.dumps(OWN.to_dict()))
    Image.new("RGB", (16, 16), (90, 60, 50)).save(tmp_path / "a.png")
    Image.new("RGB", (16, 16), (200, 0, 0)).save(tmp_path / "a_labels.png")
    command = ["samples", "import", str(tmp_path), "--layout", str(tmp_path / "layout.json"), "--cropped", "--resolution", "16"]
    code, out, _ = run([*command, "--w-steps", "1", "--free-steps", "0", "--out", str(tmp_path / "out"), *model], capsys)
    assert code == 0 and "note: There is only one sample" in out
    assert SampleSet.load(tmp_path / "out").samples[0].latents is not None
    code, _, errors = run(["samples", "import", str(tmp_path), "--out", str(tmp_path / "other"), *model], capsys)
    assert code == 2 and "--layout" in errors[0] and not (tmp_path / "other").exists()


def test_push_without_a_hub_is_told(drawn: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, errors = run(["samples", "push", str(drawn / "set"), "org/name"], capsys)
    assert code == 2 and "Hub" in errors[0]
    code, _, errors = run(["samples", "push", str(drawn / "set"), "name"], capsys)
    assert code == 2 and "write it as 'org/name'" in errors[0]


@pytest.mark.parametrize("action", ["new", "import", "check", "push"])
def test_every_action_has_help(action: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["samples", action, "--help"])
    assert stop.value.code == 0 and "samples" in capsys.readouterr().out
