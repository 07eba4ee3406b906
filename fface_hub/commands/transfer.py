"""`fface-hub transfer`: a face folder of one face with the colours, or the shape, of another."""

from __future__ import annotations

from argparse import Namespace
from dataclasses import replace

from fface_hub.adapters.adapter import Adapter
from fface_hub.commands.folders import load_face, save_face
from fface_hub.commands.support import progress, say
from fface_hub.editing.edit import EditSettings
from fface_hub.editing.transfer import transfer as take
from fface_hub.editing.transfer import transfer_geometry
from fface_hub.rendering.renderer import render


def transfer(args: Namespace) -> None:
    """SOURCE with what FROM gives it: camera, tuning and backdrop stay SOURCE's. Colours of classes are those of the generator's layout, so
    that the folder says all; the adapter labels, and names the classes of `--geometry`."""
    face, other = (load_face(source, args.generator, args.compute) for source in (args.source, args.other))
    adapter = Adapter.from_pretrained(args.adapter, device=args.compute.device) if args.adapter else None
    if adapter is not None:
        adapter.check(face.original)
    given = (face.original, face.inversion, other.inversion)
    if args.geometry is not None:
        with progress("transfer") as callback:
            result = transfer_geometry(*given, args.geometry, adapter, settings=EditSettings(seed=args.seed), callback=callback)
        latents, region = result.latents, result.region
        say(f"{result.matched:.0%} of the {int(region.sum())} pixels that differ have their new label")
    elif args.mix is not None:
        latents = take(*given, appearance=args.mix, geometry=args.mix)
    else:
        latents = take(*given, classes=args.classes)
    face = replace(face, inversion=replace(face.inversion, latents=latents))
    view = render(face.inversion.scene(), face.inversion.camera, args.resolution, adapter=adapter)
    save_face(args.out, face, view, face.original.layout if adapter is None else adapter.layout)
    say(f"wrote {args.out}")
