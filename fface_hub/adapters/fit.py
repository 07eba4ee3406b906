"""The reference fit of an adapter: every step renders its faces anew, as FFaceNeRF does, but on rays instead of whole pictures if asked."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from fface_hub.adapters.adapter import Adapter
from fface_hub.adapters.mixing import lmta
from fface_hub.adapters.samples import SampleSet
from fface_hub.cameras import Camera
from fface_hub.editing.regions import resize_labels
from fface_hub.errors import LayoutError, ModelError
from fface_hub.generators.base import Generator
from fface_hub.latents import Latents
from fface_hub.layouts import Layout
from fface_hub.losses import cross_entropy, dice_overlap
from fface_hub.progress import Callback, Step, check_finite, check_gradients, frozen
from fface_hub.rendering.renderer import render_rays
from fface_hub.rendering.sampling import Sampling


@dataclass(frozen=True)
class FitSettings:
    """How to fit. The defaults are FFaceNeRF's schedule; `quick` is one for two CPU cores.

    `resolution` of the rays' picture (None: that of the label maps); `rays` per face and step (None: all of them); `balance`, the share
    of those rays that is drawn evenly over the classes of the face, so that small ones are seen; `coarse` and `fine` samples on a ray;
    `overlap_weight` of the DICE loss, which joins after the share `overlap_start` of the steps; `mixing`, the probability of LMTA.
    """

    steps: int = 5000
    batch: int = 4
    resolution: int | None = None
    rays: int | None = None
    balance: float = 0.0
    coarse: int = 96
    fine: int = 96
    learning_rate: float = 0.01
    overlap_weight: float = 0.1
    overlap_start: float = 0.2
    mixing: float = 0.5
    seed: int = 0

    @staticmethod
    def quick(steps: int = 600, seed: int = 0) -> FitSettings:
        """A schedule of minutes on two cores: a thousand rays per face, half of them spread over the classes, 24 + 24 samples."""
        return FitSettings(steps=steps, rays=1024, balance=0.5, coarse=24, fine=24, seed=seed)


@dataclass(frozen=True)
class _Faces:
    """What the steps draw from: latents and cameras of all samples, and their labels `[N,h·h]` in the adapter's layout."""

    latents: Latents
    cameras: Camera
    labels: Tensor
    resolution: int


def fit(
    generator: Generator,
    samples: SampleSet,
    layout: Layout | None = None,
    settings: FitSettings | None = None,
    callback: Callback | None = None,
    generator_id: str | None = None,
) -> Adapter:
    """An adapter of `generator` for `layout` (None: the samples' own; else each class of theirs merges into it).

    Adam with a OneCycle rate (cosine, from 1/25 of the peak), cross-entropy, after a fifth of the steps plus λ·DICE; LMTA on half of the
    batches. The same settings give the same adapter. `generator_id` (None: the id it was loaded by) is noted in it for people. `callback`
    gets a `Step` after each step, with the adapter so far as its `best`. Raises `ModelError` if a sample has no latents or those of another
    generator, `LayoutError` if layouts do not fit, `OptimisationError` (with the adapter so far as `best`) for numbers that are not finite.
    """
    settings = settings or FitSettings()
    layout = layout or samples.layout
    device = generator.mean_latents().geometry.device
    random = torch.Generator().manual_seed(settings.seed)
    faces = _gather(samples, layout, settings, device)
    with frozen(generator):
        adapter = _new_adapter(generator, faces.latents[0], layout, generator_id or getattr(generator, "model_id", None) or "unnamed")
        adapter.initialise(random)
        adapter.train()
        optimiser = torch.optim.Adam(adapter.parameters(), lr=settings.learning_rate)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, settings.learning_rate, total_steps=settings.steps)
        batches = _batches(len(samples), settings.batch, random)
        for index in range(1, settings.steps + 1):
            losses = _losses(generator, adapter, faces, next(batches), settings, random)
            loss = losses["cross_entropy"]
            if index > settings.overlap_start * settings.steps:
                loss = loss + settings.overlap_weight * losses["overlap"]
            check_finite(loss.detach(), "The fit of the adapter", adapter)
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            check_gradients(adapter.parameters(), "The fit of the adapter", adapter)
            optimiser.step()
            schedule.step()
            if callback is not None:
                figures = {name: value.item() for name, value in {"loss": loss, **losses}.items()}
                callback(Step(index, settings.steps, figures, best=adapter))
    return adapter.eval()


def _gather(samples: SampleSet, layout: Layout, settings: FitSettings, device: torch.device) -> _Faces:
    latents = [sample.latents for sample in samples.samples]
    known = [item for item in latents if item is not None]
    if len(known) < len(latents):
        number = 1 + next(i for i, item in enumerate(latents) if item is None)
        raise ModelError(f"Sample {number} has no latents: invert its picture first, and save the latents with it.")
    if len({(item.geometry.shape, item.appearance.shape) for item in known}) > 1:
        raise ModelError("The latents of the samples differ in shape: use samples of one generator.")
    resolution = settings.resolution or samples.samples[0].labels.shape[0]
    if settings.resolution is None and len({sample.labels.shape for sample in samples.samples}) > 1:
        raise LayoutError("The label maps of the samples differ in size: choose the resolution to fit at.")
    labels = [samples.layout.convert(resize_labels(sample.labels, resolution), layout).flatten() for sample in samples.samples]
    cameras = torch.cat([sample.camera.to_vector() for sample in samples.samples])
    return _Faces(Latents.cat(known).to(device), Camera.from_vector(cameras).to(device), torch.stack(labels).to(device), resolution)


def _new_adapter(generator: Generator, latents: Latents, layout: Layout, generator_id: str) -> Adapter:
    """An adapter whose sizes are those of the generator's scenes, found by asking for one point."""
    try:
        with torch.no_grad():
            zero = latents.geometry.new_zeros(1, 1, 1, 3)
            probe = generator.scene(latents).geometry(zero, zero[:, :, 0] + zero.new_tensor([0.0, 0.0, -1.0]))
    except RuntimeError as error:
        raise ModelError("The latents of the samples do not fit this generator: use samples made with it.") from error
    sizes = probe.features.shape[-1], 1 + probe.logits.shape[-1]
    with latents.geometry.device:
        return Adapter(layout.to_dict(), generator_id, generator.fingerprint, *sizes)


def _batches(count: int, size: int, random: torch.Generator) -> Iterator[Tensor]:
    """Endless shuffled epochs; the last batch of an epoch may be smaller (4 + 4 + 2 of ten)."""
    while True:
        yield from torch.randperm(count, generator=random).split(size)


def _losses(
    generator: Generator, adapter: Adapter, faces: _Faces, picks: Tensor, settings: FitSettings, random: torch.Generator
) -> dict[str, Tensor]:
    """Both losses of one batch, rendered through the adapter; only the adapter gets gradients."""
    labels = faces.labels[picks]
    pixels = pick_rays(labels.cpu(), settings.rays, settings.balance, random).to(labels.device)
    uv = torch.stack([pixels % faces.resolution + 0.5, pixels // faces.resolution + 0.5], dim=-1) / faces.resolution
    origins, directions = faces.cameras[picks].rays_at(uv)
    with torch.no_grad():
        scene = generator.scene(lmta(faces.latents[picks], generator, random, settings.mixing))
    rays = render_rays(scene, origins, directions, Sampling(settings.coarse, settings.fine, random), adapter=adapter, color=False)
    logits, truth = rays.logits.transpose(1, 2), labels.gather(1, pixels)
    return {"cross_entropy": cross_entropy(logits, truth), "overlap": dice_overlap(logits, truth)}


def pick_rays(labels: Tensor, count: int | None, balance: float, random: torch.Generator) -> Tensor:
    """Indices `[B,R]` of `count` different pixels of each label map `[B,P]` (None or too many: all, in order).

    Each pixel's chance is (1 − balance)/P + balance/(classes present · pixels of its class).
    """
    batch, pixels = labels.shape
    if count is None or count >= pixels:
        return torch.arange(pixels).expand(batch, pixels)
    sizes = torch.zeros(batch, int(labels.max()) + 1).scatter_add_(1, labels, torch.ones(labels.shape))
    even = 1 / (sizes.gather(1, labels) * (sizes > 0).sum(dim=1, keepdim=True))
    return torch.multinomial((1 - balance) / pixels + balance * even, count, generator=random)
