"""Kills saves, training runs, fits and conversions, and looks at what is left; and lets many save at once:
`python -m tests.faults.kills model|training|adapt|convert|race COUNT FOLDER`."""

from __future__ import annotations

import json
import os
import random
import shutil
import sys
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch

from fface_hub.adapters.adapter import Adapter
from fface_hub.adapters.samples import Sample, SampleSet
from fface_hub.cameras import look_at
from fface_hub.cli import main
from fface_hub.errors import ModelError
from fface_hub.files import current_folder
from fface_hub.layouts import BASE_15
from fface_hub.models import Model
from fface_hub.sources import CARD_NAME, CONFIG_NAME, WEIGHTS_NAME
from fface_hub.training.checkpoint import has_checkpoint
from fface_hub.training.trainer import Budget, Run, train
from tests.balls import Balls, ball_config, ball_shards
from tests.faults.forks import Ending, attempt, moment
from tests.hub.standins import Official, official_state
from tests.hub.test_convert import SMALL
from tests.tiny import PAIR, new_solid_generator, random_generator

STEPS = 12


@dataclass
class Findings:
    """Processes that were `killed`, and `ended` before they could be; what was there after a kill: the `old`, the `new`, or nothing as
    before (`absent`); how often a finished run or the next save was compared (`whole`)."""

    killed: int = 0
    ended: int = 0
    old: int = 0
    new: int = 0
    absent: int = 0
    whole: int = 0

    def judge(self, ending: Ending, found: str | None, before: str | None, after: str) -> None:
        """What was `found` must be what was there before or what was to come after; the latter if nothing was killed."""
        assert found == after or (ending.killed and found == before), f"{found} is neither {before} nor {after}"
        self.killed += ending.killed
        self.ended += not ending.killed
        self.new += ending.killed and found == after
        self.old += found == before is not None
        self.absent += found is None


def loaded(folder: Path) -> str | None:
    """The fingerprint of the whole model in `folder`, None if there is no folder. What is broken raises."""
    try:
        return Model.from_pretrained(folder).fingerprint
    except ModelError as error:
        if "is not a model" in str(error):
            return None
        raise


def check_next_save(folder: Path, model: Model, beside: set[str]) -> None:
    """The next save leaves its model and what was kept, and nothing else."""
    model.save_pretrained(folder)
    assert loaded(folder) == model.fingerprint
    assert os.listdir(folder.parent) == [folder.name]
    assert set(os.listdir(folder)) == {CONFIG_NAME, WEIGHTS_NAME} | beside


def kill_saves(count: int, room: Path) -> Findings:
    """Two generators are saved in turn to one folder, which has a card, and is sometimes not there yet."""
    found, source = Findings(), random.Random(1)
    models = [random_generator(seed, **PAIR) for seed in range(2)]
    folder = room / "place" / "model"
    folder.mkdir(parents=True)
    (folder / CARD_NAME).write_text("card")
    models[0].save_pretrained(folder)
    whole = min((attempt(lambda: models[1].save_pretrained(folder), folder) for _ in range(3)), key=lambda ending: ending.seconds)
    while found.killed < count:
        if source.random() < 0.15:
            shutil.rmtree(folder.parent)
            folder.parent.mkdir()
        before = loaded(folder)
        card = before is not None and (current_folder(folder) / CARD_NAME).exists()
        model = models[0] if before == models[1].fingerprint else models[1]
        ending = attempt(lambda model=model: model.save_pretrained(folder), folder, moment(source, whole))
        found.judge(ending, loaded(folder), before, model.fingerprint)
        assert not card or (current_folder(folder) / CARD_NAME).read_text() == "card"
        if source.random() < 0.4:  # the others: a killed save finds what a killed save has left
            check_next_save(folder, model, {CARD_NAME} if card else set())
            found.whole += 1
    return found


def kill_training(count: int, room: Path) -> Findings:
    """Runs that write a checkpoint after every step, killed and begun again until they are done. Every checkpoint that is found must equal
    that of an unbroken run bit for bit: weights, their average, both optimisers, data cursor; and so must the model at the end."""
    found, source, config = Findings(), random.Random(2), replace(ball_config(), groups=2)
    shards = ball_shards(room / "shards")
    unbroken, broken, steps = room / "unbroken" / "run", room / "broken" / "run", room / "steps"
    unbroken.parent.mkdir()

    def teach(folder: Path, keep: bool = False) -> None:
        run = Run.begin(config, folder, shards, Balls(), "cpu")

        def copy(step: object) -> None:
            run.save()
            shutil.copytree(folder / "checkpoint", steps / str(run.progress.step))

        train(run, Budget(steps=STEPS, checkpoint=0.0, log=1), callback=copy if keep else None, progress=False)

    attempt(lambda: teach(unbroken, keep=True), unbroken)
    whole = attempt(lambda: teach(room / "timed"), room / "timed")
    while found.killed < count:
        shutil.rmtree(broken.parent, ignore_errors=True)
        broken.parent.mkdir()
        done, ending = 0, None
        while ending is None or ending.killed:
            at = moment(source, whole) if found.killed < count else None
            ending = attempt(lambda: teach(broken), broken, at)
            now = steps_of(broken / "checkpoint")
            after = str(now) if now > done or not ending.killed else "a later step"
            found.judge(ending, str(now) if now else None, str(done) if done else None, after)
            done = now
            assert not done or state(broken / "checkpoint") == state(steps / str(done))
        assert done == STEPS and files(broken / "model") == files(unbroken / "model") and losses(broken) == losses(unbroken)
        assert sorted(os.listdir(broken)) == sorted(os.listdir(unbroken)) and os.listdir(broken.parent) == ["run"]
        found.whole += 1
    return found


def steps_of(folder: Path) -> int:
    """The step of the checkpoint in `folder`, 0 if there is none."""
    return json.loads((current_folder(folder) / "state.json").read_text())["step"] if has_checkpoint(folder) else 0


def state(folder: Path) -> dict[str, object]:
    """All of a checkpoint but the seconds that it took."""
    folder = current_folder(folder)
    return {**json.loads((folder / "state.json").read_text()), "seconds": 0, "tensors": (folder / "state.safetensors").read_bytes()}


def files(folder: Path) -> dict[str, bytes]:
    """The bytes of all files."""
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def losses(run: Path) -> dict[int, float]:
    """The losses of a run by step. Steps that a kill has undone are in the log twice."""
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    return {line["step"]: line["loss"] for line in lines}


def kill_fits(count: int, room: Path) -> Findings:
    """`fface-hub adapt`, with one seed and another in turn, into one folder."""
    found, source = Findings(), random.Random(3)
    generator = new_solid_generator()
    generator.save_pretrained(room / "generator")
    labels = torch.randint(15, (16, 16), generator=torch.Generator().manual_seed(0))
    latents = generator.sample(2, 0)
    SampleSet(BASE_15, tuple(Sample(torch.zeros(3, 16, 16), labels, look_at(0.0), latents[i]) for i in range(2))).save(room / "set")
    base = ["adapt", str(room / "set"), "--generator", str(room / "generator"), "--steps", "12", "--device", "cpu"]

    def adapt(seed: int, out: Path) -> None:
        assert main([*base, "--seed", str(seed), "--out", str(out)]) == 0

    endings = [attempt(lambda seed=seed: adapt(seed, room / "whole" / str(seed)), room / "whole" / str(seed)) for seed in range(2)]
    prints = [Adapter.from_pretrained(room / "whole" / str(seed)).fingerprint for seed in range(2)]
    assert prints[0] != prints[1]
    folder = room / "place" / "adapter"
    while found.killed < count:
        before = loaded(folder)
        seed = int(before == prints[0])
        ending = attempt(lambda seed=seed: adapt(seed, folder), folder, moment(source, endings[1]))
        after = loaded(folder)
        found.judge(ending, after, before, prints[seed])
        if after is not None and source.random() < 0.4:
            check_next_save(folder, Adapter.from_pretrained(folder), set())
            found.whole += 1
    return found


def kill_conversions(count: int, room: Path) -> Findings:
    """`fface-hub convert`, of one checkpoint and another in turn, into one folder. The card, which states the licence, is always that of
    the weights beside it."""
    found, source, official = Findings(), random.Random(4), Official(room / "canary")
    for seed in range(2):
        state = official_state(random_generator(seed, **SMALL, decoder="eg3d"))
        (room / f"{seed}.pkl").write_bytes(official.pickled(state))

    def convert(seed: int, out: Path) -> None:
        assert main(["convert", str(room / f"{seed}.pkl"), str(out)]) == 0

    endings = [attempt(lambda seed=seed: convert(seed, room / "whole" / str(seed)), room / "whole" / str(seed)) for seed in range(2)]
    prints = [loaded(room / "whole" / str(seed)) or "" for seed in range(2)]
    folder = room / "place" / "model"
    attempt(lambda: convert(0, folder), folder)
    while found.killed < count:
        before = loaded(folder)
        seed = int(before == prints[0])
        ending = attempt(lambda seed=seed: convert(seed, folder), folder, moment(source, endings[1]))
        after = loaded(folder)
        found.judge(ending, after, before, prints[seed])
        assert (after or "nothing") in (current_folder(folder) / CARD_NAME).read_text()
        if source.random() < 0.4:
            check_next_save(folder, Model.from_pretrained(folder), {CARD_NAME})
            found.whole += 1
    assert not official.canary.exists()
    return found


def race_saves(count: int, room: Path) -> Findings:
    """Four processes save two models into one folder, each `count` times: none fails, and whoever reads finds one of the models, whole."""
    models, folder, children = [random_generator(seed, **PAIR) for seed in range(2)], room / "place" / "model", set[int]()
    prints, found = [model.fingerprint for model in models], Findings()
    models[0].save_pretrained(folder)
    for number in range(4):
        if (child := os.fork()) == 0:
            code = 1
            try:
                for _ in range(count):
                    models[number % 2].save_pretrained(folder)
                code = 0
            finally:
                os._exit(code)
        children.add(child)
    while children:
        found.whole += loaded(folder) in prints
        found.ended += 1
        ended, status = os.waitpid(-1, os.WNOHANG)
        assert status == 0
        children.discard(ended)
    check_next_save(folder, models[0], set())
    return found


if __name__ == "__main__":
    torch.set_num_threads(1)  # a fork has none of the threads of its parent
    kinds = {"model": kill_saves, "training": kill_training, "adapt": kill_fits, "convert": kill_conversions, "race": race_saves}
    print(json.dumps(asdict(kinds[sys.argv[1]](int(sys.argv[2]), Path(sys.argv[3])))))
