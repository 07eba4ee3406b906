"""Adapters pushed to and loaded from a Hub on the loopback, by the real client in fresh processes."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from fface_hub.adapters.adapter import Adapter
from fface_hub.doors import read_image
from fface_hub.errors import ModelError
from fface_hub.layouts import NASAL_WING_17
from fface_hub.models import Model
from fface_hub.sources import CONFIG_NAME, WEIGHTS_NAME
from tests.hub.client import AT_ONCE, run_client
from tests.hub.loopback import Fault, Hub, Repository


class Sized(bytes):
    """A file that says it has `size` bytes and has none."""

    size: int

    def __new__(cls, size: int) -> Sized:
        file = super().__new__(cls)
        file.size = size
        return file

    def __len__(self) -> int:
        return self.size


@pytest.fixture(scope="module")
def hub() -> Iterator[Hub]:
    server = Hub()
    yield server
    server.close()


PUSH = """
torch.manual_seed(0)
adapter = Adapter(NASAL_WING_17.to_dict(), "heads-triplane", "ab" * 32)
found["url"] = adapter.push_to_hub("org/nose", token="hf_test", private=True, results={"fewshot": {"miou": 0.7}})
adapter.push_to_hub("org/nose", token="hf_test", results={"fewshot": {"miou": 0.7}})
found["logits"] = logits(adapter)
with torch.no_grad():
    adapter.net[0].weight += 1
adapter.push_to_hub("org/nose", token="hf_test", revision="wide", results={"fewshot": {"miou": 0.7}})
from huggingface_hub import HfApi
HfApi(token="hf_test").create_tag("org/nose", tag="v1")
adapter.push_to_hub("org/nose", token="hf_test", results={"fewshot": {"miou": 0.7}})
found["wrong_token"] = told(lambda: adapter.push_to_hub("org/other", token="hf_wrong"))
found["bad_id"] = told(lambda: adapter.push_to_hub("nose", token="hf_test"))
found["bad_branch"] = told(lambda: adapter.push_to_hub("org/nose", token="hf_test", revision="../main"))
found["bad_token"] = told(lambda: adapter.push_to_hub("org/nose", token="hf_test\\n"), at_once=True)
found["public"] = told(lambda: adapter.push_to_hub("org/open", token="hf_test", private=True))
import fface_hub.hub.push
fface_hub.hub.push.model_card = lambda *facts: "---\\ntags: [face]\\n---\\n# no licence"
found["bad_card"] = told(lambda: adapter.push_to_hub("org/nose", token="hf_test"))
"""
LOAD = """
adapter = Adapter.from_pretrained("org/nose", token="hf_test", revision="v1")
found["logits"], found["layout"], found["id"] = logits(adapter), adapter.layout.to_dict(), adapter.model_id
found["fingerprint"] = adapter.fingerprint
found["wide"] = logits(Adapter.from_pretrained("org/nose", token="hf_test", revision="wide"))
found["main"] = logits(Adapter.from_pretrained("org/nose", token="hf_test"))
found["commit"] = logits(Adapter.from_pretrained("org/nose", token="hf_test", revision=COMMIT))
found["huge"] = told(lambda: Adapter.from_pretrained("org/huge"))
found["no_token"] = told(lambda: Adapter.from_pretrained("org/nose"))
found["unknown"] = told(lambda: Adapter.from_pretrained("org/unknown", token="hf_test"))
found["no_revision"] = told(lambda: Adapter.from_pretrained("org/nose", token="hf_test", revision="v9"))
found["pickled"] = told(lambda: Adapter.from_pretrained("org/pickled"))
found["local_only"] = told(lambda: Adapter.from_pretrained("org/pickled", local_files_only=True))
found["bad_token"] = told(lambda: Adapter.from_pretrained("org/nose", token="hf_test "))
found["busy"] = told(lambda: Adapter.from_pretrained("busy/model"))
found["broken"] = told(lambda: Adapter.from_pretrained("broken/model"))
"""
OFFLINE = """
found["logits"] = logits(Adapter.from_pretrained("org/nose", revision="v1"))
found["local"] = logits(Adapter.from_pretrained("org/nose", revision="v1", local_files_only=True))
found["main"] = logits(Adapter.from_pretrained("org/nose"))
found["unknown"] = told(lambda: Adapter.from_pretrained("org/unknown"), at_once=True)
found["push"] = told(lambda: Adapter.from_pretrained("org/nose").push_to_hub("org/nose", token="hf_test"), at_once=True)
"""


@pytest.fixture(scope="module")
def pushed(hub: Hub, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    hub.repositories["org/open"] = Repository(private=False)
    return run_client(hub.url, tmp_path_factory.mktemp("writer"), PUSH)


def test_a_push_is_one_commit_of_card_preview_config_and_weights(hub: Hub, pushed: dict[str, Any]) -> None:
    repository = hub.repositories["org/nose"]
    assert pushed["url"] == f"{hub.url}/org/nose"
    assert repository.private
    # The empty start, one commit of the push, none for the same again, one on the other branch, one of other weights on the first.
    assert len(repository.commits) == 4
    assert sum(request.endswith("/commit/main") for request in hub.requests) == 2
    files = repository.commits[repository.heads["main"]]
    assert sorted(files) == ["README.md", "config.json", WEIGHTS_NAME, "preview.png"]
    # Other weights change the card's fingerprint, too; nothing else went up again.
    assert hub.commits == [sorted(files), ["README.md", WEIGHTS_NAME], ["README.md", WEIGHTS_NAME]]
    assert read_image(files["preview.png"]).width == 384
    card = files["README.md"].decode()
    for line in ("base_model: heads-triplane", "base_model_relation: adapter", "- fface-adapter", "license: apache-2.0", "value: 0.7"):
        assert line in card.split("\n---\n")[0]
    assert "| 16 | iris | #000064 | eye |" in card and "](preview.png)" in card


def test_a_push_that_is_refused_says_why(hub: Hub, pushed: dict[str, Any]) -> None:
    assert "'org/open' is public on the Hub, and nothing was uploaded" in pushed["public"][0]
    assert not any("/api/models/org/open/" in request for request in hub.requests)
    assert "did not accept the access token" in pushed["wrong_token"][0]
    assert "write it as 'org/name'" in pushed["bad_id"][0]
    assert "'../main' is not a valid revision" in pushed["bad_branch"][0]
    assert "line breaks" in pushed["bad_token"][0] and pushed["bad_token"][1] < AT_ONCE
    assert pushed["bad_card"][0].startswith("The Hub and this program disagree") and '"license" is required' in pushed["bad_card"][0]


def test_a_fresh_process_loads_what_was_pushed_and_bad_requests_are_told(hub: Hub, pushed: dict[str, Any], tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    code = f"cposix\nsystem\n(S'touch {canary}'\ntR.".encode()  # a pickle that makes a file when it is loaded
    pickled = {"config.json": b'{"_class_name": "Adapter"}', "diffusion_pytorch_model.bin": code}
    hub.repositories["org/pickled"] = Repository(private=False)
    hub.repositories["org/pickled"].commit("main", pickled)
    hub.faults.update({("GET", "busy/model"): Fault(429), ("GET", "broken/model"): Fault(500)})
    huge = {"config.json": b"{}", WEIGHTS_NAME: Sized(2_100_000_000)}
    hub.repositories["org/huge"] = Repository(private=False, commits={"1" * 40: huge}, heads={"main": "1" * 40})
    start = len(hub.requests)
    commit = hub.repositories["org/nose"].heads["v1"]
    found = run_client(hub.url, tmp_path / "cache", LOAD.replace("COMMIT", repr(commit)))
    assert found["logits"] == found["commit"] == pushed["logits"] != found["wide"]
    assert found["main"] == found["wide"]
    assert "is 2.1 GB large, and at most 2 GB are downloaded" in found["huge"][0]
    assert not any("/org/huge/resolve/" in request for request in hub.requests)
    assert found["id"] == "org/nose" and found["layout"]["name"] == "nasal-wing-17" and len(found["fingerprint"]) == 64
    assert "give an access token if it is private" in found["no_token"][0]
    assert "no model 'org/unknown' on the Hub" in found["unknown"][0]
    assert "no such revision" in found["no_revision"][0]
    assert "safetensors" in found["pickled"][0] and "pytorch_model.bin" in found["pickled"][0]
    assert "not downloaded to this machine" in found["local_only"][0]
    assert "spaces" in found["bad_token"][0]
    assert "too many requests" in found["busy"][0] and "error 500" in found["broken"][0]
    assert not any(".bin" in request for request in hub.requests[start:]) and not canary.exists()

    offline = run_client("http://127.0.0.1:9", tmp_path / "cache", OFFLINE)  # nothing listens there
    assert offline["logits"] == offline["local"] == pushed["logits"] and offline["main"] == found["main"]
    assert "cannot be reached" in offline["unknown"][0] and offline["unknown"][1] < AT_ONCE
    assert "cannot be reached" in offline["push"][0] and offline["push"][1] < AT_ONCE


PARTS = """
options = {"subfolder": "deep/part", "variant": "fp16"}
adapter = Adapter.from_pretrained("org/parts", **options)
found["logits"], found["fingerprint"] = logits(adapter), adapter.fingerprint
half = Adapter.from_pretrained("org/parts", dtype=torch.bfloat16, **options)
found["types"] = sorted({str(value.dtype) for value in half.state_dict().values()})
found["local"] = logits(Adapter.from_pretrained("org/parts", local_files_only=True, **options))
found["elsewhere"] = told(lambda: Adapter.from_pretrained("org/parts", cache_dir=CACHE, local_files_only=True, **options))
found["fetched"] = logits(Adapter.from_pretrained("org/parts", cache_dir=CACHE, **options))
found["no variant"] = told(lambda: Adapter.from_pretrained("org/parts", subfolder="deep/part", variant="fp8"))
found["no subfolder"] = told(lambda: Adapter.from_pretrained("org/parts", subfolder="part"))
"""


def test_subfolders_variants_and_caches(hub: Hub, tmp_path: Path) -> None:
    """Several models in one repository, each in files of its own."""
    adapter = Adapter(NASAL_WING_17.to_dict(), "heads-triplane", "ab" * 32)
    adapter.initialise(torch.Generator().manual_seed(3))
    adapter.save_pretrained(tmp_path / "half", torch.float16)
    config, half = ((tmp_path / "half" / name).read_bytes() for name in (CONFIG_NAME, WEIGHTS_NAME))
    weights = f"deep/part/{WEIGHTS_NAME.replace('.safetensors', '.fp16.safetensors')}"
    files = {CONFIG_NAME: b"{}", f"deep/part/{CONFIG_NAME}": config, weights: half, f"deep/part/{WEIGHTS_NAME}": b"not asked for"}
    hub.repositories["org/parts"] = Repository(private=False)
    hub.repositories["org/parts"].commit("main", files)
    cache = tmp_path / "cache"
    found = run_client(hub.url, tmp_path / "home", f"CACHE = {str(cache)!r}\n{PARTS}")
    assert found["fingerprint"] == adapter.fingerprint and found["logits"] == found["local"] == found["fetched"]
    assert found["types"] == ["torch.bfloat16"]
    assert "not downloaded to this machine" in found["elsewhere"][0]
    assert "has no file 'deep/part/diffusion_pytorch_model.fp8.safetensors'" in found["no variant"][0]
    assert "has no file 'part/config.json'" in found["no subfolder"][0]
    fetched = {str(path.relative_to(path.parents[2])) for path in cache.rglob("deep/part/*")}
    assert fetched == {f"deep/part/{CONFIG_NAME}", weights}


@pytest.mark.slow
@pytest.mark.parametrize("method", ["HEAD", "GET"])
def test_a_slow_network_is_not_cut_short(method: str, hub: Hub, pushed: dict[str, Any], tmp_path: Path) -> None:
    hub.delays[(method, "org/nose/resolve/.*/config")] = 12  # the client's own patience ends after 10 seconds
    code = 'found["logits"] = logits(Adapter.from_pretrained("org/nose", token="hf_test", revision="v1"))'
    try:
        assert run_client(hub.url, tmp_path, code)["logits"] == pushed["logits"]
    finally:
        hub.delays.clear()


def test_a_refused_connection_fails_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.sleep", lambda seconds: pytest.fail("the client waits to try again"))
    start = time.perf_counter()
    with pytest.raises(ModelError, match="use a bundled model by its plain name, or a folder"):
        Model.from_pretrained("org/unknown")  # the endpoint of the tests refuses connections
    assert time.perf_counter() - start < AT_ONCE


def test_a_network_that_swallows_everything_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(0)  # room for one connection that nobody takes: further ones hang, as behind a firewall that says nothing
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", f"http://127.0.0.1:{server.getsockname()[1]}")
        monkeypatch.setattr("fface_hub.remote.CONNECTING", 0.5)
        with socket.create_connection(server.getsockname()):
            start = time.perf_counter()
            with pytest.raises(ModelError, match="cannot be reached"):
                Model.from_pretrained("org/unknown")
            assert 0.4 < time.perf_counter() - start < 5


@pytest.mark.parametrize(
    "id", ["../x", "a/b/c", "C:\\x", "C:/x", "a\0b", "x" * 300, "o/" + "x" * 300, "http://169.254.169.254/x", "", "a--b/c"]
)
def test_ids_that_are_none_never_reach_the_network(id: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def connect(*args: object, **kwargs: object) -> None:
        raise AssertionError("a connection was opened")

    monkeypatch.setattr("socket.socket.connect", connect)
    monkeypatch.setattr("socket.getaddrinfo", connect)
    with pytest.raises(ModelError):
        Model.from_pretrained(id)


def test_a_plain_name_is_never_looked_up_on_the_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.HfApi.model_info", lambda *a, **k: pytest.fail("the Hub was asked"))
    with pytest.raises(ModelError, match="no bundled model 'gpt2'"):
        Model.from_pretrained("gpt2")
