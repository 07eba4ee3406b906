"""Few-shot sample sets: painted faces in a folder of the Hub's imagefolder form.

`metadata.jsonl` has a row per sample: `file_name` (the picture, PNG), `labels` (label map in the colours of `layout.json`: palette, RGB or
opaque RGBA; we write palette PNGs whose indices are the class ids), `camera` (EG3D's 25 numbers) and, where they are known, `latents`
(safetensors) and `generator`, the `id` and `fingerprint` of the generator that the latents belong to. All files lie beside it.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import Any

import torch

from fface_hub.adapters.samples_rows import METADATA, Origin, Problem, Sample, pixel_size, read_rows, read_sample, row_files, write_sample
from fface_hub.doors import read_json
from fface_hub.errors import FFaceError, LayoutError, ModelError
from fface_hub.files import current_folder, is_folder, read_whole, replaced_folder
from fface_hub.generators.base import Generator
from fface_hub.layouts import Layout
from fface_hub.metrics import MINIMUM_PIXELS
from fface_hub.sources import Source, inside, is_hub_id

__all__ = ["LAYOUT", "METADATA", "Origin", "Problem", "Sample", "SampleSet", "read_folder", "read_head"]

LAYOUT = "layout.json"


@dataclass(frozen=True)
class SampleSet:
    """Painted faces that share one layout; `notes`, what whoever uses them should know. `LayoutError` if it is empty or a label is not of
    the layout."""

    layout: Layout
    samples: tuple[Sample, ...]
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.samples:
            raise LayoutError("The sample set is empty: add at least one painted face.")
        for number, sample in enumerate(self.samples, 1):
            if int(sample.labels.min()) < 0 or int(sample.labels.max()) >= len(self.layout):
                raise LayoutError(f"The labels of sample {number} go beyond the {len(self.layout)} classes of layout '{self.layout.name}'.")

    def __len__(self) -> int:
        return len(self.samples)

    @property
    def pixels(self) -> dict[str, int]:
        """How many pixels of each class are painted in all samples together."""
        counts = sum(torch.bincount(sample.labels.flatten(), minlength=len(self.layout)) for sample in self.samples)
        return dict(zip(self.layout.names, torch.as_tensor(counts).tolist(), strict=True))

    def foreign(self, generator: Generator) -> list[Problem]:
        """Why samples cannot be used with `generator`: no latents, or those of another generator."""
        mean = generator.mean_latents()
        shapes = mean.geometry.shape[1:], mean.appearance.shape[2:]
        problems = []
        for number, sample in enumerate(self.samples, 1):
            if sample.latents is None:
                fault = "has no latents: 'fface-hub samples import' finds them by inverting the pictures."
            elif sample.origin is not None and sample.origin.fingerprint != generator.fingerprint:
                fault = (
                    f"has latents of another generator, or of other weights of '{sample.origin.id}': load that generator with its weights."
                )
            elif (sample.latents.geometry.shape[1:], sample.latents.appearance.shape[2:]) != shapes:
                fault = "has latents of another generator: their shape is not that of this one."
            else:
                continue
            sentence = f"Sample {number}{f', {sample.name!r},' if sample.name else ''} {fault}"
            problems.append(Problem(sample.name, sentence, error=ModelError(sentence)))
        return problems

    def check(self, generator: Generator) -> None:
        """Raise `ModelError`, naming the first sample, unless all samples have latents of `generator`."""
        for problem in self.foreign(generator):
            raise problem.error or ModelError(problem.message)

    def save(self, folder: str | Path, beside: Mapping[str, str] | None = None) -> None:
        """Write the set into `folder` in one step, with the texts `beside` (name → text) next to it.

        Files of a set that was there before go, other files stay. `ModelError` if it cannot be written; then all is as before.
        """
        try:
            with replaced_folder(folder, _files_of(current_folder(Path(folder)))) as new:
                rows = [json.dumps(write_sample(new, sample, self.layout, number)) for number, sample in enumerate(self.samples)]
                (new / LAYOUT).write_text(json.dumps(self.layout.to_dict(), indent=1) + "\n", encoding="utf-8")
                (new / METADATA).write_text("\n".join(rows) + "\n", encoding="utf-8")
                for name, text in (beside or {}).items():
                    (new / name).write_text(text, encoding="utf-8")
        except OSError as error:
            raise ModelError(f"The sample set cannot be saved to '{folder}' ({error.strerror}): what was there is unchanged.") from error

    @staticmethod
    def load(
        source: str | Path,
        *,
        revision: str | None = None,
        token: str | bool | None = None,
        cache_dir: str | Path | None = None,
        local_files_only: bool = False,
    ) -> SampleSet:
        """The set in a folder, or at `org/name` on the Hub (for a folder of such a name write `./org/name`, or give a `Path`).

        Pixels that were snapped and classes that nobody painted are in its `notes`. Raises `LayoutError` for a broken layout, label map or
        set, `ImageError` for a broken picture, and `ModelError` for a folder, row, camera or latents file that is not of the form, and for
        what the Hub refuses; each names the sample and the file.
        """
        folder = Path(source)
        if isinstance(source, str) and is_hub_id(source):
            # Looked up by name: the hub package imports this module.
            fetch_samples = import_module("fface_hub.hub.datasets").fetch_samples
            place = Source(source, revision, token=token, cache_dir=cache_dir, local_files_only=local_files_only, kind="dataset")
            try:
                folder = fetch_samples(place)
            except ModelError as error:
                if folder.is_dir():
                    raise ModelError(f"{error} For the folder beside you write './{source}'.") from error
                raise
        samples, problems = read_folder(folder)
        for problem in problems:
            if problem.error is not None:
                raise problem.error
        assert samples is not None
        return samples

    def push_to_hub(
        self,
        repo_id: str,
        *,
        token: str | bool | None = None,
        private: bool | None = None,
        revision: str | None = None,
        license: str = "apache-2.0",
    ) -> str:
        """Create the dataset `org/name` if needed, upload set and card in one commit and return the URL. `ModelError`."""
        push_samples = import_module("fface_hub.hub.datasets").push_samples
        return push_samples(self, repo_id, token=token, private=private, revision=revision, license=license)


def read_folder(folder: str | Path) -> tuple[SampleSet | None, list[Problem]]:
    """The set in `folder`, None if it cannot be used, and everything that is wrong with it, as far as it can be seen at once."""
    place = Path(folder)
    return read_whole(place, lambda: _read_folder(place))


def _read_folder(folder: Path) -> tuple[SampleSet | None, list[Problem]]:
    """`read_folder`, of a folder that nobody replaces meanwhile."""
    problems = list[Problem]()
    try:
        layout, rows = read_head(folder)
        folder = current_folder(folder)
    except FFaceError as error:
        return None, [Problem(folder.name, str(error), error=error)]
    read = [read_sample(folder, row, layout, number, problems) for number, row in enumerate(rows, 1)]
    samples = [sample for sample in read if sample is not None]
    if len(samples) == len(rows):
        problems += _size_problems(rows, samples)
    if any(problem.error is not None for problem in problems):
        return None, problems
    try:
        found = SampleSet(layout, tuple(samples))
    except LayoutError as error:
        return None, [Problem(METADATA, str(error), error=error)]
    problems += _thin_places(found)
    return replace(found, notes=tuple(problem.message for problem in problems)), problems


def read_head(folder: Path) -> tuple[Layout, list[Any]]:
    """Layout and rows (not checked yet) of the set in `folder`. Raises `LayoutError` and `ModelError`."""
    if not is_folder(folder):
        raise ModelError(f"There is no folder {str(folder)[:200]!r}: check the path.")
    folder = current_folder(folder)
    for name in (METADATA, LAYOUT):
        if not (folder / name).is_file():
            raise ModelError(
                f"The folder '{folder.name}' is no sample set: it has no {name}. 'fface-hub samples new' draws one to paint, and "
                "'fface-hub samples import' makes one of pictures and label maps."
            )
        inside(folder, folder / name)
    try:
        layout = Layout.from_dict(read_json(folder / LAYOUT))
    except LayoutError as error:
        raise LayoutError(f"'{LAYOUT}': {error}") from error
    return layout, read_rows(folder / METADATA)


def _files_of(folder: Path) -> list[str]:
    """The files of the set that is in `folder` already, as far as it can be read."""
    try:
        return row_files(read_rows(folder / METADATA)) if (folder / METADATA).is_file() else []
    except FFaceError:
        return []


def _size_problems(rows: list[Any], samples: list[Sample]) -> list[Problem]:
    """Label maps of another size than most."""
    if not samples:
        return []
    usual = Counter(pixel_size(sample.labels) for sample in samples).most_common(1)[0][0]
    problems = []
    for row, sample in zip(rows, samples, strict=True):
        if pixel_size(sample.labels) != usual:
            sentence = (
                f"'{row['labels']}' is {pixel_size(sample.labels)} pixels, and the others are {usual}: label maps must be of one size."
            )
            problems.append(Problem(row["labels"], sentence, sample.labels.numel(), LayoutError(sentence)))
    return problems


def _thin_places(samples: SampleSet) -> list[Problem]:
    """Where the set can be fitted but will teach little: classes that are not or hardly painted, a single sample."""
    problems = []
    for name, count in samples.pixels.items():
        if count == 0:
            sentence = (
                f"Class '{name}' is painted in no sample: an adapter cannot learn it. Paint it in a few, or leave it out of {LAYOUT}."
            )
            problems.append(Problem(LAYOUT, sentence, 0))
        elif count < MINIMUM_PIXELS:
            sentence = f"Class '{name}' has only {count} pixels in all samples together: paint it in more of them."
            problems.append(Problem(LAYOUT, sentence, count))
    if len(samples) == 1:
        problems.append(Problem(METADATA, "There is only one sample: a few more, of different faces, make a far better adapter."))
    return problems
