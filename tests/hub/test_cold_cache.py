"""Eight processes load one model at once into one cache that is empty: all get it, it is downloaded once, and nothing is left over."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from fface_hub.sources import CONFIG_NAME, WEIGHTS_NAME
from tests.hub.client import run_client
from tests.hub.loopback import Hub, Repository
from tests.tiny import PAIR, random_generator

AT_ONCE = 8

# Forks, so that torch is imported once; the client has opened no connection before. All wait until the last one is there.
RACE = """
from fface_hub import Generator

def race(cache):
    begin, go = os.pipe()
    ends = []
    for number in range(AT_ONCE):
        reading, writing = os.pipe()
        if os.fork() == 0:
            code = 1
            try:
                os.close(go)
                os.read(begin, 1)  # until the parent closes its end
                generator = Generator.from_pretrained("org/heads", cache_dir=cache)
                os.write(writing, generator.fingerprint.encode())
                code = 0
            finally:
                os._exit(code)
        os.close(writing)
        ends.append(reading)
    os.close(go)
    prints = [os.fdopen(end).read() for end in ends]
    for _ in ends:
        os.wait()
    return prints

found["prints"] = race(CACHE)
found["prints after"] = race(CACHE)
"""


@pytest.fixture
def hub() -> Iterator[Hub]:
    server = Hub()
    yield server
    server.close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the processes are forks")
def test_eight_processes_load_one_cold_cache_at_once(hub: Hub, tmp_path: Path) -> None:
    generator = random_generator(**PAIR)
    generator.save_pretrained(tmp_path / "model")
    files = {name: (tmp_path / "model" / name).read_bytes() for name in (CONFIG_NAME, WEIGHTS_NAME)}
    hub.repositories["org/heads"] = repository = Repository(private=False)
    repository.commit("main", files)
    hub.delays[("GET", "resolve/.*/diffusion")] = 0.3  # the others come while the first one is still at it
    cache = tmp_path / "cache"
    found = run_client(hub.url, tmp_path, f"AT_ONCE, CACHE = {AT_ONCE}, {str(cache)!r}\n{RACE}")
    assert found["prints"] == found["prints after"] == [generator.fingerprint] * AT_ONCE
    downloads = [request for request in hub.requests if request.startswith("GET") and request.endswith(WEIGHTS_NAME)]
    print(f"{len(downloads)} downloads of the weights by {AT_ONCE} processes")
    assert len(downloads) == 1
    blobs = list((cache / "models--org--heads" / "blobs").iterdir())
    assert sorted(path.read_bytes() for path in blobs) == sorted(files.values())
    assert len(list((cache / "models--org--heads" / "snapshots").iterdir())) == 1
