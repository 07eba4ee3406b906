"""`fface-hub generate`, `invert` and `edit`: each writes face folders (see `commands.folders`)."""

from __future__ import annotations

import time
from argparse import Namespace
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from fface_hub.adapters.adapter import Adapter
from fface_hub.cameras import look_at
from fface_hub.commands.folders import Face, draw_face, load_face, load_generator, save_face
from fface_hub.commands.support import choose_device, choose_layout, progress, say, write_json
from fface_hub.doors import read_image, read_label_map, to_tensor
from fface_hub.editing.edit import EditResult, EditSettings
from fface_hub.editing.edit import edit as edit_face
from fface_hub.errors import ImageError, OptimisationError
from fface_hub.generators.base import Generator
from fface_hub.inversion.inversion import Inversion
from fface_hub.inversion.invert import InvertSettings
from fface_hub.inversion.invert import invert as invert_photo
from fface_hub.latents import Latents
from fface_hub.layouts import Layout
from fface_hub.metrics import iou_per_class
from fface_hub.progress import Step
from fface_hub.rendering.renderer import render


def generate(args: Namespace) -> None:
    """Faces of `--count` seeds from `--seed` on, in folders seed-N."""
    device = choose_device(args.device)
    generator = load_generator(args.generator, device)
    adapter = _adapter(args, generator, device)
    camera = look_at(args.yaw, args.pitch).to(device)
    seeds = range(args.seed, args.seed + args.count)
    with progress("faces") as callback:
        for index, seed in enumerate(seeds, 1):
            face = draw_face(args.generator, generator, seed, args.truncation)
            face = replace(face, inversion=replace(face.inversion, camera=camera))
            _show_and_save(face, adapter, args, args.out / f"seed-{seed}")
            callback(Step(index, len(seeds), {}))
    say(f"wrote {args.count} face folder{'s' if args.count > 1 else ''} to {args.out}")


def invert(args: Namespace) -> None:
    """A photo's face as a face folder; the photo itself is not kept."""
    device = choose_device(args.device)
    photo = read_image(args.photo)
    if args.cropped and photo.width != photo.height:
        raise ImageError(
            f"The photo is {photo.width} × {photo.height} pixels, not square: leave out --cropped, so that the face is looked for."
        )
    generator = load_generator(args.generator, device)
    adapter = _adapter(args, generator, device)
    steps = {name: value for name in ("w_steps", "free_steps", "tuning_steps") if (value := getattr(args, name)) is not None}
    settings = InvertSettings(seed=args.seed, **steps)

    def save_best(best: Inversion) -> None:
        _show_and_save(Face(best, generator, args.generator), adapter, args, args.out)

    with _kept(save_best, args.out), progress("inversion") as callback:
        inversion = invert_photo(generator, to_tensor(photo) if args.cropped else photo, None, settings, callback)
    if inversion.crop is not None and inversion.crop.note:
        say(inversion.crop.note)
    _show_and_save(Face(inversion, generator, args.generator), adapter, args, args.out)
    write_json({**inversion.losses, "seconds": inversion.seconds}, args.json)
    losses = inversion.losses
    say(f"PSNR {losses['psnr']:.1f} dB, on the head {losses['psnr_head']:.1f} dB, in {inversion.seconds:.0f} s; wrote {args.out}")


def edit(args: Namespace) -> None:
    """The face of SOURCE moved until its labels match the painted map."""
    device = choose_device(args.device)
    face = load_face(args.source, args.generator, device)
    adapter = _adapter(args, face.original, device)
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
    with _kept(save, args.out), progress("edit") as callback:
        result = edit_face(face.original, face.inversion, target, adapter, None, settings, callback, original)
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


def _adapter(args: Namespace, generator: Generator, device: torch.device) -> Adapter | None:
    """The adapter of `--adapter`, checked to fit before minutes are spent; `ModelError` if it does not."""
    if not args.adapter:
        return None
    adapter = Adapter.from_pretrained(args.adapter, device=device)
    adapter.check(generator)
    return adapter


def _labels(path: Path, painted: Layout, layout: Layout) -> torch.Tensor:
    """The label map of a file, painted in one layout, in another."""
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
    matched = float((result.after.labels[0][region] == target[region]).double().mean()) if count else 1.0
    before, after = (iou_per_class(view.labels, target[None], len(layout))[0] for view in (result.before, result.after))
    classes = [int(index) for index in target[region].unique()]
    scores = {layout.names[index]: [float(before[index]), float(after[index])] for index in classes}
    return {"pixels": count, "matched": matched, "iou_before_after": scores}
