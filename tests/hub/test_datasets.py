"""Sample sets pushed to and loaded from a Hub on the loopback, by the real client in fresh processes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from fface_hub.adapters.samples import Origin, Sample, SampleSet
from fface_hub.cameras import look_at
from fface_hub.errors import ModelError
from fface_hub.hub.datasets import dataset_card
from fface_hub.latents import Latents
from fface_hub.layouts import LabelClass, Layout
from tests.hub.client import run_script
from tests.hub.loopback import Hub

PRELUDE = """
import json
import torch
from fface_hub.adapters.samples import Origin, Sample, SampleSet
from fface_hub.cameras import look_at
from fface_hub.errors import FFaceError
from fface_hub.latents import Latents
from fface_hub.layouts import LabelClass, Layout

LAYOUT = Layout("halves", (LabelClass("background", (0, 0, 0)), LabelClass("left", (255, 0, 0), "skin"), LabelClass("right", (0, 255, 0))))

def face(number):
    labels = torch.full((4, 4), number % 3)
    latents = Latents(torch.full((1, 2, 3), float(number)), torch.ones(1, 1, 2, 3))
    return Sample(torch.zeros(3, 8, 8), labels, look_at(10.0 * number), latents, Origin("heads-triplane", "ab" * 32))

def told(call):
    try:
        call()
    except FFaceError as error:
        return str(error)

def shown(samples):
    return [[s.labels.tolist(), s.latents.geometry.flatten()[0].item(), s.origin.fingerprint] for s in samples.samples]

found = {}
"""
PUSH = """
found["url"] = SampleSet(LAYOUT, tuple(face(n) for n in range(3))).push_to_hub("org/halves", token="hf_test", private=True)
smaller = SampleSet(LAYOUT, (face(1), face(2)))
found["shown"] = shown(smaller)
smaller.push_to_hub("org/halves", token="hf_test", license="cc-by-4.0")
SampleSet(LAYOUT, (face(2),)).push_to_hub("org/halves", token="hf_test", revision="one")
found["wrong_token"] = told(lambda: smaller.push_to_hub("org/other", token="hf_wrong"))
found["bad_id"] = told(lambda: smaller.push_to_hub("halves", token="hf_test"))
found["bad_license"] = told(lambda: smaller.push_to_hub("org/other", token="hf_test", license="mine: all"))
"""
LOAD = """
found["shown"] = shown(SampleSet.load("org/halves", token="hf_test"))
found["notes"] = SampleSet.load("org/halves", token="hf_test").notes
found["one"] = shown(SampleSet.load("org/halves", token="hf_test", revision="one"))
found["no_token"] = told(lambda: SampleSet.load("org/halves"))
found["no_revision"] = told(lambda: SampleSet.load("org/halves", token="hf_test", revision="v9"))
found["bad_revision"] = told(lambda: SampleSet.load("org/halves", token="hf_test", revision="../x"))
found["local_only"] = told(lambda: SampleSet.load("org/new", local_files_only=True))
found["model"] = told(lambda: SampleSet.load("org/model", token="hf_test"))
found["outside"] = told(lambda: SampleSet.load("org/outside", token="hf_test"))
"""
OFFLINE = """
found["shown"] = shown(SampleSet.load("org/halves"))
found["local"] = shown(SampleSet.load("org/halves", local_files_only=True))
found["unknown"] = told(lambda: SampleSet.load("org/unknown"))
"""


def run_client(url: str, cache: Path, code: str) -> dict[str, Any]:
    return run_script(url, cache, f"{PRELUDE}\n{code}\nprint(json.dumps(found))")


@pytest.fixture(scope="module")
def hub() -> Iterator[Hub]:
    server = Hub()
    yield server
    server.close()


@pytest.fixture(scope="module")
def pushed(hub: Hub, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return run_client(hub.url, tmp_path_factory.mktemp("writer"), PUSH)


def test_a_push_is_one_commit_of_set_and_card(hub: Hub, pushed: dict[str, Any]) -> None:
    repository = hub.repositories["datasets/org/halves"]
    assert pushed["url"] == f"{hub.url}/datasets/org/halves" and repository.private
    assert "org/halves" not in hub.repositories and "datasets/org/other" not in hub.repositories
    assert len(repository.commits) == 4  # the empty start, two on main, one on the branch
    files = repository.commits[repository.heads["main"]]
    # The third face of the first push went with the second.
    per_face = [f"000{n}{end}" for n in range(2) for end in (".png", ".safetensors", "_labels.png")]
    assert sorted(files) == sorted([*per_face, "README.md", "layout.json", "metadata.jsonl"])
    head = yaml.safe_load(files["README.md"].decode().split("---\n")[1])
    assert head["license"] == "cc-by-4.0" and "fface-samples" in head["tags"]
    text = files["README.md"].decode()
    # Faces 1 and 2 are wholly of class 1 and 2, 16 pixels each.
    assert "| 1 | left | #ff0000 | skin | 16 |" in text and "| 0 | background | #000000 | – | 0 |" in text
    assert 'SampleSet.load("org/halves")' in text and "heads-triplane" in text


def test_a_push_that_is_refused_says_why(pushed: dict[str, Any]) -> None:
    assert "did not accept the access token" in pushed["wrong_token"]
    assert "write it as 'org/name'" in pushed["bad_id"]
    assert "not a licence" in pushed["bad_license"]


def test_a_fresh_process_loads_what_was_pushed_and_bad_requests_are_told(hub: Hub, pushed: dict[str, Any], tmp_path: Path) -> None:
    kept = hub.repositories["datasets/org/halves"]
    files = kept.commits[kept.heads["main"]]
    row = json.loads(files["metadata.jsonl"].splitlines()[0])
    for name, content in {
        "model": {"config.json": b"{}"},
        "outside": {**files, "metadata.jsonl": json.dumps({**row, "file_name": "../../secret.png"}).encode()},
    }.items():
        hub.repositories[f"datasets/org/{name}"] = type(kept)(private=False)
        hub.repositories[f"datasets/org/{name}"].commit("main", content)
    start = len(hub.requests)
    found = run_client(hub.url, tmp_path / "cache", LOAD)
    assert found["shown"] == pushed["shown"] and [item[1] for item in found["shown"]] == [1.0, 2.0]
    assert found["one"] == pushed["shown"][1:]
    assert any("Class 'background' is painted in no sample" in note for note in found["notes"])
    assert "no sample set 'org/halves' on the Hub" in found["no_token"]
    assert "no such revision" in found["no_revision"] and "not a valid revision" in found["bad_revision"]
    assert "not downloaded to this machine" in found["local_only"]
    assert "does not hold a sample set" in found["model"]
    assert "without a path" in found["outside"] and not any("secret" in request for request in hub.requests[start:])

    offline = run_client("http://127.0.0.1:9", tmp_path / "cache", OFFLINE)  # nothing listens there
    assert offline["shown"] == offline["local"] == pushed["shown"]
    assert "cannot be reached" in offline["unknown"] and "use a folder" in offline["unknown"]


def test_names_from_strangers_stay_text_in_a_card() -> None:
    layout = Layout("<b>x</b>", (LabelClass("background", (0, 0, 0)), LabelClass("a|b", (1, 2, 3))))
    sample = Sample(
        torch.zeros(3, 4, 4),
        torch.zeros(4, 4, dtype=torch.int64),
        look_at(0.0),
        Latents(torch.zeros(1, 2, 3), torch.zeros(1, 1, 2, 3)),
        Origin('x"); import os #', "`"),
    )
    card = dataset_card(SampleSet(layout, (sample,)), "org/evil")
    assert "<b>" not in card and "a&#124;b" in card and "import os" not in card
    with pytest.raises(ModelError, match="not a licence"):
        dataset_card(SampleSet(layout, (sample,)), "org/evil", "a\nb")
