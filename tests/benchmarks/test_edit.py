"""The edit benchmark on a world that is half skin, with edits that are not made but told: its pairs, its methods, and how it goes on."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from fface_hub.benchmarks import EDIT_METHODS, edit
from fface_hub.benchmarks.edit import Plan
from fface_hub.benchmarks.edit_pairs import FIRST, LEAST, PairMaker, Wish, best_layout, wishes
from fface_hub.errors import FFaceError, LayoutError, ModelError
from fface_hub.heads.config import APPEARANCE_SIZE, GEOMETRY_SIZE, HELD_OUT_SEED
from fface_hub.heads.edits import NAMED_EDITS, apply_edit
from fface_hub.heads.head import Head, head_latents
from fface_hub.layouts import BASE_15, CHIN_20, EYES_19, NASAL_WING_17, NOSE_19
from fface_hub.perceptual import load_perceptual
from fface_hub.progress import Step
from tests.benchmarks.test_fidelity import Flat, generator
from tests.elsewhere import elsewhere

SMALL = Plan(limit=1, resolution=16, side=16)
MODEL = generator(z_dim=GEOMETRY_SIZE, appearance_z_dim=APPEARANCE_SIZE)


class Striped(Flat):
    """Skin from some column on, which every trait moves."""

    version = "striped"

    def latents(self, seed: int) -> tuple[np.ndarray, np.ndarray]:
        head = head_latents(seed)
        return head.geometry_z, head.appearance_z

    def trace(self, geometry_z: np.ndarray) -> Any:
        def cast(origins: np.ndarray, directions: np.ndarray) -> np.ndarray:
            side = round(len(directions) ** 0.5)
            start = (0.5 + float(geometry_z.sum()) / 8) % 1 * side
            return np.where(np.arange(len(directions)) % side >= start, np.float32(2.5), np.float32(np.inf))

        return cast


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Any]]:
    """The edits that are asked for; each leaves the face as it is, after three steps."""
    seen: list[tuple[str, Any]] = []

    def told(name: str, latents: Any, target: Any, adapter: Any, settings: Any, **rest: Any) -> SimpleNamespace:
        seen.append((name, SimpleNamespace(settings=settings, target=target, adapter=adapter, **rest)))
        return SimpleNamespace(latents=latents, losses=[{}] * 3)

    class Session:
        def __init__(self, model: Any, latents: Any, adapter: Any, editor: Any) -> None:
            self.latents, self.adapter, self.drawn = latents, adapter, False

        def before(self, settings: Any) -> None:
            self.drawn = True

        def apply(self, target: Any, settings: Any, original_labels: Any) -> SimpleNamespace:
            assert self.drawn, "the face must be on the screen before it is painted on"
            return told("edit", self.latents, target, self.adapter, settings, original_labels=original_labels)

    monkeypatch.setattr(edit, "EditSession", Session)
    monkeypatch.setattr(
        edit, "edit_reference", lambda model, latents, target, adapter, settings: told("reference", latents, target, adapter, settings)
    )
    return seen


def measure(plan: Plan = SMALL, **options: Any) -> dict[str, Any]:
    return edit.run(MODEL, plan=plan, source=Striped(), adapters={}, **options)


def test_every_edit_is_wished_for_in_both_directions() -> None:
    names = [wish.name for wish in wishes()]
    assert len(names) == len(set(names)) == 2 * len(NAMED_EDITS) >= 60
    assert tuple(names[: len(FIRST)]) == FIRST
    assert Wish("smile", -1.0).label == "frown" and Wish("smile", -1.0).name == "smile-"


def test_edits_are_painted_in_the_layout_that_knows_most_of_their_classes() -> None:
    layouts = [BASE_15, CHIN_20, EYES_19, NASAL_WING_17, NOSE_19]
    found = {name: best_layout(name, layouts).name for name in NAMED_EDITS}
    assert found["pupil_size"] == found["brow_height"] == "eyes-19"
    assert found["nasal_wing_width"] == found["nose_tip"] == "nose-19"
    assert found["mouth_open"] == found["jaw_width"] == "chin-20"
    assert found["hair_length"] == found["brow_angle"] == "base-15"
    assert best_layout("nasal_wing_width", layouts[:4]) is NASAL_WING_17  # nostrils are unknown to all of these


def test_a_pair_asks_for_what_the_truth_changes_and_nothing_else() -> None:
    maker = PairMaker(MODEL, Striped(), {}, 16, 16)
    wish = Wish("nose_length", 1.0)
    pair = maker.make(wish)
    head = head_latents(pair.seed)
    assert pair.seed >= HELD_OUT_SEED and pair.seed in maker.seeds(wish)
    assert not set(maker.seeds(wish)) & set(maker.seeds(Wish("nose_length", -1.0)))
    # The truth: a column of the picture is skin from the start on that the sum of all traits says.
    starts = [(0.5 + float(z.sum()) / 8) % 1 * 16 for z in (head.geometry_z, apply_edit(head, "nose_length").geometry_z)]
    old, new = (torch.arange(16) >= start for start in starts)
    assert torch.equal(pair.region, (old != new).expand(16, 16)) and pair.changed == (0, 1)
    assert torch.equal(pair.target[pair.region], new.long().expand(16, 16)[pair.region])
    assert torch.equal(pair.target[~pair.region], pair.shown.labels[0][~pair.region])
    assert torch.equal(pair.sides[0].after.labels, new.long().expand(16, 16))
    geometry, appearance = (torch.from_numpy(z)[None] for z in (head.geometry_z, head.appearance_z))
    assert torch.equal(pair.before.geometry, MODEL.map(geometry, appearance).geometry)
    assert not torch.equal(pair.after.geometry, pair.before.geometry)
    assert maker.make(wish, pair.seed).seed == pair.seed


def test_heads_on_which_nothing_changes_are_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    maker, wish = PairMaker(MODEL, Striped(), {}, 16, 16), Wish("hat", -1.0)
    first = maker.make(wish).seed
    real = apply_edit
    monkeypatch.setattr(
        "fface_hub.benchmarks.edit_pairs.apply_edit",
        lambda head, *words: head if np.array_equal(head.geometry_z, head_latents(first).geometry_z) else real(head, *words),
    )
    assert maker.make(wish).seed > first
    monkeypatch.setattr("fface_hub.benchmarks.edit_pairs.apply_edit", lambda head, *_: Head(head.geometry_z, head.appearance_z))
    with pytest.raises(FFaceError, match="'hat off'"):
        maker.make(wish)


def test_all_methods_edit_the_same_pair_in_their_own_way(calls: list[tuple[str, Any]]) -> None:
    steps: list[Step] = []
    figures = measure(callback=steps.append)
    assert [set(step.losses) for step in steps] == [*({name} for name in ("pair", *EDIT_METHODS)), set()]
    assert [(step.index, step.total) for step in steps] == [(0, 1)] * 9 + [(1, 1)]
    assert list(figures["methods"]) == list(EDIT_METHODS) and figures["pairs"] == figures["comparison"]["pairs"] == 1
    assert [name for name, _ in calls] == ["reference"] * 2 + ["edit"] * 4
    settings = [call.settings for _, call in calls]
    usual = settings[3].overlap_weight
    assert [each.overlap_weight for each in settings] == [0.5, 0.0, settings[2].overlap_weight, usual, 0.0, usual]
    assert [each.keep for each in settings[2:]] == [True, True, True, False]
    assert settings[0].perceptual.name == figures["trunk"] == "heads-parser"
    assert settings[2].steps < settings[3].steps
    target = calls[0][1].target
    assert all(torch.equal(call.target, target) for _, call in calls)
    asked = figures["edits"][0]["asked"]
    assert all(int((call.original_labels != target).sum()) == asked >= LEAST for name, call in calls if name == "edit")
    # A face that stays as it is has moved nothing, and has no seam; the oracle has none by definition.
    rows = figures["methods"]
    assert rows["ours-preview"]["steps"] == 3 and rows["ours-preview"]["seconds"] > 0
    for name in set(EDIT_METHODS) - {"oracle"}:
        assert rows[name]["moved"] == rows[name]["seam"] == 0 and rows[name]["outside_psnr"] == pytest.approx(106.02, abs=0.01)
        assert rows[name]["truth_psnr"] == rows["no-edit"]["truth_psnr"]
    assert rows["oracle"]["seam"] == 0 and rows["oracle"]["outside_psnr"] < 106
    assert rows["oracle"]["truth_psnr"] != rows["no-edit"]["truth_psnr"]


def test_an_edit_that_is_refused_counts_as_none(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise LayoutError("Too small.")

    monkeypatch.setattr(edit.EditSession, "apply", refuse)
    figures = measure(replace(SMALL, methods=("ours-preview",)))
    row = figures["edits"][0]["methods"]["ours-preview"]
    assert (row["refused"], row["moved"], row["steps"]) == ("Too small.", 0, 0)
    assert figures["methods"]["ours-preview"]["refused"] == 1


def test_a_run_goes_on_and_is_made_in_parts(tmp_path: Path, calls: list[tuple[str, Any]]) -> None:
    options: dict[str, Any] = {"progress_file": tmp_path / "progress.jsonl", "gallery": tmp_path / "sheet.png"}
    plan = replace(SMALL, limit=2, originals=1)
    first = measure(replace(plan, methods=("no-edit", "ours-preview")), **options)
    assert list(first["methods"]) == ["no-edit", "ours-preview"] and len(calls) == 2
    with options["progress_file"].open("a") as file:
        file.write('{"key": "cut sh')
    second = measure(replace(plan, methods=("original", "oracle")), **options)
    assert list(second["methods"]) == ["no-edit", "original", "ours-preview", "oracle"] and len(calls) == 3
    # The original ran on the first pair only, and so that is what all are compared on.
    assert (second["pairs"], second["methods"]["original"]["pairs"], second["comparison"]["pairs"]) == (2, 1, 1)
    assert second["methods"]["ours-preview"] == first["methods"]["ours-preview"]
    assert measure(replace(plan, methods=("oracle",)), **options)["methods"] == second["methods"] and len(calls) == 3
    assert (tmp_path / "sheet.png").exists()
    changed = replace(plan, methods=("ours-preview",), preview=replace(plan.preview, steps=2))
    measure(changed, **options)
    assert len(calls) == 5  # other settings are other rows
    json.dumps(second)


def test_rows_of_other_numbers_or_devices_are_others() -> None:
    model, wish = generator(z_dim=GEOMETRY_SIZE, appearance_z_dim=APPEARANCE_SIZE), wishes()[0]
    bench = edit._Bench(edit._Models(model, {}, None, load_perceptual()), Striped(), SMALL, None)
    key = bench.key(wish, "ours-preview")
    assert bench.key(wish, "ours-preview") == key
    model.set_precision(torch.bfloat16)
    other = bench.key(wish, "ours-preview")
    model.set_precision(torch.float32)
    with elsewhere() as device:
        model.to(device)
        assert len({key, other, bench.key(wish, "ours-preview")}) == 3


def test_what_cannot_be_run_is_refused() -> None:
    with pytest.raises(ModelError, match="no method 'best'"):
        Plan(methods=("oracle", "best"))
    with pytest.raises(ModelError, match="not trained on rendered heads"):
        edit.run(generator(), plan=SMALL, source=Striped(), adapters={})
    with pytest.raises(ModelError, match="not trained on rendered heads"):
        edit.run(object())
