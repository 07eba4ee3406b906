"""A page whose GPUs are lent for a call (ZeroGPU) works as one that has its own, on the package that Spaces use and a lender of our own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from space import handlers, limits, views
from tests.browser import ROOT
from tests.load.visitors import Visitor, page, together
from tests.space.lender import Lender
from tests.tiny import new_solid_generator


@pytest.fixture
def lender() -> Iterator[Lender]:
    found = Lender()
    yield found
    found.close()


def borrow(lender: Lender, tmp_path: Path, *arguments: str) -> Any:
    """What `tests.space.borrower` prints."""
    new_solid_generator().save_pretrained(tmp_path / "tiny")
    command = [sys.executable, "-m", "tests.space.lender", "tests.space.borrower", str(tmp_path / "tiny"), str(tmp_path), *arguments]
    environment = {**os.environ, **lender.environment(tmp_path), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


def test_what_is_done_there_is_what_would_be_done_here(lender: Lender, tmp_path: Path) -> None:
    found = borrow(lender, tmp_path)
    assert found["lends"] and found["elsewhere"] == 2 and found["own"]
    for work in ("edit", "invert", "fit", "files"):
        assert all(found[work].values()), (work, found[work])
    assert found["refused"] == ["ModelError", "There is no such thing: choose another."]
    assert found["broken"][0] == "Error" and "ValueError" in found["broken"][1]
    stopped = found["cancelled"]
    assert stopped["seen"] == 3 and stopped["told"] == "Stopped." and not stopped["goes on"] and stopped["steps"] < 600
    asked = [int(call["durationSeconds"]) for call in lender.asked("/schedule")]
    assert len(set(asked)) > 3  # as long as each takes
    assert len(lender.asked("/release")) == len(asked)


@pytest.mark.usefixtures("tiny_page")
def test_a_lent_gpu_is_asked_for_as_long_as_the_work_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[float] = []
    for module in (handlers, views):
        monkeypatch.setattr(module, "lent", lambda seconds, *_: asked.append(seconds))
    nothing: Any = None
    for frames in (2, 24, 96):
        views.save_film(nothing, frames, "film.mp4", nothing)
    for encoder in (object(), None):
        monkeypatch.setattr(handlers, "find_encoder", lambda encoder=encoder: (encoder, ""))
        handlers.inverted(nothing, handlers.invert_settings(parse=False), None, nothing)
    film, (quick, slow) = asked[:3], asked[3:]
    assert limits.GPU_START < film[0] < film[1] < film[2] and limits.GPU_START < quick < slow <= 120


def test_who_has_used_up_their_share_is_told(lender: Lender, tmp_path: Path) -> None:
    lender.granted = False
    assert "GPU limit" in borrow(lender, tmp_path, "refused")


def test_only_the_lent_gpu_computes_as_the_environment_says(lender: Lender, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FFACE_DTYPE", "bfloat16")
    assert borrow(lender, tmp_path, "numbers") == ["torch.float32 torch.float32", "torch.bfloat16 torch.bfloat16"]


def test_visitors_see_what_they_would_see_on_a_page_with_its_own(lender: Lender, tmp_path: Path) -> None:
    for name in ("own", "lent"):
        (tmp_path / name).mkdir()
    with page(tmp_path / "own") as url:
        alone = [Visitor(url, number, tmp_path).round()[0] for number in range(2)]
    with page(tmp_path / "lent", lender=lender) as url:
        load = together([Visitor(url, number, tmp_path) for number in range(2)], alone, lambda done: done < 1)
    assert load.errors == [] and load.different == [] and load.rounds == 2
    assert len(lender.asked("/schedule")) == len(lender.asked("/release")) == 2  # the edits; all else is drawn by the page
