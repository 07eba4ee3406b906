"""How well one picture of a head that nobody saw gives the whole head back: our inversions and the original's against the truth.

The picture is taken from a side that no method is told; the truth is what the head looks like from five sides.
"""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fface_hub.benchmarks import INVERT_METHODS
from fface_hub.benchmarks.invert_original import OriginalSettings, full_size_seconds, original
from fface_hub.benchmarks.records import append_record, read_records
from fface_hub.cameras import Camera, look_at
from fface_hub.errors import ModelError
from fface_hub.generators.triplane import TriplaneGenerator
from fface_hub.heads.config import HELD_OUT_SEED
from fface_hub.heads.samples import head_latents
from fface_hub.heads.shards import HeadSource, RaySource
from fface_hub.heads.truth import true_view
from fface_hub.inversion.inversion import Inversion
from fface_hub.inversion.invert import invert
from fface_hub.inversion.objective import InvertSettings
from fface_hub.inversion.pose import rotation_error
from fface_hub.inversion.start import bundled_encoder
from fface_hub.layouts import BASE_15
from fface_hub.metrics import depth_error, mean_iou, psnr, ssim
from fface_hub.perceptual import Perceptual, load_perceptual
from fface_hub.progress import Callback, Step
from fface_hub.rendering.renderer import render
from fface_hub.trunks import PARSER

PHOTO_YAWS = (0.0, 20.0, -20.0, 40.0, -40.0)
"""One of them is drawn for each head."""
SIDES = (-60.0, -30.0, 30.0, 60.0)
FEW = ("original", "original-posed")
"""Methods that run on the first few heads only: they take many minutes each."""
MERGED = {"hair": 1, "hat": 1, "cloth": 3, "necklace": 3, "background": 0}
"""Four classes, those of SemFaceEdit's figure: background 0, hair 1, face 2 (all that is not named) and clothes 3."""


@dataclass(frozen=True)
class Plan:
    """What is run: `methods` on `heads` held-out heads from seed `first` on, those of `FEW` on `few` of them; pictures of `resolution`²;
    `settings` of ours, `longer` of ours-60s, `pivotal` of the twin that tunes weights, and `original`'s."""

    methods: tuple[str, ...] = INVERT_METHODS
    heads: int = 40
    few: int = 2
    first: int = HELD_OUT_SEED
    resolution: int = 128
    settings: InvertSettings = field(default_factory=InvertSettings)
    longer: InvertSettings = field(default_factory=lambda: InvertSettings.longer(rays=2304, w_steps=140, free_steps=70))
    pivotal: InvertSettings = field(default_factory=InvertSettings.pivotal)
    original: OriginalSettings = field(default_factory=OriginalSettings)

    def __post_init__(self) -> None:
        unknown = [name for name in self.methods if name not in INVERT_METHODS]
        if unknown:
            raise ModelError(f"There is no method '{unknown[0][:40]}': choose among {', '.join(INVERT_METHODS)}.")

    def settings_of(self, method: str) -> InvertSettings | OriginalSettings:
        """How a method inverts; encoder and oracle, which take no steps, go with ours."""
        other = {"ours-60s": self.longer, "pivotal": self.pivotal}
        return self.original if method in FEW else other.get(method, self.settings)

    def runs(self) -> list[tuple[int, str]]:
        """Seed and method, head by head."""
        return [
            (self.first + index, method) for index in range(self.heads) for method in self.methods if index < self.few or method not in FEW
        ]


def photo_yaw(seed: int) -> float:
    """The side that the picture of head `seed` is taken from."""
    return float(np.random.default_rng([seed, 5]).choice(PHOTO_YAWS))


@dataclass(frozen=True)
class Sight:
    """The truth from one side: `camera`, `image [1,3,h,h]`, `labels [1,h,h]` (base-15) and `depth [1,1,h,h]` (infinite without a hit)."""

    camera: Camera
    image: Tensor
    labels: Tensor
    depth: Tensor


def draw_sights(source: RaySource, seed: int, yaws: Sequence[float], resolution: int) -> list[Sight]:
    """Head `seed` from each of `yaws`: pictures average 2×2 rays per pixel, labels and depths are of the pixel-centre rays."""
    geometry_z, appearance_z = source.latents(seed)
    trace, sights = source.trace(geometry_z), []
    for yaw in yaws:
        camera = look_at(yaw)
        view = true_view(source, trace, camera, appearance_z, resolution, BASE_15)
        sights.append(Sight(camera, view.image[None], view.labels[None], view.depth[None, None]))
    return sights


def run(
    generator: Any,
    callback: Callback | None = None,
    plan: Plan | None = None,
    progress_file: Path | None = None,
    source: RaySource | None = None,
    encoder: Any = None,
) -> dict[str, Any]:
    """`methods`: for each the means over its `heads` of `seconds` and `cpu_seconds` (of all cores together, which other work on the machine
    does not stretch), `steps`, `camera_error_degrees` (angle between the rotations of the true camera and of the one found), and of
    `input_*` (from the camera that was found), `front_*` (yaw 0) and `side_*` (±30°, ±60°): `psnr`, `psnr_head` (over the true head),
    `ssim`, `lpips`, `miou` (base-15), `miou_merged` (hair, face, clothes, background) and `depth_error` (world units, where both see the
    head). `compared`: the same over the heads that all methods ran. "oracle" is the generator at the true latents, seen by the true camera:
    what it can show of a head that it never saw.

    `encoder` None is the bundled one, if it is the generator's; `note` says so, and which trunk LPIPS has. Finished rows are kept in
    `progress_file` and not made again. Raises `ModelError` for a generator that was not trained on rendered heads.
    """
    plan, source = plan or Plan(), source or HeadSource()
    if not isinstance(generator, TriplaneGenerator) or generator.layout.names != BASE_15.names:
        raise ModelError("This generator was not trained on rendered heads, whose truth the benchmark needs: choose heads-triplane.")
    head_latents(source, generator, [0])  # `ModelError` if it takes other latents
    device = generator.mean_latents().geometry.device
    note = "An encoder was given."
    if encoder is None:
        encoder, note = bundled_encoder(generator)
    bench = _Bench(generator, encoder, source, plan, load_perceptual(PARSER, device))
    runs = [(seed, method) for seed, method in plan.runs() if encoder is not None or method != "encoder"]
    known, records = read_records(progress_file), []
    for number, (seed, method) in enumerate(runs):
        key = bench.key(seed, method)

        def report(figures: Mapping[str, float], number: int = number) -> None:
            if callback is not None:
                callback(Step(number, len(runs), figures))

        record = known.get(key)
        if record is None:
            record = {"key": key, "seed": seed, "method": method, **bench.measure(seed, method, report)}
            if progress_file is not None:
                append_record(progress_file, record)
        records.append(record)
        if callback is not None:
            callback(Step(number + 1, len(runs), {"input_psnr": record["input_psnr"], "side_psnr": record["side_psnr"]}))
    return {**summary(records), **bench.told(note)}


def summary(records: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """`methods`, and `compared` over the heads that all of them ran, from the rows of single runs."""
    names = list(dict.fromkeys(record["method"] for record in records))
    heads = {name: {record["seed"] for record in records if record["method"] == name} for name in names}
    common = set.intersection(*heads.values()) if heads else set()

    def means(name: str, seeds: set[int]) -> dict[str, Any]:
        rows = [record for record in records if record["method"] == name and record["seed"] in seeds]
        figures = [key for key in rows[0] if key not in ("key", "seed", "method")]
        return {"heads": len(rows), **{key: _mean([row[key] for row in rows]) for key in figures}}

    return {
        "methods": {name: means(name, heads[name]) for name in names},
        "compared": {name: means(name, common) for name in names} if common else {},
        "heads": max((len(each) for each in heads.values()), default=0),
    }


def _mean(values: Sequence[float | None]) -> float | None:
    """Over those that are numbers; None if there is none: a view in which truth and rendering share no head has no error of depth."""
    known = [value for value in values if value is not None and not math.isnan(value)]
    return sum(known) / len(known) if known else None


class _Bench:
    """Generator, encoder and truth of a plan; the truth of one head at a time."""

    def __init__(self, generator: TriplaneGenerator, encoder: Any, source: RaySource, plan: Plan, perceptual: Perceptual) -> None:
        self.generator, self.encoder, self.source, self.plan, self.perceptual = generator, encoder, source, plan, perceptual
        self.device = generator.mean_latents().geometry.device
        self.seed, self.sights = -1, []

    def key(self, seed: int, method: str) -> str:
        """Equal for runs that would give the same figures; times are those of one kind of device and number."""
        plan = self.plan
        told = [
            self.generator.fingerprint,
            getattr(self.encoder, "fingerprint", None),
            self.source.version,
            [seed, method, plan.resolution, photo_yaw(seed)],
            asdict(plan.settings_of(method)),
            [self.device.type, str(self.generator.precision)],
        ]
        return hashlib.sha256(json.dumps(told, default=str).encode()).hexdigest()[:16]

    def measure(self, seed: int, method: str, report: Callable[[Mapping[str, float]], None]) -> dict[str, Any]:
        """One run: invert the photo of a head, and compare."""
        if seed != self.seed:
            self.seed, self.sights = seed, draw_sights(self.source, seed, (photo_yaw(seed), 0.0, *SIDES), self.plan.resolution)
        photo = self.sights[0]
        start = time.process_time()
        found, steps = self.inverted(method, photo, seed, report)
        busy = time.process_time() - start
        sights = [Sight(found.camera.to("cpu"), photo.image, photo.labels, photo.depth), *self.sights[1:]]
        scene, each = found.scene(), []
        for sight in sights:
            each.append(_figures(render(scene, sight.camera.to(self.device), self.plan.resolution), sight, self.perceptual))
        parts = {"input": each[:1], "front": each[1:2], "side": each[2:]}
        means = {f"{part}_{name}": _mean([one[name] for one in rows]) for part, rows in parts.items() for name in rows[0]}
        error = rotation_error(found.camera.to("cpu"), photo.camera)
        return {"seconds": found.seconds, "cpu_seconds": busy, "steps": steps, "camera_error_degrees": error, **means}

    def inverted(self, method: str, photo: Sight, seed: int, report: Callable[[Mapping[str, float]], None]) -> tuple[Inversion, int]:
        """The photo of head `seed` inverted by a method, and in how many steps."""
        image, plan, generator = photo.image.to(self.device), self.plan, self.generator

        def tell(step: Step) -> None:
            report({"step": step.index, **step.losses})

        if method == "oracle":
            return Inversion(head_latents(self.source, generator, [seed]), photo.camera.to(self.device), generator), 0
        if method == "encoder":
            start = time.perf_counter()
            with torch.no_grad():
                latents, camera = self.encoder.encode(image)
            return Inversion(latents, camera, generator, seconds=time.perf_counter() - start), 0
        settings = plan.settings_of(method)
        if isinstance(settings, InvertSettings):
            return invert(generator, image, None, settings, tell, self.encoder), settings.total
        camera = (photo.camera if method == "original-posed" else generator.default_camera).to(self.device)
        found = original(generator, image, camera, self.perceptual, settings, lambda done: report({"step": done}))
        return found, settings.latent_steps + settings.tuning_steps

    def told(self, note: str) -> dict[str, Any]:
        """What was run."""
        plan = self.plan
        full_size = None
        if set(FEW) & set(plan.methods):
            sight = draw_sights(self.source, plan.first, [photo_yaw(plan.first)], plan.resolution)[0]
            camera = self.generator.default_camera.to(self.device)
            full_size = full_size_seconds(self.generator, sight.image.to(self.device), camera, self.perceptual)
        return {
            "note": note,
            "original_full_size_seconds": full_size,
            "original_steps": f"{plan.original.side}² rays of {plan.original.coarse} + {plan.original.fine} samples",
            "lpips_trunk": self.perceptual.name,
            "generator": {"id": getattr(self.generator, "model_id", None) or "unnamed", "fingerprint": self.generator.fingerprint},
            "heads_version": self.source.version,
            "first_head": plan.first,
            "resolution": plan.resolution,
            "settings": {
                name: {key: value for key, value in asdict(plan.settings_of(name)).items() if key not in ("perceptual", "parser")}
                for name in ("ours", "ours-60s", "pivotal", "original")
            },
        }


def _figures(view: Any, sight: Sight, perceptual: Perceptual) -> dict[str, float]:
    """How a rendering compares with the truth."""
    image, head = view.image.cpu().clamp(-1, 1), sight.depth[:, 0].isfinite()
    labels, both = view.labels.cpu(), head & (view.opacity[:, 0].cpu() > 0.5)
    with torch.no_grad():
        lpips = perceptual(image.to(view.image.device), sight.image.to(view.image.device))
    return {
        "psnr": float(psnr(image, sight.image)),
        "psnr_head": float(psnr(image, sight.image, head)),
        "ssim": float(ssim(image, sight.image)),
        "lpips": float(lpips),
        "miou": float(mean_iou(labels, sight.labels, len(BASE_15))),
        "miou_merged": float(mean_iou(merged(labels), merged(sight.labels), 4)),
        "depth_error": float(depth_error(view.depth.cpu(), sight.depth, both)),
    }


def merged(labels: Tensor) -> Tensor:
    """Labels of base-15 in the four classes background, hair, face and clothes."""
    table = torch.tensor([MERGED.get(name, 2) for name in BASE_15.names])
    return table[labels]
