"""Names that are neither a model's nor a repository's are refused before anything is sent anywhere."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest
import torch

from fface_hub.adapters.adapter import Adapter
from fface_hub.adapters.samples import Sample, SampleSet
from fface_hub.cameras import look_at
from fface_hub.errors import FFaceError
from fface_hub.hub.check import check
from fface_hub.hub.gallery import find_adapters
from fface_hub.layouts import BASE_15
from fface_hub.models import Model
from fface_hub.sources import Source, is_hub_id

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


@pytest.mark.parametrize("revision", ["../main", "a//b", "", "a\0b", "x" * 300])
def test_nothing_is_published_on_a_branch_of_no_valid_name(revision: str, calls: list[str]) -> None:
    for thing in (adapter(), sample_set()):
        with pytest.raises(FFaceError, match="is not a valid revision"):
            thing.push_to_hub("org/name", token="hf_x", revision=revision)
    assert not calls


@pytest.mark.parametrize("revision", ["../../x", "a\0b"])
def test_nothing_is_audited_at_a_revision_of_no_valid_name(revision: str, calls: list[str]) -> None:
    with pytest.raises(FFaceError, match="is not a valid revision"):
        check(Source("org/name", revision=revision))
    assert not calls


@pytest.mark.parametrize("id", IDS, ids=ascii)
def test_no_config_names_them(id: str) -> None:
    with pytest.raises(FFaceError, match="'generator_id'"):
        Adapter.from_config({**adapter().arguments, "generator_id": id})


@pytest.mark.parametrize("token", ["hf_x\n", " hf_x", "hf_ä", "", "a\0b", "x" * 2000])
def test_a_token_that_cannot_be_one_is_not_sent(token: str, calls: list[str]) -> None:
    for use in (
        lambda: Model.from_pretrained("org/name", token=token),
        lambda: SampleSet.load("org/name", token=token),
        lambda: adapter().push_to_hub("org/name", token=token),
        lambda: sample_set().push_to_hub("org/name", token=token),
        lambda: find_adapters(token=token),
    ):
        with pytest.raises(FFaceError, match="access token holds") as told:
            use()
        assert not token.strip() or token not in str(told.value)  # a token is not repeated
    assert not calls


@pytest.mark.parametrize("id", [None, 3, b"heads-triplane", [], ["org/name"]])
def test_ids_that_are_no_text_are_told(id: Any) -> None:
    with pytest.raises(FFaceError, match="is not the name of a model"):
        Model.from_pretrained(id)


def test_only_what_is_on_the_hub_has_revisions(tmp_path: Path) -> None:
    """Somebody who asks for a version must not get another one."""
    adapter().save_pretrained(tmp_path / "adapter")
    for id in ("heads-eyes-19", tmp_path / "adapter", str(tmp_path / "adapter")):
        with pytest.raises(FFaceError, match="leave the revision out"):
            Model.from_pretrained(id, revision="v1")


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


def test_bundled_models_ask_nobody(calls: list[str]) -> None:
    assert Model.from_pretrained("heads-eyes-19").model_id == "heads-eyes-19"
    assert not calls


def test_a_valid_id_does_ask_the_network(calls: list[str]) -> None:
    """Without this the tests above could not fail."""
    with pytest.raises(FFaceError):
        Model.from_pretrained("org/name-that-no-cache-has")
    assert calls
