"""The grid of fits: what is run, with which settings, how it goes on after a kill, and its table by hand."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fface_hub.adapters.plan import FitSettings
from fface_hub.benchmarks import LEVERS, adapt
from fface_hub.benchmarks.adapt import Grid, Run, panel
from fface_hub.benchmarks.adapt_samples import AT_ONCE
from fface_hub.benchmarks.adapt_views import VIEWS, Sight
from fface_hub.errors import LayoutError, ModelError
from fface_hub.layouts import EYES_19, LabelClass, Layout
from tests.benchmarks.test_adapt_views import Counting
from tests.benchmarks.test_fewshot import painter
from tests.benchmarks.test_fidelity import Flat, generator

FULL = FitSettings(steps=2, batch=2, rays=8, kept=16, coarse=4, fine=4)
SMALL = Grid(EYES_19, (1, 2), seeds=2, identities=1, sight=Sight(8, False, 0.0), pool=2, many=3, settings=FULL)


def test_a_grid_that_is_cut_short_has_whole_rows_of_the_first_seed() -> None:
    runs = [(run.variant, run.shots, run.seed) for run in replace(SMALL, variants=("full", "no-lmta", "fixed-layout", "oracle")).runs()]
    assert runs == [
        ("fixed-layout", 0, 0),
        ("full", 1, 0), ("no-lmta", 1, 0), ("full", 2, 0), ("no-lmta", 2, 0), ("oracle", 3, 0),
        ("full", 1, 1), ("full", 2, 1),
    ]  # fmt: skip
    assert len(replace(SMALL, limit=3).runs()) == 3
    every = replace(SMALL, variants=("full", "no-lmta", "oracle"), every_seed=True).runs()
    assert [(run.variant, run.shots) for run in every if run.seed == 1] == [("full", 1), ("no-lmta", 1), ("full", 2), ("no-lmta", 2)]
    # All: five numbers of samples, three seeds of two variants and one of three, and the two that bound them.
    assert len(Grid().runs()) == 5 * (3 * 2 + 3) + 2


def test_variants_differ_from_full_in_one_thing() -> None:
    full = FitSettings()
    found = {name: Run(name, 10, 4).settings(full, 12, 128**2) for name in ("full", "no-injection", "no-lmta", "mix-all", "oracle")}
    assert {settings.seed for settings in found.values()} == {4}
    assert found["full"] == replace(full, seed=4)
    assert found["no-injection"] == replace(full, seed=4, form=replace(full.form, injection="none"))
    assert found["no-lmta"].mixing.mixes == 1
    assert found["mix-all"].mixing == replace(full.mixing, rows=tuple(range(12)))
    for name in LEVERS:
        lever = Run(name, 10, 4).settings(full, 12, 128**2)
        changed = {field for field, value in vars(lever).items() if value != getattr(found["full"], field)}
        assert len(changed) == 1, name
    oracle = found["oracle"]
    assert (oracle.form, oracle.objective, oracle.batch * (oracle.rays or 0)) == (full.form, full.objective, full.batch * (full.rays or 0))


@pytest.mark.parametrize(
    ("shots", "batch", "mixes", "kept"),
    # 300,000 // (1024 · shots) mixes, from 2 to 33; 300,000 // (mixes · shots) rays of each view
    [(1, 1, 33, 9090), (5, 4, 33, 1818), (10, 4, 29, 1034), (30, 4, 9, 1111), (200, 4, 2, 1024)],
)
def test_the_original_has_its_own_schedule(shots: int, batch: int, mixes: int, kept: int) -> None:
    settings = Run("original", shots, 0).settings(replace(FitSettings(), coarse=7), 12, 128**2)
    assert (settings.batch, settings.mixing.mixes, settings.kept) == (batch, mixes, kept)
    assert (settings.steps, settings.rays, settings.balance, settings.coarse, settings.form.injection) == (5000, 1024, 0.0, 7, "open")
    assert Run("original", 1, 0).settings(FitSettings(), 12, 64).kept is None  # more than there are


def test_the_table_of_adapters_that_call_everything_skin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[int, FitSettings]] = []

    def fit(model: Any, samples: Any, layout: Layout, settings: FitSettings) -> Any:
        asked.append((len(samples), settings))
        return painter("skin" if settings.seed == 0 else "hair")

    monkeypatch.setattr(adapt, "fit", fit)
    figures = adapt.run(generator(), grid=SMALL, source=Flat(), folder=tmp_path)
    rows = {(row["variant"], row["shots"]): row for row in figures["rows"]}
    assert set(rows) == {(name, n) for name in adapt.VARIANTS[:5] for n in (1, 2)} | {("fixed-layout", 0), ("oracle", 3)}
    assert list(rows["full", 1]) == ["variant", "shots", "miou", "miou_min", "miou_max", "per_class", "seconds"]
    # Seed 0 calls all skin, right in one half of the picture: (1/2 + 0) / 2. Seed 1 calls all hair: 0.
    assert (rows["full", 2]["miou"], rows["full", 2]["miou_min"], rows["full", 2]["miou_max"]) == pytest.approx((0.125, 0, 0.25))
    assert rows["no-lmta", 1]["miou"] == rows["oracle", 3]["miou"] == pytest.approx(0.25)
    assert rows["full", 1]["per_class"]["skin"] == pytest.approx(0.25) and rows["full", 1]["per_class"]["iris"] is None
    assert sorted({count for count, _ in asked}) == [1, 2, 3] and len(asked) == len(figures["runs"]) - 1  # fixed-layout fits nothing
    assert figures["views"][1]["miou"] == pytest.approx([0.125] * len(VIEWS))
    assert (figures["layout"], figures["seeds"], figures["identities"]) == ("eyes-19", 2, 1)
    lines = panel(figures).series
    assert lines["full"] == [(1, pytest.approx(0.125)), (2, pytest.approx(0.125))]
    assert lines["oracle"] == [(1, pytest.approx(0.25)), (2, pytest.approx(0.25))]


def test_a_killed_grid_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fits: list[str] = []
    monkeypatch.setattr(adapt, "fit", lambda *_: fits.append("one") or painter("skin"))
    options: dict[str, Any] = {"source": Flat(), "folder": tmp_path / "kept", "progress_file": tmp_path / "new" / "progress.jsonl"}
    first = adapt.run(generator(), grid=replace(SMALL, variants=("full",), limit=2), **options)
    assert len(fits) == 2
    with options["progress_file"].open("a") as file:
        file.write('{"key": "cut sh')
    whole = adapt.run(generator(), grid=replace(SMALL, variants=("full",)), **options)
    assert len(fits) == 4 and whole["rows"][0]["seconds"] > 0
    assert whole["runs"][:2] == first["runs"]
    adapt.run(generator(), grid=replace(SMALL, variants=("full",)), **options)
    assert len(fits) == 4
    adapt.run(generator(), grid=replace(SMALL, variants=("full",), settings=replace(FULL, steps=3)), **options)
    assert len(fits) == 8  # other settings are other runs


def test_all_that_is_needed_may_be_drawn_beforehand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Counting.built = 0
    grid = replace(SMALL, variants=("full", "oracle", "fixed-layout"))
    options: dict[str, Any] = {"source": Counting(), "folder": tmp_path}
    assert adapt.run(generator(), grid=replace(grid, limit=0), **options)["rows"] == []
    built = Counting.built
    assert built > AT_ONCE + 1  # the oracle's block, the held-out head, and both seeds' samples
    monkeypatch.setattr(adapt, "fit", lambda *_: painter("skin"))
    assert len(adapt.run(generator(), grid=grid, **options)["rows"]) == 4
    assert Counting.built == built


def test_fits_are_real_ones(tmp_path: Path) -> None:
    grid = replace(SMALL, shots=(2,), variants=("full", "no-injection", "mix-all", "fixed-layout", "oracle"), seeds=1)
    figures = adapt.run(generator(), grid=grid, source=Flat(), folder=tmp_path)
    assert [row["variant"] for row in figures["rows"]] == ["fixed-layout", "full", "no-injection", "mix-all", "oracle"]
    assert all(0 <= row["miou"] <= 1 for row in figures["rows"])
    assert figures["rows"][0]["seconds"] == 0 < figures["rows"][1]["seconds"]


def test_what_cannot_be_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no variant 'best'"):
        Grid(variants=("full", "best"))
    with pytest.raises(LayoutError, match="has no parent"):
        Grid(Layout("own", (LabelClass("sky", (0, 0, 0)),)))
    with pytest.raises(ModelError, match="not trained on rendered heads"):
        adapt.run(generator(z_dim=4), grid=SMALL, source=Flat(), folder=tmp_path)
