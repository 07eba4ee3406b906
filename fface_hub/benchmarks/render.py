"""How fast pictures are rendered, beside the original renderer, and how well the two agree: `size` "full" at the official models' sizes,
"demo" with the generator as it is.

Full size is two scenes, and each figure is that of the worse: *random*, a generator with NeRFFaceEditing's shapes and random weights, whose
volume is fog that nothing can be left out of; and *resampled*, the given generator's planes and decoder at full size, which is solid.
"""

from __future__ import annotations

import time
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import median
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from fface_hub.benchmarks import RENDER_SIZES
from fface_hub.benchmarks.adapt_speed import peak_memory_mb
from fface_hub.cameras import Camera, look_at
from fface_hub.errors import ModelError
from fface_hub.generators.base import Rendering
from fface_hub.generators.decoders import DisentangledDecoder
from fface_hub.generators.planes import Statistics
from fface_hub.generators.superres import native
from fface_hub.generators.triplane import TriplaneGenerator, TriplaneScene
from fface_hub.latents import Latents
from fface_hub.metrics import psnr
from fface_hub.progress import Callback, Step, frozen
from fface_hub.rendering.reference import WrittenScene, render_reference
from fface_hub.rendering.renderer import render, render_rays
from fface_hub.rendering.sampling import Sampling

RESOLUTION = 128
STEP = 32, 24, 24
"""Rays along a side, coarse and fine samples of a step of an inversion."""
YAWS = (-20.0, 20.0, 0.0, -30.0, 10.0)
"""Views that are timed, in degrees; one more comes before them, to warm up."""


@dataclass(frozen=True)
class Subject:
    """What is rendered: the `latents` the reference's backbone starts from at every view, and the scene (of the same sizes) that the volume
    shows, made of what the backbone gives.
    """

    generator: TriplaneGenerator
    latents: Latents
    scene: Callable[[TriplaneScene], TriplaneScene]


def run(
    generator: TriplaneGenerator,
    callback: Callback | None = None,
    size: str = RENDER_SIZES[0],
    yaws: tuple[float, ...] = YAWS,
    resolution: int = RESOLUTION,
    full: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Reference and fast path by turns on views at `yaws`: medians of the ratios of their times, and the least agreement of any view.

    `volume_ratio`: rays to raw picture and labels. `frame_ratio`: the reference's backbone, volume and super-resolution over the volume and
    super-resolution of the fast way, whose planes are known. `agreement_db`: PSNR of the fast pictures, raw and super-resolved, against the
    reference with the same samples. `label_agreement`: share of equal labels. `stages`: median seconds, for each of the `cases`; what is
    baked is paid for once a scene. `peak_memory_mb` of the process. All in float32; `bfloat16` is the frame with super-resolution in it, as
    `--dtype bfloat16` has it, if the hardware does. `step`, of "demo" on a CPU: see `_step`. `full` is the config of full size, the
    official one if None. `ModelError` for a `generator` that full size cannot be made of.
    """
    generators = {"demo": _own} if size == "demo" else {"random": _random, "resampled": _resampled}
    total = len(generators) * (len(yaws) + 1)
    cases: dict[str, dict[str, Any]] = {}
    for name, make in generators.items():
        done = len(cases) * (len(yaws) + 1)

        def report(index: int, done: int = done) -> None:
            if callback is not None:
                callback(Step(done + index, total, {}))

        cases[name] = _measure(make(generator, full or {}), yaws, resolution, report)
    device = next(generator.parameters()).device
    half = [case.pop("bfloat16") for case in cases.values()]
    return {
        "size": size,
        **_worst(list(cases.values())),
        "bfloat16": _worst(half) if half[0] else None,
        "stages": {name: case.pop("stages") for name, case in cases.items()},
        "cases": cases,
        "step": _step(generator, yaws) if size == "demo" and device.type == "cpu" else None,
        "peak_memory_mb": peak_memory_mb(device),
        "device": device.type,
        "threads": torch.get_num_threads(),
    }


def _worst(cases: list[dict[str, float]]) -> dict[str, float]:
    return {key: min(case[key] for case in cases) for key in cases[0] if key != "stages"}


@torch.no_grad()
def _measure(subject: Subject, yaws: tuple[float, ...], resolution: int, report: Callable[[int], None]) -> dict[str, Any]:
    """The figures of one scene."""
    generator = subject.generator
    device, network = next(generator.parameters()).device, generator.superresolution
    halves = network is not None and native(device) == torch.bfloat16
    times: dict[str, list[float]] = {}

    def timed(stage: str, work: Callable[[], Any]) -> Any:
        """What `work()` gives; its seconds are noted for the `stage`."""
        _wait(device)
        start = time.perf_counter()
        result = work()
        _wait(device)
        times.setdefault(stage, []).append(time.perf_counter() - start)
        return result

    def super_resolved(scene: TriplaneScene, view: Rendering) -> Rendering:
        return view if network is None or scene.row is None else view.with_image(network(view.raw, scene.row))

    known = subject.scene(generator.scene(subject.latents))
    timed("fast.baking", lambda: _bake(known))
    decibels: dict[str, list[float]] = {"all": [], "half": []}
    labels: list[float] = []
    for index, yaw in enumerate((yaws[0], *yaws)):
        camera = _camera(generator, yaw)
        scene = subject.scene(timed("reference.backbone", lambda: generator.scene(subject.latents)))
        written = WrittenScene(scene)
        slow: Rendering = timed("reference.volume", lambda c=camera, s=written: render_reference(s, c, resolution))
        fast: Rendering = timed("fast.volume", lambda c=camera: render(known, c, resolution, finish=False))
        decibels["all"].append(float(psnr(fast.raw[:, :3], slow.raw[:, :3])))
        labels.append(float((fast.labels == slow.labels).float().mean()))
        truth: Rendering = timed("reference.super_resolution", lambda s=scene, v=slow: super_resolved(s, v))
        picture: Rendering = timed("fast.super_resolution", lambda v=fast: known.finish(v))
        decibels["all"].append(float(psnr(picture.image, truth.image)))
        if halves:
            generator.set_precision(torch.bfloat16)
            picture = timed("fast.super_resolution_bfloat16", lambda v=fast: known.finish(v))
            generator.set_precision(torch.float32)
            decibels["half"].append(float(psnr(picture.image, truth.image)))
        report(index + 1)
    seconds = {name: values[1:] or values for name, values in times.items()}
    half = {"frame_ratio": _ratios(seconds, "_bfloat16")["frame_ratio"], "agreement_db": min(decibels["half"])} if halves else None
    return {
        **_ratios(seconds, ""),
        "agreement_db": min(decibels["all"]),
        "label_agreement": min(labels),
        "bfloat16": half,
        "stages": {name: median(values) for name, values in seconds.items()},
    }


def _step(generator: TriplaneGenerator, yaws: tuple[float, ...]) -> dict[str, float]:
    """A step of an inversion, from latents and camera to their gradients, with all samples and with those that show, by turns on views at
    `yaws`: median seconds, median `ratio`, and the least cosine `gradient_cosine` of the angle between the gradients of the latents."""
    side, coarse, fine = STEP
    known, sampling = generator.sample(1, seed=0), Sampling(coarse, fine)
    times: dict[bool, list[float]] = {True: [], False: []}
    cosines = []

    def slope(yaw: float, exact: bool) -> Tensor:
        """The gradient of the latents; the time it took is noted."""
        start = time.perf_counter()
        rows = known.geometry.clone().requires_grad_()
        origins, directions = (values.requires_grad_() for values in _camera(generator, yaw).rays(side))
        seen = render_rays(generator.scene(known.offset(rows - known.geometry)), origins, directions, sampling, exact=exact)
        (seen.color.square().mean() + seen.logits.softmax(-1).square().mean()).backward()
        times[exact].append(time.perf_counter() - start)
        assert rows.grad is not None
        return rows.grad.flatten()

    with frozen(generator):
        for yaw in (yaws[0], *yaws):
            cosines.append(float(F.cosine_similarity(slope(yaw, True), slope(yaw, False), dim=0)))
    slow, fast = (times[exact][1:] for exact in (True, False))
    ratio = median(a / b for a, b in zip(slow, fast, strict=True))
    return {"exact_seconds": median(slow), "seconds": median(fast), "ratio": ratio, "gradient_cosine": min(cosines)}


def _bake(scene: TriplaneScene) -> None:
    """Make the field of a `scene`, and its table of colours, which would wait until one is asked for."""
    field = scene.field()
    if field is not None:
        _ = field.appearance


def _camera(generator: TriplaneGenerator, yaw: float) -> Camera:
    """The generator's own camera, from `yaw` degrees to the side and a little above."""
    x, y, z = generator.config["camera_pivot"]
    camera = look_at(yaw, 5.0, generator.config["camera_radius"], (x, y, z), generator.config["camera_focal"])
    return camera.to(next(generator.parameters()).device)


def _ratios(seconds: Mapping[str, list[float]], numbers: str) -> dict[str, float]:
    """Medians over the views of how much faster the volume is, and the frame with super-resolution in these `numbers`."""
    slow = [sum(parts) for parts in zip(*(seconds[f"reference.{x}"] for x in ("backbone", "volume", "super_resolution")), strict=True)]
    fast = [sum(parts) for parts in zip(seconds["fast.volume"], seconds[f"fast.super_resolution{numbers}"], strict=True)]
    volumes = zip(seconds["reference.volume"], seconds["fast.volume"], strict=True)
    return {
        "volume_ratio": median(a / b for a, b in volumes),
        "frame_ratio": median(a / b for a, b in zip(slow, fast, strict=True)),
    }


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _own(generator: TriplaneGenerator, full: Mapping[str, Any]) -> Subject:
    """The generator as it is, in float32."""
    generator.set_precision(torch.float32)
    return Subject(generator, generator.sample(1, seed=0), lambda scene: scene)


def _random(generator: TriplaneGenerator, full: Mapping[str, Any]) -> Subject:
    """Official shapes, random weights."""
    model = random_model(full).to(next(generator.parameters()).device)
    return Subject(model, model.sample(1, seed=0), lambda scene: scene)


@torch.no_grad()
def _resampled(generator: TriplaneGenerator, full: Mapping[str, Any]) -> Subject:
    """The given generator's planes at full size with a decoder that does the same; all else is that of the random model."""
    small, wanted = generator.config, TriplaneGenerator(**full).config
    if (
        not isinstance(generator.decoder, DisentangledDecoder)
        or small["plane_channels"] != wanted["plane_channels"]
        or small["decoder_hidden"] != wanted["decoder_hidden"]
        or small["color_channels"] > wanted["color_channels"]
    ):
        raise ModelError(
            "Full size is measured with a generator whose planes and decoders have the official channels: choose heads-triplane."
        )
    kept = ("plane_axes", "layout", "empty_logit", "near", "far", "box_warp", "camera_radius", "camera_focal", "camera_pivot")
    model = random_model({**full, **{name: small[name] for name in kept}}).to(next(generator.parameters()).device)
    assert isinstance(model.decoder, DisentangledDecoder)
    model.decoder.geo_net.load_state_dict(generator.decoder.geo_net.state_dict())
    more = wanted["color_channels"] - small["color_channels"]
    colors = {name: _padded(value, more if name.startswith("2.") else 0) for name, value in generator.decoder.app_net.state_dict().items()}
    model.decoder.app_net.load_state_dict(colors)
    face = generator.scene(generator.sample(1, seed=0))
    size = wanted["plane_resolution"]
    planes = F.interpolate(face.planes[0], (size, size), mode="bilinear", align_corners=False)[None]
    behind = None if face.background_color is None else F.pad(face.background_color, (0, more))
    latents = model.sample(1, seed=0)
    # Backbones give planes with their channels last in memory.
    planes = planes.permute(0, 3, 4, 1, 2).contiguous().permute(0, 3, 4, 1, 2)
    statistics = Statistics(face.statistics.mean, face.statistics.std)
    return Subject(model, latents, lambda scene: model.scene_from(planes, statistics, behind, scene.row))


def _padded(values: Tensor, rows: int) -> Tensor:
    return torch.cat([values, values.new_zeros(rows, *values.shape[1:])])


def random_model(config: Mapping[str, Any]) -> TriplaneGenerator:
    """A generator of `config` (the official sizes where it says nothing) whose every weight follows from its name and shape alone."""
    model = TriplaneGenerator(**config).eval()
    model.load_state_dict({key: torch.from_numpy(_weight(key, tuple(value.shape))) for key, value in model.state_dict().items()})
    return model


def _weight(key: str, shape: tuple[int, ...]) -> np.ndarray:
    """The rule of the golden networks (tests/golden): normal numbers seeded by the name, biases small, the density of a solid head."""
    values = np.asarray(np.random.RandomState(zlib.crc32(key.encode())).standard_normal(shape), np.float32)
    if key.endswith("noise_strength"):
        return np.full(shape, 0.1, np.float32)
    if key.endswith("affine.bias"):
        return 1 + np.float32(0.1) * values
    if key.startswith("backbone.mapping.fc") and key.endswith("weight"):
        return 100 * values  # what is stored by a layer with learning-rate multiplier 0.01
    if key.endswith(("bias", "w_avg")):
        values = np.float32(0.1) * values
        if key in ("decoder.net.2.bias", "decoder.geo_net.2.bias"):
            values[0] += 3
    return values
