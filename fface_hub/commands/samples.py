"""`fface-hub samples new`, `import`, `check` and `push`: sets of painted faces, as `adapt` takes them."""

from __future__ import annotations

import time
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fface_hub.adapters.adapter import Adapter
from fface_hub.adapters.samples import METADATA, Problem, SampleSet, read_folder
from fface_hub.adapters.samples_import import ImportSettings, import_samples
from fface_hub.adapters.samples_new import draw, painting_guide
from fface_hub.commands.folders import load_generator
from fface_hub.commands.support import choose_layout, counted, program, progress, say, write_json
from fface_hub.errors import FFaceError, ModelError
from fface_hub.files import current_folder
from fface_hub.inversion.objective import InvertSettings


def samples(args: Namespace) -> None:
    """Do what `samples ACTION` asks for."""
    {"new": new, "import": import_, "check": check, "push": push}[args.action](args)


def new(args: Namespace) -> None:
    """Draw faces to paint."""
    layout = choose_layout(args.layout)
    _refuse_old_set(args.out)
    start = time.perf_counter()
    generator = load_generator(args.generator, args.compute)
    adapter = Adapter.from_pretrained(args.adapter, device=args.compute.device) if args.adapter else None
    with progress("faces") as callback:
        drawn = draw(generator, layout, args.count, args.seed, args.resolution, adapter, callback)
    drawn.save(args.out, painting_guide(layout, drawn.notes[0]))
    _tell(drawn.notes)
    write_json({**_figures(drawn), "seconds": time.perf_counter() - start}, args.json)
    then = f"paint the label maps as its README.md says, then call '{program()} samples check {args.out}'"
    say(f"wrote {counted(len(drawn), 'face')} to {args.out}: {then}")


def import_(args: Namespace) -> None:
    """Make a set of pictures and label maps."""
    layout = choose_layout(args.layout) if args.layout else None
    _refuse_old_set(args.out)
    start = time.perf_counter()
    generator = load_generator(args.generator, args.compute)
    steps = {name: value for name in ("w_steps", "free_steps") if (value := getattr(args, name)) is not None}
    settings = ImportSettings(args.resolution, args.cropped, InvertSettings.longer(seed=args.seed, **steps))
    with progress("inversion") as callback:
        found = import_samples(generator, args.pictures, args.labels, layout, settings, callback)
    found.save(args.out)
    notes = [*found.notes, *SampleSet.load(args.out).notes]
    _tell(notes)
    write_json({**_figures(found), "notes": notes, "seconds": time.perf_counter() - start}, args.json)
    say(f"wrote {counted(len(found), 'sample')} to {args.out}")


def check(args: Namespace) -> None:
    """Name every problem; `FFaceError` if the set cannot be fitted."""
    found, problems = read_folder(args.folder)
    if found is not None:
        problems = [*problems, *found.foreign(load_generator(args.generator, args.compute))]
    errors = [problem for problem in problems if problem.error is not None]
    warnings = [problem for problem in problems if problem.error is None]
    report = {
        "fittable": not errors,
        "errors": [_row(problem) for problem in errors],
        "warnings": [_row(problem) for problem in warnings],
        **(_figures(found) if found is not None else {}),
    }
    write_json(report, args.json)
    if len(errors) == 1 and not warnings:
        raise FFaceError(errors[0].message)
    for kind, rows in (("error", errors), ("warning", warnings)):
        for problem in rows:
            say(f"{kind}: {problem.message}")
    if found is not None:
        say("; ".join(f"{name} {count:,}" for name, count in found.pixels.items()) + " pixels")
    if errors:
        raise FFaceError(f"The sample set '{args.folder}' cannot be fitted: put right the {counted(len(errors), 'error')} above.")
    say(f"{counted(len(found or ()), 'sample')} in the {len(report['pixels'])} classes of '{report['layout']}' can be fitted")


def push(args: Namespace) -> None:
    """Upload a set."""
    found = SampleSet.load(Path(args.folder))
    url = found.push_to_hub(args.repo, private=args.private or None, revision=args.revision, license=args.license)
    _tell(found.notes)
    say(f"{counted(len(found), 'sample is', 'samples are')} at {url}")


def _refuse_old_set(folder: Path) -> None:
    """Painting is hours of work: it is never overwritten."""
    if (current_folder(folder) / METADATA).exists():
        raise ModelError(f"'{folder}' holds a sample set already, and what is painted there would be lost: choose another --out.")


def _tell(notes: Sequence[str]) -> None:
    for note in notes:
        say(f"note: {note}")


def _figures(found: SampleSet) -> dict[str, Any]:
    return {"samples": len(found), "layout": found.layout.name, "pixels": found.pixels}


def _row(problem: Problem) -> dict[str, Any]:
    return {"file": problem.file, "message": problem.message, "pixels": problem.pixels}
