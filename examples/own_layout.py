"""A layout made from scratch, and ten painted faces for it: `python examples/own_layout.py samples`.

The layout is base-15 with the lips parted in an upper and a lower one. A person would paint the ten label maps; here a rule paints them, so
that the example needs no hands. Then `python -m fface_hub.cli adapt samples --out two-lips` fits the adapter.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from torch import Tensor

from fface_hub import Generator, Layout, look_at, render
from fface_hub.adapters.samples import Origin, Sample, SampleSet
from fface_hub.layouts import BASE_15, LabelClass

TWO_LIPS = Layout(
    "two-lips",
    (*BASE_15.classes, LabelClass("upper lip", (200, 30, 60), parent="lips"), LabelClass("lower lip", (240, 120, 140), parent="lips")),
)


def paint(labels: Tensor) -> Tensor:
    """Base-15 labels `[h,w]` → two-lips labels: in each column, lips above their middle are the upper lip, the others the lower lip."""
    lips = labels == TWO_LIPS.index("lips")
    rows = torch.arange(len(labels), dtype=torch.float32)[:, None]
    middle = (rows * lips).sum(dim=0) / lips.sum(dim=0).clamp(min=1)
    painted = labels.clone()
    painted[lips & (rows < middle)] = TWO_LIPS.index("upper lip")
    painted[lips & (rows >= middle)] = TWO_LIPS.index("lower lip")
    return painted


def paint_samples(generator: Generator, count: int = 10, resolution: int = 128) -> SampleSet:
    """`count` faces of the generator, seen from varied sides and painted."""
    samples = []
    for seed in range(count):
        latents, camera = generator.sample(1, seed), look_at(yaw=-20 + 40 * seed / max(1, count - 1))
        view = render(generator.scene(latents), camera, resolution)
        samples.append(Sample(view.image[0], paint(view.labels[0]), camera, latents, Origin.of(generator)))
    return SampleSet(TWO_LIPS, tuple(samples))


if __name__ == "__main__":
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "samples")
    paint_samples(Generator.from_pretrained("heads-triplane")).save(folder)
    print(f"wrote {folder}: now run  python -m fface_hub.cli adapt {folder} --out two-lips")
