"""How well adapters label held-out heads after 1 to 30 painted samples: ours, its ablations, FFaceNeRF's, and what bounds them.

The painter is the truth of the rendered heads. All variants learn from the same samples and are measured on the same rays.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from fface_hub.adapters.cache import own_logits
from fface_hub.adapters.fit import fit
from fface_hub.adapters.mixing import Mixing
from fface_hub.adapters.plan import FitSettings
from fface_hub.adapters.samples import SampleSet
from fface_hub.adapters.samples_new import starting_table
from fface_hub.benchmarks import LEVERS, VARIANTS
from fface_hub.benchmarks.adapt_samples import Painter
from fface_hub.benchmarks.adapt_views import VIEWS, HeldOut, Scores, Sight
from fface_hub.benchmarks.plots import Panel
from fface_hub.benchmarks.records import append_record, read_records
from fface_hub.errors import ModelError
from fface_hub.generators.triplane import TriplaneGenerator
from fface_hub.heads.basis import cache_folder
from fface_hub.heads.config import HELD_OUT_SEED
from fface_hub.heads.samples import head_latents
from fface_hub.heads.shards import HeadSource, RaySource
from fface_hub.layouts import FINE_24, NASAL_WING_17, Layout
from fface_hub.progress import Callback, Step

SEVERAL_SEEDS = ("full", "original")
"""Variants that are run with every seed; the others with the first one, unless more is asked for."""
MANY = 500
"""Samples of the oracle."""
ORIGINAL_RAYS = 300_000
"""Rays that the cache of `original` may keep: .6 GB where 20 samples of each weigh anything."""


@dataclass(frozen=True)
class Grid:
    """What is run: every one of `variants` for every number of samples in `shots`, on `identities` held-out heads from seed `first` on (try
    settings out on others than those that the table is made with).

    `every_seed`: the ablations take every seed, too. `limit`: at most so many runs (None: all; 0: none, but all that they need is drawn).
    `sight`, how the heads are looked at; `pool`, how many samples a seed draws at least; `many` samples for the oracle; `settings` of
    `full`, which the ablations and the oracle vary.
    """

    layout: Layout = NASAL_WING_17
    shots: tuple[int, ...] = (1, 5, 10, 20, 30)
    variants: tuple[str, ...] = VARIANTS
    seeds: int = 3
    identities: int = 40
    first: int = HELD_OUT_SEED
    every_seed: bool = False
    limit: int | None = None
    sight: Sight = field(default_factory=Sight)
    pool: int = 30
    many: int = MANY
    settings: FitSettings = field(default_factory=FitSettings)

    def __post_init__(self) -> None:
        unknown = [name for name in self.variants if name not in VARIANTS + LEVERS]
        if unknown:
            raise ModelError(f"There is no variant '{unknown[0][:40]}': choose among {', '.join(VARIANTS + LEVERS)}.")
        FINE_24.table_to(self.layout)  # `LayoutError` for a layout that the truth cannot be told in

    def runs(self) -> list[Run]:
        """In an order in which a grid that is cut short has whole rows of its first seed."""
        runs = [Run("fixed-layout", 0, 0)] if "fixed-layout" in self.variants else []
        for seed in range(self.seeds):
            several = self.variants if self.every_seed or not seed else SEVERAL_SEEDS
            fitted = [name for name in self.variants if name in several and name not in ("fixed-layout", "oracle")]
            runs += [Run(name, shots, seed) for shots in self.shots for name in fitted]
            runs += [Run("oracle", self.many, seed)] if "oracle" in self.variants and not seed else []
        return runs[: self.limit]


@dataclass(frozen=True)
class Run:
    """One fit and its measurement; `fixed-layout` fits nothing, on 0 samples."""

    variant: str
    shots: int
    seed: int

    def settings(self, full: FitSettings, rows: int, pixels: int) -> FitSettings:
        """How it fits, for a generator of so many style `rows` and label maps of so many `pixels`."""
        full = replace(full, seed=self.seed)
        if self.variant == "original":
            return original(self.shots, self.seed, full, pixels)
        form, mixing = full.form, full.mixing
        changes: dict[str, dict[str, Any]] = {
            "no-injection": {"form": replace(form, injection="none")},
            "no-lmta": {"mixing": Mixing(mixes=1)},
            "mix-all": {"mixing": replace(mixing, rows=tuple(range(rows)))},
            "no-distillation": {"distillation": None},
            "no-overlap": {"objective": replace(full.objective, overlap_weight=0.0)},
            "no-balance": {"balance": 0.0},
            "cold-start": {"form": replace(form, warm_start=False)},
            "view-direction": {"form": replace(form, view_direction=True)},
            "open-injection": {"form": replace(form, injection="open")},
        }
        return for_many(full) if self.variant == "oracle" else replace(full, **changes.get(self.variant, {}))


def original(shots: int, seed: int, full: FitSettings, pixels: int) -> FitSettings:
    """FFaceNeRF's objective, network and schedule as coded, from a cache: 1,024 rays of each of 4 views, or as many as there are samples.

    Only the samples on a ray are those of `full`. The pool of partners, and the rays kept of each view, are as large as memory allows.
    """
    coded = FitSettings.original(seed)
    mixes = max(2, min(coded.mixing.mixes, ORIGINAL_RAYS // (1024 * shots)))
    kept = max(1024, ORIGINAL_RAYS // (mixes * shots))
    return replace(
        coded,
        batch=min(coded.batch, shots),
        rays=1024,
        kept=kept if kept < pixels else None,
        coarse=full.coarse,
        fine=full.fine,
        epsilon=full.epsilon,
        mixing=replace(coded.mixing, mixes=mixes),
    )


def for_many(full: FitSettings) -> FitSettings:
    """`full` for hundreds of samples in the same memory: fewer rays and mixes of each; and three times the steps."""
    mixing = replace(full.mixing, mixes=min(2, full.mixing.mixes))
    return replace(full, steps=3 * full.steps, batch=16, rays=256, kept=512, mixing=mixing)


def run(
    generator: Any,
    callback: Callback | None = None,
    grid: Grid | None = None,
    progress_file: Path | None = None,
    source: RaySource | None = None,
    folder: Path | None = None,
) -> dict[str, Any]:
    """`rows`: of every variant and number of samples the `miou` (per image over classes with ≥ 8 true pixels, then the mean; the mean over
    seeds, beside `miou_min` and `miou_max`), `per_class` (mean over the images where it counts; None if none) and `seconds` of a fit.
    Besides, the single `runs`, the mean for each view (`views`), and what was run.

    Finished runs are appended to `progress_file`, and not made again if it holds them with the same settings. What is drawn once lies below
    `folder` (None: `adapt` in the cache folder). Raises `ModelError` for a generator that was not trained on rendered heads.
    """
    grid, source = grid or Grid(), source or HeadSource()
    if not isinstance(generator, TriplaneGenerator):
        raise ModelError("This generator was not trained on rendered heads, whose truth the benchmark needs: choose heads-triplane.")
    head_latents(source, generator, [0])  # `ModelError` if it takes other latents
    bench = _Bench(generator, source, grid, folder or cache_folder() / "adapt")
    runs, known = grid.runs(), read_records(progress_file)
    total = grid.identities + len(runs)

    def report(index: int, figures: dict[str, float]) -> None:
        if callback is not None:
            callback(Step(index, total, figures))

    bench.prepare(runs or replace(grid, limit=None).runs(), report)
    records = []
    for number, one in enumerate(runs, 1):
        key = bench.key(one)
        record = known.get(key) or {"key": key, **bench.make(one, partial(report, grid.identities + number - 1))}
        if key not in known and progress_file is not None:
            append_record(progress_file, record)
        records.append(record)
        report(grid.identities + number, {"miou": record["miou"]})
    return {**_report(records), **bench.told()}


class _Bench:
    """Generator, samples and held-out heads of a grid."""

    def __init__(self, generator: TriplaneGenerator, source: RaySource, grid: Grid, folder: Path) -> None:
        self.generator, self.source, self.grid = generator, source, grid
        self.held_out = HeldOut(folder, generator, source, range(grid.first, grid.first + grid.identities), grid.sight)
        self.painter = Painter(folder, generator, source, grid.sight.resolution, max(grid.pool, *grid.shots))

    def settings(self, one: Run) -> FitSettings:
        """How `one` fits."""
        return one.settings(self.grid.settings, self.generator.num_rows, self.grid.sight.resolution**2)

    def key(self, one: Run) -> str:
        """Equal for runs that would give the same figures."""
        grid = self.grid
        told = [
            self.held_out.folder.name,
            grid.layout.to_dict(),
            grid.identities,
            grid.first,
            self.painter.pool,
            asdict(one),
            asdict(self.settings(one)),
        ]
        return hashlib.sha256(json.dumps(told).encode()).hexdigest()[:16]

    def prepare(self, runs: Sequence[Run], report: Callable[[int, dict[str, float]], None]) -> None:
        """Draw the heads and samples that `runs` need, as far as they are not there."""
        self.held_out.prepare(lambda done: report(done, {}))
        for one in runs:
            self._samples(one, lambda figures: report(self.grid.identities, figures))

    def _samples(self, one: Run, report: Callable[[dict[str, float]], None]) -> SampleSet | None:
        """What `one` learns from."""

        def tell(done: int, total: int) -> None:
            report({"painted": done, "of": total})

        if one.variant == "fixed-layout":
            return None
        return self.painter.many(one.shots, tell) if one.variant == "oracle" else self.painter.few(one.shots, one.seed, tell)

    def make(self, one: Run, report: Callable[[dict[str, float]], None]) -> dict[str, Any]:
        """Fit and measure."""
        layout, samples = self.grid.layout, self._samples(one, report)
        if samples is None:
            scores = self.held_out.scores(own_logits, layout, starting_table(self.generator.layout, layout))
            return _record(one, scores, layout, 0.0)
        report({"shots": one.shots, "seed": one.seed})
        start = time.perf_counter()
        adapter = fit(self.generator, samples, layout, self.settings(one))
        seconds = time.perf_counter() - start
        return _record(one, self.held_out.scores(adapter, layout), layout, seconds)

    def told(self) -> dict[str, Any]:
        """What was run."""
        return {
            "layout": self.grid.layout.name,
            "generator": {"id": getattr(self.generator, "model_id", None) or "unnamed", "fingerprint": self.generator.fingerprint},
            "heads_version": self.source.version,
            "seeds": self.grid.seeds,
            "identities": self.grid.identities,
            "first_identity": self.grid.first,
            "cameras": [list(angles) for angles in VIEWS],
            "sight": asdict(self.grid.sight),
            "settings": {name: asdict(self.settings(Run(name, 10, 0))) for name in self.grid.variants if name != "fixed-layout"},
        }


def _record(one: Run, scores: Scores, layout: Layout, seconds: float) -> dict[str, Any]:
    figures = {"miou": scores.miou, "views": scores.by_view, "per_class": scores.per_class(layout), "seconds": seconds}
    return {"variant": one.variant, "shots": one.shots, "seed": one.seed, **figures}


def _report(records: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Rows, views and runs of the records."""
    groups: dict[tuple[str, int], list[dict[str, Any]]] = {}
    for record in records:
        groups.setdefault((record["variant"], record["shots"]), []).append(record)
    rows, views = [], []
    for (variant, shots), group in groups.items():
        scores = [record["miou"] for record in group]
        per_class = {name: _mean(record["per_class"][name] for record in group) for name in group[0]["per_class"]}
        rows.append(
            {
                "variant": variant,
                "shots": shots,
                "miou": _mean(scores),
                "miou_min": min(scores),
                "miou_max": max(scores),
                "per_class": per_class,
                "seconds": _mean(record["seconds"] for record in group),
            }
        )
        by_view = [_mean(view) for view in zip(*(record["views"] for record in group), strict=True)]
        views.append({"variant": variant, "shots": shots, "miou": by_view})
    singles = [{name: record[name] for name in ("variant", "shots", "seed", "miou", "seconds")} for record in records]
    return {"rows": rows, "views": views, "runs": singles}


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def panel(figures: dict[str, Any]) -> Panel:
    """mIoU by the number of samples, a line for each variant; those that do not depend on it are level."""
    shots = [row["shots"] for row in figures["rows"] if row["variant"] not in ("fixed-layout", "oracle")] or [0, 1]
    lines: dict[str, list[tuple[float, float]]] = {}
    for row in figures["rows"]:
        level = row["variant"] in ("fixed-layout", "oracle")
        across = (min(shots), max(shots)) if level else (row["shots"],)
        lines.setdefault(row["variant"], []).extend((x, row["miou"]) for x in across)
    return Panel(f"mIoU by samples, {figures['layout']}", "samples", lines, from_zero=False)
