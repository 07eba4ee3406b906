"""`fface-hub adapt` and `train`: models made."""

from __future__ import annotations

import time
from argparse import Namespace
from dataclasses import replace

from fface_hub.adapters.fit import fit, fit_reference
from fface_hub.adapters.plan import FitSettings
from fface_hub.adapters.samples import SampleSet
from fface_hub.commands.folders import load_generator
from fface_hub.commands.support import choose_device, choose_layout, progress, say, write_json
from fface_hub.doors import parse_json
from fface_hub.errors import ModelError
from fface_hub.generators.base import Generator
from fface_hub.generators.triplane import TriplaneGenerator
from fface_hub.heads.samples import sample_set
from fface_hub.heads.shards import HeadShards, HeadSource, ShardSettings, write_shards
from fface_hub.memory import keep_freed_memory
from fface_hub.progress import Step
from fface_hub.training.checkpoint import has_checkpoint
from fface_hub.training.config import CONFIGS
from fface_hub.training.mapping import taught_generator
from fface_hub.training.trainer import Budget, Run, sheet_samples
from fface_hub.training.trainer import train as train_run


def adapt(args: Namespace) -> None:
    """Fit an adapter to a sample folder and save it."""
    device = choose_device(args.device)
    if (args.samples is None) == (args.heads is None):
        raise ModelError("Give either a folder of painted samples or --heads LAYOUT, which draws ten heads and paints them by the truth.")
    layout = choose_layout(args.layout) if args.layout else None
    generator = load_generator(args.generator, device)
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
    if args.config not in CONFIGS:
        raise ModelError(f"There is no training config '{args.config[:80]}': choose one of {', '.join(CONFIGS)}.")
    keep_freed_memory()
    device = choose_device(args.device)
    init = TriplaneGenerator.from_pretrained(args.init, device=device) if args.init else None
    source, data = HeadSource(), args.data or args.out / "data"
    shard = ShardSettings.group * ShardSettings.groups_per_shard
    write_shards(data, ShardSettings(heads=-(-args.heads // shard) * shard), source)
    config = replace(CONFIGS[args.config], seed=args.seed)
    if init is None and not has_checkpoint(args.out / "checkpoint"):
        init = taught_generator(config)
    run = Run.begin(config, args.out, HeadShards(data), source, str(device), init)
    model = train_run(run, Budget(minutes=args.minutes), sheet_samples(source))
    figures = parse_json((args.out / "log.jsonl").read_text(encoding="utf-8").splitlines()[-1])
    write_json(figures, args.json)
    say(f"step {run.progress.step} after {run.progress.seconds / 60:.1f} minutes of training; wrote {model}")
