"""How well the bundled parser labels rendered heads that it never saw."""

from __future__ import annotations

from typing import Any

import torch

from fface_hub.errors import ModelError
from fface_hub.heads.build import build_head
from fface_hub.heads.config import HELD_OUT_SEED
from fface_hub.heads.head import head_latents
from fface_hub.heads.render import render_head
from fface_hub.heads.truth import random_camera
from fface_hub.layouts import BASE_15
from fface_hub.metrics import counted_classes, iou_per_class, mean_iou
from fface_hub.progress import Callback, Step
from fface_hub.trunks import ParserNet


@torch.no_grad()
def run(
    network: Any, identities: int = 64, seed: int = HELD_OUT_SEED, resolution: int = 128, callback: Callback | None = None
) -> dict[str, Any]:
    """Figures of `identities` held-out heads from `seed` on, each from one random camera (yaw ±35°, pitch ±15°), as they are drawn.

    `miou` in the parser's own classes and `miou_base15` merged into base-15 (per image over classes with ≥ 8 true pixels, then the mean);
    `iou_per_class` (mean over the images where the class counts; None if none). Raises `ModelError` for what is no parser.
    """
    if not isinstance(network, ParserNet):
        raise ModelError("This benchmark measures the parser: choose heads-parser.")
    rows, merged = [], []
    device = next(network.parameters()).device
    for index in range(identities):
        head = head_latents(seed + index)
        view = render_head(head, random_camera(seed + index), resolution, mesh=build_head(head))
        labels, truth = network(view.image[None].to(device)).argmax(1).cpu(), view.labels[None]
        classes = len(network.layout)
        rows.append(iou_per_class(labels, truth, classes).where(counted_classes(truth, classes), torch.nan))
        coarse = (network.layout.convert(labels, BASE_15), network.layout.convert(truth, BASE_15))
        merged.append(mean_iou(*coarse, len(BASE_15)))
        if callback is not None:
            callback(Step(index + 1, identities, {}))
    table = torch.cat(rows)
    means = table.nanmean(dim=0)
    per_class = {name: None if value.isnan() else value.item() for name, value in zip(network.layout.names, means, strict=True)}
    scores = {"miou": table.nanmean(dim=1).nanmean().item(), "miou_base15": torch.cat(merged).nanmean().item()}
    return {**scores, "iou_per_class": per_class, "identities": identities}
