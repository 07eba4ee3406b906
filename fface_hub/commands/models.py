"""`fface-hub adapt` and `train`: models made."""

from __future__ import annotations

import time
from argparse import Namespace
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import torch

from fface_hub.adapters.fit import fit, fit_reference
from fface_hub.adapters.plan import FitSettings
from fface_hub.adapters.samples import SampleSet
from fface_hub.commands.folders import load_generator
from fface_hub.commands.support import choose_layout, progress, say, write_json
from fface_hub.doors import parse_json
from fface_hub.errors import ModelError
from fface_hub.generators.base import Generator
from fface_hub.generators.triplane import TriplaneGenerator
from fface_hub.heads import moves, portraits
from fface_hub.heads.records import Draw, read_records, write_records
from fface_hub.heads.samples import sample_set
from fface_hub.heads.shards import HeadShards, HeadSource, ShardSettings, write_shards
from fface_hub.memory import keep_freed_memory
from fface_hub.progress import Step
from fface_hub.training.augment import Batch
from fface_hub.training.checkpoint import has_checkpoint
from fface_hub.training.config import CONFIGS, HEADS_TRIPLANE
from fface_hub.training.encoder import RUNS as MOVE_RUNS
from fface_hub.training.landmarks import HEADS_LANDMARKS, LandmarkRun
from fface_hub.training.mapping import taught_generator
from fface_hub.training.parser import HEADS_PARSER, ParserRun
from fface_hub.training.portraits import PortraitConfig, PortraitRun, train_on_portraits
from fface_hub.training.trainer import Budget, Run, sheet_samples
from fface_hub.training.trainer import train as train_run

PORTRAIT_RUNS: dict[str, tuple[type[PortraitRun], PortraitConfig]] = {
    HEADS_LANDMARKS.name: (LandmarkRun, HEADS_LANDMARKS),
    HEADS_PARSER.name: (ParserRun, HEADS_PARSER),
}
"""What is trained on portraits, by the name of its config."""
SMALL_NETWORKS = (*PORTRAIT_RUNS, *MOVE_RUNS)
ConfigT = TypeVar("ConfigT", bound=PortraitConfig)


def adapt(args: Namespace) -> None:
    """Fit an adapter to a sample folder and save it."""
    if (args.samples is None) == (args.heads is None):
        raise ModelError("Give either a folder of painted samples or --heads LAYOUT, which draws ten heads and paints them by the truth.")
    layout = choose_layout(args.layout) if args.layout else None
    generator = load_generator(args.generator, args.compute)
    samples = _drawn_samples(generator, args) if args.samples is None else SampleSet.load(args.samples)
    for note in samples.notes:
        say(note)
    keep_freed_memory()
    settings = FitSettings.original() if args.reference else FitSettings()
    settings = replace(settings, seed=args.seed, left_out=args.left_out, steps=args.steps or settings.steps)
    start, last = time.perf_counter(), Step(0, settings.steps, {})
    with progress("adapter") as bar:

        def callback(step: Step) -> None:
            nonlocal last
            last = step
            bar(step)

        # The name under which others can load the generator; a folder of this machine is none.
        generator_id = getattr(generator, "model_id", None) or ""
        adapter = (fit_reference if args.reference else fit)(generator, samples, layout, settings, callback, generator_id)
    adapter.save_pretrained(args.out)
    seconds = time.perf_counter() - start
    write_json({"seconds": seconds, "samples": len(samples), "classes": len(adapter.layout), "losses": dict(last.losses)}, args.json)
    say(f"wrote the adapter for '{adapter.layout.name}' ({len(adapter.layout)} classes) to {args.out} after {seconds:.0f} s")


def _drawn_samples(generator: Generator, args: Namespace) -> SampleSet:
    """Ten faces of the bundled generator, labelled by the rendered heads that they stand for."""
    if not isinstance(generator, TriplaneGenerator):
        raise ModelError("This generator was not trained on rendered heads: paint samples on its own faces instead.")
    with progress("samples") as bar:
        return sample_set(HeadSource(), generator, choose_layout(args.heads), seed=args.seed, callback=bar)


def train(args: Namespace) -> None:
    """Draw the rendered heads that are missing, then train, or go on with what `--out` holds; the model is `--out`/model.

    A run from nothing begins with the mappings (minutes that `--minutes` does not count).
    """
    if args.config in SMALL_NETWORKS:
        return _train_small_network(args)
    if args.config not in CONFIGS:
        raise ModelError(f"There is no training config '{args.config[:80]}': choose one of {', '.join((*CONFIGS, *SMALL_NETWORKS))}.")
    if args.dtype == "float16":
        raise ModelError("float16 loses the small numbers of gradients: train in bfloat16 or float32.")
    keep_freed_memory()
    init = TriplaneGenerator.from_pretrained(args.init, device=args.compute.device) if args.init else None
    source, data = HeadSource(), args.data or args.out / "data"
    shard = ShardSettings.group * ShardSettings.groups_per_shard
    write_shards(data, ShardSettings(heads=-(-(args.heads or ShardSettings.heads) // shard) * shard), source)
    config = replace(CONFIGS[args.config], seed=args.seed)
    if args.dtype is not None:
        config = replace(config, bfloat16=args.compute.dtype == torch.bfloat16)
    if init is None and not has_checkpoint(args.out / "checkpoint"):
        init = taught_generator(config)
    run = Run.begin(config, args.out, HeadShards(data), source, str(args.compute.device), init)
    model = train_run(run, Budget(minutes=args.minutes), sheet_samples(source))
    write_json(_last_figures(args.out), args.json)
    say(f"step {run.progress.step} after {run.progress.seconds / 60:.1f} minutes of training; wrote {model}")


def _train_small_network(args: Namespace) -> None:
    """Draw the heads that are missing, then train a small network on them, or go on with what `--out` holds."""
    if args.init:
        raise ModelError(f"'{args.config}' is trained from nothing: leave out --init.")
    if args.dtype not in (None, "bfloat16"):
        raise ModelError(f"'{args.config}' is trained in bfloat16: leave out --dtype.")
    keep_freed_memory()
    device = args.compute.device
    if args.config in MOVE_RUNS:
        kind, config = MOVE_RUNS[args.config]
        config, records = _drawn_records(args, config, moves.draw_moves, moves.KEYS)
        # These learn the latents of the bundled generator.
        generator = TriplaneGenerator.from_pretrained(HEADS_TRIPLANE.name, device=device).requires_grad_(False)
        run = kind(config, args.out, records, generator, device)
    else:
        kind, config = PORTRAIT_RUNS[args.config]
        config, records = _drawn_records(args, config, portraits.draw_portraits, portraits.KEYS)
        run = kind(config, args.out, records, device)
    model = train_on_portraits(run, Budget(minutes=args.minutes))
    write_json({**_last_figures(args.out), **vars(run.progress)}, args.json)
    say(f"step {run.progress.step} after {run.progress.seconds / 60:.1f} minutes of training; wrote {model}")


def _drawn_records(args: Namespace, config: ConfigT, draw: Draw, keys: Sequence[str]) -> tuple[ConfigT, Batch]:
    """`config` as the command line wants it, and its records, drawn where they are missing."""
    data, settings = args.data or args.out / "data", config.data
    if args.heads is not None:
        settings = replace(settings, heads=-(-args.heads // settings.per_shard) * settings.per_shard)
    write_records(data, settings, draw)
    return replace(config, data=settings, seed=args.seed), read_records(data, settings, keys)


def _last_figures(out: Path) -> dict[str, Any]:
    """The last line of a run's log."""
    return parse_json((out / "log.jsonl").read_text(encoding="utf-8").splitlines()[-1])
