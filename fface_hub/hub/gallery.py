"""The gallery: adapters that people published on the Hub, found by their tag."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from fface_hub.doors import parse_json
from fface_hub.errors import ModelError
from fface_hub.remote import hub_errors
from fface_hub.sources import check_token, is_bundled_name, is_hub_id

ADAPTER_TAG = "fface-adapter"
BASE = "base_model:"
SECONDS = 20.0  # a search is no download: whoever waits for a page waits for it


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
