"""`fface-hub generate`, `invert` and `edit`: each writes face folders (see `commands.folders`)."""

from __future__ import annotations

import functools
import time
from argparse import Namespace
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from fface_hub.adapters.adapter import Adapter
from fface_hub.cameras import Camera, look_at
from fface_hub.commands.folders import Face, draw_face, load_face, load_generator, save_face
from fface_hub.commands.support import choose_layout, counted, progress, say, write_json
from fface_hub.doors import read_image, read_label_map, to_tensor
from fface_hub.editing.edit import EditResult, EditSettings
from fface_hub.editing.edit import edit as edit_face
from fface_hub.errors import ImageError, ModelError, OptimisationError, naming
from fface_hub.generators.base import Generator
from fface_hub.inversion.camera_files import CameraFile, cameras_beside, read_cameras
from fface_hub.inversion.encoder import find_editor
from fface_hub.inversion.inversion import Inversion
from fface_hub.inversion.invert import InvertSettings
from fface_hub.inversion.invert import invert as invert_photo
from fface_hub.inversion.prepare import SUFFIXES
from fface_hub.inversion.start import bundled_encoder
from fface_hub.latents import Latents
from fface_hub.layouts import Layout
from fface_hub.metrics import iou_per_class
from fface_hub.parsing import PARSER, load_parser
from fface_hub.progress import Step
from fface_hub.rendering.renderer import render


def generate(args: Namespace) -> None:
    """Faces of `--count` seeds from `--seed` on, in folders seed-N."""
    if args.seed + args.count > 2**31:
        raise ModelError(f"The last seed, {args.seed + args.count - 1}, is too large: use seeds below {2**31}.")
    generator = load_generator(args.generator, args.compute)
    adapter = _adapter(args, generator)
    camera = look_at(args.yaw, args.pitch).to(args.compute.device)
    seeds = range(args.seed, args.seed + args.count)
    with progress("faces") as callback:
        for index, seed in enumerate(seeds, 1):
            face = draw_face(args.generator, generator, seed, args.truncation)
            face = replace(face, inversion=replace(face.inversion, camera=camera))
            _show_and_save(face, adapter, args, args.out / f"seed-{seed}")
            callback(Step(index, len(seeds), {}))
    say(f"wrote {counted(args.count, 'face folder')} to {args.out}")


def invert(args: Namespace) -> None:
    """The face of a photo, or of several of one person, as a face folder; the photos themselves are not kept."""
    paths = _photos(args.photo)
    photos = [_photo(path) for path in paths]
    for path, photo in zip(paths, photos, strict=True):
        if args.cropped and photo.width != photo.height:
            raise ImageError(
                f"The photo '{path.name}' is {photo.width} × {photo.height} pixels, not square: leave out --cropped, so that the face is "
                "looked for."
            )
    generator = load_generator(args.generator, args.compute)
    adapter = _adapter(args, generator)
    if args.parser and not args.labels:
        raise ModelError("--parser says which face parser to use: give --labels parse with it.")
    parser = load_parser(args.parser or PARSER, args.compute.device) if args.labels else None
    encoder, note = bundled_encoder(generator)
    say(note)
    settings = replace(_settings(args, encoder), parser=parser)
    cameras = _known_cameras(paths, generator) if args.cropped else None

    def save_best(best: Inversion) -> None:
        _show_and_save(Face(best, generator, args.generator), adapter, args, args.out)

    pictures = [to_tensor(photo) for photo in photos] if args.cropped else photos
    with _kept(save_best, args.out), progress("inversion") as callback:
        inversion = invert_photo(generator, pictures, cameras, settings, callback, encoder)
    if inversion.crop is not None and inversion.crop.note:
        say(inversion.crop.note)
    _show_and_save(Face(inversion, generator, args.generator), adapter, args, args.out)
    write_json({**inversion.losses, "seconds": inversion.seconds}, args.json)
    losses = inversion.losses
    say(f"PSNR {losses['psnr']:.1f} dB, on the head {losses['psnr_head']:.1f} dB, in {inversion.seconds:.0f} s; wrote {args.out}")


def _settings(args: Namespace, encoder: object) -> InvertSettings:
    """The settings of `--tuning` and of the steps that were given."""
    settings = InvertSettings.pivotal() if args.tuning == "weights" else InvertSettings.starting(encoder)
    steps = {name: value for name in ("w_steps", "free_steps", "tuning_steps") if (value := getattr(args, name)) is not None}
    return replace(settings, seed=args.seed, **steps)


def _photos(given: Sequence[Path]) -> list[Path]:
    """The photos that were named, or those in the folders that were. `ImageError` for a folder without any."""
    paths: list[Path] = []
    for path in given:
        inside = sorted(one for one in path.iterdir() if one.suffix.lower() in SUFFIXES) if path.is_dir() else [path]
        if not inside:
            raise ImageError(f"There are no pictures in '{path}': give photos of one person, or a folder of them.")
        paths += inside
    return paths


def _photo(path: Path) -> Image.Image:
    with naming(path.name):
        return read_image(path)


def _known_cameras(photos: Sequence[Path], generator: Generator) -> Camera | None:
    """The cameras of crops in the dataset.json or cameras.json beside them or one folder up, as `prepare` writes it; frontal where one is
    missing, and None without any."""
    read = functools.cache(read_cameras)
    known = [_known_camera(photo, read) for photo in photos]
    if not any(known):
        return None
    front = generator.default_camera.to("cpu")
    return Camera.from_vector(torch.cat([(camera or front).to_vector() for camera in known]))


def _known_camera(photo: Path, read: Callable[[Path], CameraFile]) -> Camera | None:
    """The camera of one crop, from a file as `read`; None without one."""
    if (found := cameras_beside(photo, read)) is None:
        return None
    cameras, name, path = found
    camera = cameras.find(name)
    say(
        f"the camera of '{name}' is that in {path.name}"
        if camera
        else f"{path.name} does not name '{name}': the camera is taken as frontal"
    )
    return camera


def edit(args: Namespace) -> None:
    """The face of SOURCE moved until its labels match the painted map."""
    face = load_face(args.source, args.generator, args.compute)
    adapter = _adapter(args, face.original)
    layout = face.original.layout if adapter is None else adapter.layout
    painted = choose_layout(args.layout) if args.layout else layout
    target = _labels(args.target, painted, layout)
    original = _labels(args.over, painted, layout) if args.over else None
    settings = EditSettings(seed=args.seed)
    if args.steps is not None:
        settings = replace(settings, steps=args.steps)

    def save(latents: Latents) -> None:
        edited = replace(face, inversion=replace(face.inversion, latents=latents))
        _show_and_save(edited, adapter, args, args.out)

    start = time.perf_counter()
    editor, note = find_editor(face.original)
    say(note)
    with _kept(save, args.out), progress("edit") as callback:
        result = edit_face(face.original, face.inversion, target, adapter, None, settings, callback, original, editor)
    seconds = time.perf_counter() - start
    save(result.latents)
    figures = {"seconds": seconds, **_agreement(result, layout), "losses": result.losses[-1] if result.losses else {}}
    write_json(figures, args.json)
    say(f"{figures['matched']:.0%} of the {figures['pixels']} painted pixels have their new label after {seconds:.0f} s; wrote {args.out}")


@contextmanager
def _kept(save: Callable[[Any], None], folder: Path) -> Iterator[None]:
    """If the optimisation inside leaves the finite numbers, what it had reached before is saved, and the error says so."""
    try:
        yield
    except OptimisationError as error:
        if error.best is None:
            raise
        save(error.best)
        raise OptimisationError(f"{error} What it had reached before is in {folder}.") from error


def _adapter(args: Namespace, generator: Generator) -> Adapter | None:
    """The adapter of `--adapter`, checked to fit before minutes are spent; `ModelError` if it does not."""
    if not args.adapter:
        return None
    adapter = Adapter.from_pretrained(args.adapter, device=args.compute.device)
    adapter.check(generator)
    return adapter


def _labels(path: Path, painted: Layout, layout: Layout) -> torch.Tensor:
    """The label map of a file, painted in one layout, in another."""
    with naming(path.name):
        labels = read_label_map(path, painted)
    return labels if painted == layout else painted.convert(labels, layout)


def _show_and_save(face: Face, adapter: Adapter | None, args: Namespace, folder: Path) -> None:
    """Render `face` by its own camera and write its folder."""
    view = render(face.inversion.scene(), face.inversion.camera, args.resolution, adapter=adapter)
    save_face(folder, face, view, face.original.layout if adapter is None else adapter.layout)


def _agreement(result: EditResult, layout: Layout) -> dict[str, object]:
    """How many painted pixels there are, which share of them got its label, and the IoU of each painted class before and after."""
    region, target = result.region, result.target
    count = int(region.sum())
    before, after = (iou_per_class(view.labels, target[None], len(layout))[0] for view in (result.before, result.after))
    classes = [int(index) for index in target[region].unique()]
    scores = {layout.names[index]: [float(before[index]), float(after[index])] for index in classes}
    return {"pixels": count, "matched": result.matched, "iou_before_after": scores}
