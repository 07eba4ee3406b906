"""The preview picture of a published model: a face from three sides with its labels, and the classes by name and colour."""

from __future__ import annotations

import torch
from PIL import Image, ImageDraw, ImageFont

from fface_hub.adapters.adapter import Adapter
from fface_hub.cameras import orbit
from fface_hub.doors import to_image
from fface_hub.errors import ModelError
from fface_hub.generators.base import Generator
from fface_hub.layouts import Layout
from fface_hub.models import Model
from fface_hub.rendering.renderer import render
from fface_hub.rendering.views import labels_to_image, strip
from fface_hub.sources import is_bundled_name, is_hub_id

SEED = 3  # the face that the cards' usage blocks show, too
SIDE, LINE, MARGIN = 128, 18, 4  # pixels: of a view, of a line of the legend, and around text
COLUMNS, LONGEST = 2, 24  # of the legend, and characters of a name there


def preview(model: Model) -> Image.Image | None:
    """A picture of what `model` does, the same for the same model; None for a kind of model of which there is none.

    An adapter's faces are drawn if its generator is bundled or was downloaded before; without it there is only the legend.
    """
    generator = _generator_of(model) if isinstance(model, Adapter) else model
    layout = getattr(model, "layout", None)
    parts = []
    if isinstance(generator, Generator):
        parts = _faces(generator, model if isinstance(model, Adapter) else None)
    if isinstance(layout, Layout):
        parts.append(_legend(layout))
    if not parts:
        return None
    picture = Image.new("RGB", (max(part.width for part in parts), sum(part.height for part in parts)), (255, 255, 255))
    top = 0
    for part in parts:
        picture.paste(part, (0, top))
        top += part.height
    return picture


def _generator_of(adapter: Adapter) -> Generator | None:
    """The generator that an adapter fits, if it is on this machine."""
    id = adapter.config["generator_id"]
    try:
        if is_bundled_name(id) or is_hub_id(id):
            generator = Generator.from_pretrained(id, local_files_only=True, device=next(adapter.parameters()).device)
            adapter.check(generator)
            return generator
    except ModelError:
        pass
    return None


def _faces(generator: Generator, adapter: Adapter | None) -> list[Image.Image]:
    """Three views, and below them their labels."""
    with torch.no_grad():
        scene = generator.scene(generator.sample(1, SEED))
        views = render(scene, orbit(3).to(scene.device), SIDE, adapter=adapter)
    layout = generator.layout if adapter is None else adapter.layout
    pictures, labels = to_image(strip(views.image)), to_image(strip(labels_to_image(views.labels, layout)))
    return [pictures.resize(labels.size), labels]  # super-resolved pictures are larger


def _legend(layout: Layout) -> Image.Image:
    """Colours and names of the classes, in columns, in the order of their ids."""
    lines = -(-len(layout) // COLUMNS)
    picture = Image.new("RGB", (3 * SIDE, lines * LINE + 2 * MARGIN), (255, 255, 255))
    draw, font = ImageDraw.Draw(picture), ImageFont.load_default(size=12)
    for number, item in enumerate(layout.classes):
        left, top = number // lines * picture.width // COLUMNS + MARGIN, number % lines * LINE + MARGIN
        draw.rectangle((left, top + 2, left + LINE - MARGIN, top + LINE - 2), fill=item.color, outline=(128, 128, 128))
        name = item.name if len(item.name) <= LONGEST else f"{item.name[: LONGEST - 1]}…"
        draw.text((left + LINE + MARGIN, top + 1), name, (0, 0, 0), font)
    return picture
