"""Edits judged against the truth: FFaceNeRF's, ours, the untouched face (floor) and the generator's truly edited one (ceiling).

Whether an edit is right from all sides can be measured here because rendered heads know what they look like after it.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from fface_hub.adapters.adapter import Adapter
from fface_hub.benchmarks import EDIT_METHODS
from fface_hub.benchmarks.edit_figures import outside_figures, region_figures, seam, truth_figures
from fface_hub.benchmarks.edit_gallery import front_window, pack, write_gallery
from fface_hub.benchmarks.edit_pairs import SIDES, Pair, PairMaker, Wish, look, size_of, wishes
from fface_hub.benchmarks.edit_report import report
from fface_hub.benchmarks.fewshot import bundled_adapters
from fface_hub.benchmarks.records import append_record, read_records
from fface_hub.editing.composite import face_scene
from fface_hub.editing.edit import EditSession, EditSettings
from fface_hub.editing.reference import ReferenceSettings, edit_reference
from fface_hub.errors import FFaceError, ModelError
from fface_hub.generators.base import Scene
from fface_hub.generators.triplane import TriplaneGenerator
from fface_hub.heads.config import HELD_OUT_SEED
from fface_hub.heads.samples import head_latents
from fface_hub.heads.shards import HeadSource, RaySource
from fface_hub.inversion.encoder import CanonicalEditor, bundled_editor
from fface_hub.perceptual import Perceptual, load_perceptual
from fface_hub.progress import Callback, Step
from fface_hub.rendering.views import labels_to_image

ON_CPU = 6
"""Pairs that the original is run on where there is no GPU: it takes minutes for each."""


@dataclass(frozen=True)
class Plan:
    """What is run: `methods` on the first `limit` pairs (None: all of them), the original on the first `originals` of these (None: six on a
    CPU, all on a GPU). Fronts are `resolution`² pixels, as edits are painted; side views `side`². Heads are those from seed `first` on.
    """

    methods: tuple[str, ...] = EDIT_METHODS
    limit: int | None = None
    originals: int | None = None
    resolution: int = 128
    side: int = 96
    first: int = HELD_OUT_SEED
    reference: ReferenceSettings = field(default_factory=ReferenceSettings)
    preview: EditSettings = field(default_factory=EditSettings.preview)
    converged: EditSettings = field(default_factory=EditSettings)

    def __post_init__(self) -> None:
        unknown = [name for name in self.methods if name not in EDIT_METHODS]
        if unknown:
            raise ModelError(f"There is no method '{unknown[0][:40]}': choose among {', '.join(EDIT_METHODS)}.")

    def wishes(self) -> list[Wish]:
        """The edits, in their order."""
        return wishes()[: self.limit]

    def settings(self, method: str) -> ReferenceSettings | EditSettings | None:
        """How a method edits; None if it does not."""
        return {
            "original": self.reference,
            "original-no-overlap": replace(self.reference, overlap_weight=0.0),
            "ours-preview": self.preview,
            "ours-converged": self.converged,
            "ours-no-overlap": replace(self.converged, overlap_weight=0.0),
            "ours-no-keep": replace(self.converged, keep=False),
        }.get(method)


def run(
    generator: Any,
    callback: Callback | None = None,
    plan: Plan | None = None,
    progress_file: Path | None = None,
    gallery: Path | None = None,
    source: RaySource | None = None,
    adapters: Mapping[str, Adapter] | None = None,
    editor: CanonicalEditor | None = None,
) -> dict[str, Any]:
    """`methods`: medians over the pairs that each one ran (figures: see `edit_figures`; `seconds` of the edit alone, their `seconds_p95`,
    `steps`, `refused` edits, which count as none); `comparison`: the same over the pairs that all of them ran; besides, the tables `edits`,
    `by_size` and `by_class`, and what was run.

    Finished rows are appended to `progress_file` and not made again if it holds them with the same models and settings; those of methods
    that are not asked for now are reported, too. `gallery`: write sheets of all pairs there. `adapters` bring the layouts that edits are
    painted in, and `editor` the first guesses (None: the bundled ones that fit). Raises `ModelError` for a generator that was not trained
    on rendered heads.
    """
    plan, source = plan or Plan(), source or HeadSource()
    if not isinstance(generator, TriplaneGenerator):
        raise ModelError("This generator was not trained on rendered heads, whose truth the benchmark needs: choose heads-triplane.")
    head_latents(source, generator, [0])  # `ModelError` if it takes other latents
    models = _Models(
        generator,
        bundled_adapters(generator) if adapters is None else adapters,
        editor or bundled_editor(generator),
        load_perceptual(device=generator.device),
    )
    bench = _Bench(models, source, plan, progress_file)
    rows, wanted = [], plan.wishes()

    def tell(index: int, seconds: dict[str, float]) -> None:
        """How many pairs are done, and what was done last."""
        if callback is not None:
            callback(Step(index, len(wanted), seconds))

    for number, wish in enumerate(wanted):
        rows.append(bench.rows(wish, number, partial(tell, number)))
        tell(number + 1, {})
    if gallery is not None:
        write_gallery(gallery, rows)
    return {**report(rows), **bench.told()}


@dataclass(frozen=True)
class _Done:
    """The edited face; the seconds and steps of the edit; and the sentence with which it was refused, whose face is the one before."""

    scene: Scene
    seconds: float = 0.0
    steps: int = 0
    refused: str | None = None


@dataclass(frozen=True)
class _Models:
    """All that is measured or measures."""

    generator: TriplaneGenerator
    adapters: Mapping[str, Adapter]
    editor: CanonicalEditor | None
    perceptual: Perceptual


class _Bench:
    """Models and finished rows of a plan."""

    def __init__(self, models: _Models, source: RaySource, plan: Plan, progress_file: Path | None) -> None:
        self.generator, self.editor, self.perceptual = models.generator, models.editor, models.perceptual
        self.plan, self.progress_file = plan, progress_file
        generator = self.generator
        self.maker = PairMaker(generator, source, models.adapters, plan.resolution, plan.side, plan.first)
        self.known = read_records(progress_file)
        on_gpu = generator.device.type == "cuda"
        self.originals = plan.originals if plan.originals is not None or on_gpu else ON_CPU

    def key(self, wish: Wish, method: str) -> str:
        """Equal for rows that would hold the same figures; times are those of one kind of device and number."""
        _, adapter = self.maker.choice(wish.edit)
        told = [
            self.generator.fingerprint,
            None if adapter is None else adapter.fingerprint,
            self.maker.source.version,
            self.perceptual.name,
            [self.plan.resolution, self.plan.side, self.plan.first],
            asdict(wish),
            method,
            repr(self.plan.settings(method)),
            self.editor.fingerprint if self.editor is not None and method.startswith("ours") else None,
            [self.generator.device.type, str(self.generator.precision)],
        ]
        return hashlib.sha256(json.dumps(told).encode()).hexdigest()[:16]

    def rows(self, wish: Wish, number: int, tell: Callable[[dict[str, float]], None]) -> dict[str, dict[str, Any]]:
        """Rows by method of the pair `number`, and "pair", what it is; those that are missing are made, and told of with their seconds."""
        found: dict[str, dict[str, Any]] = {}
        pair: Pair | None = None
        for method in ("pair", *EDIT_METHODS):
            key = self.key(wish, method)
            asked = method == "pair" or (method in self.plan.methods and not (method.startswith("original") and self._beyond(number)))
            if key not in self.known and asked:
                pair = pair or self.maker.make(wish, found["pair"]["seed"] if found else None)
                row = {"key": key, "method": method, **(describe(pair) if method == "pair" else self.measure(pair, method))}
                self.known[key] = row
                if self.progress_file is not None:
                    append_record(self.progress_file, row)
                tell({method: row.get("seconds", 0.0)})
            if key in self.known:
                found[method] = self.known[key]
        return found

    def _beyond(self, number: int) -> bool:
        return self.originals is not None and number >= self.originals

    def measure(self, pair: Pair, method: str) -> dict[str, Any]:
        """Edit, and all figures of it."""
        done, device = self._edited(pair, method), self.generator.device
        scene = done.scene
        front = look(scene, self.generator.default_camera.to(device), self.plan.resolution, pair.adapter)
        sides = [look(scene, side.camera.to(device), self.plan.side, pair.adapter) for side in pair.sides]
        image, before = front.image[0], pair.shown.image[0]
        return {
            "seconds": done.seconds,
            "steps": done.steps,
            "refused": done.refused,
            **region_figures(front.labels[0], pair.shown.labels[0], pair.target, pair.region, pair.changed, pair.layout),
            **outside_figures(image, before, pair.region, self.perceptual),
            "seam": seam(image, before, pair.ideal, pair.region),
            **truth_figures(sides, pair.sides, pair.layout),
            "pictures": {"front": pack(image), "side": pack(sides[1].image[0])},
        }

    def _edited(self, pair: Pair, method: str) -> _Done:
        generator, settings = self.generator, self.plan.settings(method)
        if settings is None:
            return _Done(generator.scene(pair.after if method == "oracle" else pair.before))
        target, original = (labels.to(generator.device) for labels in (pair.target, pair.shown.labels[0]))
        # Who paints has the face on the screen: it is drawn before the clock starts.
        session = EditSession(generator, pair.before, pair.adapter, editor=self.editor)
        if isinstance(settings, EditSettings):
            session.before(settings)
        start = time.perf_counter()
        try:
            if isinstance(settings, ReferenceSettings):
                settings = replace(settings, perceptual=self.perceptual)
                result = edit_reference(generator, pair.before, target, pair.adapter, settings=settings)
            else:
                result = session.apply(target, settings, original_labels=original)
        except FFaceError as error:
            return _Done(generator.scene(pair.before), time.perf_counter() - start, 0, str(error))
        if generator.device.type == "cuda":
            torch.cuda.synchronize()
        seconds = time.perf_counter() - start
        return _Done(face_scene(generator, result.latents), seconds, len(result.losses))

    def told(self) -> dict[str, Any]:
        """What was run."""
        settings = {method: self.plan.settings(method) for method in EDIT_METHODS}
        return {
            "trunk": self.perceptual.name,
            "editor": None if self.editor is None else {"id": self.editor.model_id or "unnamed", "fingerprint": self.editor.fingerprint},
            "generator": {"id": getattr(self.generator, "model_id", None) or "unnamed", "fingerprint": self.generator.fingerprint},
            "heads_version": self.maker.source.version,
            "first_identity": self.plan.first,
            "resolution": self.plan.resolution,
            "side_resolution": self.plan.side,
            "sides": [list(angles) for angles in SIDES],
            "settings": {method: repr(found) for method, found in settings.items() if found is not None},
            "device": self.generator.device.type,
            "threads": torch.get_num_threads(),
        }


def describe(pair: Pair) -> dict[str, Any]:
    """The row "pair": which one it is, and its pictures."""
    pictures = {
        "before": pack(pair.shown.image[0]),
        "target": pack(labels_to_image(pair.target[None], pair.layout)[0], lossless=True),
        "truth": pack(pair.truth.image),
        "side": pack(pair.sides[1].after.image),
    }
    return {
        "pair": pair.wish.name,
        "edit": pair.wish.label,
        "seed": pair.seed,
        "layout": pair.layout.name,
        "classes": [pair.layout.names[k] for k in pair.changed],
        "region": int(pair.region.sum()),
        "asked": int((pair.target != pair.shown.labels[0]).sum()),
        "size": size_of(int(pair.region.sum())),
        "window": front_window(pair.region),
        "pictures": pictures,
    }
