"""Checkpoints of the structure that the official ones have, from any weights: plain pickles with embedded storages, classes saved with
their source, others by import path, and FFaceNeRF's whole modules. Python's own pickler and `torch.save` write them.

The source in them would make a file, the *canary*, if it were ever run; and so would every class and function that they name, if it were
imported and used, which is possible within `Official.importable`.
"""

from __future__ import annotations

import io
import sys
import types
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from pickle import Pickler  # which can only write; the gate in tests/security/test_syntax_tree.py lets nothing else of it pass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from fface_hub.generators.triplane import TriplaneGenerator

RENDERING: dict[str, Any] = {
    "image_resolution": 512,
    "disparity_space_sampling": False,
    "clamp_mode": "softplus",
    "superresolution_module": "training.superresolution.SuperresolutionHybrid8XDC",
    "c_gen_conditioning_zero": False,
    "c_scale": 1,
    "superresolution_noise_mode": "none",
    "decoder_lr_mul": 1,
    "sr_antialias": True,
    "depth_resolution": 48,
    "depth_resolution_importance": 48,
    "ray_start": 2.25,
    "ray_end": 3.3,
    "box_warp": 1,
    "avg_camera_radius": 2.7,
    "avg_camera_pivot": [0, 0, 0.2],
}
BUFFERS = ("resample_filter", "noise_const", "w_avg", "dataset_label_std")
PERSISTENT = {
    "backbone": "Generator",
    "mapping": "MappingNetwork",
    "synthesis": "SynthesisNetwork",
    "superresolution": "SuperresolutionHybrid8XDC",
    "affine": "FullyConnectedLayer",
    "torgb": "ToRGBLayer",
    "conv0": "SynthesisLayer",
    "conv1": "SynthesisLayer",
}
"""Classes that are saved with their source, by the last name of a part; blocks and FC layers are the others."""


class Part:
    """A module to be saved, with what an `nn.Module` has in its `__dict__`."""

    def __init__(self, **attributes: Any) -> None:
        groups = ("_parameters", "_buffers", "_modules", "_forward_hooks")
        self.__dict__.update(training=False, _non_persistent_buffers_set=set(), **{name: OrderedDict() for name in groups}, **attributes)

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(name)


class Official:
    """Writes checkpoints. `canary` is the file that none of them may ever make; `source` is the source that they embed."""

    def __init__(self, canary: Path) -> None:
        self.canary = canary
        self.source = f"open({str(canary)!r}, 'w').close()\n" + "# as long as a real one\n" * 500
        self.modules: dict[str, types.ModuleType] = {}

        def reconstruct(meta: Any) -> None:
            canary.touch()

        self._reconstruct = self._name("torch_utils.persistence", "_reconstruct_persistent_obj", reconstruct)
        self.easy_dict = self._name("dnnlib.util", "EasyDict", type("EasyDict", (dict,), {"__setitem__": lambda *_: canary.touch()}))

    def _name(self, module: str, name: str, value: Any) -> Any:
        """`value`, made importable as `module.name`."""
        for depth in range(1, module.count(".") + 2):
            path = ".".join(module.split(".")[:depth])
            self.modules.setdefault(path, types.ModuleType(path))
        value.__module__, value.__qualname__, value.__name__ = module, name, name
        setattr(self.modules[module], name, value)
        return value

    def by_path(self, module: str, name: str, **attributes: Any) -> Part:
        """A part whose class is named by its import path."""
        known = getattr(self.modules.get(module), name, None)
        cls = known or self._name(module, name, type(name, (Part,), {"__setstate__": lambda *_: self.canary.touch()}))
        return cls(**attributes)

    def persistent(self, name: str, **attributes: Any) -> Part:
        """A part whose class is saved with its source."""
        source, reconstruct = self.source, self._reconstruct

        def reduce(self: Part) -> tuple[Any, ...]:
            meta = {"type": "class", "version": 6, "module_src": source, "class_name": name, "state": self.__dict__}
            return reconstruct, (meta,), None

        return type(name, (Part,), {"__reduce__": reduce})(**attributes)

    @contextmanager
    def importable(self) -> Iterator[None]:
        """Within the block an unpickler that imports what a pickle names finds it."""
        before = {name: sys.modules.get(name) for name in self.modules}
        sys.modules.update(self.modules)
        try:
            yield
        finally:
            for name, module in before.items():
                if module is None:
                    del sys.modules[name]
                else:
                    sys.modules[name] = module

    def network(self, state: Mapping[str, Tensor], root: Part, **attributes: Mapping[str, Any]) -> Part:
        """`root` with a part for each name with dots in `state`, holding these tensors; `attributes` of parts by their last name."""
        parts = {"": root}
        for key, value in state.items():
            path, _, leaf = key.rpartition(".")
            group = "_buffers" if leaf in BUFFERS else "_parameters"
            entry = value if leaf in BUFFERS else nn.Parameter(value, requires_grad=False)
            getattr(self._part(path, parts, attributes), group)[leaf] = entry
        renderer = self.by_path("training.volumetric_rendering.renderer", "ImportanceRenderer")
        renderer.__dict__["_modules"]["ray_marcher"] = self.by_path("training.volumetric_rendering.ray_marcher", "MipRayMarcher2")
        root.__dict__["_modules"]["renderer"] = renderer
        return root

    def _part(self, path: str, parts: dict[str, Any], attributes: Mapping[str, Mapping[str, Any]]) -> Any:
        """The part at `path`, made if need be."""
        if path not in parts:
            above, _, name = path.rpartition(".")
            if path == "decoder":
                part: Any = self.by_path("training.triplane", "OSGDecoder")
            elif above == "decoder":
                part = nn.Sequential(nn.Identity(), nn.Softplus())
            else:
                block = "SynthesisBlock" if name[0] == "b" else "FullyConnectedLayer"
                part = self.persistent(PERSISTENT.get(name, block), **attributes.get(name, {}))
            parts[path] = part
            self._part(above, parts, attributes).__dict__["_modules"][name] = part
        return parts[path]

    def attributes(self, resolution: int, settings: Mapping[str, Any], **arguments: Any) -> dict[str, Any]:
        """What a whole generator has besides its tensors."""
        rendering = self.easy_dict({**RENDERING, **settings})
        arguments = {"sr_num_fp16_res": 0, "num_fp16_res": 0, "conv_clamp": None, "rendering_kwargs": rendering, **arguments}
        return {
            "neural_rendering_resolution": resolution,
            "rendering_kwargs": rendering,
            "img_resolution": 512,
            "img_channels": 3,
            "c_dim": 25,
            "_last_planes": None,
            "_init_args": (),
            "_init_kwargs": self.easy_dict(arguments),
        }

    def pickled(self, state: Mapping[str, Tensor], resolution: int = 64, settings: Mapping[str, Any] | None = None, **other: Any) -> bytes:
        """A checkpoint of EG3D or NeRFFaceEditing. `other` are further arguments of the generator."""

        def generator() -> Part:
            return self.network(state, self.persistent("TriPlaneGenerator", **self.attributes(resolution, settings or {}, **other)))

        discriminator = self.network({"b4.fc.weight": torch.ones(2, 2)}, self.persistent("DualDiscriminator"))
        value = {
            "training_set_kwargs": self.easy_dict(class_name="training.dataset.ImageFolderDataset", path="./ffhq.zip", resolution=512),
            "G": generator() if sum(tensor.numel() for tensor in state.values()) < 10**5 else None,  # the official ones have it twice
            "D": discriminator,
            "G_ema": generator(),
            "augment_pipe": None,
            "figures": [np.float64(1.5), np.arange(3), {1, 2}, frozenset("a"), (1, 2, 3, 4), 2**70, -1.5, b"x", bytearray(b"y"), True],
        }
        file = io.BytesIO()
        with self.importable():
            Pickler(file, protocol=4).dump(value)
        return file.getvalue()

    def module(self, state: Mapping[str, Tensor], mode: str = "eyes", zipped: bool = True, resolution: int = 128) -> bytes:
        """A checkpoint of FFaceNeRF: the whole module, in PyTorch's archive or its old form."""
        attributes = self.attributes(resolution, {})
        superresolution = {"_init_kwargs": attributes.pop("_init_kwargs")}  # which only classes that come with their source have
        root = self.by_path("training.triplane_mod", f"TriPlaneGenerator_{mode}", **attributes)
        network, file = self.network(state, root, superresolution=superresolution), io.BytesIO()
        with self.importable():
            torch.save(network, file, _use_new_zipfile_serialization=zipped)
        return file.getvalue()


def pickled_value(value: Any, protocol: int = 4) -> bytes:
    """A plain pickle of any value."""
    file = io.BytesIO()
    Pickler(file, protocol).dump(value)
    return file.getvalue()


def official_state(generator: TriplaneGenerator, seed: int = 0) -> dict[str, Tensor]:
    """The tensors of `generator` and those that only the official modules have."""
    state = {key: value.clone() for key, value in generator.state_dict().items()}
    taps = torch.tensor([1.0, 3.0, 3.0, 1.0]) / 8
    random = torch.Generator().manual_seed(seed)
    for key in list(state):
        part, _, leaf = key.rpartition(".")
        if leaf == "weight" and part.endswith(("conv0", "conv1")):
            state[f"{part}.resample_filter"] = torch.outer(taps, taps)
            if part.startswith("superresolution"):
                state[f"{part}.noise_strength"] = torch.zeros([])
                state[f"{part}.noise_const"] = torch.randn(4, 4, generator=random)
    state["dataset_label_std"] = torch.ones(25)
    return state
