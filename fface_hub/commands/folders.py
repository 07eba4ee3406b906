"""Face folders: what `generate`, `invert` and `edit` write, and what `edit` and `render` start from.

An inversion's folder (see `Inversion.save`; a drawn face is an inversion without tuning), and beside it `face.json` (which generator it
belongs to), `picture.png` and `labels.png`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path

from fface_hub.compute import Compute
from fface_hub.doors import read_json, save_label_map
from fface_hub.errors import ModelError
from fface_hub.files import current_folder, is_folder, replaced_folder
from fface_hub.generators.base import Generator, Rendering
from fface_hub.inversion.inversion import FILES, Inversion
from fface_hub.layouts import Layout
from fface_hub.rendering.export import save_png

RECORD = "face.json"


@dataclass(frozen=True)
class Face:
    """One face of the published generator `original`, which is called `generator_id`; a tuned copy of it is in the `inversion`."""

    inversion: Inversion
    original: Generator
    generator_id: str


def load_generator(generator_id: str, compute: Compute) -> Generator:
    """The generator of this name, ready to `compute`; `ModelError` if it cannot be had."""
    return Generator.from_pretrained(generator_id, dtype=compute.dtype, device=compute.device)


def draw_face(generator_id: str, generator: Generator, seed: int, truncation: float = 0.7) -> Face:
    """The face of a seed before the default camera."""
    return Face(Inversion(generator.sample(1, seed, truncation), generator.default_camera, generator), generator, generator_id)


def load_face(source: str, generator_id: str, compute: Compute) -> Face:
    """The face of a folder, or of a seed if `source` is a whole number (and no folder of that name exists).

    A folder names its own generator; `generator_id` is for seeds. Raises `ModelError`.
    """
    folder = current_folder(Path(source)) if is_folder(Path(source)) else Path(source)
    if source.isdecimal() and not folder.exists():
        if int(source) >= 2**31:
            raise ModelError(f"The seed {source[:30]} is too large: use a whole number below {2**31}.")
        return draw_face(generator_id, load_generator(generator_id, compute), int(source))
    if not (folder / RECORD).is_file():
        raise ModelError(f"'{source[:200]}' is no face: give a folder that generate, invert or edit wrote, or a whole number as seed.")
    record = read_json(folder / RECORD)
    if not isinstance(record, dict) or not isinstance(record.get("generator"), str):
        raise ModelError(f"The file {RECORD} in '{folder.name}' does not say which generator the face belongs to: make the folder again.")
    original = load_generator(record["generator"], compute)
    inversion = Inversion.load(folder, original)
    latents, mean = inversion.latents, original.mean_latents()
    if len(latents) != 1 or latents.geometry.shape != mean.geometry.shape or latents.appearance.shape[2:] != mean.appearance.shape[2:]:
        raise ModelError(f"The latents in '{folder.name}' are not those of one face of the generator '{record['generator']}'.")
    on_device = replace(inversion, latents=latents.to(compute.device), camera=inversion.camera.to(compute.device))
    return Face(on_device, original, record["generator"])


def save_face(folder: Path, face: Face, rendering: Rendering, layout: Layout) -> None:
    """Write `face` and its `rendering`, whose labels are of `layout`, in one step. Raises `OSError`; then all is as before."""
    name = str(Path(face.generator_id).resolve()) if Path(face.generator_id).is_dir() else face.generator_id
    with replaced_folder(folder, FILES) as new:
        face.inversion.write(new, face.original)
        save_png(rendering.image[0], new / "picture.png")
        save_label_map(rendering.labels[0].cpu(), layout, new / "labels.png")
        (new / RECORD).write_text(json.dumps({"generator": name}) + "\n", encoding="utf-8")
