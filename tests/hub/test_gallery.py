"""The gallery: adapters are found by their tag and generator, and what the Hub says about them is looked at before it is believed."""

from __future__ import annotations

import math
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import pytest

from fface_hub.adapters.adapter import Adapter
from fface_hub.errors import ModelError
from fface_hub.hub.cards import model_card
from fface_hub.hub.gallery import _adapter, find_adapters, score
from fface_hub.layouts import BASE_15
from fface_hub.sources import WEIGHTS_NAME
from tests.hub.client import AT_ONCE, ROOT, environment, run_client
from tests.hub.loopback import Fault, Hub, Repository


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    """Two public adapters, a private one, and a model of something else."""
    server = Hub()
    folder = tmp_path_factory.mktemp("adapter")
    for id, generator, private in (("a/eyes", "heads-triplane", False), ("b/nose", "org/heads", False), ("c/own", "org/heads", True)):
        adapter = Adapter(BASE_15.to_dict(), generator, "ab" * 32, hidden=8)
        adapter.save_pretrained(folder)
        files = {path.name: path.read_bytes() for path in folder.iterdir()}
        server.repositories[id] = Repository(private)
        server.repositories[id].commit("main", {**files, "README.md": model_card(adapter, id).encode()})
    server.repositories["d/other"] = Repository(False)
    server.repositories["d/other"].commit("main", {"README.md": b"---\nlicense: mit\ntags:\n- llama\n---\n"})
    yield server
    server.close()


SEARCH = """
from dataclasses import asdict
from fface_hub.hub.gallery import find_adapters

found["all"] = [asdict(adapter) for adapter in find_adapters()]
found["one"] = [adapter.id for adapter in find_adapters(limit=1)]
found["bundled"] = [adapter.id for adapter in find_adapters("heads-triplane")]
found["mine"] = [adapter.id for adapter in find_adapters("org/heads", token="hf_test")]
found["none"] = find_adapters("org/unknown")
for what in (401, 429, 500, "drop", "half", "reset"):
    fault(["GET", "/api/models", what])
    found[what] = told(find_adapters)
"""


def test_adapters_are_found_by_tag_and_generator(hub: Hub, tmp_path: Path) -> None:
    found = run_client(hub.url, tmp_path, SEARCH)
    assert found["all"] == [
        {"id": "a/eyes", "generator": "heads-triplane", "likes": 2, "downloads": 10},
        {"id": "b/nose", "generator": "org/heads", "likes": 2, "downloads": 10},
    ]
    assert found["one"] == found["bundled"] == ["a/eyes"] and found["mine"] == ["b/nose", "c/own"] and found["none"] == []
    assert "too many requests" in found["429"][0] and "error 500" in found["500"][0]
    for fault in ("drop", "half", "reset"):
        assert "gallery" in found[fault][0] and "cannot be reached" in found[fault][0] and "bundled adapter" in found[fault][0]
    hub.faults.clear()


def test_no_network_is_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.sleep", lambda seconds: pytest.fail("the client waits to try again"))
    start = time.perf_counter()
    with pytest.raises(ModelError, match="cannot be reached"):
        find_adapters()
    assert time.perf_counter() - start < AT_ONCE
    with pytest.raises(ModelError, match="not the name of a generator"):
        find_adapters("../x")


@pytest.mark.parametrize(
    "row",
    [
        None,
        [],
        {},
        {"id": "a/b", "tags": "fface-adapter"},
        {"id": "../b", "tags": ["fface-adapter"]},
        {"id": "<script>/b", "tags": ["fface-adapter"]},
        {"id": 3, "tags": ["fface-adapter"]},
        {"id": "a/b", "tags": [{}, "other"]},
    ],
)
def test_rows_that_are_not_of_the_form_are_left_out(row: object) -> None:
    assert _adapter(row) is None


def test_odd_values_of_a_row_become_plain_ones() -> None:
    row = {"id": "a/b", "tags": ["fface-adapter", "base_model:http://x", "base_model:o/g"], "likes": "many", "downloads": None}
    adapter = _adapter(row)
    assert adapter is not None and asdict(adapter) == {"id": "a/b", "generator": "o/g", "likes": 0, "downloads": 0}


@pytest.mark.parametrize(
    "results",
    [
        None,
        "miou",
        [None, [], {"results": {}}],
        [{"results": [{"metrics": [{"type": "miou", "value": 0.5, "name": "IoU"}]}]}],
        [{"results": [{"dataset": {"name": "faces"}, "metrics": [{"type": "miou", "value": value, "name": "IoU"}]}]} for value in ("1", 7)],
        [{"results": [{"dataset": {"name": "faces"}, "metrics": [{"type": "miou", "value": math.nan, "name": "IoU"}]}]}],
    ],
)
def test_results_that_are_not_of_the_form_are_no_score(results: object) -> None:
    assert score(results) == ""


def test_the_score_is_the_one_that_says_most() -> None:
    metrics = [{"type": "psnr", "value": 0.9, "name": "PSNR"}, {"type": "miou_base15", "value": 0.75, "name": "base"}]
    row = {"dataset": {"name": "faces"}, "metrics": metrics}
    assert score([{"results": [row]}]) == "base: 0.75 (faces)"
    metrics.append({"type": "miou", "value": 0.5, "name": "mean " + "IoU" * 100})
    assert score([{"results": [row, {**row, "metrics": []}]}]) == f"mean {'IoU' * 18}I: 0.50 (faces)"


LOOK = """
from fface_hub.hub.gallery import look_into

look = look_into("a/eyes")
found["look"] = [look.layout.name, look.fingerprint, look.score, look.picture]
for id in ("../x", "eyes", "a/none", "c/own", "d/other", "e/huge", "f/net"):
    found[id] = told(lambda: look_into(id))[0]
found["own"] = look_into("c/own", token="hf_test").layout.name
names = [name for _, _, names in os.walk(os.environ["HF_HOME"]) for name in names]
found["files"] = [name for name in names if name.endswith((".json", ".safetensors"))]
"""


def test_a_look_downloads_no_weights(hub: Hub, tmp_path: Path) -> None:
    hub.repositories["e/huge"] = Repository(False)
    hub.repositories["e/huge"].commit("main", {"config.json": b" " * 1_000_001})
    hub.repositories["f/net"] = Repository(False)
    hub.repositories["f/net"].commit("main", {"config.json": b'{"_class_name": "ParserNet"}'})
    found = run_client(hub.url, tmp_path, LOOK)
    assert found["look"] == ["base-15", "ab" * 32, "", None] and found["own"] == "base-15"
    assert set(found["files"]) == {"config.json"}
    told = {"../x": "not a Hub id", "eyes": "not a Hub id", "a/none": "no model", "c/own": "no model", "d/other": "no file 'config.json'"}
    told |= {"e/huge": "larger than 1,000,000 bytes", "f/net": "class ParserNet, not an adapter"}
    for id, sentence in told.items():
        assert sentence in found[id]


def test_the_hf_command_line_downloads_an_adapter_that_loads(hub: Hub, tmp_path: Path) -> None:
    command = [str(Path(sys.executable).with_name("hf")), "download", "a/eyes", "--local-dir", str(tmp_path / "eyes")]
    hub.faults[("GET", WEIGHTS_NAME)] = Fault("half", times=1)  # its client resumes what was cut short
    done = subprocess.run(command, env=environment(hub.url, tmp_path), cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]
    assert {path.name for path in (tmp_path / "eyes").iterdir()} >= {"README.md", "config.json", WEIGHTS_NAME}
    files = hub.repositories["a/eyes"].files
    assert (tmp_path / "eyes" / WEIGHTS_NAME).read_bytes() == files[WEIGHTS_NAME]
    assert Adapter.from_pretrained(tmp_path / "eyes").config["generator_id"] == "heads-triplane"
    private = [*command[:2], "c/own", "--local-dir", str(tmp_path / "own")]
    variables = environment(hub.url, tmp_path)
    for token, code in ((None, 1), ("hf_test", 0)):
        with_token = {**variables, "HF_TOKEN": token} if token else variables
        done = subprocess.run(private, env=with_token, cwd=ROOT, capture_output=True, text=True, timeout=120)
        assert done.returncode == code, os.linesep.join([done.stdout, done.stderr])[-2000:]
