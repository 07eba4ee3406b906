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
    "404": ("no model", "error 404"),
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


SAMPLES = """
from fface_hub.adapters.samples import Sample, SampleSet
from fface_hub.cameras import look_at
from fface_hub.layouts import BASE_15

time.sleep = lambda seconds: None
face = Sample(torch.zeros(3, 8, 8), torch.ones(4, 4, dtype=torch.int64), look_at(0.0))
samples = SampleSet(BASE_15, (face, face))
push = lambda: samples.push_to_hub("org/faces", token="hf_test")
found["push"], found["load"], found["wrong"] = {}, {}, []
for stage in ("/repos/create", "/preupload/", "/commit/"):
    fault(["POST", stage, "drop"])
    found["push"][stage] = told(push)
    fault()
push()
found["commits"] = fault()["datasets/org/faces"]
for number, name in enumerate(("metadata.jsonl", "layout.json", "0000.png", "0000_labels.png")):
    load = lambda **options: SampleSet.load("org/faces", cache_dir=os.path.join(CACHES, str(number)), **options)
    fault(["GET", name, "drop"])
    found["load"][name] = told(load)
    fault()
    if told(lambda: load(local_files_only=True)) is None or len(load()) != 2:
        found["wrong"].append(name)
"""


def test_cut_connections_of_a_sample_set(hub: Hub, tmp_path: Path) -> None:
    found = run_client(hub.url, tmp_path, f"CACHES = {str(tmp_path)!r}\n{SAMPLES}")
    assert len(found["push"]) == 3 and len(found["load"]) == 4 and found["wrong"] == []
    for told in (*found["push"].values(), *found["load"].values()):
        assert told is not None and "sample set 'org/faces'" in told[0] and "cannot be reached" in told[0]
    assert found["commits"] == 2  # the empty start, and the push that was not cut
