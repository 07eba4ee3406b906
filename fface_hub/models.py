"""The strict base class of every model, over diffusers' `ModelMixin` and `ConfigMixin`: what the two leave open is closed here.

The class is looked up in a closed registry; only safetensors are read; every key is present, none is extra, every value is finite; the
config has a closed schema and refers to no code, path or URL; saves are atomic. A model folder is `config.json` and
`diffusion_pytorch_model.safetensors`; a repository on the Hub has a `README.md`, the card, beside them.
"""

from __future__ import annotations

import copy
import hashlib
import importlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self, TypeVar

import torch
from diffusers.configuration_utils import ConfigMixin
from diffusers.models.modeling_utils import ModelMixin
from torch import Tensor, nn

from fface_hub.compute import DTYPES
from fface_hub.doors import VALUES_AT_ONCE, read_json, read_tensors
from fface_hub.errors import FFaceError, ModelError
from fface_hub.files import read_whole, replaced_folder, write_tensors
from fface_hub.schema import check_arguments
from fface_hub.sources import CONFIG_NAME, WEIGHTS_NAME, Source, is_bundled_name, is_hub_id, locate, model_file

# Where each class lives, so that a config can name it before its module was imported. Nothing outside this table is imported.
FAMILIES = {
    "Adapter": "fface_hub.adapters.adapter",
    "CanonicalEditor": "fface_hub.inversion.encoder",
    "Encoder": "fface_hub.inversion.encoder",
    "LandmarkNet": "fface_hub.inversion.landmarks",
    "ParserNet": "fface_hub.trunks",
    "TriplaneGenerator": "fface_hub.generators.triplane",
}
REGISTRY: dict[str, type[Model]] = {}
PRECISIONS = (torch.float64, torch.float32, torch.float16, torch.bfloat16)
"""What a model may compute in."""

KindT = TypeVar("KindT")


def register(cls: type[ModelT]) -> type[ModelT]:
    """Class decorator: lets configs name this class. Each name can be taken once."""
    known = REGISTRY.get(cls.__name__)
    if known is not None and (known.__module__, known.__qualname__) != (cls.__module__, cls.__qualname__):
        raise ValueError(f"the model name {cls.__name__} is taken by {known.__module__}")
    REGISTRY[cls.__name__] = cls
    return cls


def registered(name: Any) -> type[Model]:
    """The class that a config names; `ModelError` if it is not one of ours."""
    if isinstance(name, str) and name not in REGISTRY and name in FAMILIES:
        importlib.import_module(FAMILIES[name])
    if not isinstance(name, str) or name not in REGISTRY:
        names = ", ".join(sorted({*FAMILIES, *REGISTRY}))
        raise ModelError(f"The model's class {str(name)[:60]!r} is not one that this program knows, which are {names}.")
    return REGISTRY[name]


def fingerprint(state: Mapping[str, Tensor]) -> str:
    """SHA-256 (hex) over sorted key, shape and float16 values of weights: the same for float32 and float16 files of one model."""
    digest = hashlib.sha256()
    for key in sorted(state):
        tensor = state[key].detach()
        digest.update(f"{key}\0{list(tensor.shape)}\0".encode())
        for part in tensor.flatten().split(VALUES_AT_ONCE):  # a large weight is never there a second time as a whole
            digest.update((part.to(torch.float16) if part.is_floating_point() else part).cpu().contiguous().numpy().data)
    return digest.hexdigest()


class Model(ModelMixin, ConfigMixin):
    """Base of generators, adapters and encoders. The constructor's arguments, under `@register_to_config`, are the config.

    `model_id` is the bundled name or Hub id it was loaded from (None otherwise). `origin` is None, or for a tuned copy the fingerprint of
    the published weights it started from. `release` names the official release that the weights were converted from, or learnt from, whose
    licence they keep. Constructors must not read values of their own tensors: shapes are first checked on the meta device.
    """

    config_name = CONFIG_NAME
    model_id: str | None = None
    origin: str | None = None
    release: str | None = None
    _stamped: tuple[int, str] | None = None

    def __getattr__(self, name: str) -> Any:
        # Past ModelMixin's: it answers with config values, which makes a submodule named like a config argument fail.
        return nn.Module.__getattr__(self, name)

    def to(self, *args: Any, **kwargs: Any) -> Self:  # pyright: ignore[reportIncompatibleVariableOverride]
        """As `nn.Module.to`, past ModelMixin's, which warns about modules that do not exist."""
        nn.Module.to(self, *args, **kwargs)
        return self

    @classmethod
    def check_config(cls, config: dict[str, Any]) -> None:
        """Hook: raise `ModelError`, `LayoutError` or `ValueError` if values are out of range. Names and types were checked before."""

    @property
    def arguments(self) -> dict[str, Any]:
        """The constructor's arguments as JSON knows them (lists, no tuples), without diffusers' private entries."""
        items = ((key, value) for key, value in self.config.items() if not key.startswith("_"))
        return {key: list(value) if isinstance(value, tuple) else value for key, value in items}

    @property
    def fingerprint(self) -> str:
        """Fingerprint of the published weights: of these weights, or of the origin's for a tuned copy."""
        if self.origin is not None:
            return self.origin
        state = self.state_dict()
        version = sum(tensor._version for tensor in state.values())  # every in-place change, as by an optimiser, raises it
        if self._stamped is None or self._stamped[0] != version:
            self._stamped = (version, fingerprint(state))
        return self._stamped[1]

    def set_precision(self, dtype: torch.dtype) -> None:
        """Hold the weights in `dtype` and compute in it; a class may do so with its large networks only."""
        self.to(dtype)

    def tuned_copy(self) -> Self:
        """A copy whose weights may be tuned to one face; it keeps this model's fingerprint, so that its adapters still fit. It lives in
        this process only: what it learnt is saved with the inversion (`Inversion.save`).

        Its parameters ask for gradients even if another thread has this model frozen at the moment.
        """
        twin = copy.deepcopy(self).requires_grad_(True)
        twin.origin = self.fingerprint
        return twin

    @classmethod
    def from_config(cls, config: Mapping[str, Any], **overrides: Any) -> Self:  # pyright: ignore[reportIncompatibleMethodOverride]
        """A model with fresh weights from a config's values; `ModelError` if the config does not fit the class."""
        return build(cls, check_arguments(cls, {**config, **overrides}))

    @classmethod
    def from_pretrained(  # pyright: ignore[reportIncompatibleMethodOverride]
        cls,
        id: str | Path,
        *,
        revision: str | None = None,
        subfolder: str | None = None,
        variant: str | None = None,
        dtype: torch.dtype | str = torch.float32,
        device: str | torch.device = "cpu",
        token: str | bool | None = None,
        cache_dir: str | Path | None = None,
        local_files_only: bool = False,
    ) -> Self:
        """Load a model: a plain name is bundled, `org/name` is on the Hub, anything else is a folder (write `./name` for one beside you).

        `dtype` is what `set_precision` makes of it; "float32", "float16" and "bfloat16" name one, too.
        Asked of a base class, the registered class that the config names is returned. Raises `ModelError` with what to do.
        """
        return load(cls, Source(id, revision, subfolder, variant, token, cache_dir, local_files_only), dtype, device)

    def save_pretrained(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, folder: str | Path, dtype: torch.dtype | None = None, beside: Mapping[str, str] | None = None
    ) -> None:
        """Write config and weights (as `dtype`, or as they are), and the texts `beside` (name → text), into `folder` in one step.

        Other files that are there are kept. `ModelError`, also for a tuned copy; then all is as before.
        """
        if self.origin is not None:  # in a file, whose it is would be anybody's claim, and its weights hold the likeness of a person
            raise ModelError("These weights were tuned to one face: save the inversion instead (Inversion.save), or the published model.")
        config: dict[str, Any] = {"_class_name": type(self).__name__, **self.arguments}
        if self.release is not None:
            config["_release"] = self.release
        check_arguments(type(self), config)
        state = {key: _cast(value.detach(), dtype).cpu().contiguous().clone() for key, value in self.state_dict().items()}
        for key, value in state.items():
            if value.is_floating_point() and not bool(value.isfinite().all()):
                raise ModelError(f"The weight {key!r} is not finite, or too large for {value.dtype}: the model was not saved.")
        try:
            with replaced_folder(folder) as new:
                (new / CONFIG_NAME).write_text(json.dumps(config, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
                write_tensors(state, new / WEIGHTS_NAME)
                for name, text in (beside or {}).items():
                    (new / name).write_text(text, encoding="utf-8")
        except OSError as error:
            raise ModelError(f"The model cannot be saved to '{folder}' ({error.strerror}): what was there is unchanged.") from error

    def push_to_hub(  # pyright: ignore[reportIncompatibleMethodOverride]
        self,
        repo_id: str,
        *,
        token: str | bool | None = None,
        private: bool | None = None,
        revision: str | None = None,
        message: str | None = None,
        results: Mapping[str, Any] | None = None,
    ) -> str:
        """Create the repository if needed, upload card, preview, config and weights in one commit and return the URL. `ModelError`.

        `results` are measured figures for the card, by benchmark: `{"fidelity": {"psnr": 27.1}}`.
        """
        # Looked up by name, like the classes above: the hub package stands on a higher level than this module.
        push_model = importlib.import_module("fface_hub.hub.push").push_model
        return push_model(self, repo_id, token=token, private=private, revision=revision, message=message, results=results)


ModelT = TypeVar("ModelT", bound=Model)


def load(kind: type[KindT], source: Source, dtype: torch.dtype | str = torch.float32, device: str | torch.device = "cpu") -> KindT:
    """The model at `source`, which must be a `kind` (a model class, or an abstract one such as `Generator`), in evaluation mode."""

    def read() -> tuple[type[Any], dict[str, Any], dict[str, Any], dict[str, Tensor]]:
        """The class, its config as it is and as arguments, and the weights, all of one state of the files."""
        folder = locate(source)
        cls, raw = read_config(folder, source.id)
        if not issubclass(cls, kind):
            raise ModelError(
                f"'{source.id}' is a model of class {cls.__name__}, and one of class {kind.__name__} is needed here: choose another."
            )
        arguments = check_arguments(cls, raw)
        return cls, raw, arguments, read_weights(folder, source.weights_name, cls, arguments)

    precision = _precision(dtype)
    cls, raw, arguments, tensors = read_whole(Path(source.id), read) if isinstance(source.id, str | Path) else read()
    model = build(cls, arguments)
    _fill(model, tensors, precision)
    model.release = raw.get("_release")
    model.model_id = source.id if isinstance(source.id, str) and (is_bundled_name(source.id) or is_hub_id(source.id)) else None
    try:
        model.to(device).eval()
    except (RuntimeError, AssertionError) as error:  # no such device, or no room on it
        raise ModelError(f"The model '{source.id}' cannot be put on the device '{device}': choose another, such as 'cpu'.") from error
    model._stamped = (sum(tensor._version for tensor in model.state_dict().values()), fingerprint(tensors))
    return model


def read_config(folder: Path, id: str | Path) -> tuple[type[Model], dict[str, Any]]:
    """The class that the config in `folder` names, and the config itself, whose settings `check_arguments` judges. `ModelError`."""
    raw = read_json(model_file(folder, CONFIG_NAME))
    if not isinstance(raw, dict):
        raise ModelError(f"The config of '{id}' must be an object of settings.")
    return registered(raw.get("_class_name")), raw


def read_weights(folder: Path, name: str, cls: type[Model], arguments: dict[str, Any]) -> dict[str, Tensor]:
    """The weights in `folder`: exactly the keys and shapes of a `cls(**arguments)`, every value finite. `ModelError`."""
    with torch.device("meta"):
        wanted = {key: tuple(value.shape) for key, value in build(cls, arguments).state_dict().items()}
    return read_tensors(model_file(folder, name), wanted)


def _precision(dtype: torch.dtype | str) -> torch.dtype:
    """The number type that is meant; `ModelError` if no model computes in it."""
    found = DTYPES.get(dtype) if isinstance(dtype, str) else dtype
    if found not in PRECISIONS:
        raise ModelError(
            f"{str(dtype)[:40]!r} is not what a model can compute in: use torch.float32, torch.float16 or torch.bfloat16, or their names "
            f"{', '.join(DTYPES)}."
        )
    return found


def _fill(model: Model, tensors: dict[str, Tensor], dtype: torch.dtype) -> None:
    """Copy file values into a model that computes in `dtype`; number kinds must agree and nothing may overflow."""
    model.set_precision(dtype)
    for key, value in model.state_dict().items():
        cast = _cast(tensors[key], dtype)
        if cast.is_floating_point() != value.is_floating_point() or (cast.is_floating_point() and not bool(cast.isfinite().all())):
            raise ModelError(f"The weight {key!r} has values of the wrong kind or too large for {dtype}.")
        value.copy_(tensors[key])


def _cast(tensor: Tensor, dtype: torch.dtype | None) -> Tensor:
    return tensor.to(dtype) if dtype is not None and tensor.is_floating_point() else tensor


def check_generator_id(id: str) -> None:
    """`ModelError` unless `id`, by which a model calls the generator it belongs to, is a name, `org/name`, or empty for one without."""
    if id and not is_bundled_name(id) and not is_hub_id(id):
        raise ModelError(f"The setting 'generator_id' is neither a bundled name nor a Hub id 'org/name': {id[:60]!r}.")


def build(cls: type[ModelT], arguments: dict[str, Any]) -> ModelT:
    """`cls(**arguments)`, with whatever goes wrong in a constructor told as `ModelError`."""
    try:
        return cls(**arguments)
    except FFaceError:
        raise
    except Exception as error:
        raise ModelError(f"No {cls.__name__} can be built from this config: {str(error)[:160]}.") from error
