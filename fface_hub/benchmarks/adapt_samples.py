"""The samples that the adapters of a benchmark are fitted on: few and well chosen ones, and very many. Drawn once, and kept."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from fface_hub.adapters.samples import METADATA, Sample, SampleSet
from fface_hub.benchmarks.adapt_views import store, trace_labels
from fface_hub.cameras import painting_view
from fface_hub.generators.triplane import TriplaneGenerator
from fface_hub.heads.samples import head_latents, sample_set
from fface_hub.heads.shards import RaySource
from fface_hub.layouts import FINE_24
from fface_hub.progress import Step

FIRST_OF_MANY = 2_000
"""Seed from which on heads are painted for the fit on very many: training heads, like those of the few."""
AT_ONCE = 50
"""Heads in one file."""

Report = Callable[[int, int], None]
"""Is told how much is done, and of how much."""


class Painter:
    """Samples of `generator` under the truth of `source` in the finest layout, which every layout merges from; kept below `folder`."""

    def __init__(self, folder: Path, generator: TriplaneGenerator, source: RaySource, resolution: int = 128, pool: int = 30) -> None:
        self.generator, self.source, self.resolution, self.pool = generator, source, resolution, pool
        self.truths = folder / f"truth-{hashlib.sha256(source.version.encode()).hexdigest()[:8]}-{resolution}"
        told = f"{generator.fingerprint} {source.version} {resolution}"
        self.sets = folder / f"samples-{hashlib.sha256(told.encode()).hexdigest()[:16]}"

    def few(self, count: int, seed: int, report: Report | None = None) -> SampleSet:
        """The first `count` of the `pool` samples that `seed` draws: sets of one seed contain each other, and differ in number alone."""
        folder = self.sets / f"{max(self.pool, count)}-{seed}"
        if not (folder / METADATA).exists():

            def tell(step: Step) -> None:
                if report is not None:
                    report(step.index, step.total)

            sample_set(self.source, self.generator, FINE_24, max(self.pool, count), seed, self.resolution, tell).save(folder)
        return SampleSet(FINE_24, SampleSet.load(folder).samples[:count])

    def many(self, count: int, report: Report | None = None) -> SampleSet:
        """`count` samples as chance brings them, without their pictures, which no fit looks at."""
        samples = []
        for start in range(0, count, AT_ONCE):
            labels = self._truth(FIRST_OF_MANY + start)[: count - start]
            seeds = range(FIRST_OF_MANY + start, FIRST_OF_MANY + start + len(labels))
            latents = head_latents(self.source, self.generator, seeds).to("cpu").detach()
            for index, label_map in enumerate(labels):
                camera = painting_view(start + index)
                samples.append(Sample(torch.zeros(3, 1, 1), label_map.long(), camera, latents[index]))
            if report is not None:
                report(len(samples), count)
        return SampleSet(FINE_24, tuple(samples))

    def _truth(self, first: int) -> Tensor:
        """Labels `[AT_ONCE,h,h]` (uint8) of the heads from seed `first` on, from the front, left and right in turn."""
        path = self.truths / f"{first}.safetensors"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            maps = [self._label_map(seed) for seed in range(first, first + AT_ONCE)]
            store(path, {"labels": torch.stack(maps)})
        return load_file(path)["labels"]

    def _label_map(self, seed: int) -> Tensor:
        camera = painting_view(seed - FIRST_OF_MANY)
        trace = self.source.trace(self.source.latents(seed)[0])
        return trace_labels(self.source, trace, camera, self.resolution).reshape(self.resolution, self.resolution)
