"""Names that are neither a model's nor a repository's are refused before anything is sent anywhere."""

from __future__ import annotations

import socket
from typing import Any

import pytest
import torch

from fface_hub.adapters.adapter import Adapter
from fface_hub.adapters.samples import Sample, SampleSet
from fface_hub.cameras import look_at
from fface_hub.errors import FFaceError
from fface_hub.layouts import BASE_15
from fface_hub.models import Model
from fface_hub.sources import is_hub_id

IDS = [
    "../x",
    "../../etc",
    "org/..",
    "org/../x",
    "a/b/c",
    "/nowhere/x",
    "org//name",
    "org/name/",
    "~/x",
    "C:\\x",
    "C:/x",
    "\\\\169.254.169.254\\x",
    "http://169.254.169.254/latest/meta-data",
    "https://huggingface.co/org/name",
    "//169.254.169.254/x",
    "http://[fe80::1]/x",
    "file:///etc/passwd",
    "org@169.254.169.254/x",
    "169.254.169.254:80/x",
    "org/name?revision=x",
    "org/name#x",
    "org/%2e%2e",
    "\0",
    "org/na\0me",
    "org/name\n",
    "org/name ",
    " ",
    "x" * 300,
    "org/" + "x" * 300,
    "org/nаme",  # with a Cyrillic а
    "-x/y",
    "org/a--b",
]


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was asked of the network, every attempt of which fails."""
    made: list[str] = []

    def refuse(name: str) -> Any:
        def call(*args: Any, **kwargs: Any) -> None:
            made.append(f"{name}{args}")
            raise OSError("there is no network in this test")

        return call

    for owner, name in ((socket, "getaddrinfo"), (socket, "create_connection"), (socket.socket, "connect"), (socket.socket, "connect_ex")):
        monkeypatch.setattr(owner, name, refuse(name))
    return made


def adapter() -> Adapter:
    return Adapter(BASE_15.to_dict(), "heads-triplane", "0" * 64, hidden=4)


def sample_set() -> SampleSet:
    return SampleSet(BASE_15, (Sample(torch.zeros(3, 4, 4), torch.zeros(4, 4, dtype=torch.int64), look_at(0.0)),))


@pytest.mark.parametrize("id", IDS, ids=ascii)
def test_models_and_sample_sets_are_not_looked_for(id: str, calls: list[str]) -> None:
    assert not is_hub_id(id)
    for load in (Model.from_pretrained, Adapter.from_pretrained, SampleSet.load):
        with pytest.raises(FFaceError) as told:
            load(id)
        assert "\0" not in str(told.value) and "\n" not in str(told.value) and len(str(told.value)) < 400
    assert not calls


@pytest.mark.parametrize("id", ["", "name", *IDS], ids=ascii)
def test_nothing_is_published_under_them(id: str, calls: list[str]) -> None:
    for thing in (adapter(), sample_set()):
        with pytest.raises(FFaceError, match="is not a valid Hub id"):
            thing.push_to_hub(id, token="hf_x")
    assert not calls


@pytest.mark.parametrize("id", [id for id in IDS if id.strip()], ids=ascii)
def test_the_page_does_not_look_for_them_either(id: str, calls: list[str]) -> None:
    from space.handlers import find_adapter

    if not is_hub_id(id.strip()):  # the page forgives spaces around
        with pytest.raises(FFaceError, match="There is no layout"):
            find_adapter(id)
    assert not calls


@pytest.mark.parametrize("part", ["revision", "subfolder", "variant"])
@pytest.mark.parametrize("value", ["../x", "a//b", "/x", "a\0b", "a\\b", "?x=1", "x" * 300, "http://169.254.169.254/x"])
def test_the_parts_of_a_repository_are_checked_too(part: str, value: str, calls: list[str]) -> None:
    with pytest.raises(FFaceError, match=f"is not a valid {part}"):
        Model.from_pretrained("org/name", **{part: value})  # type: ignore[arg-type]
    assert not calls


def test_a_valid_id_does_ask_the_network(calls: list[str]) -> None:
    """Without this the tests above could not fail."""
    with pytest.raises(FFaceError):
        Model.from_pretrained("org/name-that-no-cache-has")
    assert calls
