"""A face in one file: what a face folder holds of an inversion, as safetensors, for programs that hand faces to and fro.

Its tensors are `generator` (the 32 bytes of its fingerprint), `camera` (EG3D's 25 numbers), `latents.…` and, where there are such,
`backdrop.…`, `retouch.…` and `tuning.…`. Never the photo; but the face can be told from it, and what was behind it.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from fface_hub.cameras import Camera
from fface_hub.doors import read_tensors
from fface_hub.errors import ModelError
from fface_hub.files import write_tensors
from fface_hub.generators.base import Generator
from fface_hub.inversion.inversion import (
    LARGEST,
    Inversion,
    differences,
    part_tensors,
    read_backdrop,
    read_retouch,
    with_differences,
)
from fface_hub.latents import Latents

PARTS = ("latents", "backdrop", "retouch", "tuning")


def save_face_file(face: Inversion, original: Generator, path: str | Path) -> None:
    """Write `face`, of the published generator `original`, into one file. `OSError`."""
    parts = {
        "latents": face.latents.tensors(),
        "backdrop": {} if face.backdrop is None else part_tensors(face.backdrop),
        "retouch": {} if face.retouch is None else part_tensors(face.retouch),
        "tuning": differences(original, face.generator),
    }
    tensors = {f"{part}.{key}": value for part, named in parts.items() for key, value in named.items()}
    tensors["generator"] = _bytes(original.fingerprint)
    tensors["camera"] = face.camera.to_vector()[0]
    write_tensors({name: value.detach().cpu().contiguous() for name, value in tensors.items()}, path)


def load_face_file(path: str | Path, generator: Generator) -> Inversion:
    """Inverse of `save_face_file`, for the `generator` it was made with and on its device. Raises `ModelError` for another generator, and
    for a file that holds no such face."""
    name = Path(path).name
    tensors = read_tensors(path)
    origin, camera = tensors.pop("generator", None), tensors.pop("camera", None)
    parts: dict[str, dict[str, Tensor]] = {part: {} for part in PARTS}
    for key, value in tensors.items():
        part, _, rest = key.partition(".")
        if part not in parts:
            raise ModelError(f"The file '{name}' is no face: it holds a tensor {key[:80]!r}, which no face has.")
        parts[part][rest] = value
    if origin is None or camera is None or not {"geometry", "appearance"} <= set(parts["latents"]):
        raise ModelError(f"The file '{name}' is no face: it lacks its latents, its camera or the name of its generator.")
    if not torch.equal(origin, _bytes(generator.fingerprint)):
        raise ModelError("This face was made with another generator: load that generator, or make the face again.")
    if camera.shape != (25,) or not camera.is_floating_point() or not bool((camera.abs() < LARGEST).all()):
        raise ModelError(f"The camera in '{name}' is damaged: make the face again.")
    device = generator.mean_latents().geometry.device
    return Inversion(
        _latents(parts["latents"], generator, name).to(device),
        Camera.from_vector(camera[None].float()).to(device),
        with_differences(generator, parts["tuning"]),
        read_backdrop(parts["backdrop"], name, device) if parts["backdrop"] else None,
        retouch=read_retouch(parts["retouch"], name, device) if parts["retouch"] else None,
    )


def _bytes(fingerprint: str) -> Tensor:
    return torch.tensor(list(bytes.fromhex(fingerprint)), dtype=torch.uint8)


def _latents(tensors: dict[str, Tensor], generator: Generator, name: str) -> Latents:
    """One face of `generator`; `ModelError` for other shapes."""
    latents, mean = Latents.from_tensors(tensors, name), generator.mean_latents()
    if latents.geometry.shape != mean.geometry.shape or latents.appearance.shape[2:] != mean.appearance.shape[2:]:
        raise ModelError(f"The latents in '{name}' are not those of one face of this generator: make the face again.")
    return latents
