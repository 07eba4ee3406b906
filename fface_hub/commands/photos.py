"""`fface-hub prepare`: a folder of photographs made ready."""

from __future__ import annotations

from argparse import Namespace

from fface_hub.commands.folders import load_generator
from fface_hub.commands.support import counted, progress, say
from fface_hub.compute import Compute
from fface_hub.inversion.align import unit_of
from fface_hub.inversion.prepare import REPORT, PrepareSettings
from fface_hub.inversion.prepare import prepare as prepare_photos

SHOWN = 5
"""Reasons that are printed; the rest are in the report."""


def prepare(args: Namespace) -> None:
    """Crops and cameras of the photos in a folder."""
    generator = load_generator(args.generator, Compute.choose("cpu"))  # of which only the scale is wanted
    settings = PrepareSettings(args.resolution, unit_of(generator))
    with progress("photos") as bar:
        prepared = prepare_photos(args.photos, args.out, settings, bar)
    for source, reason in list(prepared.rejected.items())[:SHOWN]:
        say(f"rejected '{source}': {reason}")
    people = f" of {counted(len(prepared.people), 'person', 'people')}" if prepared.people else ""
    earlier = f" ({counted(prepared.reused, 'photo was', 'photos were')} done before)" if prepared.reused else ""
    say(f"wrote {counted(len(prepared.cameras), 'crop')}{people}, rejected {len(prepared.rejected)}{earlier}; see {args.out / REPORT}")
