"""The strict base class: round trips, fingerprints, the registry, and everything a folder or config may have wrong."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any, Literal

import pytest
import torch
from diffusers.configuration_utils import register_to_config
from diffusers.models.modeling_utils import ModelMixin
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from fface_hub import models
from fface_hub.adapters.adapter import Adapter
from fface_hub.errors import ModelError
from fface_hub.generators.base import Generator
from fface_hub.layouts import BASE_15
from fface_hub.models import REGISTRY, Model, fingerprint, register, registered
from fface_hub.sources import WEIGHTS_NAME, is_bundled_name, is_hub_id


@register
class TinyModel(Model):
    """A linear layer with a saved and an unsaved buffer."""

    @register_to_config
    def __init__(
        self,
        width: int = 4,
        linear: str = "a config entry named like a module",
        mode: Literal["a", "b"] = "a",
        scale: float = 1.0,
        axes: tuple[str, ...] = ("xy",),
        extra: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.linear = nn.Linear(width, 3)
        self.register_buffer("mean", torch.ones(2))
        self.register_buffer("ramp", torch.arange(3.0), persistent=False)

    @classmethod
    def check_config(cls, config: dict[str, Any]) -> None:
        """Width from 1 to 64."""
        if not 1 <= config.get("width", 4) <= 64:
            raise ValueError("width must lie between 1 and 64")

    def forward(self, x: Tensor) -> Tensor:
        """A linear map."""
        return self.linear(x)


@pytest.fixture
def model() -> TinyModel:
    torch.manual_seed(0)
    return TinyModel(5, mode="b", axes=("xy", "zx"))


@pytest.fixture
def folder(model: TinyModel, tmp_path: Path) -> Path:
    model.save_pretrained(tmp_path / "tiny")
    return tmp_path / "tiny"


def change(folder: Path, **settings: Any) -> Path:
    """Change entries of a saved config."""
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **settings}))
    return folder


def test_a_model_survives_the_round_trip(model: TinyModel, folder: Path) -> None:
    loaded = TinyModel.from_pretrained(folder)
    assert isinstance(loaded, ModelMixin) and loaded.arguments == {**model.arguments, "axes": ["xy", "zx"]}
    assert sorted(os.listdir(folder)) == ["config.json", WEIGHTS_NAME]
    assert torch.equal(loaded(torch.ones(1, 5)), model(torch.ones(1, 5)))
    assert loaded.ramp.tolist() == [0, 1, 2] and not loaded.training and loaded.model_id is None
    assert isinstance(Model.from_pretrained(str(folder)), TinyModel)  # the class comes from the config


def test_half_precision_files_are_single_precision_in_memory(model: TinyModel, folder: Path) -> None:
    model.save_pretrained(folder, torch.float16)
    assert load_file(folder / WEIGHTS_NAME)["mean"].dtype == torch.float16
    loaded = TinyModel.from_pretrained(folder)
    assert loaded.linear.weight.dtype == torch.float32 and loaded.fingerprint == model.fingerprint
    assert torch.equal(loaded.linear.weight, model.linear.weight.half().float())
    assert TinyModel.from_pretrained(folder, dtype=torch.bfloat16).linear.weight.dtype == torch.bfloat16


def test_saving_again_keeps_other_files(model: TinyModel, folder: Path) -> None:
    (folder / "README.md").write_text("card")
    model.save_pretrained(folder)
    assert (folder / "README.md").read_text() == "card"


def test_weights_that_are_not_finite_are_not_saved(model: TinyModel, folder: Path) -> None:
    before = (folder / WEIGHTS_NAME).read_bytes()
    with torch.no_grad():
        model.linear.weight[0, 0] = 1e5  # beyond float16's 65504
    with pytest.raises(ModelError, match=r"'linear.weight' is not finite, or too large for torch.float16"):
        model.save_pretrained(folder, torch.float16)
    assert (folder / WEIGHTS_NAME).read_bytes() == before


def test_a_fingerprint_is_the_hash_of_sorted_keys_shapes_and_half_values() -> None:
    state = {"b": torch.tensor([1.5]), "a": torch.tensor([[1.0, 2.0]])}
    digest = hashlib.sha256()
    digest.update(b"a\0[1, 2]\0" + b"\x00\x3c\x00\x40")  # float16: 1 is 0x3c00, 2 is 0x4000, little endian
    digest.update(b"b\0[1]\0" + b"\x00\x3e")  # 1.5 is 0x3e00
    assert fingerprint(state) == digest.hexdigest()


def test_fingerprints_follow_training_and_tuned_copies_keep_their_origins(model: TinyModel, folder: Path) -> None:
    published = model.fingerprint
    tuned = model.tuned_copy()
    optimiser = torch.optim.Adam(tuned.parameters(), 0.1)
    tuned(torch.ones(1, 5)).sum().backward()
    optimiser.step()
    assert not torch.equal(tuned.linear.weight, model.linear.weight)
    assert tuned.fingerprint == published == model.fingerprint
    before = (folder / WEIGHTS_NAME).read_bytes()
    with pytest.raises(ModelError, match="tuned to one face: save the inversion"):
        tuned.save_pretrained(folder)
    assert (folder / WEIGHTS_NAME).read_bytes() == before
    with torch.no_grad():
        model.linear.weight += 1
    assert model.fingerprint == fingerprint(model.state_dict()) != published


def test_asking_for_another_kind_of_model_is_told(folder: Path, tmp_path: Path) -> None:
    adapter = Adapter(BASE_15.to_dict(), "heads-triplane", "0" * 64)
    adapter.save_pretrained(tmp_path / "adapter")
    assert isinstance(Adapter.from_pretrained(tmp_path / "adapter"), Adapter)
    with pytest.raises(ModelError, match="class Adapter, and one of class Generator is needed"):
        Generator.from_pretrained(tmp_path / "adapter")
    with pytest.raises(ModelError, match="class TinyModel, and one of class Adapter is needed"):
        Adapter.from_pretrained(folder)


def test_the_registry_is_closed(folder: Path) -> None:
    for name in ("os.system", "Model", "UNet2DConditionModel", "fface_hub.models.Model", None, 3, ["Adapter"], {}):
        with pytest.raises(ModelError, match="not one that this program knows"):
            registered(name)
    with pytest.raises(ModelError, match="not one that this program knows"):
        Model.from_pretrained(change(folder, _class_name="subprocess.Popen"))
    with pytest.raises(ValueError, match="is taken"):
        register(type("TinyModel", (Model,), {"__module__": "elsewhere"}))
    assert REGISTRY["TinyModel"] is TinyModel


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"widht": 3}, "does not know: 'widht'"),
        ({"auto_map": {"AutoModel": "x.py"}}, "does not know: 'auto_map'"),
        ({"_hook": "x"}, "does not know: '_hook'"),
        ({"width": "4"}, "'width' of TinyModel has a value of the wrong type"),
        ({"width": True}, "wrong type"),
        ({"width": 4.0}, "wrong type"),
        ({"width": None}, "wrong type"),
        ({"mode": "c"}, "wrong type"),
        ({"axes": "xy"}, "wrong type"),
        ({"axes": [1]}, "wrong type"),
        ({"width": 65}, "width must lie between 1 and 64"),
        ({"width": 2**40}, "sensible size"),
        ({"linear": "https://example.org/x"}, "path or URL"),
        ({"linear": "../../x"}, "path or URL"),
        ({"linear": "/etc/passwd"}, "path or URL"),
        ({"linear": "C:\\x"}, "path or URL"),
        ({"linear": "x" * 101}, "longer than 100"),
        ({"linear": "a\0b"}, "not printable"),
        ({"extra": {"deep": [{"path": "//host/x"}]}}, "path or URL"),
        ({"extra": {"_target_": "os.system"}}, "not allowed: '_target_'"),
        ({"axes": ["xy"] * 5000}, "too many"),
        ({"_origin": "0" * 64}, "does not know: '_origin'"),  # nobody says what the weights stand for
    ],
)
def test_configs_have_a_closed_schema(folder: Path, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        TinyModel.from_pretrained(change(folder, **settings))


def test_a_config_whose_sizes_do_not_fit_the_weights_is_told(folder: Path) -> None:
    with pytest.raises(ModelError, match=r"'linear.weight' .* has the shape \[3, 5\], and its config asks for \[3, 6\]"):
        TinyModel.from_pretrained(change(folder, width=6))


def test_from_config_is_as_strict(model: TinyModel) -> None:
    assert TinyModel.from_config(model.config).linear.weight.shape == (3, 5)
    with pytest.raises(ModelError, match="does not know: 'depth'"):
        TinyModel.from_config({"depth": 3})


def test_missing_extra_and_nan_weights_are_told(folder: Path) -> None:
    state = load_file(folder / WEIGHTS_NAME)
    for changed, message in (
        ({"mean": state["mean"]}, "lacks 2 of 3 weights"),
        ({**state, "hook": torch.ones(1)}, "no place for, the first being 'hook'"),
        ({**state, "mean": torch.tensor([1.0, torch.nan])}, "not finite numbers"),
        ({**state, "mean": torch.ones(2, dtype=torch.int64)}, "wrong kind"),
        ({**state, "mean": torch.full((2,), 1e200, dtype=torch.float64)}, "too large"),
    ):
        save_file(changed, folder / WEIGHTS_NAME)
        with pytest.raises(ModelError, match=message):
            TinyModel.from_pretrained(folder)


def test_subfolders_and_variants_are_found_and_may_not_lead_out(model: TinyModel, folder: Path, tmp_path: Path) -> None:
    model.save_pretrained(tmp_path / "repository" / "part")
    assert TinyModel.from_pretrained(tmp_path / "repository", subfolder="part").fingerprint == model.fingerprint
    (folder / WEIGHTS_NAME).rename(folder / WEIGHTS_NAME.replace(".safetensors", ".fp16.safetensors"))
    assert TinyModel.from_pretrained(folder, variant="fp16").fingerprint == model.fingerprint
    for options in ({"subfolder": "../tiny"}, {"subfolder": "/etc"}, {"variant": "a/b"}, {"revision": "a\0b"}, {"revision": "../x"}):
        with pytest.raises(ModelError, match="is not a valid"):
            TinyModel.from_pretrained(folder, **options)


def test_a_device_that_is_not_there_is_told(folder: Path) -> None:
    for device in ("cuda:99", "toaster"):
        with pytest.raises(ModelError, match=f"cannot be put on the device '{device}'"):
            TinyModel.from_pretrained(folder, device=device)


def test_only_some_types_can_be_computed_in(folder: Path) -> None:
    for dtype in (torch.int8, torch.complex64, torch.float8_e4m3fn, "half", "int8", None):
        with pytest.raises(ModelError, match=f"'{dtype}' is not what a model can compute in: use .*, or their names float32, bfloat16"):
            TinyModel.from_pretrained(folder, dtype=dtype)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["float32", "float16", "bfloat16"])
def test_number_types_have_names(name: str, folder: Path) -> None:
    assert TinyModel.from_pretrained(folder, dtype=name).linear.weight.dtype == getattr(torch, name)


def test_the_name_that_others_have_for_the_number_type_is_answered_with_ours(folder: Path) -> None:
    with pytest.raises(TypeError, match="use dtype"):
        Generator.from_pretrained(folder, torch_dtype=torch.float16)


def test_a_model_is_not_saved_where_it_cannot_be(model: TinyModel, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for place, why in (("", "you work in"), (".", "you work in"), ("/", "you work in"), ("a\0b", "no folder can have this name")):
        with pytest.raises(ModelError, match=f"{why}.*what was there is unchanged"):
            model.save_pretrained(place)
    with pytest.raises(ModelError, match="Not a directory"):
        model.save_pretrained(folder / "config.json")
    assert os.listdir(tmp_path) == ["tiny"]


@pytest.mark.parametrize("width", [5, 6])
def test_a_model_that_is_replaced_while_it_is_read_is_read_anew(
    width: int, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between config and weights another model takes its place, of the same shapes or of others."""
    other, read, saved = TinyModel(width=width, scale=0.25), models.read_weights, []
    with torch.no_grad():
        other.mean += 3

    def late(*arguments: Any) -> dict[str, torch.Tensor]:
        if not saved:
            saved.append(other.save_pretrained(folder))
        return read(*arguments)

    monkeypatch.setattr(models, "read_weights", late)
    found = TinyModel.from_pretrained(folder)
    assert saved and found.fingerprint == other.fingerprint and found.arguments["scale"] == 0.25


def test_texts_are_saved_in_the_same_step(model: TinyModel, folder: Path) -> None:
    (folder / "notes.txt").write_text("mine")
    model.save_pretrained(folder, beside={"README.md": "card"})
    assert sorted(os.listdir(folder)) == ["README.md", "config.json", WEIGHTS_NAME, "notes.txt"]
    assert (folder / "README.md").read_text() == "card" and (folder / "notes.txt").read_text() == "mine"


def test_a_model_with_values_that_are_no_json_is_not_saved(tmp_path: Path) -> None:
    for value in (float("nan"), float("inf")):
        with pytest.raises(ModelError, match="sensible size"):
            TinyModel(scale=value).save_pretrained(tmp_path / "m")
    assert not list(tmp_path.iterdir())


def test_names_and_ids_are_told_apart(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert [is_hub_id(x) for x in ("org/name", "a.b/c-d_e", "name", "a/b/c", "../x", "a/..", "/a", "a/")] == [True, True, *[False] * 6]
    assert is_bundled_name("heads-triplane") and not is_bundled_name("../x")
    monkeypatch.chdir(folder.parent)
    with pytest.raises(ModelError, match=r"no bundled model 'tiny'.* write '\./tiny'"):
        Model.from_pretrained("tiny")
    assert isinstance(Model.from_pretrained("./tiny"), TinyModel)
