"""Layouts and painted faces as files: zips that are written for a visitor and read from a stranger. One is of an adapter, its layout and
its card, the other of a sample set."""

from __future__ import annotations

import json
import re
import stat
import tempfile
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from fface_hub.adapters.adapter import Adapter
from fface_hub.adapters.samples import LAYOUT, METADATA, SampleSet
from fface_hub.adapters.samples_new import painting_guide
from fface_hub.doors import read_image, read_json
from fface_hub.errors import LayoutError, ModelError
from fface_hub.generators.base import Generator
from fface_hub.hub.cards import model_card
from fface_hub.layouts import Layout
from fface_hub.sources import CARD_NAME, CONFIG_NAME, WEIGHTS_NAME
from space import limits

NEEDED = (CONFIG_NAME, WEIGHTS_NAME)
ALLOWED = (*NEEDED, CARD_NAME, LAYOUT)
"""Names of the files in a layout's zip; there is nothing else in it, and no folder."""
_DAMAGED = "This is no layout file: choose a zip that was downloaded in the New layout tab."
_NO_FACES = "This is no file of painted faces: choose a zip that was saved in the New layout tab."
_IN_SAMPLES = re.compile(
    r"(?:[\w-]{1,80}/)?(metadata\.jsonl|layout\.json|README\.md|palette\.gpl|[\w-]{1,80}\.(?:png|safetensors))", re.ASCII
)
"""Files in the zip of a sample set, whose folder may have any plain name."""


def write_layout(adapter: Adapter, name: str, path: Path, results: Mapping[str, Any]) -> None:
    """Write `adapter` to the zip `path`, with a card that calls it `name` and tells its `results` (as `hub.cards` takes them)."""
    with tempfile.TemporaryDirectory(dir=path.parent) as temporary:
        folder = Path(temporary) / name
        card = model_card(adapter, f"./{name}", results)
        adapter.save_pretrained(folder, beside={CARD_NAME: card, LAYOUT: json.dumps(adapter.layout.to_dict(), indent=1) + "\n"})
        _pack(folder, path, "")


def write_samples(samples: SampleSet, name: str, path: Path, note: str) -> None:
    """Write `samples` to the zip `path`, as a folder called `name` that `fface-hub adapt` reads, with a guide that says `note`."""
    with tempfile.TemporaryDirectory(dir=path.parent) as temporary:
        samples.save(Path(temporary) / name, painting_guide(samples.layout, note))
        _pack(Path(temporary) / name, path, f"{name}/")


def _pack(folder: Path, path: Path, prefix: str) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(folder.iterdir()):
            archive.write(file, f"{prefix}{file.name}")


def read_layout(path: Path, generator: Generator) -> Adapter:
    """The adapter in a zip that a stranger may have made, on the device of `generator`, which it must have been fitted on.

    Names and sizes are judged before anything is unpacked, and unpacking stops where a file is larger than it says. What comes out goes
    through the strict loader of all models. Raises `ModelError` for everything that `write_layout` does not write.
    """
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "layout"
        folder.mkdir()
        _unpack(path, folder, _judge_layout, _DAMAGED)
        adapter = Adapter.from_pretrained(folder, device=generator.mean_latents().geometry.device)
        if (folder / LAYOUT).exists() and Layout.from_dict(read_json(folder / LAYOUT)) != adapter.layout:
            raise ModelError(f"The {LAYOUT} in this file is not the layout of its adapter: download the file again.")
    adapter.check(generator)
    return adapter.requires_grad_(False)


def read_samples(path: Path, generator: Generator) -> SampleSet:
    """The painted faces of `generator` in a zip that a stranger may have made, judged like those of `read_layout`.

    Raises `FFaceError` for everything that `write_samples` does not write, for more faces than the page proposes, for label maps that its
    canvas does not show, and for faces of another generator.
    """
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "faces"
        folder.mkdir()
        _unpack(path, folder, _judge_samples, _NO_FACES)
        for picture in sorted(folder.glob("*.png")):
            read_image(picture, limits.FACE_SIDE**2)  # before all of them are held at once
        samples = SampleSet.load(folder)
    samples.check(generator)
    side = len(samples.samples[0].labels)
    if side > limits.FACE_SIDE:
        raise LayoutError(f"These label maps are {side} × {side} pixels: the canvas takes at most {limits.FACE_SIDE} × {limits.FACE_SIDE}.")
    return samples


def _unpack(path: Path, folder: Path, judge: Callable[[list[zipfile.ZipInfo]], list[str]], damaged: str) -> None:
    """Unpack files into `folder` under the names that `judge` gives them. What is no whole zip raises `ModelError(damaged)`."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            names = judge(members)
            for member, name in zip(members, names, strict=True):
                with archive.open(member) as file:
                    data = file.read(limits.LAYOUT_BYTES + 1)
                _check_size(name, len(data))
                (folder / name).write_bytes(data)
    except ModelError:
        raise
    except Exception as error:  # zipfile raises BadZipFile, zlib.error, NotImplementedError, struct.error, … on what is no whole zip
        raise ModelError(damaged) from error


def _judge_layout(members: list[zipfile.ZipInfo]) -> list[str]:
    """The names of the files of a layout; `ModelError` unless they are that, by their names, kinds and sizes."""
    names = [member.filename for member in members]
    for member in members:
        if member.filename not in ALLOWED:
            only = f"a layout's zip has only {', '.join(ALLOWED)}"
            raise ModelError(f"This file holds '{_shown(member)}', which is no part of a layout: {only}.")
        _check_plain(member)
    if len(set(names)) < len(names) or not set(NEEDED) <= set(names):
        raise ModelError(_DAMAGED)
    return names


def _judge_samples(members: list[zipfile.ZipInfo]) -> list[str]:
    """The same for the files of a sample set, without their folder."""
    if len(members) > 3 * limits.MOST_FACES + 4:
        raise ModelError(f"There are more files in this zip than {limits.MOST_FACES} painted faces have.")
    names = []
    for member in members:
        found = _IN_SAMPLES.fullmatch(member.filename)
        if found is None:
            raise ModelError(f"This file holds '{_shown(member)}', which is no part of painted faces: choose a zip that was saved here.")
        _check_plain(member)
        names.append(found[1])
    if len(set(names)) < len(names) or not {METADATA, LAYOUT} <= set(names):
        raise ModelError(_NO_FACES)
    return names


def _shown(member: zipfile.ZipInfo) -> str:
    return member.filename[:60] if member.filename.isprintable() else "?"


def _check_plain(member: zipfile.ZipInfo) -> None:
    """`ModelError` unless this is a plain file of a size that can be."""
    kind = stat.S_IFMT(member.external_attr >> 16)  # 0 where whoever packed it does not say
    if kind not in (0, stat.S_IFREG) or member.flag_bits & 1:
        raise ModelError(f"'{member.filename}' in this file is a link, a folder or encrypted: choose a zip that has plain files only.")
    _check_size(member.filename, member.file_size)


def _check_size(name: str, size: int) -> None:
    if size > limits.LAYOUT_BYTES:
        raise ModelError(f"'{name}' in this file unpacks to more than {limits.LAYOUT_BYTES // 1_000_000} MB, far more than it needs.")
