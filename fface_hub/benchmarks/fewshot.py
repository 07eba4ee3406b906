"""How well the bundled adapters label heads that nobody ever saw: their labels of the generator's faces against the true heads."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from fface_hub.adapters.adapter import Adapter
from fface_hub.adapters.cache import RayCache, Views, own_logits
from fface_hub.errors import ModelError
from fface_hub.generators.triplane import TriplaneGenerator
from fface_hub.heads.config import HELD_OUT_SEED
from fface_hub.heads.samples import head_latents, true_labels
from fface_hub.heads.shards import HeadSource, RaySource
from fface_hub.heads.truth import random_camera
from fface_hub.layouts import BASE_15, FINE_24, Layout
from fface_hub.metrics import counted_classes, iou_per_class, mean_iou
from fface_hub.progress import Callback, Step
from fface_hub.sources import bundled_names


def run(generator: Any, callback: Callback | None = None) -> dict[str, Any]:
    """`{"adapters": {name: figures}}` of every bundled adapter that fits `generator`; `ModelError` if none does."""
    fitting = bundled_adapters(generator)
    if not fitting:
        raise ModelError("No bundled adapter was fitted on this generator: choose heads-triplane.")
    return {"adapters": measure(generator, fitting, callback=callback)}


def bundled_adapters(generator: TriplaneGenerator) -> dict[str, Adapter]:
    """The bundled adapters that were fitted on `generator`, by their names."""
    adapters = {name: Adapter.from_pretrained(name, device=generator.device) for name in bundled_names("Adapter")}
    return {name: adapter for name, adapter in adapters.items() if adapter.config["generator_fingerprint"] == generator.fingerprint}


@torch.no_grad()
def measure(
    generator: TriplaneGenerator,
    adapters: Mapping[str, Adapter],
    identities: int = 32,
    seed: int = HELD_OUT_SEED,
    resolution: int = 128,
    source: RaySource | None = None,
    callback: Callback | None = None,
) -> dict[str, dict[str, Any]]:
    """Figures of `adapters` by their names, on `identities` held-out heads from `seed` on, each from one random camera (yaw ±35°, pitch
    ±15°), whose rays are marched once for all of them.

    `miou` (per image over classes with ≥ 8 true pixels, then the mean) and `iou_per_class` (mean over the images where the class counts;
    None if none) in an adapter's layout; `miou_base15` of the same labels merged into the base layout, and for comparison
    `generator_miou_base15` of the generator's own.
    """
    source = source or HeadSource()
    labels: dict[str, list[Tensor]] = {name: [] for name in adapters}
    own, truths = [], []
    pixels = torch.arange(resolution**2, device=generator.device)[None]
    for index in range(identities):
        camera = random_camera(seed + index)
        latents = head_latents(source, generator, [seed + index])
        cache = RayCache.build(generator, Views(latents, camera.to(generator.device), pixels, resolution))
        own.append(cache.labels(own_logits, 0).cpu())
        for name, adapter in adapters.items():
            labels[name].append(cache.labels(adapter, 0).cpu())
        truths.append(true_labels(source, seed + index, camera, resolution, FINE_24).flatten())
        if callback is not None:
            callback(Step(index + 1, identities, {}))
    truth = torch.stack(truths)
    generator_miou = _mean(torch.stack(own), FINE_24.convert(truth, BASE_15), BASE_15)
    return {
        name: {**_figures(torch.stack(labels[name]), truth, adapter.layout), "generator_miou_base15": generator_miou}
        for name, adapter in adapters.items()
    }


def _figures(labels: Tensor, fine: Tensor, layout: Layout) -> dict[str, Any]:
    """Those of label maps `[N,h·h]` in `layout` under the truth `fine` in the finest one."""
    truth = FINE_24.convert(fine, layout)
    scores = iou_per_class(labels, truth, len(layout)).where(counted_classes(truth, len(layout)), torch.nan).nanmean(dim=0)
    return {
        "miou": _mean(labels, truth, layout),
        "miou_base15": _mean(layout.convert(labels, BASE_15), layout.convert(truth, BASE_15), BASE_15),
        "iou_per_class": {name: None if s.isnan() else s.item() for name, s in zip(layout.names, scores, strict=True)},
        "classes": len(layout),
        "identities": len(labels),
    }


def _mean(labels: Tensor, truth: Tensor, layout: Layout) -> float:
    return mean_iou(labels, truth, len(layout)).nanmean().item()
