"""Whatever a Hub or a network does at whichever stage of an upload or a download: one clear sentence, nothing half-written, and the same
call succeeds when the fault is over. The pauses that the client makes between its own attempts are left out."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fface_hub.sources import WEIGHTS_NAME
from tests.hub.client import run_client
from tests.hub.loopback import Hub

FAULTS = (401, 403, 404, 409, 429, 500, 502, "drop", "half", "reset")
UPLOAD = {
    "create": ("POST", "/api/repos/create"),
    "card": ("POST", "/api/validate-yaml"),
    "branch": ("POST", "/branch/"),
    "announce": ("POST", "/preupload/"),
    "batch": ("POST", "/objects/batch"),
    "weights": ("PUT", "/_lfs/"),
    "commit": ("POST", "/commit/"),
}
DOWNLOAD = {
    "info": ("GET", "/api/models/org/nose"),
    "config head": ("HEAD", "resolve/.*/config.json"),
    "config": ("GET", "resolve/.*/config.json"),
    "weights head": ("HEAD", "resolve/.*/diffusion"),
    "weights": ("GET", "resolve/.*/diffusion"),
}
# What a sentence must hold, by fault; any of several.
SAID: dict[str, tuple[str, ...]] = {
    "401": ("access token",),
    "403": ("refuses access",),
    "404": ("no model", "no sample set", "error 404"),
    "409": ("try again",),
    "429": ("too many requests",),
    "500": ("error 500",),
    "502": ("error 502",),
    "drop": ("cannot be reached", "incomplete"),
    "half": ("cannot be reached", "cannot be read", "incomplete"),
    "reset": ("cannot be reached",),
}

SETUP = """
from collections import Counter
from pathlib import Path

time.sleep = lambda seconds: None
torch.manual_seed(0)
adapter = Adapter(NASAL_WING_17.to_dict(), "org/heads", "ab" * 32)
found["said"], found["wrong"] = {}, []

def push(number):
    with torch.no_grad():
        adapter.net[0].weight[0, 0] = number
    return adapter.push_to_hub("org/nose", token="hf_test", revision=BRANCH)
"""
PUSH = """
BRANCH = "try"
push(0)
for number, (stage, (method, path), what) in enumerate(CASES, 1):
    before = fault([method, path, what])["org/nose"]
    said = told(lambda: push(number))
    after = fault()["org/nose"]
    found["said"][f"{stage}/{what}"] = [said and said[0], after - before]
    again = push(number)
    held = fault()["org/nose"] - after
    loaded = logits(Adapter.from_pretrained("org/nose", token="hf_test", revision=BRANCH)) == logits(adapter)
    if not (again.endswith("/org/nose") and loaded and after - before + held == 1):
        found["wrong"].append([stage, what, after - before, held, loaded])
"""
LOAD = """
BRANCH = None
push(0)
wanted = logits(adapter)
for number, (stage, (method, path), what) in enumerate(CASES):
    folder = Path(CACHES) / str(number)
    load = lambda **options: Adapter.from_pretrained("org/nose", cache_dir=folder, **options)
    fault([method, path, what])
    said = told(load)
    fault()
    left = told(lambda: load(local_files_only=True))
    found["said"][f"{stage}/{what}"] = [said and said[0], 0]
    if said is not None and (left is None or "not downloaded" not in left[0]) or logits(load()) != wanted:
        found["wrong"].append([stage, what, left])
"""


def cases(stages: dict[str, tuple[str, str]]) -> list[tuple[str, tuple[str, str], int | str]]:
    """Every fault at every stage."""
    return [(stage, request, fault) for stage, request in stages.items() for fault in FAULTS]


@pytest.fixture
def hub() -> Iterator[Hub]:
    server = Hub()
    yield server
    server.close()


def check_sentences(found: dict[str, Any], harmless: set[str]) -> None:
    """Each fault, but for the `harmless`, was told in one sentence that says what it was; and afterwards all was well."""
    assert found["wrong"] == []
    for case, (sentence, _) in found["said"].items():
        if case in harmless:
            assert sentence is None, case
            continue
        assert sentence is not None, case
        assert sentence.endswith(".") and "\n" not in sentence and len(sentence) < 400, sentence
        assert any(part in sentence for part in SAID[case.split("/")[1]]), f"{case}: {sentence}"


# The client looks whether a repository that one may not create is there to write to, and takes a branch that is there for made.
HARMLESS_UPLOAD = {"create/401", "create/403", "branch/409"}


def test_every_fault_of_an_upload(hub: Hub, tmp_path: Path) -> None:
    found = run_client(hub.url, tmp_path, f"CASES = {cases(UPLOAD)!r}\n{SETUP}{PUSH}")
    check_sentences(found, HARMLESS_UPLOAD)
    # An answer that is cut off says nothing about the commit, which was made: whole, and not a second time.
    assert [case for case, (sentence, commits) in found["said"].items() if sentence and commits] == ["commit/half"]


def test_every_fault_of_a_download(hub: Hub, tmp_path: Path) -> None:
    found = run_client(hub.url, tmp_path, f"CASES, CACHES = {cases(DOWNLOAD)!r}, {str(tmp_path)!r}\n{SETUP}{LOAD}")
    check_sentences(found, {"config head/half", "weights head/half"})  # a head has no body that could be cut


RESUME = """
BRANCH = None
push(0)
wanted = logits(adapter)
fault(["GET", "resolve/.*/diffusion", "half", 3])
found["resumed"] = logits(Adapter.from_pretrained("org/nose")) == wanted
push(1)
newer = logits(adapter)
fault(["GET", "resolve/.*/diffusion", 500])
found["cut"] = told(lambda: Adapter.from_pretrained("org/nose"))
found["kept"] = logits(Adapter.from_pretrained("org/nose", local_files_only=True)) == wanted
fault()
found["newer"] = logits(Adapter.from_pretrained("org/nose")) == newer != wanted
found["newer offline"] = logits(Adapter.from_pretrained("org/nose", local_files_only=True)) == newer
"""


def test_a_download_is_resumed_and_an_update_that_fails_leaves_the_old_version(hub: Hub, tmp_path: Path) -> None:
    found = run_client(hub.url, tmp_path, SETUP + RESUME)
    assert found["resumed"] and found["kept"] and found["newer"] and found["newer offline"]
    assert "error 500" in found["cut"][0]


FULL = """
import errno, resource
BRANCH = None
size = 6000  # bytes a file may have: less than the weights, more than anything else but the preview
push(0)
wanted = logits(adapter)
folder = Path(FOLDER)
adapter.save_pretrained(folder / "saved")
before = {path.name: path.read_bytes() for path in (folder / "saved").iterdir()}

resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
found["save"] = told(lambda: adapter.save_pretrained(folder / "saved"))
found["new"] = told(lambda: adapter.save_pretrained(folder / "new"))
found["load"] = told(lambda: Adapter.from_pretrained("org/nose", cache_dir=folder / "cache"))
found["push"] = told(lambda: push(1))
found["half"] = sorted(path.name for path in folder.iterdir() if path.name != "cache")
found["untouched"] = before == {path.name: path.read_bytes() for path in (folder / "saved").iterdir()}
found["left"] = told(lambda: Adapter.from_pretrained("org/nose", cache_dir=folder / "cache", local_files_only=True))
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))

adapter.save_pretrained(folder / "new")
found["loaded"] = logits(Adapter.from_pretrained("org/nose", cache_dir=folder / "cache")) == wanted
found["pushed"] = push(1)
found["litter"] = sorted(path.name for path in folder.iterdir())
"""


def test_a_disk_without_room_is_told_and_leaves_nothing_half_written(hub: Hub, tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    found = run_client(hub.url, tmp_path, f"FOLDER = {str(tmp_path / 'models')!r}\n{SETUP}{FULL}")
    for what in ("save", "new"):
        assert "cannot be saved" in found[what][0] and "File too large" in found[what][0] and "unchanged" in found[what][0]
    assert "File too large: make room" in found["load"][0]
    assert found["push"] is not None and "not downloaded" in found["left"][0]
    assert found["half"] == ["saved"] and found["untouched"]
    assert found["loaded"] and found["pushed"].endswith("/org/nose") and found["litter"] == ["cache", "new", "saved"]
    assert sorted(hub.repositories["org/nose"].files) == ["README.md", "config.json", WEIGHTS_NAME, "preview.png"]


SAMPLES_UPLOAD = {
    "create": ("POST", "/api/repos/create"),
    "card": ("POST", "/api/validate-yaml"),
    "branch": ("POST", "/branch/"),
    "list": ("GET", "/api/datasets/org/faces"),
    "announce": ("POST", "/preupload/"),
    "batch": ("POST", "/objects/batch"),
    "latents": ("PUT", "/_lfs/"),
    "commit": ("POST", "/commit/"),
}
SAMPLES_DOWNLOAD = {
    "info": ("GET", "/api/datasets/org/faces"),
    "rows": ("GET", "metadata.jsonl"),
    "layout": ("GET", "layout.json"),
    "picture": ("GET", "0000.png"),
    "labels": ("GET", "0000_labels.png"),
    "latents head": ("HEAD", "0000.safetensors"),
    "latents": ("GET", "0000.safetensors"),
}
SAMPLES = """
from fface_hub.adapters.samples import Sample, SampleSet
from fface_hub.cameras import look_at
from fface_hub.latents import Latents
from fface_hub.layouts import BASE_15

time.sleep = lambda seconds: None
found["said"], found["wrong"] = {}, []

def push(number):
    latents = Latents(torch.full((1, 2, 3), float(number)), torch.zeros(1, 1, 2, 3))
    face = Sample(torch.zeros(3, 8, 8), torch.ones(4, 4, dtype=torch.int64), look_at(0.0), latents)
    return SampleSet(BASE_15, (face, face)).push_to_hub("org/faces", token="hf_test", revision=BRANCH)

def read(**options):
    samples = SampleSet.load("org/faces", token="hf_test", revision=BRANCH, **options)
    return len(samples), float(samples.samples[0].latents.geometry[0, 0, 0])
"""
SAMPLES_PUSH = """
BRANCH = "try"
push(0)
for number, (stage, (method, path), what) in enumerate(CASES, 1):
    before = fault([method, path, what])["datasets/org/faces"]
    said = told(lambda: push(number))
    after = fault()["datasets/org/faces"]
    found["said"][f"{stage}/{what}"] = [said and said[0], after - before]
    again = push(number)
    held = fault()["datasets/org/faces"] - after
    if not (again.endswith("/org/faces") and read() == (2, number) and after - before + held == 1):
        found["wrong"].append([stage, what, after - before, held])
"""
SAMPLES_LOAD = """
BRANCH = None
push(7)
for number, (stage, (method, path), what) in enumerate(CASES):
    folder = os.path.join(CACHES, str(number))
    fault([method, path, what])
    said = told(lambda: read(cache_dir=folder))
    fault()
    left = told(lambda: read(cache_dir=folder, local_files_only=True))
    found["said"][f"{stage}/{what}"] = [said and said[0], 0]
    if said is not None and (left is None or "not downloaded" not in left[0]) or read(cache_dir=folder) != (2, 7):
        found["wrong"].append([stage, what, left])
"""


def test_every_fault_of_pushing_a_sample_set(hub: Hub, tmp_path: Path) -> None:
    found = run_client(hub.url, tmp_path, f"CASES = {cases(SAMPLES_UPLOAD)!r}\n{SAMPLES}{SAMPLES_PUSH}")
    check_sentences(found, HARMLESS_UPLOAD)
    assert [case for case, (sentence, commits) in found["said"].items() if sentence and commits] == ["commit/half"]


def test_every_fault_of_reading_a_sample_set(hub: Hub, tmp_path: Path) -> None:
    found = run_client(hub.url, tmp_path, f"CASES, CACHES = {cases(SAMPLES_DOWNLOAD)!r}, {str(tmp_path)!r}\n{SAMPLES}{SAMPLES_LOAD}")
    check_sentences(found, {"latents head/half"})


SAMPLES_UPDATE = """
BRANCH = None
push(1)
found["first"] = read()
push(2)
found["cut"], found["kept"] = {}, {}
for name in ("metadata.jsonl", "layout.json", "0000.png", "0001_labels.png", "0001.safetensors"):
    fault(["HEAD", name, 500])  # most files are the same in both versions, and only asked about
    found["cut"][name] = told(read)
    found["kept"][name] = read(local_files_only=True)
    fault()
found["newer"], found["newer offline"] = read(), read(local_files_only=True)
"""


def test_an_update_of_a_sample_set_that_fails_leaves_the_old_version(hub: Hub, tmp_path: Path) -> None:
    found = run_client(hub.url, tmp_path, SAMPLES + SAMPLES_UPDATE)
    assert all(said is not None and "error 500" in said[0] for said in found["cut"].values())
    assert found["first"] == [2, 1.0] and all(kept == [2, 1.0] for kept in found["kept"].values())
    assert found["newer"] == found["newer offline"] == [2, 2.0]
