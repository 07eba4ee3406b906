"""What faces take from one another, on one sheet: `python -m examples.transfer OUT.jpg` (some minutes: a photo is inverted for it).

Row 1: three faces; the first with all colours of the second, with its hair and brows, and with those and the lips and clothes of the third.
Row 2: that face from five sides, and its labels, which are those of the first.
Row 3: from the first face half way and all the way to the third, in colours, in shape, and in both.
Row 4: a photographed face; its hair and lips in the colours of two drawn faces, and a drawn face in its colours; then the first face
before and after it has taken the shape of the third one's nose and lips, with the labels before and after.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from torch import Tensor

from fface_hub import Generator, invert, look_at, orbit, render
from fface_hub.doors import read_image, to_image
from fface_hub.editing.composite import face_scene
from fface_hub.editing.transfer import transfer, transfer_geometry
from fface_hub.inversion.inversion import Inversion
from fface_hub.inversion.start import bundled_encoder
from fface_hub.latents import Latents
from fface_hub.rendering.views import labels_to_image

PHOTO = Path(__file__).parent / "photos" / "astronaut.jpg"
SEEDS = (3, 4, 9)
SIDE = 144


def sheet(generator: Generator, photographed: Inversion) -> Tensor:
    """The picture `[3,H,W]` in [-1, 1]."""
    first, second, third = (generator.sample(1, seed) for seed in SEEDS)
    composite = transfer(generator, transfer(generator, first, second, classes=["hair", "brow"]), third, classes=["lips", "cloth"])

    def picture(latents: Latents) -> Tensor:
        return render(face_scene(generator, latents), generator.default_camera, SIDE).image[0]

    def photo(latents: Latents | None = None) -> Tensor:
        return render(photographed.scene(latents), photographed.camera, SIDE).image[0]

    several = [first, second, third, transfer(generator, first, second), transfer(generator, first, second, classes=["hair", "brow"])]
    row_1 = [picture(face) for face in (*several, composite)]
    sides = render(face_scene(generator, composite), orbit(5), SIDE)
    front = render(generator.scene(first), look_at(0.0), SIDE)
    row_2 = [*sides.image, labels_to_image(front.labels, generator.layout)[0]]
    amounts = [(0.5, 0.0), (1.0, 0.0), (0.0, 0.5), (0.0, 1.0), (0.5, 0.5), (1.0, 1.0)]
    row_3 = [picture(transfer(generator, first, third, appearance, geometry)) for appearance, geometry in amounts]
    dyed = transfer(generator, transfer(generator, photographed, second, classes=["hair"]), third, classes=["lips"])
    edited = transfer_geometry(generator, first, third, ["nose", "lips"])
    after = render(face_scene(generator, edited.latents), generator.default_camera, SIDE)
    maps = [labels_to_image(view.labels, generator.layout)[0] for view in (front, after)]
    row_4 = [photo(), photo(dyed), picture(transfer(generator, second, photographed)), after.image[0], *maps]
    return torch.cat([torch.cat(row, dim=2) for row in (row_1, row_2, row_3, row_4)], dim=1)


def main(out: Path) -> None:
    """Write the sheet to `out`."""
    generator = Generator.from_pretrained("heads-triplane")
    out.parent.mkdir(parents=True, exist_ok=True)
    to_image(sheet(generator, invert(generator, read_image(PHOTO), encoder=bundled_encoder(generator)[0]))).save(out, quality=82)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
