"""Which style rows carry colour and which carry shape: each mixed alone with another face, as LMTA does with some of them together."""

from __future__ import annotations

from typing import Any

import torch

from fface_hub.adapters.mixing import TRUNCATION, Mixing, late_rows
from fface_hub.benchmarks.plots import Panel
from fface_hub.generators.base import Generator
from fface_hub.metrics import mean_iou
from fface_hub.progress import Callback, Step
from fface_hub.rendering.renderer import render

AMOUNT = Mixing().amount


@torch.no_grad()
def run(
    generator: Generator,
    callback: Callback | None = None,
    identities: int = 16,
    seed: int = 0,
    resolution: int = 64,
) -> dict[str, Any]:
    """`rows`: of each style `row`, moved by ½ towards a partner, how much of the labels is kept (`miou` against the face's own labels, over
    classes with ≥ 8 pixels, in the generator's layout) and how much the picture changes (`l1`, mean absolute difference in [-1, 1]); means
    over `identities` faces, each with a partner of its own.

    `mixed_by_lmta` are the rows that LMTA takes, and `best_kept` as many rows whose mixing keeps most of the labels (FFaceNeRF chose its
    rows by that: the five best of fourteen).
    """
    camera = generator.default_camera
    count = generator.mean_latents().geometry.shape[1]
    kept, changed = torch.zeros(count, identities), torch.zeros(count, identities)
    for index in range(identities):
        face, partner = (generator.sample(1, seed + 2 * index + other, TRUNCATION) for other in (0, 1))
        own = render(generator.scene(face), camera, resolution)
        for row in range(count):
            mixed = render(generator.scene(face.mix_rows(partner, [row], AMOUNT)), camera, resolution)
            kept[row, index] = mean_iou(mixed.labels, own.labels, own.logits.shape[1])[0]
            changed[row, index] = (mixed.image - own.image).abs().mean()
        if callback is not None:
            callback(Step(index + 1, identities, {}))
    chosen = list(late_rows(generator, generator.mean_latents()))
    scores = kept.nanmean(dim=1)
    figures = zip(scores.tolist(), changed.mean(dim=1).tolist(), strict=True)
    return {
        "rows": [{"row": row, "miou": miou, "l1": l1} for row, (miou, l1) in enumerate(figures)],
        "mixed_by_lmta": chosen,
        "best_kept": sorted(scores.topk(len(chosen)).indices.tolist()),
        "identities": identities,
        "amount": AMOUNT,
    }


def panels(figures: dict[str, Any]) -> list[Panel]:
    """What each row keeps of the labels, and what it changes in the picture."""
    rows = figures["rows"]
    return [
        Panel(
            "labels kept (mIoU) when one row is mixed", "style row", {"mIoU": [(row["row"], row["miou"]) for row in rows]}, from_zero=False
        ),
        Panel("change of the picture (L1)", "style row", {"L1": [(row["row"], row["l1"]) for row in rows]}),
    ]
