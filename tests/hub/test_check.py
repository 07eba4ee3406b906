"""The audit: every mistake that a model folder or repository may hold is found, named and refused, and nothing of it is run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from fface_hub.adapters.adapter import Adapter
from fface_hub.cli import main
from fface_hub.errors import ModelError
from fface_hub.hub.check import Verdict, check
from fface_hub.layouts import BASE_15
from fface_hub.sources import WEIGHTS_NAME, Source
from tests.hub.client import run_client
from tests.hub.loopback import Hub, Repository


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A clean adapter with a card."""
    Adapter(BASE_15.to_dict(), "heads-triplane", "0" * 64, hidden=8).save_pretrained(tmp_path / "adapter")
    (tmp_path / "adapter" / "README.md").write_text("# card")
    return tmp_path / "adapter"


def refusals(verdict: Verdict) -> list[str]:
    """What is refused, as 'where: what'."""
    return [f"{finding.where}: {finding.what}" for finding in verdict.findings if finding.refused]


def test_bundled_models_and_saved_folders_are_clean(folder: Path) -> None:
    for id in ("heads-triplane", "heads-eyes-19", folder):
        verdict = check(Source(id))
        assert verdict.clean and not verdict.findings
    assert verdict.model_class == "Adapter" and verdict.fingerprint == Adapter.from_pretrained(folder).fingerprint
    assert set(verdict.sizes) == {"README.md", "config.json", WEIGHTS_NAME}
    assert verdict.sizes["README.md"] == 6


def test_pickles_programs_and_links_are_refused_and_never_run(folder: Path, tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    (folder / "diffusion_pytorch_model.BIN").write_bytes(f"cposix\nsystem\n(S'touch {canary}'\ntR.".encode())
    (folder / "deep").mkdir()
    (folder / "deep" / "modeling.py").write_text(f"open({str(canary)!r}, 'w')")
    (folder / "deep" / "secret.png").symlink_to("/etc/passwd")
    (folder / "deep" / "home").symlink_to(tmp_path)
    (folder / "loop.txt").symlink_to(folder / "loop.txt")
    (folder / "\x1b[2Jnotes.odt").write_text("notes")
    (folder / "README.md").unlink()
    hidden = ("libx.so.1", "model.pth.tar", "data.PKL.gz", "setup.pl")
    for name in hidden:
        (folder / name).touch()
    (folder / "how.py.txt").touch()  # is shown, not run
    verdict = check(Source(folder))
    said = refusals(verdict)
    assert all(any(line.startswith(name) for line in said) for name in hidden) and not any("how.py" in line for line in said)
    links = [line for line in said if "link" in line]
    assert [line.split(":")[0] for line in links] == ["loop.txt", "deep/home", "deep/secret.png"]
    assert all("link to somewhere else" in line for line in links[1:])
    assert any(line.startswith("diffusion_pytorch_model.BIN: This file may hold pickled objects") for line in said)
    assert any(line.startswith("deep/modeling.py: This is a program") for line in said)
    notes = {finding.where: finding.what for finding in verdict.findings if not finding.refused}
    assert "no card" in notes["README.md"] and "no usual part" in notes["'\\x1b[2Jnotes.odt'"]
    assert verdict.fingerprint is not None and not verdict.clean and not canary.exists()


def test_config_and_weights_are_judged_by_the_loader(folder: Path) -> None:
    config, weights = json.loads((folder / "config.json").read_text()), load_file(folder / WEIGHTS_NAME)
    (folder / "config.json").write_text(json.dumps({**config, "auto_map": {"AutoModel": "x.Y"}}))
    save_file({**weights, "net.0.bias": torch.full((8,), torch.nan)}, folder / WEIGHTS_NAME)
    said = refusals(check(Source(folder)))
    assert len(said) == 2 and "does not know: 'auto_map'" in said[0] and "not finite" in said[1]
    for name, changed in (("loader", {**config, "_class_name": "os.system"}), ("sizes", {**config, "hidden": 9})):
        (folder / "config.json").write_text(json.dumps(changed))
        with pytest.raises(ModelError) as refused:
            Adapter.from_pretrained(folder)
        assert any(str(refused.value) in line for line in refusals(check(Source(folder)))), name
    (folder / WEIGHTS_NAME).unlink()
    assert "has no file" in refusals(check(Source(folder)))[-1]


def test_a_folder_of_endless_files_is_not_listed_to_the_end(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fface_hub.hub.check.MAX_FILES", 5)
    for number in range(20):
        (folder / f"{number}.txt").touch()
    verdict = check(Source(folder))
    assert ["more than 5 files" in line for line in refusals(verdict)] == [True] and len(verdict.sizes) == 5


def test_the_command_says_each_finding_and_ends_with_0_or_2(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report = tmp_path / "report.json"
    assert main(["check", str(folder), "--json", str(report)]) == 0
    out = capsys.readouterr().out
    assert out.startswith("clean: ") and "class Adapter" in out and Adapter.from_pretrained(folder).fingerprint in out
    assert json.loads(report.read_text())["clean"] is True

    (folder / "setup.py").touch()
    (folder / "README.md").unlink()
    assert main(["check", str(folder), "--json", str(report)]) == 2
    out, errors = capsys.readouterr()
    assert out.splitlines() == [
        "refused: setup.py: This is a program, and a model needs none: ask the author to remove it.",
        "note: README.md: There is no card: nobody says how the model was made and what it is for.",
    ]
    assert errors.splitlines() == [f"fface-hub: The model '{folder}' is refused for what is said above."]
    found = json.loads(report.read_text())
    assert found["clean"] is False and found["findings"][0] == {
        "where": "setup.py",
        "what": "This is a program, and a model needs none: ask the author to remove it.",
        "refused": True,
    }
    assert main(["check", "no-such-model"]) == 2 and main(["check", "org/unknown"]) == 2
    assert "cannot be reached" in capsys.readouterr().err


REPOSITORIES = """
from dataclasses import asdict
from fface_hub.hub.check import check
from fface_hub.sources import Source

for name in ("clean", "mixed", "pickled"):
    found[name] = asdict(check(Source(f"org/{name}")))
found["unknown"] = told(lambda: check(Source("org/unknown")))
"""


def test_repositories_are_judged_by_their_list_and_two_files(folder: Path, tmp_path: Path) -> None:
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    hub = Hub()
    try:
        for name, content in {
            "clean": files,
            "mixed": {**files, "weights.pkl": b"cposix\nsystem\n(S'true'\ntR.", "train.py": b"print()"},
            "pickled": {"config.json": files["config.json"], "pytorch_model.bin": b"x"},
        }.items():
            hub.repositories[f"org/{name}"] = Repository(private=False)
            hub.repositories[f"org/{name}"].commit("main", content)
        found = run_client(hub.url, tmp_path / "cache", REPOSITORIES)
        assert found["clean"]["findings"] == [] and found["clean"]["commit"] == hub.repositories["org/clean"].heads["main"]
        assert found["clean"]["fingerprint"] == found["mixed"]["fingerprint"] == Adapter.from_pretrained(folder).fingerprint
        assert [finding["where"] for finding in found["mixed"]["findings"]] == ["train.py", "weights.pkl"]
        said = [finding["what"] for finding in found["pickled"]["findings"] if finding["refused"]]
        assert len(said) == 2 and "no safetensors weights" in said[0] and found["pickled"]["fingerprint"] is None
        assert "no model 'org/unknown' on the Hub" in found["unknown"][0]
        assert not [request for request in hub.requests if "resolve" in request and not request.endswith((WEIGHTS_NAME, "config.json"))]
    finally:
        hub.close()
