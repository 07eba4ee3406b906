"""The gallery: adapters that people published on the Hub, found by their tag."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from PIL import Image

from fface_hub.adapters.adapter import Adapter
from fface_hub.doors import parse_json, read_image
from fface_hub.errors import ImageError, ModelError
from fface_hub.layouts import Layout
from fface_hub.models import read_config
from fface_hub.remote import download, hub_errors, listing
from fface_hub.schema import check_arguments
from fface_hub.sources import CONFIG_NAME, PREVIEW_NAME, Source, check_token, is_bundled_name, is_hub_id, model_file

ADAPTER_TAG = "fface-adapter"
BASE = "base_model:"
SECONDS = 20.0  # a search is no download: whoever waits for a page waits for it
MAX_LOOKED = 1_000_000
"""Bytes of a config or a preview picture that are downloaded to look at an adapter; previews are of about 50 kB."""
SCORES = ("miou", "miou_base15")
"""The metrics that say how good a layout is, the first best."""
MAX_RESULTS = 200  # of a card that are looked at


@dataclass(frozen=True)
class PublishedAdapter:
    """An adapter on the Hub: its `id`, the `generator` it says it was fitted on ("" if none), and how many people like and load it."""

    id: str
    generator: str
    likes: int
    downloads: int


def find_adapters(generator: str | None = None, limit: int = 50, token: str | bool | None = None) -> list[PublishedAdapter]:
    """The most downloaded adapters on the Hub, at most `limit`; with `generator`, its bundled name or Hub id, only those fitted on it.

    Nothing is downloaded, and what the Hub says is not proven: whether an adapter fits is decided when it is loaded (`Adapter.check`). Rows
    that are not of the form are left out. Raises `ModelError`, at once where there is no network.
    """
    from huggingface_hub import constants, get_session
    from huggingface_hub.utils import build_hf_headers, hf_raise_for_status

    if generator is not None and not (is_bundled_name(generator) or is_hub_id(generator)):
        raise ModelError(f"{generator[:80]!r} is not the name of a generator: give a bundled name or a Hub id 'org/name'.")
    check_token(token)
    tags = [ADAPTER_TAG] if generator is None else [ADAPTER_TAG, BASE + generator]
    parameters = {"filter": tags, "limit": limit, "sort": "downloads"}
    with hub_errors(ADAPTER_TAG, "load", "gallery"):  # `HfApi.list_models` would try five times before it says that there is no network
        headers = build_hf_headers(token=token)
        response = get_session().get(f"{constants.ENDPOINT}/api/models", params=parameters, headers=headers, timeout=SECONDS)
        hf_raise_for_status(response)
    rows = parse_json(response.content, "The Hub's list of adapters")
    found = [_adapter(row) for row in rows] if isinstance(rows, list) else []
    return [adapter for adapter in found if adapter is not None and generator in (None, adapter.generator)][:limit]


@dataclass(frozen=True)
class Look:
    """What there is to see of an adapter on the Hub before it is loaded: its `layout`, the `fingerprint` of the generator it was fitted on,
    the `score` that its card claims ("" if none), and its preview `picture` (None without one that can be shown)."""

    layout: Layout
    fingerprint: str
    score: str
    picture: Image.Image | None


def look_into(id: str, token: str | bool | None = None) -> Look:
    """Download config and preview picture, no weights, of the adapter `id` on the Hub; all as its author says it. Raises `ModelError`."""
    if not is_hub_id(id):
        raise ModelError(f"{id[:80]!r} is not a Hub id: write it as 'org/name'.")
    check_token(token)
    source = Source(id, token=token)
    found = listing(source)
    if (found.sizes.get(CONFIG_NAME) or 0) > MAX_LOOKED:
        raise ModelError(f"The config of '{id}' is larger than {MAX_LOOKED:,} bytes: it is not one of an adapter.")
    pictured = 0 < (found.sizes.get(PREVIEW_NAME) or 0) <= MAX_LOOKED
    folder = download(source, [CONFIG_NAME, *([PREVIEW_NAME] if pictured else [])], found)
    kind, raw = read_config(folder, id)
    if kind is not Adapter:
        raise ModelError(f"'{id}' is a model of class {kind.__name__}, not an adapter.")
    arguments = check_arguments(Adapter, raw)
    try:
        picture = read_image(model_file(folder, PREVIEW_NAME)) if pictured else None
    except ImageError:
        picture = None
    return Look(Layout.from_dict(arguments["layout"]), arguments["generator_fingerprint"], score(found.results), picture)


def score(results: Any) -> str:
    """How good a layout is, by a card's results in the form of the Hub (`model-index`); "" if it does not say so."""
    rows = [result for entry in _rows(results) for result in _rows(entry.get("results"))][:MAX_RESULTS]
    found: dict[str, str] = {}
    for row in rows:
        data = row.get("dataset")
        where = data.get("name") if isinstance(data, dict) else None
        for metric in _rows(row.get("metrics")):
            kind, value, name = metric.get("type"), metric.get("value"), metric.get("name")
            measured = isinstance(value, int | float) and 0 <= value <= 1
            if kind in SCORES and measured and isinstance(name, str) and isinstance(where, str):
                found.setdefault(kind, f"{name[:60]}: {value:.2f} ({where[:80]})")
    return next((found[kind] for kind in SCORES if kind in found), "")


def _rows(value: Any) -> list[dict[str, Any]]:
    """The objects in a list that may be anything."""
    return [row for row in value[:MAX_RESULTS] if isinstance(row, dict)] if isinstance(value, list) else []


def _adapter(row: Any) -> PublishedAdapter | None:
    """A row of the Hub's list; None if it is not one of an adapter."""
    if not isinstance(row, dict) or not isinstance(row.get("id"), str) or not is_hub_id(row["id"]) or not isinstance(row.get("tags"), list):
        return None
    tags = [tag for tag in row["tags"] if isinstance(tag, str)]
    if ADAPTER_TAG not in tags:
        return None
    bases = [tag.removeprefix(BASE) for tag in tags if tag.startswith(BASE)]
    generator = next((base for base in bases if is_bundled_name(base) or is_hub_id(base)), "")
    likes, downloads = (count if isinstance(count := row.get(name), int) else 0 for name in ("likes", "downloads"))
    return PublishedAdapter(row["id"], generator, likes, downloads)
