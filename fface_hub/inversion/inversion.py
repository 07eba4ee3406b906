"""What an inversion finds: a face, the camera that saw it, and what the generator had to learn for it; saved without the photo."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn

from fface_hub.cameras import Camera
from fface_hub.doors import read_json, read_tensors
from fface_hub.editing.composite import face_scene
from fface_hub.errors import ModelError
from fface_hub.files import current_folder, read_whole, replaced_folder, write_tensors
from fface_hub.generators.base import Generator, Scene
from fface_hub.inversion.align import FaceCrop
from fface_hub.inversion.backdrop import Backdrop, BackdropScene
from fface_hub.inversion.retouch import Retouch
from fface_hub.latents import Latents

VERSION = 1
LARGEST = 1e6
"""Limit of a camera's numbers: far beyond it float32 would give rays without a direction."""
CONFIG_FILE, LATENTS_FILE, TUNING_FILE, BACKDROP_FILE, RETOUCH_FILE = (
    "inversion.json",
    "latents.safetensors",
    "tuning.safetensors",
    "backdrop.safetensors",
    "retouch.safetensors",
)
FILES = (CONFIG_FILE, LATENTS_FILE, TUNING_FILE, BACKDROP_FILE, RETOUCH_FILE)


@dataclass(frozen=True)
class Inversion:
    """A photographed face in a generator's terms.

    `latents` and `camera` (batches of one); `generator`, a tuned copy or the one that was given; `retouch`, colours that it could not make,
    or None; `backdrop` behind the head, or None for the generator's own background; `image [1,3,H,W]` in [-1, 1], the cropped photo (None
    after loading: it is never saved); `crop`, where it was cut, if a face was looked for; `losses` at the end; `seconds` taken. Of several
    photos these are the first one's, and `others [N-1]` are the cameras of the rest.
    """

    latents: Latents
    camera: Camera
    generator: Generator
    backdrop: Backdrop | None = None
    image: Tensor | None = None
    crop: FaceCrop | None = None
    losses: Mapping[str, float] = field(default_factory=dict)
    seconds: float = 0.0
    retouch: Retouch | None = None
    others: Camera | None = None

    def scene(self, latents: Latents | None = None) -> Scene:
        """The scene of `latents` (None: the photographed face; else an edited one, say) by this generator, retouched, before this
        backdrop."""
        over = None if self.retouch is None else self.retouch.over
        scene = face_scene(self.generator, self.latents if latents is None else latents, over=over)
        return scene if self.backdrop is None else BackdropScene(scene, self.backdrop)

    def save(self, folder: str | Path, original: Generator) -> None:
        """Write into `folder`, in one step: latents, camera, retouch, backdrop and what tuning changed in `original` (float16 differences).
        Never the photo. Other files there are kept. Raises `OSError`; then all is as before."""
        with replaced_folder(folder, FILES) as new:
            self.write(new, original)

    def write(self, folder: Path, original: Generator) -> None:
        """Write the files of `save` into a folder that is there."""
        config = {
            "version": VERSION,
            "fingerprint": original.fingerprint,
            "camera": self.camera.to_vector()[0].tolist(),
            "others": [] if self.others is None else self.others.to_vector().tolist(),
            "losses": dict(self.losses),
            "seconds": self.seconds,
        }
        (folder / CONFIG_FILE).write_text(json.dumps(config, indent=2, allow_nan=False), encoding="utf-8")
        self.latents.save(folder / LATENTS_FILE)
        write_tensors(differences(original, self.generator), folder / TUNING_FILE)
        for name, part in ((BACKDROP_FILE, self.backdrop), (RETOUCH_FILE, self.retouch)):
            if part is not None:
                write_tensors(part_tensors(part), folder / name)

    @staticmethod
    def load(folder: str | Path, generator: Generator) -> Inversion:
        """Inverse of `save`, for the `generator` it was made with and on its device.

        Raises `ModelError` for another generator, and for damaged files.
        """
        place = Path(folder)
        return read_whole(place, lambda: _read(current_folder(place), generator))


def _read(folder: Path, generator: Generator) -> Inversion:
    """`Inversion.load`, of a folder that nobody replaces meanwhile."""
    config = read_json(folder / CONFIG_FILE)
    if not isinstance(config, dict) or config.get("version") != VERSION or not _is_numbers(config.get("camera"), 25):
        raise ModelError(f"The folder '{folder.name}' holds no inversion that this program can read: invert the photo again.")
    if config.get("fingerprint") != generator.fingerprint:
        raise ModelError("This inversion was made with another generator: load that generator, or invert the photo again.")
    others = config.get("others", [])
    if not isinstance(others, list) or not all(_is_numbers(one, 25) for one in others):
        raise ModelError(f"The further cameras in '{folder.name}' are damaged: invert the photos again.")
    device = generator.mean_latents().geometry.device
    cameras = Camera.from_vector(torch.tensor([config["camera"], *others], dtype=torch.float32)).to(device)
    backdrop, retouch = (read_tensors(folder / name) if (folder / name).exists() else None for name in (BACKDROP_FILE, RETOUCH_FILE))
    return Inversion(
        Latents.load(folder / LATENTS_FILE).to(device),
        cameras[0],
        with_differences(generator, read_tensors(folder / TUNING_FILE)),
        None if backdrop is None else read_backdrop(backdrop, folder.name, device),
        retouch=None if retouch is None else read_retouch(retouch, folder.name, device),
        others=cameras[1:] if others else None,
    )


def part_tensors(part: Backdrop | Retouch) -> dict[str, Tensor]:
    """A backdrop or a retouch as it is saved, on the CPU: `read_backdrop` and `read_retouch` are the ways back."""
    if isinstance(part, Backdrop):
        tensors = {"texture": part.texture.half(), "camera": part.camera.to_vector()[0]}
    else:
        tensors = {"planes": part.planes.half(), "bounds": torch.tensor(part.bounds)}
        if part.own is not None and part.reach is not None:
            tensors |= {"own": part.own, "reach": part.reach}
    return {key: value.detach().cpu().contiguous() for key, value in tensors.items()}


def read_backdrop(tensors: Mapping[str, Tensor], name: str, device: torch.device) -> Backdrop:
    """The backdrop of these tensors, which lay in `name`; `ModelError` if it is none."""
    if set(tensors) != {"texture", "camera"} or not _is_picture(tensors["texture"]) or tensors["camera"].shape != (25,):
        raise ModelError(f"The backdrop in '{name}' is damaged: invert the photo again.")
    return Backdrop(tensors["texture"].float(), Camera.from_vector(tensors["camera"][None].float())).to(device)


def read_retouch(tensors: Mapping[str, Tensor], name: str, device: torch.device) -> Retouch:
    """The retouch of these tensors, which lay in `name`; `ModelError` if it is none."""
    planes, bounds, own, reach = (tensors.get(name) for name in ("planes", "bounds", "own", "reach"))
    known = planes is not None and planes.ndim == 4 and len(planes) == 3 and all(_is_picture(plane) for plane in planes)
    fits = (own is None) == (reach is None) and (own is None or reach is None or (own.ndim == 3 and len(own) == 2 and reach.shape == (2,)))
    if not known or not fits or planes is None or bounds is None or bounds.shape != () or not 0 < float(bounds) < LARGEST:
        raise ModelError(f"The retouch in '{name}' is damaged: invert the photo again.")
    return Retouch(planes.float(), float(bounds), None if own is None else own.float(), None if reach is None else reach.float()).to(device)


def tuned_copy(generator: Generator) -> Generator:
    """A copy of `generator` to tune; its fingerprint stays. `ModelError` if it is no network."""
    copy = getattr(generator, "tuned_copy", None)
    if copy is None or not isinstance(generator, nn.Module):
        raise ModelError("This generator cannot be tuned: set the tuning steps to 0.")
    return copy()


def _parameters(generator: Generator) -> dict[str, Tensor]:
    return {key: value.detach() for key, value in generator.named_parameters()} if isinstance(generator, nn.Module) else {}


def differences(original: Generator, tuned: Generator) -> dict[str, Tensor]:
    """Changed parameters, tuned − original, as float16 on the CPU."""
    before, after = _parameters(original), _parameters(tuned)
    changed = {key: (after[key] - before[key]).half().cpu().contiguous() for key in before}
    return {key: value for key, value in changed.items() if bool(value.any())}


def round_differences(original: Generator, tuned: Generator) -> None:
    """Make `tuned` exactly what saving and loading it would give: original + float16 differences."""
    before = _parameters(original)
    for key, value in _parameters(tuned).items():
        value.copy_(before[key] + (value - before[key]).half().float())


def with_differences(generator: Generator, differences: Mapping[str, Tensor]) -> Generator:
    """`generator` itself if nothing was tuned, else a tuned copy with the `differences` added."""
    if not differences:
        return generator
    tuned = tuned_copy(generator)
    parameters = _parameters(tuned)
    for key, value in differences.items():
        if key not in parameters or parameters[key].shape != value.shape:
            raise ModelError(f"The tuning has no place for the weight {key[:80]!r} in this generator: invert the photo again.")
        parameters[key].copy_(parameters[key] + value.to(parameters[key]))
    return tuned


def _is_picture(texture: Tensor) -> bool:
    return texture.ndim == 3 and len(texture) == 3 and texture.shape[1] == texture.shape[2] > 0 and texture.is_floating_point()


def _is_numbers(value: object, count: int) -> bool:
    return isinstance(value, list) and len(value) == count and all(type(x) in (int, float) and abs(x) < LARGEST for x in value)
