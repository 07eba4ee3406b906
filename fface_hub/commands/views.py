"""`fface-hub render`: a face folder or a seed becomes views, a film, a mesh and maps."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

from fface_hub.adapters.adapter import Adapter
from fface_hub.commands.folders import Face, load_face
from fface_hub.commands.support import progress, say
from fface_hub.doors import save_label_map, to_image
from fface_hub.generators.base import Scene
from fface_hub.rendering.export import save_glb, save_mp4, save_png
from fface_hub.rendering.mesh import extract_mesh
from fface_hub.rendering.renderer import render as render_view
from fface_hub.rendering.views import depth_to_image, five_views, normals_to_image, orbit_frames, strip


def render(args: Namespace) -> None:
    """Write what `--only` names into `--out`: views.png, orbit.mp4, face.glb, labels.png, depth.png, normals.png."""
    face = load_face(args.source, args.generator, args.compute)
    adapter = Adapter.from_pretrained(args.adapter, device=args.compute.device) if args.adapter else None
    scene = face.inversion.scene()
    if adapter is not None:
        adapter.check(scene)
    args.out.mkdir(parents=True, exist_ok=True)
    if "views" in args.only:
        with progress("five views") as callback:
            views = five_views(scene, args.resolution, adapter, callback=callback)
        save_png(strip(views.image), args.out / "views.png")
    if "orbit" in args.only:
        with progress("orbit") as callback:
            save_mp4(orbit_frames(scene, args.frames, args.resolution, callback=callback).image, args.out / "orbit.mp4", args.fps)
    _write_maps(scene, face, adapter, args.resolution, set(args.only), args.out)
    if "mesh" in args.only:  # last, since a face without a closed surface has none
        save_glb(extract_mesh(scene, args.grid), args.out / "face.glb")
    say(f"wrote {', '.join(sorted(path.name for path in args.out.iterdir()))} to {args.out}")


def _write_maps(scene: Scene, face: Face, adapter: Adapter | None, resolution: int, wanted: set[str], out: Path) -> None:
    """Labels, depth and normals as the face's own camera sees them."""
    if not wanted & {"labels", "depth", "normals"}:
        return
    view = render_view(scene, face.inversion.camera, resolution, adapter=adapter)
    if "labels" in wanted:
        save_label_map(view.labels[0].cpu(), face.original.layout if adapter is None else adapter.layout, out / "labels.png")
    if "depth" in wanted:
        to_image(depth_to_image(view.depth, view.opacity)[0]).save(out / "depth.png")
    if "normals" in wanted:
        to_image(normals_to_image(view.depth, face.inversion.camera, view.opacity)[0]).save(out / "normals.png")
