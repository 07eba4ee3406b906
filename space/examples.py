"""Faces to begin with, one click each: some that the bundled generator draws, and a photograph that may be shown to anybody.

`python -m space.examples` draws their thumbnails anew, into `examples/faces`; a test holds them to what the generator draws.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradio as gr
import torch
from PIL import Image

from fface_hub import render
from fface_hub.doors import read_image, to_image
from fface_hub.inversion.align import crop, find_face, unit_of
from space import handlers, models
from space.canvas import widget
from space.state import Session
from space.toasts import plainly_streaming
from space.wiring import LONG, SHORT, Wiring

SEEDS = (22, 39, 6, 33, 15, 54, 32, 55)
"""Chosen by eye among the first sixty, for heads that differ."""
FOLDER = Path(__file__).parents[1] / "examples"
PHOTO = FOLDER / "photos" / "astronaut.jpg"
CREDIT = "Eileen Collins, by NASA, public domain"
SIDE = 96
"""Pixels of a side of a thumbnail: one and a half times what is shown, for fine screens."""


def build(elem_id: str = "examples") -> gr.HTML:
    """A strip; its value is `{entries: [{picture, caption, title, seed}]}` from the server, and `{seed}` with the event "select" or
    `{}` with the event "submit", which stands for the photograph. Seeds are the bundled generator's, and left out with another."""
    seeds = SEEDS if models.GENERATOR_ID == models.BUNDLED_ID else ()
    strip = widget("examples", ("examples.js",), elem_id)
    drawn = [_entry(f"{seed}", f"Seed {seed}", f"Draw the face of seed {seed}", seed) for seed in seeds]
    strip.value = {"entries": [*drawn, _entry("astronaut", "Photo", f"Make this photo 3-D: {CREDIT}", None)]}
    return strip


def _entry(name: str, caption: str, title: str, seed: int | None) -> dict[str, Any]:
    data = base64.b64encode((FOLDER / "faces" / f"{name}.webp").read_bytes()).decode("ascii")
    return {"picture": f"data:image/webp;base64,{data}", "caption": caption, "title": title, "seed": seed}


def connect(strip: gr.HTML, seed: gr.Number, wires: Wiring) -> None:
    """A click shows the face in the Edit tab, and `seed` says which it is."""
    here = {"show_progress_on": wires.status}
    drawing = (handlers.draw_face, [seed, wires.layout, wires.session], wires.outputs)
    strip.select(chosen_seed, strip, seed, show_progress="hidden", queue=False).success(*drawing, **here, **SHORT).success(**wires.sides)
    strip.submit(invert_example, [wires.layout, wires.session], wires.outputs, **here, **LONG).success(**wires.sides)


def chosen_seed(chosen: Any) -> Any:
    """The seed of a click, `{seed}`; whether it is one is judged where the face is drawn."""
    return chosen.get("seed") if isinstance(chosen, dict) else None


@plainly_streaming
def invert_example(layout_id: str, before: Session | None, request: gr.Request, progress=gr.Progress()) -> Iterator[tuple[Any, ...]]:
    """The photograph that is shown with the page, made 3-D as a visitor's own is; nobody has to be asked for it."""
    yield from handlers.invert_photo(read_image(PHOTO), True, False, layout_id, None, before, request, progress)


@torch.no_grad()
def thumbnail(seed: int) -> Image.Image:
    """The face of `seed`, as the page draws it, small."""
    model = models.generator()
    view = render(model.scene(models.latents_of(seed)), model.default_camera, handlers.RESOLUTION)
    return to_image(view.image[0]).resize((SIDE, SIDE), Image.Resampling.LANCZOS)


def photo_thumbnail() -> Image.Image:
    """The square of the photograph that an inversion uses, small."""
    photo = read_image(PHOTO)
    return crop(photo, find_face(photo, unit_of(models.generator())).box, SIDE)


def main() -> None:
    """Write all thumbnails."""
    (FOLDER / "faces").mkdir(exist_ok=True)
    for name, picture in [*((f"{seed}", thumbnail(seed)) for seed in SEEDS), ("astronaut", photo_thumbnail())]:
        picture.save(FOLDER / "faces" / f"{name}.webp", quality=88, method=6)


if __name__ == "__main__":
    main()
