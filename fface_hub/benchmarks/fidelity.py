"""How well a generator redraws heads that it never saw, from their latents alone: pictures, labels, depth, and the separation of halves."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from fface_hub.errors import ModelError
from fface_hub.generators.triplane import TriplaneGenerator
from fface_hub.heads.config import HELD_OUT_SEED
from fface_hub.heads.shards import HeadSource, RaySource
from fface_hub.heads.truth import Truth, draw_truth
from fface_hub.latents import Latents
from fface_hub.layouts import BASE_15
from fface_hub.metrics import counted_classes, depth_error, iou_per_class, label_change, mean_iou, psnr, ssim
from fface_hub.progress import Callback, Step
from fface_hub.rendering.renderer import render


def run(
    generator: Any,
    identities: int = 64,
    seed: int = HELD_OUT_SEED,
    resolution: int = 128,
    source: RaySource | None = None,
    callback: Callback | None = None,
) -> dict[str, Any]:
    """Figures of `identities` held-out heads from `seed` on, each from one random camera (yaw ±35°, pitch ±15°).

    `psnr`, `psnr_head` (over the true head), `ssim`; `miou_base15` (per image over classes with ≥ 8 true pixels, then the mean) and
    `iou_per_class` (mean over the images where the class counts; None if none); `depth_error` (world units, where both see the head);
    `swap_psnr`: geometry of a under statistics and appearance of b against the true head (a, b); `swap_label_change`: share of pixels whose
    label changes when appearance z is swapped before the forward pass; `late_rows_label_change`, `late_rows_l1`: the last third of the rows
    replaced by another face's, change of labels over the picture and of colour (in [-1, 1]) over the true head. Every "other" is the next
    head. Raises `ModelError` for a generator that was not trained on rendered heads.
    """
    source = source or HeadSource()
    _check(generator, source)

    def report(done: int) -> None:
        if callback is not None:
            callback(Step(done, 2 * identities, {}))

    truth = draw_truth(source, seed, identities, resolution, report)
    sums: list[dict[str, Tensor]] = []
    for index in range(identities):
        sums.append(_measure(generator, truth, index))
        report(identities + index + 1)
    table = {name: torch.cat([entry[name].cpu() for entry in sums]).double() for name in sums[0]}
    classes = table.pop("iou_per_class").nanmean(dim=0)
    means = {name: values.nanmean().item() for name, values in table.items()}
    per_class = {name: None if value.isnan() else value.item() for name, value in zip(BASE_15.names, classes, strict=True)}
    return {**means, "iou_per_class": per_class, "identities": identities}


@torch.no_grad()
def _measure(generator: TriplaneGenerator, truth: Truth, index: int) -> dict[str, Tensor]:
    """The figures of one head, `[1]` each, `iou_per_class [1,K]`."""
    device = next(generator.parameters()).device
    other = (index + 1) % len(truth.images)
    geometry_z, appearance_z = truth.geometry_z.to(device), truth.appearance_z.to(device)
    a = generator.map(geometry_z[index : index + 1], appearance_z[index : index + 1])
    b = generator.map(geometry_z[other : other + 1], appearance_z[other : other + 1])
    redressed = generator.map(geometry_z[index : index + 1], appearance_z[other : other + 1])
    image, labels, depth, opacity = _view(generator, a, truth, index)
    swapped = _view(generator, a.with_appearance(b), truth, index)[0]
    late_image, late_labels, _, _ = _view(generator, a.mix_rows(b, generator.late_rows), truth, index)
    redressed_labels = _view(generator, redressed, truth, index)[1]
    true_image, true_labels = truth.images[index : index + 1], truth.labels[index : index + 1]
    true_depth = truth.depths[index : index + 1]
    head = true_depth[:, 0].isfinite()
    classes = len(BASE_15)
    scores = iou_per_class(labels, true_labels, classes)
    return {
        "psnr": psnr(image, true_image),
        "psnr_head": psnr(image, true_image, head),
        "ssim": ssim(image, true_image),
        "miou_base15": mean_iou(labels, true_labels, classes),
        "iou_per_class": scores.where(counted_classes(true_labels, classes), torch.nan),
        "depth_error": depth_error(depth, true_depth, head & (opacity[:, 0] > 0.5)),
        "swap_psnr": psnr(swapped, truth.swapped[index : index + 1]),
        "swap_label_change": label_change(labels, redressed_labels),
        "late_rows_label_change": label_change(labels, late_labels),
        "late_rows_l1": (late_image - image).abs().mean(dim=1)[head].mean()[None],
    }


def _view(generator: TriplaneGenerator, latents: Latents, truth: Truth, index: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Picture, labels, depth and opacity of one scene from the head's camera, on the CPU."""
    scene = generator.scene(latents)
    rendering = render(scene, truth.camera[index].to(latents.geometry.device), truth.images.shape[-1])
    return rendering.image.cpu(), rendering.labels.cpu(), rendering.depth.cpu(), rendering.opacity.cpu()


def _check(generator: Any, source: RaySource) -> None:
    sizes = tuple(len(z) for z in source.latents(0))
    if (
        not isinstance(generator, TriplaneGenerator)
        or generator.config["mapping"] != "pair"
        or (generator.config["z_dim"], generator.config["appearance_z_dim"]) != sizes
        or generator.layout.names != BASE_15.names
    ):
        raise ModelError("Fidelity is measured against rendered heads, and this generator was not trained on them: choose heads-triplane.")
