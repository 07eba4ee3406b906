"""FFaceNeRF's public annotations: `ws/wsNNNN.pt` (style rows of faces that NeRFFaceEditing's generator drew), `camera_params/cNNNN.pt` and
`labels_LAYOUT/labelNNNN.pt`, all tensors as `torch.save` wrote them; and edited masks, `images_test_LAYOUT/NNNN/segNNNN.png`.

Pictures are not among them: they are rendered from the style rows. The files are read as data (see `fface_hub.hub.saved`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from fface_hub.adapters.samples import Origin, Sample, SampleSet
from fface_hub.adapters.samples_labels import read_painted, resample_labels
from fface_hub.adapters.samples_rows import Value, read_camera
from fface_hub.cameras import Camera
from fface_hub.doors import read_label_colors
from fface_hub.errors import LayoutError, ModelError, naming
from fface_hub.generators.base import Generator
from fface_hub.hub.saved import load_tensor
from fface_hub.latents import Latents
from fface_hub.layouts import CHIN_20, EYES_19, NASAL_WING_17, NOSE_19, Layout
from fface_hub.progress import Callback, Step
from fface_hub.rendering.renderer import render

LAYOUT_OF = {"base": NASAL_WING_17, "62": NASAL_WING_17, "eyes": EYES_19, "nose": NOSE_19, "chin": CHIN_20}
"""Layouts by the last word of the folders of labels."""
NEAR_MISSES: dict[str, dict[tuple[int, int, int], str]] = {"chin-20": {(0, 200, 200): "jaw"}}
"""Colours that the published masks use for a class whose colour is another. Nearest colours do not tell: this one's is an ear-ring's."""
LITTLE = 0.5
"""Share of pixels that the generator labels as painted, below which the faces are hardly its own."""


@dataclass(frozen=True)
class _Annotation:
    """One face as it is in the files."""

    name: str
    latents: Latents
    camera: Camera
    labels: Tensor


def is_annotations(folder: Path) -> bool:
    """Whether `folder` is of that form."""
    return (folder / "ws").is_dir() and (folder / "camera_params").is_dir()


def import_annotations(
    generator: Generator, folder: Path, labels: Path | None, layout: Layout | None, resolution: int, callback: Callback | None = None
) -> SampleSet:
    """The faces of `folder` with the label maps of the folder `labels`, or of the only `labels_*` in it (the one of `layout`, if given).

    `generator` must be the one that drew the faces, converted. Files are read before anything is rendered; faces without all three files
    are left out, which the `notes` tell. Raises `LayoutError` and `ModelError`, each naming the file.
    """
    labels = labels or _label_folder(folder, layout)
    layout = layout or LAYOUT_OF.get(labels.name.rpartition("_")[2])
    if layout is None:
        raise LayoutError(f"The layout of the label maps in '{labels.name}' is not known: give it with --layout.")
    notes = list[str]()
    rows, cameras = _numbered((folder / "ws").glob("ws*.pt")), _numbered((folder / "camera_params").glob("c*.pt"))
    maps = _numbered([*labels.glob("label*.pt"), *labels.glob("seg*.png"), *labels.glob("*/seg*.png")])
    if not maps:
        raise ModelError(f"There are no label maps in '{labels.name}': they are called labelNNNN.pt or segNNNN.png.")
    found = []
    for number, path in sorted(maps.items()):
        if number not in rows or number not in cameras:
            notes.append(f"'{path.name}' has no {'style rows' if number not in rows else 'camera'} of that number and was left out.")
            continue
        latents = _named(rows[number], lambda path: _read_rows(path, generator))
        camera = _named(cameras[number], _read_camera)
        ids = _named(path, lambda path, layout=layout: _read_labels(path, layout, notes))
        found.append(_Annotation(path.stem, latents, camera, resample_labels(ids, 0, 0, len(ids), resolution)))
    if not found:
        raise ModelError(f"None of the {len(maps)} label maps in '{labels.name}' has style rows and a camera in '{folder.name}'.")
    if any(path.suffix == ".png" for path in maps.values()):
        notes.append(
            "Edited masks say what a face should become: where they differ from it, they are targets for edit, and teach no adapter."
        )
    return SampleSet(layout, tuple(_rendered(generator, found, layout, notes, callback)), tuple(notes))


def _label_folder(folder: Path, layout: Layout | None) -> Path:
    """The one folder of labels in `folder`, or the one of these that has `layout`."""
    known = sorted(path for path in folder.glob("labels_*") if path.is_dir())
    fitting = [path for path in known if layout is None or LAYOUT_OF.get(path.name.rpartition("_")[2]) == layout]
    if len(fitting) != 1:
        names = ", ".join(path.name for path in known) or "none"
        raise ModelError(f"Say with --labels which folder of label maps to take: there are {names} in '{folder.name}'.")
    return fitting[0]


def _numbered(paths: Iterable[Path]) -> dict[int, Path]:
    """Files by the number at the end of their names; there are gaps, and templates without a number are none of them."""
    found = ((re.fullmatch(r"[a-z]+(\d{1,9})", path.stem), path) for path in sorted(paths))
    return {int(match[1]): path for match, path in found if match is not None}


def _named(path: Path, read: Callable[[Path], Value]) -> Value:
    """`read(path)`, with the file's name in front of what is wrong with it."""
    with naming(path.name):
        return read(path)


def _read_rows(path: Path, generator: Generator) -> Latents:
    """Style rows, the same for geometry and appearance."""
    rows, wanted = load_tensor(path), generator.mean_latents().geometry.shape[1:]
    if not rows.is_floating_point() or rows.ndim != 3 or len(rows) != 1 or rows.shape[1:] != wanted:
        raise ModelError(
            f"these are {str(list(rows.shape))[:60]} numbers, and the generator takes {[1, *wanted]}: convert the one that drew the faces "
            "(NeRFFaceEditing's, with 'fface-hub convert'), and give it with --generator."
        )
    return Latents(rows.float(), rows.float()[:, None])


def _read_camera(path: Path) -> Camera:
    """A camera whose numbers a GPU rounded, made exactly orthonormal."""
    numbers = load_tensor(path)
    return read_camera(numbers.flatten().tolist() if numbers.is_floating_point() and numbers.numel() == 25 else None)


def _read_labels(path: Path, layout: Layout, notes: list[str]) -> Tensor:
    """Class ids int64 `[h,h]` of a tensor or of a mask in the layout's colours."""
    ids = _read_mask(path, layout, notes) if path.suffix == ".png" else load_tensor(path)
    if ids.ndim != 2 or ids.shape[0] != ids.shape[1] or not ids.numel() or ids.is_floating_point() or ids.dtype == torch.bool:
        raise LayoutError(f"a label map must be a square of class ids, and this is {str(list(ids.shape))[:60]} of {ids.dtype}.")
    ids = ids.long()
    if int(ids.min()) < 0 or int(ids.max()) >= len(layout):
        raise LayoutError(
            f"its class ids go from {int(ids.min())} to {int(ids.max())}, and the layout '{layout.name}' has {len(layout)} classes."
        )
    return ids


def _read_mask(path: Path, layout: Layout, notes: list[str]) -> Tensor:
    """Class ids of a mask; colours that are known to mean another class are taken as that, and reported."""
    colors = read_label_colors(path).copy()
    for color, name in NEAR_MISSES.get(layout.name, {}).items():
        meant = (colors == np.array(color, np.uint8)).all(axis=2)
        if meant.any():
            right = layout.classes[layout.index(name)].color
            colors[meant] = right
            notes.append(
                f"'{path.name}': {int(meant.sum())} pixels ({meant.mean():.1%}) are painted {color}, which is no class; they were taken as "
                f"'{name}' {right}, which they are meant to be."
            )
    painted = read_painted(Image.fromarray(colors), layout)
    if painted.snapped:
        notes.append(f"'{path.name}': {painted.snapped} pixels were in colours of no class and took the nearest one around.")
    return painted.labels


@torch.no_grad()
def _rendered(generator: Generator, found: list[_Annotation], layout: Layout, notes: list[str], callback: Callback | None) -> list[Sample]:
    """The samples with their pictures. That labels and pictures go together is looked at on the way."""
    samples, shares, origin = [], [], Origin.of(generator)
    try:
        table = layout.table_to(generator.layout) if len(generator.layout) > 1 else None
    except LayoutError:
        table = None
    device = generator.mean_latents().geometry.device
    for index, item in enumerate(found, 1):
        view = render(generator.scene(item.latents.to(device)), item.camera.to(device), len(item.labels))
        if table is not None:
            shares.append(float((view.labels[0].cpu() == table[item.labels]).float().mean()))
        samples.append(Sample(view.image[0].cpu(), item.labels, item.camera, item.latents, origin, item.name))
        if callback is not None:
            callback(Step(index, len(found), {}))
    if shares and (share := sum(shares) / len(shares)) < LITTLE:
        notes.append(
            f"The generator itself labels only {share:.0%} of the pixels as they are painted: is it the one that drew these faces?"
        )
    return samples
