"""How well the bundled adapters label heads that nobody ever saw: their labels of the generator's faces against the true heads."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from fface_hub.adapters.adapter import Adapter
from fface_hub.errors import ModelError
from fface_hub.generators.triplane import TriplaneGenerator
from fface_hub.heads.config import HELD_OUT_SEED
from fface_hub.heads.samples import head_latents, true_labels
from fface_hub.heads.shards import HeadSource, RaySource
from fface_hub.heads.truth import random_camera
from fface_hub.layouts import BASE_15, Layout
from fface_hub.metrics import counted_classes, iou_per_class, mean_iou
from fface_hub.progress import Callback, Step
from fface_hub.rendering.renderer import render
from fface_hub.sources import bundled_names


def run(generator: Any, callback: Callback | None = None) -> dict[str, Any]:
    """`{"adapters": {name: figures}}` of every bundled adapter that fits `generator`; `ModelError` if none does."""
    adapters = [(name, Adapter.from_pretrained(name)) for name in bundled_names("Adapter")]
    fitting = [(name, adapter) for name, adapter in adapters if adapter.config["generator_fingerprint"] == generator.fingerprint]
    if not fitting:
        raise ModelError("No bundled adapter was fitted on this generator: choose heads-triplane.")
    return {"adapters": {name: measure(generator, adapter.to(generator.device), callback=callback) for name, adapter in fitting}}


@torch.no_grad()
def measure(
    generator: TriplaneGenerator,
    adapter: Adapter,
    identities: int = 32,
    seed: int = HELD_OUT_SEED,
    resolution: int = 128,
    source: RaySource | None = None,
    callback: Callback | None = None,
) -> dict[str, Any]:
    """Figures of `adapter` on `identities` held-out heads from `seed` on, each from one random camera (yaw ±35°, pitch ±15°).

    `miou` (per image over classes with ≥ 8 true pixels, then the mean) and `iou_per_class` (mean over the images where the class counts;
    None if none) in the adapter's layout; `miou_base15` of the same labels merged into the base layout, and `generator_miou_base15` of the
    generator's own, which bounds what an adapter of this generator can reach.
    """
    source = source or HeadSource()
    layout = adapter.layout
    ours, own, truths = [], [], []
    for index in range(identities):
        camera = random_camera(seed + index)
        scene = generator.scene(head_latents(source, generator, [seed + index]))
        ours.append(render(scene, camera.to(scene.device), resolution, adapter=adapter).labels.cpu())
        own.append(render(scene, camera.to(scene.device), resolution).labels.cpu())
        truths.append(true_labels(source, seed + index, camera, resolution, layout)[None])
        if callback is not None:
            callback(Step(index + 1, identities, {}))
    labels, plain, truth = torch.cat(ours), torch.cat(own), torch.cat(truths)
    scores = iou_per_class(labels, truth, len(layout)).where(counted_classes(truth, len(layout)), torch.nan).nanmean(dim=0)
    return {
        "miou": _mean(labels, truth, layout),
        "miou_base15": _mean(layout.convert(labels, BASE_15), layout.convert(truth, BASE_15), BASE_15),
        "generator_miou_base15": _mean(plain, layout.convert(truth, BASE_15), BASE_15),
        "iou_per_class": {name: None if s.isnan() else s.item() for name, s in zip(layout.names, scores, strict=True)},
        "classes": len(layout),
        "identities": identities,
    }


def _mean(labels: Tensor, truth: Tensor, layout: Layout) -> float:
    return mean_iou(labels, truth, len(layout)).nanmean().item()
