"""Files to take away: PNG of a picture, MP4 of an orbit, GLB of a mesh. Each is written beside its place and moved there when complete."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import trimesh
from PIL.PngImagePlugin import PngInfo
from torch import Tensor
from torch.nn import functional as F

from fface_hub.doors import to_image
from fface_hub.rendering.mesh import Mesh

MARK = "This face is computer-made (fface-hub)."


@contextmanager
def _replacing(path: str | Path) -> Iterator[Path]:
    """A temporary path in the same folder that takes the place of `path` at the end, or vanishes on an error.

    Its name follows from that of `path`, so that the next one writes over what a killed one has left.
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".writing-{target.name}")
    try:
        yield temporary
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


def save_png(image: Tensor, path: str | Path) -> None:
    """Write the picture `image [3,H,W]` in [-1, 1], marked in the file as computer-made."""
    note = PngInfo()
    note.add_text("Comment", MARK)
    with _replacing(path) as temporary:
        to_image(image).save(temporary, format="PNG", pnginfo=note)


def save_mp4(frames: Tensor, path: str | Path, fps: int = 24) -> None:
    """Write `frames [T,3,H,W]` in [-1, 1] as an H.264 film that browsers play at once (yuv420p, index in front), marked as computer-made.

    yuv420p needs even sides: an odd one is extended by repeating its last row or column. `ValueError` if there are no frames.
    """
    if frames.ndim != 4 or frames.shape[1] != 3 or len(frames) == 0:
        raise ValueError(f"frames [T,3,H,W] expected, got {tuple(frames.shape)}")
    even = F.pad(frames.detach().float(), (0, frames.shape[3] % 2, 0, frames.shape[2] % 2), mode="replicate")
    pictures = ((even.clamp(-1, 1) + 1) * 127.5).round().byte().permute(0, 2, 3, 1).contiguous().cpu().numpy()
    with _replacing(path) as temporary, av.open(str(temporary), "w", format="mp4", options={"movflags": "+faststart"}) as film:
        film.metadata["comment"] = MARK
        stream = film.add_stream("libx264", rate=Fraction(fps), options={"crf": "18", "preset": "medium"})
        stream.height, stream.width, stream.pix_fmt = pictures.shape[1], pictures.shape[2], "yuv420p"
        for picture in pictures:
            film.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        film.mux(stream.encode())


def save_glb(mesh: Mesh, path: str | Path) -> None:
    """Write a `mesh` with its vertex colours as binary glTF, marked as computer-made (one unit of the file is one of the world).

    It has normals, too: without them viewers must shade each triangle flat, and a face looks chiselled.
    """
    alpha = np.full((len(mesh.colors), 1), 255, dtype=np.uint8)
    body = trimesh.Trimesh(mesh.vertices, mesh.faces, vertex_colors=np.hstack([mesh.colors, alpha]), process=False)
    scene = trimesh.Scene(body, metadata={"comment": MARK})
    with _replacing(path) as temporary:
        scene.export(temporary, file_type="glb", include_normals=True)
