"""Sample sets from pictures and label maps that were made elsewhere; where a picture is a photo, its latents are found by inversion."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

from PIL import Image
from torch import Tensor

from fface_hub.adapters.samples import METADATA, Origin, Problem, Sample, SampleSet, read_head
from fface_hub.adapters.samples_annotations import import_annotations, is_annotations
from fface_hub.adapters.samples_labels import Painted, read_painted, resample_labels
from fface_hub.adapters.samples_rows import read_sample
from fface_hub.cameras import look_at
from fface_hub.doors import read_image, to_tensor
from fface_hub.errors import ImageError, LayoutError, ModelError, naming
from fface_hub.files import current_folder, is_folder
from fface_hub.generators.base import Generator
from fface_hub.inversion.align import Box, crop, find_face, unit_of
from fface_hub.inversion.inversion import CONFIG_FILE, Inversion
from fface_hub.inversion.invert import PHOTO_SIDE, invert
from fface_hub.inversion.objective import InvertSettings
from fface_hub.layouts import Layout
from fface_hub.progress import Callback, Step

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff")
LABEL_ENDING = "_labels"


@dataclass(frozen=True)
class ImportSettings:
    """`resolution` of the label maps; `cropped`: the pictures are square crops of the face already; how to `invert` (never with tuning: an
    adapter is fitted on the generator as it is published)."""

    resolution: int = 128
    cropped: bool = False
    invert: InvertSettings = field(default_factory=lambda: InvertSettings.longer(tuning_steps=0))


@dataclass(frozen=True)
class _Item:
    """A sample to be. Its latents, if it has none, are to be found in the whole `photo` or, without one, in the sample's own picture."""

    sample: Sample
    photo: Path | None = None


def import_samples(
    generator: Generator,
    pictures: Path,
    labels: Path | None = None,
    layout: Layout | None = None,
    settings: ImportSettings | None = None,
    callback: Callback | None = None,
) -> SampleSet:
    """A sample set of the folder `pictures` with the label maps of the folder `labels` (None: the same folder), in `layout`.

    `pictures` is a sample set itself or holds face folders (as `generate` and `invert` write, with their labels.png painted), whose cameras
    and latents are kept; or FFaceNeRF's annotations (see `samples_annotations`); or it holds plain pictures. A label map belongs to the
    picture NAME if it is called NAME.png or NAME_labels.png; in the pictures' own folder only the latter. Pictures without one are left
    out, which the `notes` tell. What has no latents is inverted: around its largest face, which is cut out of picture and label map alike,
    or as it is if `cropped`. All files are read before the first inversion. Raises `ImageError`, `LayoutError`, `FaceNotFoundError`,
    `ModelError` and `OptimisationError`, each naming the file.
    """
    settings = settings or ImportSettings()
    for folder in (pictures, labels):
        if folder is not None and not is_folder(folder):
            raise ModelError(f"There is no folder {str(folder)[:200]!r}: check the path.")
    if is_annotations(pictures):
        return import_annotations(generator, pictures, labels, layout, settings.resolution, callback)
    pictures, notes = current_folder(pictures), list[str]()
    if (pictures / METADATA).is_file():
        layout, items = _from_set(pictures, labels, layout, settings, notes)
    else:
        if layout is None:
            raise LayoutError("The layout of the label maps is not known: give it with --layout.")
        items = _from_faces(generator, pictures, layout, settings, notes) if labels is None else []
        items += _from_pictures(generator, pictures, labels, layout, settings, notes)
    if not items:
        raise ModelError(
            f"No label map in '{(labels or pictures).name}' belongs to a picture in '{pictures.name}': the one of NAME.png must be called "
            f"NAME{LABEL_ENDING}.png, or NAME.png in a folder of its own."
        )
    known = [item.sample for item in items if item.sample.latents is not None]
    if known:
        SampleSet(layout, tuple(known)).check(generator)
    samples = _with_latents(generator, items, settings, callback)
    return SampleSet(layout, tuple(samples), tuple(notes))


def label_file(labels: Path | None, pictures: Path, stem: str) -> Path | None:
    """Where the label map of the picture NAME is, or None."""
    names = (
        [f"{stem}{LABEL_ENDING}.png"] if labels is None or labels.resolve() == pictures.resolve() else [f"{stem}.png", f"{stem}_labels.png"]
    )
    return next((path for name in names if (path := (labels or pictures) / name).is_file()), None)


def _from_set(
    folder: Path, labels: Path | None, layout: Layout | None, settings: ImportSettings, notes: list[str]
) -> tuple[Layout, list[_Item]]:
    """The samples of a set, with its own label maps or those of another folder."""
    own, rows = read_head(folder)
    layout, items = layout or own, []
    for number, row in enumerate(rows, 1):
        elsewhere = None
        if labels is not None:
            name = str(row.get("file_name", "")) if isinstance(row, dict) else ""
            elsewhere = label_file(labels, folder, Path(name).stem)
            if elsewhere is None:
                notes.append(f"'{name}' has no label map in '{labels.name}' and was left out.")
                continue
        problems: list[Problem] = []
        sample = read_sample(folder, row, layout, number, problems, elsewhere)
        for problem in problems:
            if problem.error is not None:
                raise problem.error
            notes.append(problem.message)
        assert sample is not None
        resized = resample_labels(sample.labels, 0, 0, len(sample.labels), settings.resolution)
        items.append(_Item(replace(sample, labels=resized)))
    return layout, items


def _from_faces(generator: Generator, folder: Path, layout: Layout, settings: ImportSettings, notes: list[str]) -> list[_Item]:
    """Face folders, whose label maps were painted in place."""
    items = []
    for face in sorted(path for path in folder.iterdir() if (path / CONFIG_FILE).is_file()):
        with naming(face.name):
            found = Inversion.load(face, generator)
        with naming(f"{face.name}/picture.png"):
            image = to_tensor(read_image(face / "picture.png"))[0]
        with naming(f"{face.name}/labels.png"):
            painted = read_painted(face / "labels.png", layout)
            if painted.labels.shape[0] != painted.labels.shape[1]:
                raise LayoutError("the label map must be square like its picture: paint on the map as given.")
            square = resample_labels(painted.labels, 0, 0, len(painted.labels), settings.resolution)
        _note_snapped(f"{face.name}/labels.png", painted, notes)
        sample = Sample(image, square, found.camera.to("cpu"), found.latents.to("cpu"), Origin.of(generator), face.name)
        items.append(_Item(sample))
    return items


def _note_snapped(name: str, painted: Painted, notes: list[str]) -> None:
    if painted.snapped:
        notes.append(f"'{name}': {painted.snapped} pixels were in colours of no class and took the nearest one around.")


def _from_pictures(
    generator: Generator, folder: Path, labels: Path | None, layout: Layout, settings: ImportSettings, notes: list[str]
) -> list[_Item]:
    """Plain pictures with their label maps."""
    items = []
    for path in sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES):
        if path.stem.endswith(LABEL_ENDING):
            continue
        painting = label_file(labels, folder, path.stem)
        if painting is None:
            notes.append(f"'{path.name}' has no label map and was left out.")
            continue
        with naming(path.name):
            photo = read_image(path)
        with naming(painting.name):
            painted = read_painted(painting, layout)
            height, width = painted.labels.shape
            if (width, height) != photo.size:
                raise LayoutError(
                    f"the label map is {width} × {height} pixels and its picture {photo.width} × {photo.height}: export it at that size."
                )
        _note_snapped(painting.name, painted, notes)
        with naming(path.name):
            items.append(_framed(generator, path, photo, painted.labels, settings))
    return items


def _framed(generator: Generator, path: Path, photo: Image.Image, labels: Tensor, settings: ImportSettings) -> _Item:
    """The square around the face in a `photo` and its `labels [h,w]`, with a guess of the camera."""
    if not settings.cropped:
        face = find_face(photo, unit_of(generator))
        squares = crop(photo, face.box, PHOTO_SIDE), resample_labels(labels, *_corner(face.box), settings.resolution)
        return _Item(Sample(to_tensor(squares[0])[0], squares[1], face.camera, name=path.name), path)
    if photo.width != photo.height:
        raise ImageError(
            f"the picture is {photo.width} × {photo.height} pixels, not square: leave out --cropped, so that the face is found."
        )
    image = photo.resize((PHOTO_SIDE, PHOTO_SIDE), Image.Resampling.LANCZOS) if photo.width > PHOTO_SIDE else photo
    square = resample_labels(labels, 0, 0, photo.width, settings.resolution)
    return _Item(Sample(to_tensor(image)[0], square, look_at(0.0), name=path.name))


def _corner(box: Box) -> tuple[int, int, int]:
    return box.left, box.top, box.size


def _with_latents(generator: Generator, items: list[_Item], settings: ImportSettings, callback: Callback | None) -> list[Sample]:
    """The samples, those without latents inverted one after the other."""
    missing = [item for item in items if item.sample.latents is None]
    wanted = replace(settings.invert, tuning_steps=0)
    samples, done = [], 0
    for item in items:
        sample = item.sample
        if sample.latents is None:
            report = None if callback is None else _shifted(callback, done * wanted.total, len(missing) * wanted.total)
            with naming(sample.name):
                if item.photo is not None:
                    found = invert(generator, item.photo, None, wanted, report)
                else:
                    found = invert(generator, sample.image[None], sample.camera, wanted, report)
            latents = found.latents.to("cpu").detach()
            sample = replace(sample, camera=found.camera.to("cpu"), latents=latents, origin=Origin.of(generator))
            done += 1
        samples.append(sample)
    return samples


def _shifted(callback: Callback, start: int, total: int) -> Callback:
    """`callback` for a part of a longer work of `total` steps that begins after step `start`."""
    return lambda step: callback(Step(start + step.index, total, step.losses, step.preview))
