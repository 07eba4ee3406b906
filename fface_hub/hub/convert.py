"""Official checkpoints, which everybody downloads under their own licence, become models of this program.

`fface-hub convert FILE OUT` reads a pickle of EG3D or NeRFFaceEditing, or a whole module that FFaceNeRF saved, without running anything of
it, and writes a model folder with its card; of FFaceNeRF's, the adapter goes into a second one, OUT-adapter.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from fface_hub.adapters.adapter import Adapter
from fface_hub.doors import check_shapes
from fface_hub.errors import LayoutError, ModelError
from fface_hub.generators.triplane import TriplaneGenerator
from fface_hub.hub.card_facts import escape
from fface_hub.hub.cards import save_with_card
from fface_hub.hub.official import Official, read_official
from fface_hub.hub.push import push_model
from fface_hub.hub.saved import Array
from fface_hub.layouts import CHIN_20, EYES_19, NASAL_WING_17, NOSE_19, Layout
from fface_hub.models import Model, ModelT, build
from fface_hub.schema import check_arguments
from fface_hub.sources import is_hub_id

MODES: dict[str, Layout] = {"base": NASAL_WING_17, "eyes": EYES_19, "nose": NOSE_19, "chin": CHIN_20}
"""FFaceNeRF's layouts, by the words for them in the names of its files."""
ADAPTER_ENDING = "-adapter"
UNLABELLED = (
    "It has no class labels, since EG3D has none: pictures, depth and views work; painting and editing need 'fface-hub label' first."
)


@dataclass
class Conversion:
    """What came of a checkpoint of `release`: the `generator`, the `adapter` that was with it, how many tensors were `taken`, the names of
    those that were `left_out` by the reason, `notes` for the user, in Markdown where they come from (`provenance`), and the `urls` of what
    was pushed."""

    release: str
    generator: TriplaneGenerator
    adapter: Adapter | None
    taken: int
    left_out: dict[str, list[str]]
    notes: list[str]
    provenance: str
    urls: list[str] = field(default_factory=list)

    @property
    def models(self) -> list[Model]:
        """The generator, and the adapter if there is one."""
        return [self.generator, *([] if self.adapter is None else [self.adapter])]


def convert(path: str | Path, out: str | Path, push: str | None = None, layout: Layout | None = None) -> Conversion:
    """Convert the checkpoint at `path` into the model folder `out`, and its adapter, if it has one, into `out`-adapter.

    With `push`, both are also uploaded to `org/name` (and `org/name`-adapter) as private repositories: whether they may be public is a
    question to the checkpoint's licence. `layout` is the adapter's, where neither its size nor the file's name says which it is. Raises
    `ModelError` and `LayoutError`; what is wrong with the file is told before anything is written.
    """
    if push is not None and not (is_hub_id(push) and is_hub_id(push + ADAPTER_ENDING)):
        raise ModelError(f"'{push[:80]}' is not a valid Hub id: write it as 'org/name'.")
    conversion = read_checkpoint(path, push or "", layout)
    for model, ending in zip(conversion.models, ("", ADAPTER_ENDING), strict=False):
        folder = Path(f"{Path(out).resolve()}{ending}")
        save_with_card(model, folder, conversion.provenance, f"{push}{ending}" if push else None)
    if push is not None:
        for model, ending in zip(conversion.models, ("", ADAPTER_ENDING), strict=False):
            conversion.urls.append(push_model(model, push + ending, private=True, provenance=conversion.provenance))
    return conversion


def read_checkpoint(path: str | Path, generator_id: str = "", layout: Layout | None = None) -> Conversion:
    """The models in the checkpoint at `path`; `generator_id` is what its adapter will call the generator. Errors as in `convert`."""
    path = Path(path)
    official = read_official(path)
    arrays = [*official.weights.values(), *official.adapter.values()]
    if sum(array.nbytes for array in arrays) > path.stat().st_size:
        raise ModelError(f"'{path.name}' cannot be converted: its weights share their numbers, as those of official checkpoints do not.")
    generator = _generator(official, path.name)
    adapter = _adapter(official, path, generator, generator_id, layout) if official.adapter else None
    notes = [*([UNLABELLED] if official.release == "eg3d" else []), *official.notes]
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    provenance = f"The file was {escape(path.name[:200])} (SHA-256 `{digest}`)."
    if official.conditioning != 1:
        notes.append(f"It takes cameras times {official.conditioning:g}, which is now in the weights of their embedding.")
        provenance += f" {notes[-1]}"
    return Conversion(official.release, generator, adapter, len(arrays), official.left_out, notes, provenance)


def _generator(official: Official, name: str) -> TriplaneGenerator:
    """The generator with exactly the weights of the file. `ModelError` for any too many, too few, of another shape or not finite."""
    arguments = check_arguments(TriplaneGenerator, official.arguments)
    with torch.device("meta"):
        wanted = {key: tuple(value.shape) for key, value in build(TriplaneGenerator, arguments).state_dict().items()}
    check_shapes({key: array.shape for key, array in official.weights.items()}, wanted, name)
    state = _tensors(official.weights, name)
    if official.conditioning != 1:
        state["backbone.mapping.embed.weight"] *= official.conditioning
    return _filled(build(TriplaneGenerator, arguments), state, official.release)


def _adapter(official: Official, path: Path, generator: TriplaneGenerator, generator_id: str, layout: Layout | None) -> Adapter:
    """FFaceNeRF's adapter on the `generator`. `ModelError`, and `LayoutError` if its layout cannot be told."""
    shapes = {key: array.shape for key, array in official.adapter.items()}
    first, last = (shapes.get(f"net.{layer}.weight", ()) for layer in (0, 2))
    features, geometry = generator.config["plane_channels"], 1 + len(generator.layout)
    if len(first) != 2 or len(last) != 2 or first[1] == geometry:
        raise ModelError(
            f"'{path.name}' cannot be converted: its adapter reads no features of the generator, as in FFaceNeRF's ablation 'simple'."
        )
    layout = layout or _layout_of(path.stem, last[0])
    if len(layout) != last[0]:
        raise LayoutError(f"The adapter in '{path.name}' has {last[0]} classes, and the layout '{layout.name}' has {len(layout)}.")
    fingerprint = generator.fingerprint
    adapter = Adapter(layout.to_dict(), generator_id or "unnamed", fingerprint, features, geometry, first[0])
    check_shapes(shapes, {key: tuple(value.shape) for key, value in adapter.state_dict().items()}, path.name)
    return _filled(adapter, _tensors(official.adapter, path.name), official.release)


def _layout_of(stem: str, classes: int) -> Layout:
    """FFaceNeRF's layout of so many classes; of two, the one that the file is named after."""
    found = {mode: layout for mode, layout in MODES.items() if len(layout) == classes}
    if len(found) > 1:
        found = {mode: layout for mode, layout in found.items() if mode in re.split("[^a-z]+", stem.lower())}
    if len(found) != 1:
        names = " or ".join(layout.name for layout in MODES.values() if len(layout) == classes) or f"one of {classes} classes"
        raise LayoutError(f"The adapter has {classes} classes, and the file's name does not say in which layout: give --layout ({names}).")
    return next(iter(found.values()))


def _tensors(arrays: Mapping[str, Array], name: str) -> dict[str, Tensor]:
    """The weights as float32. `ModelError` unless all are finite numbers."""
    state = {}
    for key, array in arrays.items():
        tensor = array.tensor().float() if array.dtype.is_floating_point else None
        if tensor is None or not bool(tensor.isfinite().all()):
            raise ModelError(f"The weight {key[:80]!r} in '{name}' holds values that are not finite numbers: the file cannot be used.")
        state[key] = tensor
    return state


def _filled(model: ModelT, state: dict[str, Tensor], release: str) -> ModelT:
    """`model` with these weights, which are those of `release`."""
    model.load_state_dict(state, strict=True)
    model.release = release
    return model.eval()
