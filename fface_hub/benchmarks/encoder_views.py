"""What the multi-view term does for an encoder (IDE-3D trains with one): two are trained alike, one with it and one without, and shown
held-out heads from the front to ±63°."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch

from fface_hub.benchmarks.plots import Panel
from fface_hub.cameras import look_at
from fface_hub.editing.regions import resize_labels
from fface_hub.errors import ModelError
from fface_hub.generators.triplane import TriplaneGenerator
from fface_hub.heads.config import HELD_OUT_SEED
from fface_hub.heads.moves import KEYS, MOST_YAW, draw_moves
from fface_hub.heads.records import read_records, write_records
from fface_hub.heads.samples import head_latents
from fface_hub.heads.shards import HeadSource, RaySource
from fface_hub.heads.truth import TrueView, true_view
from fface_hub.inversion.encoder import Encoder
from fface_hub.inversion.pose import rotation_error
from fface_hub.layouts import BASE_15
from fface_hub.metrics import mean_iou
from fface_hub.progress import Callback, Step
from fface_hub.rendering.renderer import render
from fface_hub.training.encoder import HEADS_ENCODER, EncoderConfig, EncoderRun
from fface_hub.training.portraits import train_on_portraits
from fface_hub.training.trainer import Budget


@dataclass(frozen=True)
class Plan:
    """Both encoders learn from `heads` heads for `steps` steps of the shipped encoder's recipe, `config`, and are measured on `held_out`
    others under yaws of all multiples of `every` degrees up to ±63°; labels are compared at `resolution`²."""

    heads: int = 1024
    steps: int = 600
    held_out: int = 32
    every: float = 10.5
    resolution: int = 64
    first: int = HELD_OUT_SEED
    config: EncoderConfig = HEADS_ENCODER

    def weights(self) -> tuple[float, float]:
        """Of the multi-view term: the recipe's, and none."""
        return self.config.consistency, 0.0

    def yaws(self) -> list[float]:
        """In degrees, from the left to the right."""
        count = int(MOST_YAW / self.every)
        return [self.every * index for index in range(-count, count + 1)]


def run(
    generator: Any, callback: Callback | None = None, plan: Plan | None = None, folder: Path | None = None, source: RaySource | None = None
) -> dict[str, Any]:
    """`rows`: of each `consistency` (weight of the term) and `yaw` of the picture, means over the held-out heads: `geometry`, the error of
    the geometry found, by the metric of the training, as a share of the mean face's; `disagreement`, the same of the difference from what
    the encoder finds in the front view of that head; `front_miou`, of the labels that the face found shows from the front against the true
    ones (base-15); `camera_error_degrees`. `means` over all yaws.

    Heads and runs are kept in `folder` and not made again (None: nothing is kept). Raises `ModelError` for a generator that was not trained
    on rendered heads.
    """
    plan, source = plan or Plan(), source or HeadSource()
    if not isinstance(generator, TriplaneGenerator) or generator.layout.names != BASE_15.names:
        raise ModelError("This generator was not trained on rendered heads, which the encoders learn from: choose heads-triplane.")
    head_latents(source, generator, [plan.first])  # `ModelError` if it takes other latents
    if folder is None:
        with TemporaryDirectory() as place:
            return run(generator, callback, plan, Path(place), source)
    runs = _train(generator, plan, folder)
    pictures = _Pictures(generator, plan, source)
    rows = []
    for number in range(plan.held_out):
        views = pictures.of(number)
        for weight, trained, encoder in runs:
            rows += [{"consistency": weight, **row} for row in pictures.measured(number, views, trained, encoder)]
        if callback is not None:
            callback(Step(number + 1, plan.held_out, {}))
    return {
        "rows": [
            {"consistency": weight, "yaw": yaw, **_means(row for row in rows if (row["consistency"], row["yaw"]) == (weight, yaw))}
            for weight in plan.weights()
            for yaw in plan.yaws()
        ],
        "means": [{"consistency": weight, **_means(row for row in rows if row["consistency"] == weight)} for weight in plan.weights()],
        "heads": plan.heads,
        "steps": plan.steps,
        "held_out": plan.held_out,
        "first_head": plan.first,
        "resolution": plan.resolution,
        "recipe": asdict(plan.config),
        "generator": generator.fingerprint,
    }


def panels(figures: dict[str, Any]) -> list[Panel]:
    """Each figure against the yaw of the picture."""
    drawn = {
        "geometry": "error of the geometry (mean face: 1)",
        "disagreement": "difference from the front view's answer",
        "front_miou": "mIoU of the labels from the front",
        "camera_error_degrees": "error of the camera, degrees",
    }
    names = {
        weight: f"multi-view term {weight:g}" if weight else "without it" for weight in {row["consistency"] for row in figures["rows"]}
    }
    return [
        Panel(
            title,
            "yaw of the picture, degrees",
            {
                names[weight]: [(row["yaw"], row[figure]) for row in figures["rows"] if row["consistency"] == weight]
                for weight in sorted(names, reverse=True)
            },
            from_zero=figure != "front_miou",
        )
        for figure, title in drawn.items()
    ]


def _train(generator: TriplaneGenerator, plan: Plan, folder: Path) -> list[tuple[float, EncoderRun, Encoder]]:
    """Both encoders, trained as far as `folder` has not."""
    settings = replace(plan.config.data, heads=plan.heads, edits=1)  # which only canonical editors learn from
    write_records(folder / "data", settings, draw_moves)
    records, trained = read_records(folder / "data", settings, KEYS), []
    for weight in plan.weights():
        place, metric = folder / f"consistency-{weight:g}", "metric.safetensors"
        if trained:  # it takes minutes, and is the same
            place.mkdir(exist_ok=True)
            shutil.copy(trained[0][1].folder / metric, place / metric)
        config = replace(plan.config, data=settings, consistency=weight)
        one = EncoderRun(config, place, records, generator, generator.device)
        train_on_portraits(one, Budget(steps=plan.steps))
        encoder = one.averaged().to(generator.device)
        assert isinstance(encoder, Encoder)
        trained.append((weight, one, encoder))
    return trained


class _Pictures:
    """Held-out heads from all yaws, and what encoders make of them."""

    def __init__(self, generator: TriplaneGenerator, plan: Plan, source: RaySource) -> None:
        self.generator, self.plan, self.source = generator, plan, source

    def of(self, number: int) -> list[TrueView]:
        """One head from every yaw, at the resolution of encoders."""
        geometry_z, appearance_z = self.source.latents(self.plan.first + number)
        trace, side = self.source.trace(geometry_z), self.plan.config.data.resolution
        return [true_view(self.source, trace, look_at(yaw), appearance_z, side, BASE_15) for yaw in self.plan.yaws()]

    @torch.no_grad()
    def measured(self, number: int, views: Sequence[TrueView], trained: EncoderRun, encoder: Encoder) -> list[dict[str, float]]:
        """The figures of one head under each yaw."""
        device, yaws, side = self.generator.device, self.plan.yaws(), self.plan.resolution
        middle = yaws.index(0.0)
        latents, cameras = encoder.encode(torch.stack([view.image for view in views]).to(device))
        found = encoder.basis.coordinates(latents.geometry)[:, 0]
        truth = head_latents(self.source, self.generator, [self.plan.first + number])
        wanted = encoder.basis.coordinates(truth.geometry)[:, 0]
        scale = trained.errors(wanted)
        off, apart = trained.errors(found - wanted) / scale, trained.errors(found - found[middle]) / scale
        true_front = resize_labels(views[middle].labels, side)[None]
        rows = []
        for index, yaw in enumerate(yaws):
            seen = render(self.generator.scene(latents[index]), look_at(0.0).to(device), side, finish=False).labels.cpu()
            rows.append(
                {
                    "yaw": yaw,
                    "geometry": float(off[index]),
                    "disagreement": float(apart[index]),
                    "front_miou": float(mean_iou(seen, true_front, len(BASE_15))),
                    "camera_error_degrees": rotation_error(cameras[index].to("cpu"), look_at(yaw)),
                }
            )
        return rows


def _means(rows: Any) -> dict[str, float]:
    """Over rows of figures, whatever identifies them left out."""
    rows = list(rows)
    return {name: float(np.mean([row[name] for row in rows])) for name in rows[0] if name not in ("consistency", "yaw")}
