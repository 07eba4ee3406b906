"""`fface-hub convert` and `label`: an official checkpoint becomes a model folder, and gets class labels if it has none."""

from __future__ import annotations

import time
from argparse import Namespace
from dataclasses import replace

from fface_hub.adapters.labelling import SETTINGS, fit_labels, parsed_samples
from fface_hub.adapters.samples import SampleSet
from fface_hub.commands.folders import load_generator
from fface_hub.commands.support import choose_layout, progress, say, write_json
from fface_hub.errors import ModelError
from fface_hub.generators.triplane import TriplaneGenerator
from fface_hub.hub.card_facts import escape
from fface_hub.hub.cards import save_with_card
from fface_hub.hub.convert import ADAPTER_ENDING
from fface_hub.hub.convert import convert as convert_checkpoint
from fface_hub.hub.releases import RELEASES
from fface_hub.memory import keep_freed_memory
from fface_hub.parsing import PARSER, load_parser
from fface_hub.progress import Step


def convert(args: Namespace) -> None:
    """Convert, and say what was taken, what was not, and whose licence it is under."""
    start = time.perf_counter()
    done = convert_checkpoint(args.file, args.out, args.push, choose_layout(args.layout) if args.layout else None)
    seconds, release = time.perf_counter() - start, RELEASES[done.release]
    count = sum(parameter.numel() for model in done.models for parameter in model.parameters())
    write_json(
        {
            "release": done.release,
            "parameters": count,
            "tensors": done.taken,
            "left_out": done.left_out,
            "notes": done.notes,
            "fingerprint": done.generator.fingerprint,
            "resolution": done.generator.config["resolution"],
            "licence": release.license,
            "seconds": seconds,
        },
        args.json,
    )
    say(f"{release.title}: {done.taken} tensors with {count:,} parameters, volume at {done.generator.config['resolution']}²")
    for reason, names in done.left_out.items():
        say(f"left out: {len(names)} tensors, {reason}")
    for note in done.notes:
        say(f"note: {note}")
    say(f"licence: {release.license}")
    adapter = f" and the adapter for '{done.adapter.layout.name}' to {args.out}{ADAPTER_ENDING}" if done.adapter is not None else ""
    say(f"wrote the generator to {args.out}{adapter} after {seconds:.0f} s")
    for url in done.urls:
        say(f"private repository: {url}")


def label(args: Namespace) -> None:
    """Fit a label head to a generator without labels; an eighth of the faces measure it."""
    start = time.perf_counter()
    generator = load_generator(args.generator, args.compute)
    if not isinstance(generator, TriplaneGenerator):
        raise ModelError("Only tri-plane generators, as convert makes them of EG3D's, can be given labels.")
    keep_freed_memory()
    origin = f"the label maps of {args.samples}" if args.samples else f"the face parser {args.parser or PARSER}"
    if args.samples:
        samples = SampleSet.load(args.samples)
    else:
        parser = load_parser(args.parser or PARSER, args.compute.device)
        with progress("faces") as bar:
            samples = parsed_samples(generator, parser, args.faces, args.seed, bar)
    settings = replace(SETTINGS, seed=args.seed, steps=args.steps or SETTINGS.steps, left_out=len(samples) // 8)
    last = Step(0, settings.steps, {})
    with progress("labels") as bar:

        def callback(step: Step) -> None:
            nonlocal last
            last = step
            bar(step)

        labelled = fit_labels(generator, samples, settings, callback)
    provenance = f"Its class labels were fitted to {len(samples)} of its own faces after {escape(origin)}."
    save_with_card(labelled, args.out.resolve(), provenance)
    seconds = time.perf_counter() - start
    write_json({"seconds": seconds, "samples": len(samples), "left_out": settings.left_out, "losses": dict(last.losses)}, args.json)
    scored = f", mIoU {last.losses['miou']:.3f} on {settings.left_out} left-out faces" if "miou" in last.losses else ""
    say(f"wrote the generator with labels of '{labelled.layout.name}' to {args.out} after {seconds:.0f} s{scored}")
