"""The models of this page: one generator for all visitors, and the layouts that can be painted in."""

from __future__ import annotations

import functools
import os
from pathlib import Path
from typing import TypeVar
from weakref import WeakValueDictionary

import torch
from spaces.config import Config

from fface_hub import Adapter, Generator
from fface_hub.compute import Compute
from fface_hub.errors import ModelError
from fface_hub.hub.card_facts import escape
from fface_hub.inversion.encoder import CanonicalEditor, Encoder, bundled_editor
from fface_hub.inversion.start import bundled_encoder
from fface_hub.latents import Latents
from fface_hub.layouts import Layout
from fface_hub.models import Model
from fface_hub.parsing import PARSER_OF_HEADS, Parser, load_parser
from fface_hub.sources import bundled_names, is_hub_id

BUNDLED_ID = "heads-triplane"
GENERATOR_ID = os.environ.get("FFACE_GENERATOR") or BUNDLED_ID
"""The generator of this page: another one, such as a converted EG3D model, is named by the environment (a folder, or org/name)."""
FIRST_LAYOUT = "heads-nasal-wing-17"
"""The layout that the page opens with, where it fits the generator."""
OWN_LAYOUT = "base-15 (the generator's own)"
TRUNCATION = 0.9
"""Faces are drawn a tenth nearer to the mean face than the generator means them to be, for fewer odd ones."""

LENDS = Config.zero_gpu
"""Whether the page has no GPU but those that are lent to it for a call (ZeroGPU)."""
_there = False  # whether this is a process that one was lent to

Value = TypeVar("Value")
_OWN: WeakValueDictionary[tuple[str, str], Adapter] = WeakValueDictionary()
"""Layouts that visitors have made or opened, by visitor (gradio's session) and choice; who keeps them alive is the visitor's state."""


@functools.cache
def compute() -> Compute:
    """Where this process computes, as its environment says. Where GPUs are lent only, the page has none of its own."""
    variables = {**os.environ, "FFACE_DEVICE": "cpu", "FFACE_DTYPE": ""} if LENDS and not _there else os.environ
    return Compute.from_environment(variables).apply()


def move_to_lent_gpu() -> None:
    """Put all models on the GPU that was lent to this process, which was forked from the page's."""
    global _there
    if not _there:
        _there = True
        compute.cache_clear()
        for model in shared().values():
            network = getattr(model, "network", model)  # a parser is none itself
            if isinstance(network, torch.nn.Module):
                network.to(compute().device)
        if isinstance(model := generator(), Model):
            model.set_precision(compute().dtype)


@functools.cache
def generator() -> Generator:
    """The generator of this page, loaded once for all visitors; it is never written to, and never asks for gradients."""
    return _read_only(Generator.from_pretrained(GENERATOR_ID, dtype=compute().dtype, device=compute().device))


def latents_of(seed: int) -> Latents:
    """The face that the page draws for `seed`."""
    return generator().sample(1, seed, truncation=TRUNCATION)


@functools.cache
def find_encoder() -> tuple[Encoder | None, str]:
    """The bundled encoder, if it is this generator's, else None; and a sentence that says where a search starts."""
    encoder, note = bundled_encoder(generator())
    return _read_only(encoder), note


@functools.cache
def find_editor() -> CanonicalEditor | None:
    """The bundled canonical editor, if it is this generator's."""
    return _read_only(bundled_editor(generator()))


@functools.cache
def bundled_adapter(name: str) -> Adapter:
    """A bundled adapter, loaded once for all visitors; read-only like the generator."""
    return _read_only(Adapter.from_pretrained(name, device=compute().device))


@functools.cache
def find_parser() -> Parser:
    """The bundled parser of photos."""
    return load_parser(PARSER_OF_HEADS, compute().device)


def load_all() -> None:
    """Load every model of this page, so that no visitor waits for one, and every process that a GPU is lent to has them."""
    shared()


def shared() -> dict[str, object]:
    """The models that every process of the page has, by a name; see `load_all`."""
    return _shared(generator())


@functools.cache
def _shared(model: Generator) -> dict[str, object]:
    bundled = {name: bundled_adapter(name) for name in layout_choices()[1:]}
    own = {"generator": model, "encoder": find_encoder()[0], "editor": find_editor(), "parser": find_parser()}
    return {name: model for name, model in (own | bundled).items() if model is not None}


def _read_only(model: Value) -> Value:
    """`model` with frozen weights: work on them, such as tuning, happens on copies."""
    return model.requires_grad_(False) if isinstance(model, torch.nn.Module) else model


def layout_choices() -> list[str]:
    """Layouts that can be painted in at once: the bundled ones are of the bundled generator."""
    return [OWN_LAYOUT, *(bundled_names("Adapter") if GENERATOR_ID == BUNDLED_ID else ())]


def first_layout() -> str:
    """The layout that the page opens with."""
    return FIRST_LAYOUT if FIRST_LAYOUT in layout_choices() else OWN_LAYOUT


def about_the_generator() -> str:
    """Markdown that says which generator this page runs, and what to expect of it."""
    if GENERATOR_ID == BUNDLED_ID:
        return (
            f"**Generator: {BUNDLED_ID}**, trained on rendered heads, not on photographs. A photo comes back as a *rendered likeness*: the "
            "shape, the parts and the colours of the face, without fine skin texture, beards or unusual hair."
        )
    return (
        f"**Generator: {escape(Path(GENERATOR_ID).name)}**, chosen by whoever runs this page, under the licence that its card states. "
        "Paint in its own classes, or name a layout on the Hub that was fitted on it."
    )


def layout_of(adapter: Adapter | None) -> Layout:
    """The layout that is painted in with `adapter`: the generator's own without one."""
    return generator().layout if adapter is None else adapter.layout


def lend(adapter: Adapter, visitor: str, choice: str) -> None:
    """Let this `visitor` choose `adapter` under the name `choice`, for as long as their state holds it."""
    _OWN[visitor, choice] = adapter


def find_adapter(layout_id: str | None, visitor: str = "") -> Adapter | None:
    """The adapter of a layout choice: None for the generator's own layout; one of this `visitor`'s own, a bundled name, or `org/name` from
    the Hub.

    Never a folder: a visitor has no business in the server's. `ModelError` if there is none, or it is for another generator.
    """
    layout_id = (layout_id or "").strip()
    if layout_id in ("", OWN_LAYOUT):
        return None
    if (own := _OWN.get((visitor, layout_id))) is not None:
        return own
    bundled = bundled_names("Adapter")
    if layout_id not in bundled and not is_hub_id(layout_id):
        raise ModelError(f"There is no layout '{layout_id[:60]}': choose one of the list, or write org/name for one on the Hub.")
    # On a Space, a token would be its owner's, and open their private layouts to every visitor.
    token = False if "SPACE_ID" in os.environ else None
    if layout_id in bundled:
        adapter = bundled_adapter(layout_id)
    else:
        adapter = Adapter.from_pretrained(layout_id, device=compute().device, token=token)
    adapter.check(generator())
    return adapter
