"""`fface-hub label`: from a generator without labels and painted faces to one with labels, and a card that says so."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fface_hub import cli
from fface_hub.adapters.labelling import parsed_samples
from fface_hub.generators.base import Generator
from tests.adapters.test_labelling import reddish, unlabelled


def test_from_label_maps_that_are_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model, samples, out = tmp_path / "model", tmp_path / "samples", tmp_path / "labelled"
    generator = unlabelled()
    generator.save_pretrained(model)
    parsed_samples(generator, reddish, count=8).save(samples)
    words = ["label", str(model), "--samples", str(samples), "--steps", "100", "--out", str(out), "--json", str(tmp_path / "figures.json")]
    assert cli.main(words) == 0
    assert Generator.from_pretrained(out).layout.name == "base-15"
    figures = json.loads((tmp_path / "figures.json").read_text())
    assert (figures["samples"], figures["left_out"]) == (8, 1) and 0 < figures["losses"]["miou"] <= 1
    assert "mIoU" in capsys.readouterr().out
    assert "| 14 | hat |" in (out / "README.md").read_text()
    assert cli.main(["label", str(out), "--samples", str(samples), "--out", str(tmp_path / "again")]) == 2
    assert "fface-hub" in capsys.readouterr().err and not (tmp_path / "again").exists()
