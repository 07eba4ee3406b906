"""Training of small networks on rendered portraits: what the landmark network and the parser share. Resumable after a kill."""

from __future__ import annotations

import json
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from fface_hub.heads.portraits import PortraitSettings
from fface_hub.heads.records import RecordSettings
from fface_hub.models import Model
from fface_hub.progress import check_finite
from fface_hub.training.augment import Batch
from fface_hub.training.checkpoint import Progress, load_checkpoint, save_checkpoint
from fface_hub.training.optimiser import move_average, scheduled_rate
from fface_hub.training.trainer import Budget


@dataclass(frozen=True)
class PortraitConfig:
    """What decides the numbers of a run except its length: `network`, the constructor's arguments; `data`, the portraits.

    The learning rate warms up over `warmup` steps and then falls to zero as half a cosine.
    """

    name: str
    network: dict[str, Any] = field(default_factory=dict)
    data: RecordSettings = field(default_factory=PortraitSettings)
    seed: int = 0
    batch: int = 64
    learning_rate: float = 2e-3
    weight_decay: float = 0.02
    warmup: int = 300
    ema: float = 0.998

    def rate(self, done: float, step: int) -> float:
        """The learning rate when the share `done` of the run and `step` steps are behind."""
        return scheduled_rate(self.learning_rate, self.warmup, 1.0, done, step)


class PortraitRun(ABC):
    """A training run in `folder`: `checkpoint/`, `log.jsonl`, `config.json`, at last `model/` (averaged weights)."""

    def __init__(self, config: PortraitConfig, folder: Path, portraits: Batch, device: torch.device | str = "cpu") -> None:
        """A new run on `portraits` (as `heads.records.read_records` gives them), or the run that `folder` holds, where it was."""
        self.config, self.folder, self.portraits, self.device = config, folder, portraits, torch.device(device)
        torch.manual_seed(config.seed)  # layers draw their first weights from the global generator
        self.network = self.new_network().to(self.device, memory_format=torch.channels_last).train()
        state = self.network.state_dict()
        self.average = {key: value.detach().clone() for key, value in state.items() if value.is_floating_point()}
        self.optimisers = self.new_optimisers()
        found = load_checkpoint(folder / "checkpoint", self.network, self.average, self.optimisers)
        self.progress = found or Progress(0, 0.0, {})

    @abstractmethod
    def new_network(self) -> Model:
        """The network with fresh weights."""

    def new_optimisers(self) -> Sequence[torch.optim.Optimizer]:
        """What moves the weights; a subclass may choose other rules. All get the rate of the config."""
        # Biases and the scales of normalisations are not pulled to zero.
        groups = [
            {"params": [p for p in self.network.parameters() if p.ndim > 1], "weight_decay": self.config.weight_decay},
            {"params": [p for p in self.network.parameters() if p.ndim <= 1], "weight_decay": 0.0},
        ]
        return [torch.optim.AdamW(groups, self.config.learning_rate, (0.9, 0.99), fused=True)]

    @abstractmethod
    def losses(self, portraits: Batch, random: torch.Generator) -> dict[str, Tensor]:
        """What one batch of `portraits` gives; "loss" is to be minimised, the others are told."""

    def batch(self, step: int) -> tuple[Batch, torch.Generator]:
        """The portraits that step number `step` learns from, their places among all ("index"), and its random numbers; the seed and that
        number decide all."""
        random = torch.Generator().manual_seed(self.config.seed * 1_000_003 + step)
        count = len(next(iter(self.portraits.values())))
        chosen = torch.randint(count, (self.config.batch,), generator=random)
        return {**{key: value[chosen] for key, value in self.portraits.items()}, "index": chosen}, random

    def step(self, budget: Budget) -> dict[str, float]:
        """One step; returns the loss terms and the rate."""
        done = self.progress.step
        rate = self.config.rate(budget.progress(done, self.progress.seconds), done)
        for group in (group for optimiser in self.optimisers for group in optimiser.param_groups):
            group["lr"] = rate
        terms = self.losses(*self.batch(done))
        check_finite(terms["loss"].detach(), "The training")
        self.network.zero_grad(set_to_none=True)
        terms["loss"].backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 5.0)
        for optimiser in self.optimisers:
            optimiser.step()
        move_average(self.average, self.network.state_dict(), self.config.ema, done)  # statistics of normalisations are in it, too
        self.progress.step += 1
        return {**{name: value.item() for name, value in terms.items()}, "rate": rate}

    def save(self) -> None:
        """Write the checkpoint."""
        save_checkpoint(self.folder / "checkpoint", self.network, self.average, self.optimisers, self.progress)

    def averaged(self) -> Model:
        """A copy of the network with the averaged weights."""
        twin = self.new_network()
        twin.load_state_dict({**self.network.state_dict(), **self.average})
        return twin.eval().requires_grad_(False)


def train_on_portraits(run: PortraitRun, budget: Budget, progress: bool = True) -> Path:
    """Train until the budget is spent; returns the folder of the averaged model, whose weights are float16.

    A run that was killed goes on from its last checkpoint; with a budget of steps its losses are then those of an unbroken run. The log
    has their means since its last line.
    """
    run.folder.mkdir(parents=True, exist_ok=True)
    (run.folder / "config.json").write_text(json.dumps(asdict(run.config), indent=2) + "\n", encoding="utf-8")
    saved = time.monotonic()
    recent: list[dict[str, float]] = []
    with tqdm(total=budget.steps, initial=run.progress.step, unit="step", disable=not progress) as bar:
        while budget.progress(run.progress.step, run.progress.seconds) < 1:
            started = time.monotonic()
            terms = run.step(budget)
            run.progress.seconds += time.monotonic() - started
            bar.update()
            recent.append(terms)
            if run.progress.step % budget.log == 0:
                means = _log(run, recent)
                bar.set_postfix({name: f"{value:.3f}" for name, value in means.items() if name != "rate"})
                recent = []
            if time.monotonic() - saved > budget.checkpoint:
                run.save()
                saved = time.monotonic()
    if recent:
        _log(run, recent)
    run.save()
    run.averaged().save_pretrained(run.folder / "model", torch.float16)
    return run.folder / "model"


def _log(run: PortraitRun, recent: list[dict[str, float]]) -> dict[str, float]:
    """The means of the losses of `recent` steps, which may be fewer than usual after a stop; they become a line of the log."""
    means = {name: sum(terms[name] for terms in recent) / len(recent) for name in recent[0]}
    entry = {"step": run.progress.step, "seconds": round(run.progress.seconds, 2), **{k: round(v, 6) for k, v in means.items()}}
    with (run.folder / "log.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps(entry) + "\n")
    return means
