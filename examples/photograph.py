"""What becomes of a photograph, on one sheet: `python -m examples.photograph OUT.jpg` (about a minute).

Row 1: the photo as it is framed, the face found in the generator, its labels, and the face before and after its nose was painted wider, at
the edit's own resolution. Rows 2 and 3: five views and their labels before the edit; rows 4 and 5: after it.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from fface_hub import Generator, edit, invert, render
from fface_hub.doors import read_image, to_image
from fface_hub.editing.edit import EditResult
from fface_hub.inversion.inversion import Inversion
from fface_hub.inversion.start import bundled_encoder
from fface_hub.layouts import Layout
from fface_hub.rendering.views import five_views, labels_to_image

PHOTO = Path(__file__).parent / "photos" / "astronaut.jpg"
SIDE = 128


def wider(labels: Tensor, layout: Layout, pixels: int = 9) -> Tensor:
    """Label map `[h,w]` whose nose is wider by `pixels` − 1."""
    nose = layout.index("nose")
    grown = F.max_pool2d((labels == nose).float()[None, None], (1, pixels), stride=1, padding=(0, pixels // 2))
    return labels.masked_fill(grown[0, 0] > 0, nose)


def sheet(inversion: Inversion, result: EditResult, layout: Layout) -> Tensor:
    """The five rows as one picture `[3,H,W]`."""
    assert inversion.image is not None
    seen = render(inversion.scene(), inversion.camera, SIDE)
    rows = [[inversion.image[0], seen.image[0], labels_to_image(seen.labels, layout)[0], result.before.raw[0, :3], result.after.raw[0, :3]]]
    for latents in (inversion.latents, result.latents):
        views = five_views(inversion.scene(latents), SIDE)
        rows += [list(views.image), list(labels_to_image(views.labels, layout))]
    return torch.cat([torch.cat([_square(tile) for tile in row], dim=2) for row in rows], dim=1)


def _square(tile: Tensor) -> Tensor:
    return F.interpolate(tile[None].cpu(), (SIDE, SIDE), mode="bilinear", antialias=True, align_corners=False)[0].clamp(-1, 1)


def main(out: Path) -> None:
    """Invert, edit, and save the sheet."""
    generator = Generator.from_pretrained("heads-triplane")
    inversion = invert(generator, read_image(PHOTO), encoder=bundled_encoder(generator)[0])
    labels = render(inversion.scene(), inversion.camera, SIDE).labels[0]
    result = edit(generator, inversion, wider(labels, generator.layout), original_labels=labels)
    to_image(sheet(inversion, result, generator.layout)).save(out, quality=88)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
