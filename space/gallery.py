"""Layouts as cards: those that are bundled, with a picture and their score, and those that people share on the Hub, once asked for."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradio as gr
import torch
from PIL import Image

from fface_hub import render
from fface_hub.errors import FFaceError, ModelError
from fface_hub.hub import gallery as hub_gallery
from fface_hub.hub.card_facts import escape
from fface_hub.layouts import Layout
from fface_hub.remote import UnreachableError
from fface_hub.sources import CARD_NAME, CHECKPOINTS, is_bundled_name, is_hub_id
from space import handlers, limits, models
from space.painting import data_url, display_colors, overlay
from space.toasts import plainly, plainly_streaming

SEED = 55
"""The face of the pictures: it has glasses, earrings and both eyes open."""
UNMEASURED = "Not measured"
SIDE = 192
"""Pixels of a side of a picture, of which a card shows two: the face, and its labels."""


@plainly_streaming
def bundled_cards() -> Iterator[dict[str, Any]]:
    """All layouts that this page can paint in at once, `{cards: [...]}`: without pictures, and then again as each is drawn."""
    cards = [layout_card(name) for name in models.layout_choices()]
    yield {"cards": cards}
    for card in cards:
        card["picture"] = picture(card["id"])
        yield {"cards": cards}


def layout_card(name: str) -> dict[str, Any]:
    """What a card shows of a layout of `models.layout_choices`; the script of the page sets all of it as text."""
    adapter = models.find_adapter(name)
    layout = models.layout_of(adapter)
    generator = Path(models.GENERATOR_ID).name
    return {
        "id": name,
        "title": layout.name if adapter is None else name,
        "facts": [
            f"{len(layout)} classes, the generator's own" if adapter is None else f"{len(layout)} classes",
            score(generator if adapter is None else name),
            f"Generator: {generator}",
        ],
        "classes": classes(layout),
        "picture": "",
    }


def classes(layout: Layout) -> list[dict[str, Any]]:
    """Names and colours, as a card shows them."""
    return [{"name": name, "color": color} for name, color in zip(layout.names, display_colors(layout).tolist(), strict=True)]


@functools.cache
def score(name: str) -> str:
    """How well the labels of a model fit the truth, as the card of the bundled model `name` says; plainly so if nobody measured it."""
    from huggingface_hub import metadata_load

    path = CHECKPOINTS / name / CARD_NAME
    data = metadata_load(path) if path.is_file() else None
    return hub_gallery.score((data or {}).get("model-index")) or UNMEASURED


def picture(name: str) -> str:
    """A face beside its labels in that layout, as a data URL; drawn once."""
    return _picture(name, models.GENERATOR_ID)


@functools.cache
def _picture(name: str, _generator: str) -> str:
    model, adapter = models.generator(), models.find_adapter(name)
    with torch.no_grad():
        scene = model.scene(models.latents_of(SEED))
        view = render(scene, model.default_camera, handlers.RESOLUTION, handlers.SAMPLING, adapter)
    layout = models.layout_of(adapter)
    both = Image.new("RGB", (2 * SIDE, SIDE))
    for column, opacity in enumerate((0.0, 1.0)):
        shown = overlay(view.image[0], view.labels[0], layout, opacity)
        both.paste(shown.resize((SIDE, SIDE), Image.Resampling.LANCZOS), (column * SIDE, 0))
    return data_url(both)


@plainly_streaming
def search_hub() -> Iterator[tuple[dict[str, Any], str]]:
    """Layouts for this page's generator on the Hub, `{cards: [...]}`, and a sentence in Markdown: at once, and then again as the first of
    them are looked into. These are the only requests of the page to another machine that no model's name asks for, so they are made when a
    visitor presses the button. What the server's own account may see is no visitor's business: the search is anybody's.
    """
    id = models.GENERATOR_ID
    named = is_bundled_name(id) or is_hub_id(id)
    try:
        found = hub_gallery.find_adapters(id if named else None, token=False)
    except ModelError as error:
        yield {"cards": []}, escape(str(error))
        return
    which = f"for {escape(Path(id).name)}" if named else "for any generator; each says for which, and is refused by others"
    count = f"{len(found)} layouts" if len(found) != 1 else "One layout"
    cards, said = [hub_card(adapter) for adapter in found], f"{count} on the Hub {which}."
    if len(cards) > limits.LOOKED:
        said += f" The first {limits.LOOKED} are shown with their classes."
    yield {"cards": cards}, said
    for card in cards[: limits.LOOKED]:
        try:
            fill_in(card)
        except UnreachableError as error:  # nor can the others be looked into
            yield {"cards": cards}, f"{said} {escape(str(error))}"
            return
        yield {"cards": cards}, said


def hub_card(adapter: hub_gallery.PublishedAdapter) -> dict[str, Any]:
    """What the Hub's list says of an adapter; it was not looked into yet, so there are no classes and no picture."""
    facts = [f"{adapter.downloads} downloads, {adapter.likes} likes", f"Generator: {adapter.generator or 'not said'}"]
    return {"id": adapter.id, "title": adapter.id, "facts": facts, "classes": [], "picture": ""}


def fill_in(card: dict[str, Any]) -> None:
    """Put into a `hub_card` what a look into its repository tells: classes, the score that it claims, its picture and whether it fits; or
    why it cannot be looked into. Raises `UnreachableError`."""
    try:
        look = hub_gallery.look_into(card["id"], token=False)
    except UnreachableError:
        raise
    except FFaceError as error:
        card["facts"].append(str(error))
        return
    card["classes"] = classes(look.layout)
    claim = f"Its card says: {look.score}" if look.score else UNMEASURED
    fits = [] if look.fingerprint == models.generator().fingerprint else ["It was fitted on other weights and cannot be used here."]
    card["facts"] = [f"{len(look.layout)} classes", claim, *card["facts"], *fits]
    if look.picture is not None:
        card["picture"] = data_url(shown(look.picture))


def shown(picture: Image.Image) -> Image.Image:
    """The upper part of somebody's preview picture, where ours have the faces and their labels, no larger than a card needs."""
    upper = picture.crop((0, 0, picture.width, min(picture.height, max(1, picture.width * 2 // 3))))
    upper.thumbnail((2 * SIDE, 2 * SIDE), Image.Resampling.LANCZOS)
    return upper


@plainly
def paint_with(chosen: Any) -> tuple[str, Any]:
    """The layout of the card that was pressed, `{chosen: its id}`, and the way to the Edit tab. A layout that cannot be loaded, or is for
    another generator, is told of before anything changes."""
    name = chosen.get("chosen") if isinstance(chosen, dict) else None
    if not isinstance(name, str) or not name:
        raise FFaceError("There is no such layout: choose one of the cards.")
    models.find_adapter(name)
    return name, gr.Tabs(selected="edit")
