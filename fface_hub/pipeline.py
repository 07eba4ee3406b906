"""The guided tour: a portrait becomes an edited 3-D face seen from five sides. Read this first; every step is one call.

photo ─find_face, crop─> square ─invert─> latents, camera ─generator.scene─> scene ─render─> picture, labels, depth
                                             ▲                                          │ someone paints on the labels
                                             └──────────── edit (moves the latents) ◄───┘
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from PIL import Image
from torch import Tensor

from fface_hub.adapters.adapter import Adapter
from fface_hub.cameras import orbit
from fface_hub.editing.edit import EditResult, EditSettings, edit
from fface_hub.generators.base import Generator, Rendering
from fface_hub.inversion.inversion import Inversion
from fface_hub.inversion.invert import InvertSettings, invert
from fface_hub.inversion.start import bundled_encoder
from fface_hub.layouts import Layout
from fface_hub.progress import Callback
from fface_hub.rendering.renderer import render

# Takes the labels [h,w] (int64) that the face has now and their layout, and gives the labels it shall have.
Painter = Callable[[Tensor, Layout], Tensor]


@dataclass(frozen=True)
class Portrait:
    """The tour's stations: the photo's `inversion`, the labels that were `seen` and painted on, the `edited` face, its five `views`; and a
    `note`, a sentence that says where the inversion started."""

    inversion: Inversion
    seen: Rendering
    edited: EditResult
    views: Rendering
    note: str


def edit_portrait(
    photo: Image.Image | str | Path | bytes,
    paint: Painter,
    generator: Generator,
    adapter: Adapter | None = None,
    invert_settings: InvertSettings | None = None,
    edit_settings: EditSettings | None = None,
    resolution: int = 128,
    callback: Callback | None = None,
) -> Portrait:
    """Edit the face of a `photo` as `paint` says, in the layout of the `adapter` (None: the generator's own). Minutes on two CPU cores.

    `resolution` is that of the labels to paint on and of the views. `callback` hears of every step of both optimisations, and stops them by
    raising `CancelledError`. Raises what the steps raise: `ImageError`, `FaceNotFoundError`, `LayoutError`, `ModelError` and
    `OptimisationError`.
    """
    # An adapter reads the features of one generator only; better to know before the minutes of an inversion.
    if adapter is not None:
        adapter.check(generator)
    layout = generator.layout if adapter is None else adapter.layout

    # The photo: its largest face is found and cut out, then latents, camera and a retouch of colours are sought that show it, from what the
    # bundled encoder sees on, if it was fitted to this generator.
    encoder, note = bundled_encoder(generator)
    inversion = invert(generator, photo, settings=invert_settings, callback=callback, encoder=encoder)

    # The scene knows every point of the face; rendered by the photo's camera it gives the labels to paint on.
    seen = render(inversion.scene(), inversion.camera, resolution, adapter=adapter)
    target = paint(seen.labels[0], layout)

    # The edit moves the latents until the labels of the painted region are the target's; colours and all else are held.
    edited = edit(generator, inversion, target, adapter, settings=edit_settings, callback=callback, original_labels=seen.labels[0])

    # The same scene function at the new latents, seen from yaw −30°, −15°, 0, 15°, 30°.
    views = render(inversion.scene(edited.latents), orbit(5), resolution, adapter=adapter)
    return Portrait(inversion, seen, edited, views, note)
