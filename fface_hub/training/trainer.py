"""The training loop of the bundled generator: regression on rendered heads, within a budget of minutes or steps, resumable after a kill."""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from fface_hub.errors import ModelError
from fface_hub.generators.triplane import TriplaneGenerator
from fface_hub.heads.config import HELD_OUT_SEED
from fface_hub.heads.shards import HeadShards, RaySource
from fface_hub.heads.truth import Truth, draw_truth
from fface_hub.progress import Callback, Step, check_finite
from fface_hub.training.checkpoint import Progress, load_checkpoint, save_checkpoint
from fface_hub.training.config import TrainConfig
from fface_hub.training.data import Batches, Cursor, RayBatch, merge
from fface_hub.training.objective import learning_rate, objective
from fface_hub.training.optimiser import move_average, optimisers
from fface_hub.training.sheets import evaluate

SHEET_SEED = HELD_OUT_SEED - 1000
"""First of the heads on the sample sheets: neither trained on nor held out for the benchmark."""


@dataclass(frozen=True)
class Budget:
    """How long a run is, in `minutes` of training (resumed time counts) or in `steps`; the learning rate follows it. Exactly one is given.

    `checkpoint` and `sheet` are the seconds between checkpoints and between sample sheets, `log` the steps between log lines.
    """

    minutes: float | None = None
    steps: int | None = None
    checkpoint: float = 300.0
    sheet: float = 480.0
    log: int = 20

    def __post_init__(self) -> None:
        if (self.minutes is None) == (self.steps is None):
            raise ValueError("a budget is either minutes or steps")

    def progress(self, step: int, seconds: float) -> float:
        """Share of the run that is done; 1 or more is the end."""
        return step / self.steps if self.steps is not None else seconds / (60 * (self.minutes or 1))


@dataclass
class Run:
    """A training run in `folder`: `checkpoint/`, `log.jsonl`, `sheets/`, `config.json`, at last `model/` (averaged weights)."""

    config: TrainConfig
    folder: Path
    generator: TriplaneGenerator
    average: dict[str, Tensor]
    optimisers: tuple[torch.optim.Optimizer, ...]
    batches: Batches
    pool: ThreadPoolExecutor
    progress: Progress = field(default_factory=lambda: Progress(0, 0.0, {}))

    @staticmethod
    def begin(
        config: TrainConfig, folder: Path, shards: HeadShards, source: RaySource, device: str, init: TriplaneGenerator | None = None
    ) -> Run:
        """A new run, from fresh weights or those of `init`, or the run that `folder` holds, where it was."""
        torch.manual_seed(config.seed)  # layers draw their first weights from the global generator
        generator = TriplaneGenerator(**config.generator)
        if init is not None:
            if init.arguments != generator.arguments:
                raise ModelError("The model to start from has another configuration than the one to train: choose one of the same kind.")
            generator.load_state_dict(init.state_dict())
        generator = generator.to(device).train()
        average = {key: value.detach().clone() for key, value in generator.named_parameters()}
        moved_by = optimisers(generator, config.learning_rate, config.betas, config.matrix_scale)
        threads = max(1, min(config.groups, torch.get_num_threads())) if torch.device(device).type == "cpu" else 1
        pool = ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(max(1, torch.get_num_threads() // threads),))
        run = Run(config, folder, generator, average, moved_by, Batches(shards, source, config.seed, config.groups, config.rays), pool)
        found = load_checkpoint(folder / "checkpoint", generator, average, moved_by)
        if found is not None:
            run.progress = found
            run.batches.cursor = Cursor(**found.cursor)
        return run

    def step(self, budget: Budget) -> dict[str, float]:
        """One optimisation step; returns the loss terms and the rate."""
        done = self.progress.step
        device = next(self.generator.parameters()).device
        rate = learning_rate(self.config, budget.progress(done, self.progress.seconds), done)
        for optimiser in self.optimisers:
            for group in optimiser.param_groups:
                group["lr"] = rate
        groups = self.batches.next()
        parts = groups if device.type == "cpu" else [merge(groups)]
        results = list(self.pool.map(self._gradients, parts, range(len(parts))))
        terms = {name: sum(result[1][name] for result in results) / len(results) for name in results[0][1]}
        check_finite(torch.tensor(terms["loss"]), "The training")
        for index, parameter in enumerate(self.generator.parameters()):
            parameter.grad = torch.stack([result[0][index] for result in results]).mean(dim=0)
        for optimiser in self.optimisers:
            optimiser.step()
        move_average(self.average, self.generator.state_dict(), self.config.ema, done)
        self.progress.step += 1
        return {**terms, "rate": rate}

    def _gradients(self, batch: RayBatch, part: int) -> tuple[tuple[Tensor, ...], dict[str, float]]:
        """Gradients and loss terms of one part of a step; parts run in threads of their own, which beats threads within operations."""
        device = next(self.generator.parameters()).device
        jitter = torch.Generator(device).manual_seed((self.config.seed * 1_000_003 + self.progress.step) * 64 + part)
        loss, terms = objective(self.generator, batch.to(device), self.config, jitter)
        gradients = torch.autograd.grad(loss, list(self.generator.parameters()))
        return gradients, {"loss": loss.item(), **{name: term.item() for name, term in terms.items()}}

    def averaged(self) -> TriplaneGenerator:
        """A copy of the generator with the averaged weights and the mean latents of those."""
        twin = TriplaneGenerator(**self.config.generator).to(next(self.generator.parameters()).device)
        twin.load_state_dict(self.generator.state_dict())
        twin.load_state_dict(self.average, strict=False)
        twin.update_mean()
        return twin.eval().requires_grad_(False)

    def save(self) -> None:
        """Write the checkpoint."""
        self.progress.cursor = self.batches.cursor.state()
        save_checkpoint(self.folder / "checkpoint", self.generator, self.average, self.optimisers, self.progress)

    def show(self, samples: Truth) -> dict[str, float]:
        """Figures of the averaged weights on the sample heads; writes a sheet."""
        return evaluate(self.averaged(), samples, self.folder / "sheets" / f"step-{self.progress.step:06d}.png")

    def log(self, entry: dict[str, Any]) -> None:
        """Append a line to the log."""
        numbers = {key: round(value, 6) if isinstance(value, float) else value for key, value in entry.items()}
        with (self.folder / "log.jsonl").open("a") as file:
            file.write(json.dumps(numbers) + "\n")


def train(run: Run, budget: Budget, samples: Truth | None = None, callback: Callback | None = None, progress: bool = True) -> Path:
    """Train until the budget is spent; returns the folder of the averaged model. Checkpoints, log and sheets are written on the way.

    A run that was killed goes on from its last checkpoint when it is begun again; with a budget of steps its losses are then those of an
    unbroken run, bit for bit on the same machine. `samples` are the heads of the sample sheets (None: no sheets). The callback gets the
    losses of every step and may raise `CancelledError`: the state is saved first.
    """
    run.folder.mkdir(parents=True, exist_ok=True)
    run.config.to_json(run.folder / "config.json")
    last_checkpoint = last_sheet = time.monotonic()
    total = budget.steps or 0
    with tqdm(total=budget.steps, initial=run.progress.step, unit="step", disable=not progress) as bar:
        while budget.progress(run.progress.step, run.progress.seconds) < 1:
            started = time.monotonic()
            terms = run.step(budget)
            now = time.monotonic()
            run.progress.seconds += now - started
            done = run.progress.step
            bar.update()
            if done % budget.log == 0 or done == 1:
                run.log({"step": done, "seconds": run.progress.seconds, **terms})
                bar.set_postfix(loss=f"{terms['loss']:.3f}", minutes=f"{run.progress.seconds / 60:.1f}")
            if samples is not None and now - last_sheet > budget.sheet:
                run.log({"step": done, "seconds": run.progress.seconds, **run.show(samples)})
                last_sheet = time.monotonic()
            if now - last_checkpoint > budget.checkpoint:
                run.save()
                last_checkpoint = time.monotonic()
            if callback is not None:
                try:
                    callback(Step(done, max(done, total), terms))
                except BaseException:
                    run.save()
                    raise
    run.save()
    if samples is not None:
        run.log({"step": run.progress.step, "seconds": run.progress.seconds, **run.show(samples)})
    run.averaged().save_pretrained(run.folder / "model")
    return run.folder / "model"


def sheet_samples(source: RaySource, resolution: int = 128) -> Truth:
    """The eight heads of the sample sheets."""
    return draw_truth(source, SHEET_SEED, 8, resolution)
