"""The command line on a tiny random generator: every command writes what it says, and every mistake is one sentence with exit code 2."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from fface_hub import benchmarks
from fface_hub.adapters.adapter import Adapter
from fface_hub.adapters.plan import FitSettings
from fface_hub.adapters.samples import Sample, SampleSet
from fface_hub.benchmarks import adapt_speed
from fface_hub.benchmarks.adapt import Grid
from fface_hub.benchmarks.edit import Plan
from fface_hub.cameras import look_at
from fface_hub.cli import main
from fface_hub.commands import faces
from fface_hub.editing.edit import EditSettings
from fface_hub.errors import OptimisationError
from fface_hub.generators.base import Generator
from fface_hub.generators.triplane import TriplaneGenerator
from fface_hub.heads.shards import ShardSettings
from fface_hub.inversion.objective import InvertSettings
from fface_hub.latents import Latents
from fface_hub.layouts import BASE_15, EYES_19, LabelClass, Layout
from fface_hub.progress import Step
from fface_hub.rendering.renderer import render
from fface_hub.training.encoder import HEADS_EDITOR, HEADS_ENCODER
from fface_hub.training.landmarks import HEADS_LANDMARKS
from fface_hub.training.parser import HEADS_PARSER

ROOT = Path(__file__).resolve().parent.parent
SMALL = ["--device", "cpu", "--resolution", "16"]


@pytest.fixture(scope="module")
def model(tiny_folder: Path) -> str:
    """What `--generator` is given: the folder of the tiny generator."""
    return str(tiny_folder)


@pytest.fixture(scope="module")
def face(model: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A face folder that `generate` wrote."""
    out = tmp_path_factory.mktemp("faces")
    assert main(["generate", "--generator", model, "--seed", "3", "--count", "2", "--yaw", "10", "--out", str(out), *SMALL]) == 0
    return out / "seed-3"


def refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """The one sentence on stderr with which `arguments` are refused."""
    capsys.readouterr()
    try:
        code = main(arguments)
    except SystemExit as stop:
        code = stop.code
    errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith("fface-hub") or "Traceback" in line]
    assert code == 2 and len(errors) == 1, errors
    return errors[0]


def test_generate_writes_a_folder_for_each_seed(face: Path, model: str) -> None:
    assert sorted(path.name for path in face.parent.iterdir()) == ["seed-3", "seed-4"]
    assert json.loads((face / "face.json").read_text()) == {"generator": model}
    assert Image.open(face / "picture.png").size == (16, 16)
    labels = Image.open(face / "labels.png")
    assert labels.mode == "P" and int(np.asarray(labels).max()) < len(BASE_15)
    # The latents are those of the seed, and the camera is the one that was asked for.
    drawn = Generator.from_pretrained(model).sample(1, 3, 0.7)
    assert torch.equal(Latents.load(face / "latents.safetensors").geometry, drawn.geometry)
    camera = torch.tensor([json.loads((face / "inversion.json").read_text())["camera"]])
    assert torch.allclose(camera, look_at(10.0).to_vector(), atol=1e-6)


def test_render_writes_all_it_can(face: Path, tmp_path: Path) -> None:
    kinds = ["views", "orbit", "labels", "depth", "normals"]
    assert main(["render", str(face), "--frames", "3", "--only", *kinds, "--out", str(tmp_path), *SMALL]) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["depth.png", "labels.png", "normals.png", "orbit.mp4", "views.png"]
    assert Image.open(tmp_path / "views.png").size == (80, 16)  # five views of 16
    assert Image.open(tmp_path / "labels.png").tobytes() == Image.open(face / "labels.png").tobytes()


def test_render_of_a_seed_needs_no_folder(model: str, tmp_path: Path) -> None:
    assert main(["render", "3", "--generator", model, "--only", "labels", "--out", str(tmp_path), *SMALL]) == 0
    assert [path.name for path in tmp_path.iterdir()] == ["labels.png"]


def test_invert_then_edit(model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    photo = tmp_path / "photo.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)).save(photo)
    steps = ["--w-steps", "1", "--free-steps", "1", "--tuning-steps", "1"]
    face, report = tmp_path / "face", tmp_path / "invert.json"
    assert main(["invert", str(photo), "--cropped", "--generator", model, "--out", str(face), "--json", str(report), *steps, *SMALL]) == 0
    assert {"psnr", "seconds"} <= set(json.loads(report.read_text()))
    assert (face / "tuning.safetensors").is_file() and not list(face.glob("*photo*"))

    labels = np.asarray(Image.open(face / "labels.png"))
    painted = Image.open(face / "labels.png")
    painted.putdata([7] * labels.size)  # a nose all over
    painted.save(tmp_path / "painted.png")
    edited, report = tmp_path / "edited", tmp_path / "edit.json"
    command = ["edit", str(face), str(tmp_path / "painted.png"), "--steps", "2", "--out", str(edited), "--json", str(report), *SMALL]
    assert main(command) == 0
    figures = json.loads(report.read_text())
    assert figures["pixels"] > 0 and set(figures["iou_before_after"]) == {"nose"} and figures["losses"]["loss"] > 0
    # What was edited is the geometry; the tuning of the inversion went along.
    before, after = (Latents.load(folder / "latents.safetensors") for folder in (face, edited))
    assert not torch.equal(before.geometry, after.geometry) and torch.equal(before.appearance, after.appearance)
    assert (edited / "tuning.safetensors").read_bytes() == (face / "tuning.safetensors").read_bytes()
    said = capsys.readouterr().out
    assert "another generator: the edit starts from the face as it is" in said and "painted pixels have their new label" in said


def test_a_broken_edit_leaves_what_it_had_reached(
    face: Path, model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    reached = Generator.from_pretrained(model).sample(1, 9, 0.7)

    def broken(*_: object) -> None:
        error = OptimisationError("The edit left the finite numbers.")
        error.best = reached
        raise error

    monkeypatch.setattr(faces, "edit_face", broken)
    out = tmp_path / "edited"
    assert str(out) in refused(["edit", str(face), str(face / "labels.png"), "--out", str(out), *SMALL], capsys)
    assert torch.equal(Latents.load(out / "latents.safetensors").geometry, reached.geometry)
    assert (out / "picture.png").is_file()


def test_adapt_writes_an_adapter_that_other_commands_take(model: str, tmp_path: Path) -> None:
    generator = Generator.from_pretrained(model)
    layout = Layout("two", (LabelClass("background", (0, 0, 0)), LabelClass("all", (9, 9, 9))))
    camera, latents = look_at(0.0), generator.sample(2, 0)
    views = [render(generator.scene(latents[i]), camera, 16) for i in range(2)]
    samples = [Sample(view.image[0], torch.ones(16, 16, dtype=torch.int64), camera, latents[i]) for i, view in enumerate(views)]
    SampleSet(layout, tuple(samples)).save(tmp_path / "samples")
    out, report = tmp_path / "adapter", tmp_path / "adapt.json"
    command = ["adapt", str(tmp_path / "samples"), "--generator", model, "--steps", "20", "--out", str(out), "--json", str(report)]
    assert main([*command, "--device", "cpu"]) == 0
    assert json.loads(report.read_text())["classes"] == 2
    views_out = tmp_path / "views"
    command = ["render", "0", "--generator", model, "--adapter", str(out), "--only", "labels", "--out", str(views_out)]
    assert main([*command, *SMALL]) == 0
    assert set(np.asarray(Image.open(views_out / "labels.png")).ravel().tolist()) <= {0, 1}


def test_adapt_measures_left_out_samples_and_has_a_slow_twin(model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    generator = Generator.from_pretrained(model)
    layout = Layout("two", (LabelClass("background", (0, 0, 0)), LabelClass("all", (9, 9, 9))))
    sample = Sample(torch.zeros(3, 16, 16), torch.ones(16, 16, dtype=torch.int64), look_at(0.0), generator.sample(1, 0))
    SampleSet(layout, (sample, sample)).save(tmp_path / "samples")
    base = ["adapt", str(tmp_path / "samples"), "--generator", model, "--device", "cpu", "--steps", "2", "--out", str(tmp_path / "adapter")]
    for option, extra in ((["--left-out", "1"], {"miou", "distillation"}), (["--reference"], set())):
        assert main([*base, *option, "--json", str(tmp_path / "report.json")]) == 0
        assert set(json.loads((tmp_path / "report.json").read_text())["losses"]) == {"loss", "cross_entropy", "overlap"} | extra
    assert "2 of 2 samples are to be left out" in refused([*base, "--left-out", "2"], capsys)


def test_benchmark_prints_and_writes_its_figures(
    model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(generator: Generator, callback: object = None) -> dict[str, float]:
        assert isinstance(generator, TriplaneGenerator) and callable(callback)
        callback(Step(1, 1, {}))
        return {"psnr": 25.5}

    monkeypatch.setattr(benchmarks, "import_module", lambda name: SimpleNamespace(run=run))
    assert main(["benchmark", "fidelity", "--generator", model, "--json", str(tmp_path / "f.json"), "--device", "cpu"]) == 0
    assert json.loads((tmp_path / "f.json").read_text()) == {"psnr": 25.5}
    assert "psnr: 25.5000" in capsys.readouterr().out


def test_mistakes_in_the_grammar_are_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    assert "'x' is not a whole number" in refused(["generate", "--count", "x", "--out", "d"], capsys)
    assert "'nan' is not a number from 0 to 1" in refused(["generate", "--truncation", "nan", "--out", "d"], capsys)
    assert "required" in refused([], capsys)
    assert "invalid choice" in refused(["render", "1", "--only", "smell", "--out", "d"], capsys)
    assert "invalid choice" in refused(["benchmark", "speed"], capsys)


def test_mistakes_in_files_and_names_are_one_sentence(model: str, face: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = ["--out", str(tmp_path / "out"), "--device", "cpu"]
    text = tmp_path / "text.png"
    text.write_text("no picture")
    assert "missing.jpg" in refused(["invert", str(tmp_path / "missing.jpg"), *out], capsys)
    refused(["invert", str(text), *out], capsys)
    assert "no face" in refused(["render", str(tmp_path), *out], capsys)
    assert "nowhere" in refused(["generate", "--generator", "nowhere", *out], capsys)
    assert "device" in refused(["render", str(face), "--out", str(tmp_path / "o"), "--device", "toaster"], capsys)
    assert "layout" in refused(["edit", str(face), str(text), "--layout", "no-such-layout", *out], capsys)
    assert "no sample set" in refused(["adapt", str(tmp_path), "--generator", model, *out], capsys)
    assert "Give either a folder" in refused(["adapt", "--generator", model, *out], capsys)
    assert "not trained on rendered heads" in refused(["adapt", "--heads", "eyes-19", "--generator", model, *out], capsys)
    wide = tmp_path / "wide.png"
    Image.new("RGB", (40, 20)).save(wide)
    assert "not square" in refused(["invert", str(wide), "--cropped", "--generator", model, *out], capsys)
    assert "square" in refused(["edit", str(face), str(wide), *out], capsys)
    unknown = tmp_path / "unknown.png"
    Image.new("RGB", (16, 16), (1, 2, 3)).save(unknown)
    assert "'unknown.png': " in refused(["edit", str(face), str(unknown), *out], capsys)
    last = ["--seed", "2147483647", "--count", "2"]
    assert "The last seed, 2147483648, is too large" in refused(["generate", "--generator", model, *last, *out], capsys)
    assert "is a file" in refused(["render", str(face), "--out", str(text), "--device", "cpu"], capsys)
    assert "too large" in refused(["render", "99999999999", *out], capsys)


def test_what_cannot_be_written_is_told_before_any_work(
    model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for module in ("models", "benchmarks"):
        monkeypatch.setattr(f"fface_hub.commands.{module}.load_generator", lambda *_: pytest.fail("the work was begun"))
    file = tmp_path / "file"
    file.write_text("")
    command = ["benchmark", "fidelity", "--generator", model, "--device", "cpu", "--json"]
    assert "name of a file is needed" in refused([*command, str(tmp_path)], capsys)
    assert "cannot be written" in refused([*command, str(file / "report.json")], capsys)
    assert "name of a folder is needed" in refused(["adapt", str(tmp_path), "--out", str(file)], capsys)
    assert "cannot be written" in refused(["adapt", str(tmp_path), "--out", str(file / "adapter")], capsys)


def test_bad_layouts_and_label_maps_are_one_sentence(face: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = ["--out", str(tmp_path / "out"), "--device", "cpu"]
    classes = [{"name": f"class {i}", "color": [i % 256, i // 256, 0]} for i in range(300)]
    twice = [{"name": "Nose", "color": [1, 2, 3]}, {"name": "nose", "color": [1, 2, 4]}]
    for name, some, sentence in (("many", classes, "has 300"), ("none", [], "has 0"), ("twice", twice, "upper and lower case")):
        (tmp_path / "layout.json").write_text(json.dumps({"name": name, "classes": some}))
        assert sentence in refused(["edit", str(face), str(face / "labels.png"), "--layout", str(tmp_path / "layout.json"), *out], capsys)
    Image.new("RGB", (24, 24)).save(tmp_path / "large.png")
    assert "size" in refused(["edit", str(face), str(tmp_path / "large.png"), "--over", str(face / "labels.png"), *out], capsys)
    assert not (tmp_path / "out").exists()


def test_an_adapter_for_another_generator_is_refused_before_any_work(
    model: str, face: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("fface_hub.commands.faces.invert_photo", lambda *_: pytest.fail("the inversion was begun"))
    Adapter(BASE_15.to_dict(), "org/other", "0" * 64, 8, 16).save_pretrained(tmp_path / "adapter")
    options = ["--adapter", str(tmp_path / "adapter"), "--out", str(tmp_path / "out"), *SMALL]
    photo = ["invert", str(face / "picture.png"), "--cropped", "--generator", model]
    for command in (["generate", "--generator", model], photo, ["edit", str(face), str(face / "labels.png")], ["render", str(face)]):
        assert "org/other" in refused([*command, *options], capsys)
    assert not (tmp_path / "out").exists()


def test_a_hub_that_cannot_be_reached_is_told_at_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = refused(["generate", "--generator", "org/nothing", "--out", str(tmp_path / "out"), "--device", "cpu"], capsys)
    assert "cannot be reached" in said and "bundled model" in said


def test_latents_of_another_generator_are_refused(face: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("inversion.json", "tuning.safetensors", "face.json"):
        (tmp_path / name).write_bytes((face / name).read_bytes())
    Latents(torch.zeros(1, 3, 5), torch.zeros(1, 1, 3, 5)).save(tmp_path / "latents.safetensors")
    assert "not those of one face" in refused(["render", str(tmp_path), "--out", str(tmp_path / "o"), "--device", "cpu"], capsys)


def test_an_interrupt_ends_with_130(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("fface_hub.commands.views.load_face", stop)
    assert main(["render", "1", "--out", "d", "--device", "cpu"]) == 130
    assert "Stopped" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["generate", "invert", "edit", "transfer", "render", "adapt", "train", "benchmark"])
def test_every_command_has_help(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main([command, "--help"])
    text = capsys.readouterr().out
    assert stop.value.code == 0 and "--device" in text and "--seed" in text


def test_a_sweep_is_drawn_beside_its_figures(
    model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    row = {"axis": "samples", "samples": 1, "classes": 16, "mixes": 4, "seconds": 2.0, "cache_mb": 3.0, "peak_memory_mb": 4.0}
    monkeypatch.setattr(benchmarks, "import_module", lambda name: SimpleNamespace(run=lambda generator, callback: {"ratio": 200.0}))
    monkeypatch.setattr(adapt_speed, "sweep", lambda generator, callback: [row])
    command = ["--generator", model, "--device", "cpu", "--sweep", str(tmp_path / "sweep.png")]
    assert main(["benchmark", "adapt-speed", *command, "--json", str(tmp_path / "f.json")]) == 0
    assert json.loads((tmp_path / "f.json").read_text()) == {"ratio": 200.0}
    assert json.loads((tmp_path / "sweep.json").read_text()) == {"rows": [row]}
    assert Image.open(tmp_path / "sweep.png").format == "PNG"
    assert "--sweep is for the benchmark adapt-speed" in refused(["benchmark", "fidelity", *command], capsys)


def test_a_grid_of_fits_is_asked_for_by_options(
    model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    row = {"variant": "full", "shots": 5, "miou": 0.5, "miou_min": 0.4, "miou_max": 0.6, "per_class": {"skin": 0.5}, "seconds": 60.0}
    asked: dict[str, Any] = {}

    def run(generator: Generator, callback: object, **options: Any) -> dict[str, Any]:
        asked.update(options)
        return {"rows": [row], "layout": "eyes-19", "runs": []}

    monkeypatch.setattr(benchmarks, "import_module", lambda name: SimpleNamespace(run=run))
    base = ["benchmark", "adapt", "--generator", model, "--device", "cpu"]
    grid = ["--layout", "eyes-19", "--shots", "1,5", "--variants", "full, oracle", "--seeds", "2", "--identities", "4", "--limit", "3"]
    words = [*base, *grid, "--json", str(tmp_path / "f.json"), "--plot", str(tmp_path / "plots" / "f.png")]
    assert main(words) == 0
    assert asked["grid"] == Grid(EYES_19, (1, 5), ("full", "oracle"), 2, 4, limit=3)
    assert asked["progress_file"] == tmp_path / "f.json.progress.jsonl"
    told = json.loads((tmp_path / "f.json").read_text())
    assert told["rows"] == [row] and told["command"] == shlex.join(["fface-hub", *words])
    assert Image.open(tmp_path / "plots" / "f.png").format == "PNG"
    assert "variant full  shots 5  miou 0.5000" in capsys.readouterr().out
    assert "no variant 'best'" in refused([*base, "--variants", "best"], capsys)
    assert "'0' is not a whole number from 1" in refused([*base, "--shots", "5,0"], capsys)
    assert "--shots is for the benchmark adapt:" in refused(["benchmark", "fidelity", "--generator", model, "--shots", "5"], capsys)


def test_edits_are_measured_in_parts(
    model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: dict[str, Any] = {}

    def run(generator: Generator, callback: object, **options: Any) -> dict[str, Any]:
        asked.update(options)
        return {"methods": {"oracle": {"region_iou": 0.5}}, "pairs": 3}

    monkeypatch.setattr(benchmarks, "import_module", lambda name: SimpleNamespace(run=run))
    base = ["benchmark", "edit", "--generator", model, "--device", "cpu"]
    words = [*base, "--limit", "3", "--methods", "no-edit,oracle", "--json", str(tmp_path / "f.json"), "--gallery", str(tmp_path / "g.jpg")]
    assert main(words) == 0
    assert asked["plan"] == Plan(("no-edit", "oracle"), 3) and asked["gallery"] == tmp_path / "g.jpg"
    assert asked["progress_file"] == tmp_path / "f.json.progress.jsonl"
    assert json.loads((tmp_path / "f.json").read_text())["command"] == shlex.join(["fface-hub", *words])
    assert "method oracle  region_iou 0.5000\npairs: 3\n" in capsys.readouterr().out
    assert "no method 'best'" in refused([*base, "--methods", "best"], capsys)
    assert "at least one pair" in refused([*base, "--limit", "0"], capsys)
    assert "ending in .webp" in refused([*base, "--gallery", "sheet.pdf"], capsys)
    assert "--gallery is for the benchmark edit:" in refused(["benchmark", "adapt", "--generator", model, "--gallery", "g.jpg"], capsys)


def test_rendering_is_measured_at_a_size(
    model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[dict[str, Any]] = []

    def run(generator: Generator, callback: object, **options: Any) -> dict[str, Any]:
        asked.append(options)
        return {"frame_ratio": 4.5}

    monkeypatch.setattr(benchmarks, "import_module", lambda name: SimpleNamespace(run=run))
    words = ["benchmark", "render", "--generator", model, "--device", "cpu", "--json", str(tmp_path / "f.json")]
    assert main(words) == 0 and main([*words, "--size", "demo"]) == 0
    assert asked == [{}, {"size": "demo"}]
    told = json.loads((tmp_path / "f.json").read_text())
    assert told["frame_ratio"] == 4.5 and told["command"] == shlex.join(["fface-hub", *words, "--size", "demo"])
    assert "invalid choice" in refused([*words, "--size", "large"], capsys)
    assert "--size is for the benchmark render:" in refused(["benchmark", "fidelity", "--generator", model, "--size", "demo"], capsys)


def test_what_measures_a_bundled_network_takes_no_generator(model: str, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("landmarks", "parser"):
        said = refused(["benchmark", name, "--generator", model, "--device", "cpu"], capsys)
        assert f"measures heads-{name}: leave out --generator." in said


def test_the_module_runs_as_a_program() -> None:
    result = subprocess.run([sys.executable, "-m", "fface_hub.cli", "generate"], capture_output=True, text=True, cwd=ROOT)
    assert result.returncode == 2 and result.stderr.startswith("fface-hub generate: the following arguments are required: --out")


def test_help_states_the_steps_that_are_taken(capsys: pytest.CaptureFixture[str]) -> None:
    def told(command: str) -> str:
        with pytest.raises(SystemExit):
            main([*command.split(), "--help"])
        return " ".join(capsys.readouterr().out.split())

    invert, longer, weights, edit = InvertSettings(), InvertSettings.longer(), InvertSettings.pivotal(), EditSettings()
    for name in ("w_steps", "free_steps", "tuning_steps"):
        few, more, most = (getattr(settings, name) for settings in (invert, longer, weights))
        assert f"({few}; without an encoder {more}; with --tuning weights {most})" in told("invert")
    assert f"draws ({longer.w_steps})" in " ".join(told("samples import").split())
    assert f"most steps of the optimisation ({edit.steps})" in told("edit")
    assert f"steps ({FitSettings().steps}, with --reference {FitSettings.original().steps})" in told("adapt")
    assert f"({ShardSettings().heads})" in told("train")
    heads = [config.data.heads for config in (HEADS_LANDMARKS, HEADS_PARSER, HEADS_ENCODER)]
    assert "landmarks ({}), parser ({}), encoder and canonical editor ({})".format(*heads) in told("train")
    assert HEADS_EDITOR.data == HEADS_ENCODER.data
