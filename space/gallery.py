"""Layouts as cards: those that are bundled, with a picture and their score, and those that people share on the Hub, once asked for."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradio as gr
import spaces
import torch
from PIL import Image

from fface_hub import render
from fface_hub.errors import FFaceError, ModelError
from fface_hub.hub.card_facts import escape
from fface_hub.hub.gallery import PublishedAdapter, find_adapters
from fface_hub.sources import CARD_NAME, CHECKPOINTS, is_bundled_name, is_hub_id
from space import handlers, limits, models
from space.painting import data_url, display_colors, overlay
from space.toasts import plainly, plainly_streaming

SEED = 55
"""The face of the pictures: it has glasses, earrings and both eyes open."""
SIDE = 192
"""Pixels of a side of a picture, of which a card shows two: the face, and its labels."""
SCORES = ("miou", "miou_base15")
"""What a card is searched for, in this order."""


@plainly_streaming
@spaces.GPU(duration=limits.GPU_VIEWS)
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
    colors = display_colors(layout).tolist()
    generator = Path(models.GENERATOR_ID).name
    return {
        "id": name,
        "title": layout.name if adapter is None else name,
        "facts": [
            f"{len(layout)} classes, the generator's own" if adapter is None else f"{len(layout)} classes",
            score(generator if adapter is None else name),
            f"Generator: {generator}",
        ],
        "classes": [{"name": item, "color": color} for item, color in zip(layout.names, colors, strict=True)],
        "picture": "",
    }


@functools.cache
def score(name: str) -> str:
    """How well the labels of a model fit the truth, as the card of the bundled model `name` says; plainly so if nobody measured it."""
    from huggingface_hub import ModelCard, ModelCardData

    path = CHECKPOINTS / name / CARD_NAME
    data = ModelCard(path.read_text(encoding="utf-8")).data if path.is_file() else None
    results = data.eval_results if isinstance(data, ModelCardData) else None
    found = {result.metric_type: result for result in results or []}
    best = next((found[kind] for kind in SCORES if kind in found), None)
    return "Not measured" if best is None else f"{best.metric_name}: {best.metric_value:.2f} ({best.dataset_name})"


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


def search_hub() -> tuple[dict[str, Any], str]:
    """Layouts for this page's generator on the Hub, `{cards: [...]}`, and a sentence in Markdown. This is the one request of the page to
    another machine that no model's name asks for, so it is made when a visitor presses its button. What the server's own account may see
    is no visitor's business: the search is anybody's.
    """
    id = models.GENERATOR_ID
    named = is_bundled_name(id) or is_hub_id(id)
    try:
        found = find_adapters(id if named else None, token=False)
    except ModelError as error:
        return {"cards": []}, escape(str(error))
    which = f"for {escape(Path(id).name)}" if named else "for any generator; each says for which, and is refused by others"
    count = f"{len(found)} layouts" if len(found) != 1 else "One layout"
    return {"cards": [hub_card(adapter) for adapter in found]}, f"{count} on the Hub {which}."


def hub_card(adapter: PublishedAdapter) -> dict[str, Any]:
    """What the Hub's list says of an adapter; it was not looked into yet, so there are no classes and no picture."""
    facts = [f"{adapter.downloads} downloads, {adapter.likes} likes", f"Generator: {adapter.generator or 'not said'}"]
    return {"id": adapter.id, "title": adapter.id, "facts": facts, "classes": [], "picture": ""}


@plainly
def paint_with(chosen: Any) -> tuple[str, Any]:
    """The layout of the card that was pressed, `{chosen: its id}`, and the way to the Edit tab. A layout that cannot be loaded, or is for
    another generator, is told of before anything changes."""
    name = chosen.get("chosen") if isinstance(chosen, dict) else None
    if not isinstance(name, str) or not name:
        raise FFaceError("There is no such layout: choose one of the cards.")
    models.find_adapter(name)
    return name, gr.Tabs(selected="edit")
