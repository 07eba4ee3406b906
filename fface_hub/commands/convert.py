"""`fface-hub convert`: an official checkpoint becomes a model folder."""

from __future__ import annotations

import time
from argparse import Namespace

from fface_hub.commands.support import choose_layout, say, write_json
from fface_hub.hub.convert import ADAPTER_ENDING
from fface_hub.hub.convert import convert as convert_checkpoint
from fface_hub.hub.releases import RELEASES


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
