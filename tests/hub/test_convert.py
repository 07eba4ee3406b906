"""Stand-ins of official checkpoints become models: every tensor is accounted for, nothing runs, and what does not fit is told."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from huggingface_hub import ModelCard
from torch import Tensor

from fface_hub.adapters.adapter import Adapter
from fface_hub.cameras import look_at
from fface_hub.cli import main
from fface_hub.errors import FFaceError, LayoutError, ModelError
from fface_hub.generators.base import Generator
from fface_hub.generators.triplane import TriplaneGenerator
from fface_hub.hub import convert as module
from fface_hub.hub.cards import model_card
from fface_hub.hub.check import check
from fface_hub.hub.convert import convert, read_checkpoint
from fface_hub.hub.official import ADAPTER
from fface_hub.hub.preview import preview
from fface_hub.layouts import CHIN_20, EYES_19, NASAL_WING_17, NOSE_19, Layout
from fface_hub.models import Model
from fface_hub.rendering.renderer import Sampling, render
from fface_hub.sources import Source
from tests.hub.standins import Official, official_state, pickled_value
from tests.tiny import random_generator

SMALL: dict[str, Any] = {
    "z_dim": 6,
    "latent_dim": 8,
    "plane_resolution": 16,
    "plane_channels": 4,
    "channel_base": 128,
    "channel_max": 16,
    "decoder_hidden": 8,
    "color_channels": 4,
    "superresolution_clamp": None,
    "resolution": 64,
}


def adapter_state(classes: int, seed: int = 0) -> dict[str, Tensor]:
    """FFaceNeRF's adapter on the small generator: 4 features, density and 15 logits, 3 of the direction."""
    random = torch.Generator().manual_seed(seed)
    shapes = {"0.weight": (8, 23), "0.bias": (8,), "2.weight": (classes, 8), "2.bias": (classes,)}
    return {ADAPTER + key: torch.randn(shape, generator=random) for key, shape in shapes.items()}


@pytest.fixture(scope="module")
def plain() -> TriplaneGenerator:
    """What EG3D's checkpoint holds."""
    return random_generator(**SMALL, decoder="eg3d")


@pytest.fixture(scope="module")
def labelled() -> TriplaneGenerator:
    """What NeRFFaceEditing's checkpoint holds."""
    return random_generator(**SMALL)


@pytest.fixture
def official(tmp_path: Path) -> Official:
    """Writes checkpoints whose canary must not be there when the test has ended."""
    return Official(tmp_path / "canary")


def write(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def same(model: Model, other: Model) -> None:
    """Weights and config are equal."""
    assert model.arguments == other.arguments
    state, others = model.state_dict(), other.state_dict()
    assert state.keys() == others.keys() and all(torch.equal(state[key], others[key]) for key in state)


def test_eg3d(tmp_path: Path, official: Official, plain: TriplaneGenerator) -> None:
    state = official_state(plain)
    file = write(tmp_path / "ffhq512-64.pkl", official.pickled(state))
    with official.importable():
        done = convert(file, tmp_path / "out" / "eg3d")
    assert done.release == "eg3d" and done.adapter is None and done.urls == [] and "no class labels, since" in done.notes[0]
    # Every tensor is taken or left out for a reason, and none twice.
    left_out = [name for names in done.left_out.values() for name in names]
    assert done.taken + len(left_out) == len(state) and not set(left_out) & set(plain.state_dict())
    assert "dataset_label_std" in left_out and "superresolution.block0.conv0.noise_const" in left_out
    loaded = Generator.from_pretrained(tmp_path / "out" / "eg3d")
    assert isinstance(loaded, TriplaneGenerator) and loaded.release == "eg3d"
    same(loaded, plain)
    assert check(Source(tmp_path / "out" / "eg3d")).clean and not (tmp_path / "out" / "eg3d-adapter").exists()
    assert not official.canary.exists()


def test_nerffaceediting_with_its_settings(tmp_path: Path, official: Official) -> None:
    settings = {
        "ray_start": 2,
        "ray_end": 4.5,
        "box_warp": 1.5,
        "white_back": True,
        "avg_camera_radius": 3,
        "avg_camera_pivot": (0, 0.1, -0.06),
    }
    there = {"near": 2.0, "far": 4.5, "box_warp": 1.5, "background": "white", "camera_radius": 3.0, "camera_pivot": (0.0, 0.1, -0.06)}
    generator = random_generator(**{**SMALL, "resolution": 128, "superresolution_clamp": 256.0}, **there)
    data = official.pickled(official_state(generator), 128, settings, sr_num_fp16_res=4, num_fp16_res=0)
    done = convert(write(tmp_path / "NeRFFaceEditing-ffhq-64.pkl", data), tmp_path / "nfe")
    assert done.release == "nerffaceediting" and done.notes == [] and done.adapter is None
    same(Generator.from_pretrained(tmp_path / "nfe"), generator)  # pyright: ignore[reportArgumentType]
    assert len(done.generator.layout) == 15 and not official.canary.exists()


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize(
    ("file", "mode", "layout"),
    [("ckpt_base_10.pth", "base", NASAL_WING_17), ("ckpt_eyes_10.pth", "eyes", EYES_19), ("ckpt_nose_10.pth", "eyes", NOSE_19)],
)
def test_ffacenerf_gives_generator_and_adapter(
    tmp_path: Path, official: Official, labelled: TriplaneGenerator, zipped: bool, file: str, mode: str, layout: Layout
) -> None:
    """The release's own mode "nose" saves the class for eyes, so the file's name decides."""
    adapter = adapter_state(len(layout))
    data = official.module({**official_state(labelled), **adapter}, mode, zipped, resolution=64)
    with official.importable():
        done = convert(write(tmp_path / file, data), tmp_path / "out")
    loaded = Adapter.from_pretrained(tmp_path / "out-adapter")
    generator = Generator.from_pretrained(tmp_path / "out")
    same(generator, labelled)  # pyright: ignore[reportArgumentType]
    loaded.check(generator)
    assert loaded.layout == layout and loaded.release == "ffacenerf" == done.release
    assert all(torch.equal(value, adapter[ADAPTER + key.removeprefix("net.")]) for key, value in loaded.state_dict().items())
    assert not official.canary.exists()


def test_a_layout_that_cannot_be_told_is_asked_for(tmp_path: Path, official: Official, labelled: TriplaneGenerator) -> None:
    file = write(tmp_path / "mine.pth", official.module({**official_state(labelled), **adapter_state(19)}))
    with pytest.raises(LayoutError, match=r"give --layout \(eyes-19 or nose-19\)"):
        convert(file, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    with pytest.raises(LayoutError, match="has 19 classes, and the layout 'chin-20' has 20"):
        convert(file, tmp_path / "out", layout=CHIN_20)
    done = convert(file, tmp_path / "out", layout=NOSE_19)
    assert done.adapter is not None and done.adapter.layout == NOSE_19


def test_a_clamp_in_the_backbone_is_told(tmp_path: Path, official: Official, plain: TriplaneGenerator) -> None:
    data = official.pickled(official_state(plain), num_fp16_res=4, conv_clamp=256)
    assert "clamps extreme values" in read_checkpoint(write(tmp_path / "a.pkl", data)).notes[1]


def test_a_camera_that_is_scaled_or_left_out_before_the_mapping(tmp_path: Path, official: Official, plain: TriplaneGenerator) -> None:
    """The factor moves into the weights of the camera's embedding."""
    for settings, factor in (({"c_scale": 0.5}, 0.5), ({"c_gen_conditioning_zero": True}, 0.0)):
        done = read_checkpoint(write(tmp_path / "a.pkl", official.pickled(official_state(plain), settings=settings)))
        key = "backbone.mapping.embed.weight"
        assert torch.equal(done.generator.state_dict()[key], plain.state_dict()[key] * factor) and f"times {factor:g}" in done.notes[1]


State = dict[str, Tensor]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop("backbone.synthesis.b8.conv1.bias"), "lacks 1 of .*'backbone.synthesis.b8.conv1.bias'"),
        (lambda s: s.pop("backbone.mapping.w_avg"), "lacks 1 of .*'backbone.mapping.w_avg'"),
        (lambda s: s.update({"backbone.synthesis.b8.extra": torch.ones(1)}), "no place for, the first being 'backbone.synthesis.b8.extra'"),
        (lambda s: s.update({"backbone.synthesis.b8.conv1.bias": torch.ones(3)}), r"has the shape \[3\], and its config asks for \[16\]"),
        (
            lambda s: s.update({"backbone.synthesis.b8.conv1.bias": torch.full((16,), torch.nan)}),
            "'backbone.synthesis.b8.conv1.bias'.*not finite",
        ),
        (lambda s: s.update({"backbone.synthesis.b8.conv1.bias": torch.ones(16, dtype=torch.int64)}), "not finite numbers"),
        (lambda s: s.update({"backbone.synthesis.b4.conv1.resample_filter": torch.ones(4, 4)}), "filter in another way"),
        (lambda s: s.update({"superresolution.block0.conv1.weight": torch.ones(64, 64, 3, 3)}), "and its config asks for"),
        (lambda s: [s.pop(k) for k in list(s) if k.startswith("decoder")], "holds another network"),
        (lambda s: [s.pop(k) for k in list(s) if k.startswith("backbone.mapping")], "has no weight 'backbone.mapping.embed.weight'"),
        (lambda s: [s.pop(k) for k in list(s) if k.startswith("backbone.synthesis")], "no blocks"),
        (lambda s: [s.pop(k) for k in list(s) if k.startswith("superresolution")], "lacks 24 of"),
        (lambda s: s.update({"decoder.net.2.weight": torch.ones(48, 8)}), "asks for"),
    ],
)
def test_weights_that_are_not_those_of_their_settings(
    tmp_path: Path, official: Official, plain: TriplaneGenerator, change: Callable[[State], Any], message: str
) -> None:
    state = official_state(plain)
    change(state)
    file = write(tmp_path / "ffhq512-64.pkl", official.pickled(state))
    with pytest.raises(ModelError, match=message) as told:
        convert(file, tmp_path / "out")
    assert "'ffhq512-64.pkl'" in str(told.value) and not (tmp_path / "out").exists() and not official.canary.exists()


@pytest.mark.parametrize(
    ("settings", "arguments", "message"),
    [
        ({"superresolution_module": "training.superresolution.SuperresolutionHybrid2X"}, {}, "only that of the 512² models"),
        ({"superresolution_noise_mode": "const"}, {}, "superresolution_noise_mode is 'const', and only 'none' is supported"),
        ({"clamp_mode": "relu"}, {}, "clamp_mode is 'relu'"),
        ({"ray_start": "auto"}, {}, "ray_start is 'auto', and a number is needed"),
        ({"ray_end": float("nan")}, {}, "far must|near must|sensible size|is not"),
        ({"avg_camera_pivot": [0, 0]}, {}, "avg_camera_pivot is no point"),
        ({"avg_camera_pivot": [0, 0, {}]}, {}, "avg_camera_pivot is of another kind"),
        ({"box_warp": 1e9}, {}, "box_warp"),
        ({}, {"z_dim": 512}, "says that z_dim is 512, and its weights are for 6"),
        ({}, {"w_dim": 512}, "says that w_dim is 512, and its weights are for 8"),
    ],
)
def test_settings_that_this_program_does_not_have(
    tmp_path: Path, official: Official, plain: TriplaneGenerator, settings: dict[str, Any], arguments: dict[str, Any], message: str
) -> None:
    file = write(tmp_path / "a.pkl", official.pickled(official_state(plain), settings=settings, **arguments))
    with pytest.raises(ModelError, match=message):
        read_checkpoint(file)


def test_files_that_are_no_official_checkpoint(tmp_path: Path, official: Official, plain: TriplaneGenerator) -> None:
    whole = official.pickled(official_state(plain))
    for data, message in (
        (b"", "ends too early"),
        (b"hello world", "cannot be read|not a whole file"),
        (whole[:-1], "ends too early"),
        (whole[: len(whole) // 2], "ends too early"),
        (pickled_value({"a": 1}), "has no network 'G_ema', nor is it one"),
        (pickled_value({"G_ema": [1]}), "has no network 'G_ema', nor is it one"),
        (pickled_value([]), "has no network"),
        (whole.replace(b"neural_rendering_resolution", b"neural_rendering_resolutiom"), "at which resolution"),
        (whole.replace(b"rendering_kwargs", b"rendering_kwargz"), "how it is rendered"),
        (b"PK\x03\x04" + whole, "not a whole file"),
    ):
        with pytest.raises(ModelError, match=message):
            convert(write(tmp_path / "a.pkl", data), tmp_path / "out")
    with pytest.raises(ModelError, match=r"There is no file 'b.pkl'"):
        convert(tmp_path / "b.pkl", tmp_path / "out")
    assert not (tmp_path / "out").exists() and not official.canary.exists()


def test_weights_that_share_their_numbers_are_refused(tmp_path: Path, official: Official, plain: TriplaneGenerator) -> None:
    """A small file must not fill the memory."""
    state = official_state(plain)
    numbers = torch.zeros(max(value.numel() for value in state.values()))
    for key, value in state.items():
        if "resample" not in key:
            state[key] = numbers[: value.numel()].reshape(value.shape)
    file = write(tmp_path / "ckpt_eyes.pth", official.module(state))
    assert file.stat().st_size < 0.6 * 4 * sum(value.numel() for value in plain.state_dict().values())
    with pytest.raises(ModelError, match="share their numbers"):
        read_checkpoint(file)


def test_the_adapter_without_injection_is_told(tmp_path: Path, official: Official, labelled: TriplaneGenerator) -> None:
    adapter = {ADAPTER + "0.weight": torch.ones(8, 16), ADAPTER + "0.bias": torch.ones(8)}
    adapter |= {ADAPTER + "2.weight": torch.ones(19, 8), ADAPTER + "2.bias": torch.ones(19)}
    file = write(tmp_path / "ckpt_simple_10.pth", official.module({**official_state(labelled), **adapter}))
    with pytest.raises(ModelError, match="ablation 'simple'"):
        read_checkpoint(file)


def test_cards_state_origin_and_licence_wherever_the_model_goes(tmp_path: Path, official: Official, plain: TriplaneGenerator) -> None:
    file = write(tmp_path / "ffhq_[x](y).pkl", official.pickled(official_state(plain)))
    convert(file, tmp_path / "eg3d")
    text = (tmp_path / "eg3d" / "README.md").read_text()
    card = ModelCard(text)
    assert (card.data.license, card.data.license_name) == ("other", "nvidia-eg3d-non-commercial")
    for part in ("non-commercial use only", "NVIDIA and Stanford", "SHA-256 `", "no class labels", 'from_pretrained("./eg3d")'):
        assert part in text
    assert "Apache-2.0." not in text and "rendered heads" not in text and "[x](y)" not in text
    # Also when it is pushed from Python later on, or saved again.
    loaded = TriplaneGenerator.from_pretrained(tmp_path / "eg3d")
    loaded.save_pretrained(tmp_path / "copy")
    again = TriplaneGenerator.from_pretrained(tmp_path / "copy")
    assert "NVIDIA" in model_card(again, "org/again").split("## Licence")[1] and again.fingerprint == loaded.fingerprint
    config = json.loads((tmp_path / "eg3d" / "config.json").read_text())
    (tmp_path / "eg3d" / "config.json").write_text(json.dumps({**config, "_release": "mine"}))
    with pytest.raises(ModelError, match="'_release' must be one of eg3d"):
        TriplaneGenerator.from_pretrained(tmp_path / "eg3d")


def test_a_push_is_private_and_of_two_repositories(
    tmp_path: Path, official: Official, labelled: TriplaneGenerator, monkeypatch: pytest.MonkeyPatch
) -> None:
    pushed: list[tuple[Model, str, bool | None, str]] = []

    def push(model: Model, id: str, private: bool | None = None, provenance: str = "") -> str:
        pushed.append((model, id, private, provenance))
        return f"https://hub/{id}"

    monkeypatch.setattr(module, "push_model", push)
    file = write(tmp_path / "ckpt_eyes.pth", official.module({**official_state(labelled), **adapter_state(19)}))
    done = convert(file, tmp_path / "out", push="org/faces")
    assert [(type(model), id, private) for model, id, private, _ in pushed] == [
        (TriplaneGenerator, "org/faces", True),
        (Adapter, "org/faces-adapter", True),
    ]
    assert all("SHA-256" in provenance for *_, provenance in pushed) and done.urls == [
        "https://hub/org/faces",
        "https://hub/org/faces-adapter",
    ]
    assert Adapter.from_pretrained(tmp_path / "out-adapter").config["generator_id"] == "org/faces"
    with pytest.raises(ModelError, match="write it as 'org/name'"):
        convert(file, tmp_path / "other", push="faces")
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize("name", ["ffhq512-64.pkl", "networks/ffhq.pkl", "./x.pth", "pytorch_model.bin", "org/name.PKL", "a.pt", "b.ckpt"])
def test_a_pickle_given_to_from_pretrained_is_refused_with_the_command(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for exists in (False, True):
        if exists:
            Path(name).parent.mkdir(exist_ok=True)
            Path(name).write_bytes(b"cposix\nsystem\n(S'touch canary'\ntR.")
        for cls in (Generator, Adapter, Model):
            with pytest.raises(ModelError, match=r"pickled checkpoint, which is never loaded.*'fface-hub convert FILE OUT'"):
                cls.from_pretrained(name)
    assert not Path("canary").exists()


def test_a_folder_with_pickled_weights_only_is_refused_with_the_command(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"_class_name": "TriplaneGenerator"}')
    (tmp_path / "pytorch_model.bin").write_bytes(b"x")
    with pytest.raises(ModelError, match=r"'pytorch_model.bin' is never read.*fface-hub convert"):
        Generator.from_pretrained(tmp_path)


def test_the_command(tmp_path: Path, official: Official, plain: TriplaneGenerator, capsys: pytest.CaptureFixture[str]) -> None:
    file = write(tmp_path / "ffhq512-64.pkl", official.pickled(official_state(plain)))
    assert main(["convert", str(file), str(tmp_path / "eg3d"), "--json", str(tmp_path / "report.json")]) == 0
    out = capsys.readouterr().out
    for part in ("EG3D:", "left out: 1 tensors, the spread of the training cameras", "note: It has no class labels", "non-commercial"):
        assert part in out
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["release"] == "eg3d" and report["resolution"] == 64 and report["fingerprint"] == plain.fingerprint
    for words, message in (
        (["convert", str(tmp_path / "none.pkl"), str(tmp_path / "x")], "There is no file 'none.pkl'"),
        (["convert", str(file), str(file)], "OUT: "),
        (["convert", str(file), str(tmp_path / "x"), "--layout", "x"], "There is no layout 'x'"),
        (["generate", "--generator", str(file), "--out", str(tmp_path / "faces"), "--device", "cpu"], "fface-hub convert FILE OUT"),
    ):
        assert main(words) == 2
        errors = capsys.readouterr().err
        assert message in errors and "Traceback" not in errors
    with pytest.raises(SystemExit):
        main(["convert", "--help"])
    words = "".join(capsys.readouterr().out.split())
    assert "OUT-adapter" in words and "non-commercial" in words


def test_only_our_errors(tmp_path: Path, official: Official, plain: TriplaneGenerator) -> None:
    """Cut at any of a few hundred places, a checkpoint is refused."""
    whole = official.pickled(official_state(plain))
    for end in range(0, 20_000, 97):
        with pytest.raises(FFaceError):
            read_checkpoint(write(tmp_path / "a.pkl", whole[:end]))


@pytest.mark.slow
def test_the_preview_of_a_super_resolved_model_is_as_small_as_others(plain: TriplaneGenerator) -> None:
    picture = preview(plain)
    assert picture is not None and picture.size[0] == 3 * 128 and 256 < picture.size[1] < 320


@pytest.mark.slow
@torch.no_grad()
def test_a_full_size_checkpoint_makes_the_same_pictures(tmp_path: Path) -> None:
    """30,662,136 parameters in 176 tensors, and the buffer that the released files have besides."""
    generator = random_generator(decoder="eg3d", resolution=64)
    official, state = Official(tmp_path / "canary"), official_state(generator)
    for key in [key for key in state if key.startswith("superresolution") and key.endswith("noise_const")]:
        state[key] = torch.randn((256, 256) if "block0" in key else (512, 512))
    for size in (4, 8, 16, 32, 64, 128, 256, 0, 1):  # blocks have a filter of their own, but for the first and those of super-resolution
        if size > 1:
            state[f"backbone.synthesis.b{size}.resample_filter"] = state["backbone.synthesis.b4.conv1.resample_filter"]
        else:
            state[f"superresolution.block{size}.resample_filter"] = state["backbone.synthesis.b4.conv1.resample_filter"]
    buffers = [key for key in state if key.endswith(("resample_filter", "noise_const", "w_avg", "label_std"))]
    assert len(state) == 177 and sum(value.numel() for key, value in state.items() if key not in buffers) == 30_662_136
    file = write(tmp_path / "ffhq512-64.pkl", official.pickled(state, sr_num_fp16_res=4))
    done = convert(file, tmp_path / "eg3d")
    assert done.taken + sum(map(len, done.left_out.values())) == 177 and not official.canary.exists()
    loaded = TriplaneGenerator.from_pretrained(tmp_path / "eg3d")
    same(loaded, generator)
    latents = generator.sample(1, 0)
    first, second = (render(model.scene(latents), look_at(10.0), 16, Sampling(4, 4)) for model in (generator, loaded))
    assert first.image.shape == (1, 3, 512, 512) and torch.equal(first.image, second.image) and torch.equal(first.depth, second.depth)
