"""The gallery: adapters are found by their tag and generator, and what the Hub says about them is looked at before it is believed."""

from __future__ import annotations

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
from fface_hub.hub.gallery import _adapter, find_adapters
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
