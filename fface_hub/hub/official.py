"""The official checkpoints of EG3D, NeRFFaceEditing and FFaceNeRF: which tensors and settings a file holds, and what they are here.

Parameter names are the same on both sides (see `generators/triplane.py`). Sizes follow from the tensors' shapes, what is rendered and how
from the attributes that the module was saved with. `LEFT_OUT` names the only tensors that are not taken over, each with its reason.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fface_hub.errors import ModelError
from fface_hub.hub.saved import Array, load_saved
from fface_hub.hub.unpickle import Made

MAX_ENTRIES = 20_000
"""Parts and tensors of a network that are looked at; official ones have about five hundred."""
MAX_DEPTH = 16
LEFT_OUT = {
    r"dataset_label_std": "the spread of the training cameras, which only training reads",
    r"(.+\.)?resample_filter": "the constant filter [1, 3, 3, 1], which the layers here have built in (the values were compared)",
    r"superresolution\..+\.noise_(const|strength)": "noise of the super-resolution, which is switched off in these models",
}
"""Tensors without a place here, by the pattern of their names."""
ADAPTER = "decoder.geo_net_appdx."
FIXED = {
    "clamp_mode": "softplus",
    "disparity_space_sampling": False,
    "superresolution_noise_mode": "none",
    "sr_antialias": True,
    "decoder_lr_mul": 1,
}
"""Rendering settings that all of the official models share, and the only values that this program has."""
SUPERRESOLUTION = "SuperresolutionHybrid8XDC"


@dataclass(frozen=True)
class Official:
    """What a file of `release` holds: `arguments` of a `TriplaneGenerator` and its `weights`, `adapter` weights (of FFaceNeRF's, else
    empty), the names that were `left_out` by reason, the factor `conditioning` of the mapping's camera, and `notes` for the user."""

    release: str
    arguments: dict[str, Any]
    weights: dict[str, Array]
    adapter: dict[str, Array]
    left_out: dict[str, list[str]]
    conditioning: float = 1.0
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Module:
    """A saved module: its tensors and its stand-ins, itself included, by their names with dots (its own is empty)."""

    tensors: dict[str, Array]
    parts: dict[str, Made]

    def attribute(self, part: str, name: str) -> Any:
        """An attribute of the part, or an argument that it was made with; None if it has neither."""
        state = self.parts[part].state if part in self.parts else {}
        arguments = state.get("_init_kwargs")
        return state.get(name, arguments.get(name) if isinstance(arguments, dict) else None)


def read_official(path: str | Path) -> Official:
    """What the checkpoint at `path` holds. Nothing of it is run. Raises `ModelError` for files that are none of the three."""
    name = Path(path).name
    value = load_saved(path)
    module = _walk(value["G_ema"] if isinstance(value, dict) and "G_ema" in value else value, name)
    if not any(key.startswith("decoder.") for key in module.tensors) or "backbone" not in module.parts:
        raise ModelError(f"'{name}' {NOT_OFFICIAL}: it holds another network.")
    adapter = {f"net.{key.removeprefix(ADAPTER)}": array for key, array in module.tensors.items() if key.startswith(ADAPTER)}
    weights, left_out = {}, dict[str, list[str]]()
    for key, array in module.tensors.items():
        reason = next((reason for pattern, reason in LEFT_OUT.items() if re.fullmatch(pattern, key)), None)
        if reason is not None:
            left_out.setdefault(reason, []).append(key)
        elif not key.startswith(ADAPTER):
            weights[key] = array
    _check_filters(module, name)
    release = "ffacenerf" if adapter else "eg3d" if "decoder.net.0.weight" in weights else "nerffaceediting"
    settings = _settings(module, name)
    notes = []
    if module.attribute("", "num_fp16_res") and module.attribute("", "conv_clamp") is not None:
        notes.append("Its backbone clamps extreme values in half precision, which this program does not: pictures may differ a little.")
    arguments = {**_sizes(weights, name), **_rendering(module, settings, name), "decoder": "eg3d" if release == "eg3d" else "disentangled"}
    conditioning = 0.0 if settings.get("c_gen_conditioning_zero") is True else _number(settings, "c_scale", name, 1.0)
    return Official(release, arguments, weights, adapter, left_out, conditioning, notes)


NOT_OFFICIAL = "is no checkpoint of EG3D, NeRFFaceEditing or FFaceNeRF"


def _walk(root: Any, name: str) -> Module:
    """All tensors and parts below `root`; `ModelError` if it is no module."""
    if not isinstance(root, Made) or not isinstance(root.state.get("_modules"), dict):
        raise ModelError(f"'{name}' {NOT_OFFICIAL}: it has no network 'G_ema', nor is it one.")
    module, waiting, entries = Module({}, {}), [("", root)], 0
    while waiting:
        path, part = waiting.pop()
        module.parts[path] = part
        for group in ("_parameters", "_buffers", "_modules"):
            found = part.state.get(group)
            found = found if isinstance(found, dict) else {}
            entries += 1 + len(found)
            if entries > MAX_ENTRIES or path.count(".") > MAX_DEPTH:
                raise ModelError(f"'{name}' {NOT_OFFICIAL}: its network has too many parts.")
            for key, value in found.items():
                if not isinstance(key, str) or not re.fullmatch(r"\w{1,80}", key):
                    raise ModelError(f"'{name}' {NOT_OFFICIAL}: parts of its network have impossible names.")
                full = f"{path}.{key}" if path else key
                if isinstance(value, Array) and group != "_modules":
                    module.tensors[full] = value
                elif isinstance(value, Made) and group == "_modules":
                    waiting.append((full, value))
    return module


def _check_filters(module: Module, name: str) -> None:
    """`ModelError` if a filter is another than the one that is built in."""
    taps = (1 / 8, 3 / 8, 3 / 8, 1 / 8)
    for key, array in module.tensors.items():
        if key.split(".")[-1] == "resample_filter":
            fits = array.shape == (4, 4) and array.dtype.is_floating_point
            rows = array.tensor().tolist() if fits else []
            if not fits or any(abs(rows[i][j] - taps[i] * taps[j]) > 1e-6 for i in range(4) for j in range(4)):
                raise ModelError(f"'{name}' {NOT_OFFICIAL}: its layers filter in another way ({key[:80]}).")


def _settings(module: Module, name: str) -> dict[str, Any]:
    """The rendering settings, those that cannot be chosen here checked. `ModelError`."""
    settings = module.attribute("", "rendering_kwargs")
    if not isinstance(settings, dict):
        raise ModelError(f"'{name}' {NOT_OFFICIAL}: it does not say how it is rendered.")
    for key, value in FIXED.items():
        if settings.get(key, value) != value:
            raise ModelError(
                f"'{name}' cannot be converted: its setting {key} is {_shown(settings[key])}, and only {value!r} is supported."
            )
    kind = settings.get("superresolution_module", SUPERRESOLUTION)
    if not isinstance(kind, str) or kind.rpartition(".")[2] != SUPERRESOLUTION:
        raise ModelError(
            f"'{name}' cannot be converted: its super-resolution is {_shown(kind)}, and only that of the 512² models, {SUPERRESOLUTION}, "
            "is supported."
        )
    return settings


def _shown(value: Any) -> str:
    return repr(value)[:80] if isinstance(value, str | int | float) else "of another kind"


def _sizes(weights: Mapping[str, Array], name: str) -> dict[str, Any]:
    """The arguments that follow from shapes; whether all shapes agree with them is judged later."""

    def shape(key: str, dimensions: int) -> tuple[int, ...]:
        found = weights[key].shape if key in weights else ()
        if len(found) != dimensions:
            raise ModelError(f"'{name}' {NOT_OFFICIAL}: it has no weight '{key}' of {dimensions} dimensions.")
        return found

    latent = shape("backbone.mapping.embed.weight", 2)[0]
    found = (re.fullmatch(r"backbone\.synthesis\.b(\d{1,4})\.conv1\.weight", key) for key in weights)
    widths = {int(match[1]): shape(match[0], 4)[0] for match in found if match is not None}
    if not widths or min(widths) < 1:
        raise ModelError(f"'{name}' {NOT_OFFICIAL}: its backbone has no blocks.")
    top = max(widths)
    decoder = "decoder.net" if "decoder.net.0.weight" in weights else "decoder.geo_net"
    outputs = "decoder.net.2.weight" if decoder == "decoder.net" else "decoder.app_net.2.weight"
    return {
        "z_dim": shape("backbone.mapping.fc0.weight", 2)[1] - latent,
        "mapping_layers": sum(re.fullmatch(r"backbone\.mapping\.fc\d+\.weight", key) is not None for key in weights),
        "latent_dim": latent,
        "plane_resolution": top,
        "plane_channels": shape(f"backbone.synthesis.b{top}.torgb.weight", 4)[0] // 3,
        "channel_base": widths[top] * top,
        "channel_max": max(widths.values()),
        "noise": f"backbone.synthesis.b{top}.conv1.noise_const" in weights,
        "decoder_hidden": shape(f"{decoder}.0.weight", 2)[0],
        "color_channels": shape(outputs, 2)[0] - (decoder == "decoder.net"),
    }


def _rendering(module: Module, settings: Mapping[str, Any], name: str) -> dict[str, Any]:
    """The arguments that follow from attributes. `ModelError`."""
    latent, inputs = module.tensors["backbone.mapping.fc0.weight"].shape
    for key, real in (("z_dim", inputs - latent), ("w_dim", latent)):
        said = module.attribute("", key)
        if said is not None and said != real:
            raise ModelError(f"'{name}' cannot be converted: it says that {key} is {_shown(said)}, and its weights are for {real}.")
    resolution = module.attribute("", "neural_rendering_resolution")
    if type(resolution) is not int:
        raise ModelError(f"'{name}' {NOT_OFFICIAL}: it does not say at which resolution its volume is rendered.")
    pivot = settings.get("avg_camera_pivot", [0, 0, 0.2])
    if not isinstance(pivot, list | tuple) or len(pivot) != 3:
        raise ModelError(f"'{name}' cannot be converted: its setting avg_camera_pivot is no point.")
    half = module.attribute("", "sr_num_fp16_res")
    half = module.attribute("superresolution", "sr_num_fp16_res") if half is None else half
    return {
        "resolution": resolution,
        "superresolution": "8x_dc",
        "superresolution_clamp": None if half == 0 else 256.0,  # half precision brings the clamp with it; official models have both
        "background": "white" if settings.get("white_back") is True else "black",
        "near": _number(settings, "ray_start", name),
        "far": _number(settings, "ray_end", name),
        "box_warp": _number(settings, "box_warp", name),
        "camera_radius": _number(settings, "avg_camera_radius", name, 2.7),
        "camera_pivot": tuple(_number({"avg_camera_pivot": n}, "avg_camera_pivot", name) for n in pivot),
    }


def _number(settings: Mapping[str, Any], key: str, name: str, default: float | None = None) -> float:
    """A number of the settings. `ModelError` if it is none, as 'auto' is for the near and far of other data sets."""
    value = settings.get(key, default)
    if type(value) not in (int, float):
        raise ModelError(f"'{name}' cannot be converted: its setting {key} is {_shown(value)}, and a number is needed.")
    return float(value)
