"""What the Hub's client raises, in plain sentences."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path

import pytest
from huggingface_hub.errors import LocalEntryNotFoundError, LocalTokenNotFoundError, OfflineModeIsEnabled

from fface_hub import remote
from fface_hub.errors import ModelError
from fface_hub.remote import Listing, UnreachableError, hub_errors
from fface_hub.sources import Source


def caused(error: Exception, cause: Exception) -> Exception:
    """`error`, raised from `cause`."""
    error.__cause__ = cause
    return error


FULL = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (FULL, "No space left on device: make room"),
        (caused(RuntimeError("Error while uploading"), FULL), "No space left on device: make room"),
        (caused(RuntimeError("Error while uploading"), ConnectionResetError()), "cannot be reached"),
        (RuntimeError("Data processing error"), "the transfer was incomplete: try again"),
        (OSError("Consistency check failed: file should be of size 3"), "the transfer was incomplete: try again"),
        (caused(LocalEntryNotFoundError("x"), FULL), "No space left on device: make room"),
        (LocalEntryNotFoundError("x"), "cannot be reached"),
        (OfflineModeIsEnabled("x"), "cannot be reached"),
        (LocalTokenNotFoundError("x"), "hf auth login"),
        (json.JSONDecodeError("x", "<html>", 0), "whose answer cannot be read"),
        (KeyError("url"), "whose answer cannot be read"),
        (ValueError("Invalid metadata in README.md.\n- no\n- licence"), "Invalid metadata in README.md. - no - licence."),
    ],
)
def test_what_went_wrong_is_one_sentence(error: Exception, sentence: str) -> None:
    with pytest.raises(ModelError) as told, hub_errors("org/x", "push"):
        raise error
    assert sentence in str(told.value) and "\n" not in str(told.value) and told.value.__cause__ is error


def test_our_own_errors_and_faults_of_ours_pass_as_they_are() -> None:
    for error in (ModelError("x"), UnreachableError("x"), ZeroDivisionError("x"), KeyboardInterrupt()):
        with pytest.raises(type(error)) as told, hub_errors("org/x", "load"):
            raise error
        assert told.value is error


@pytest.mark.parametrize(
    ("sizes", "sentence"),
    [({"a": 1, "b": None}, "does not say how large 'b'"), ({"a": 1, "b": 2 * 10**9}, "2.0 GB large"), ({"a": 1}, "no file 'b'")],
)
def test_only_what_is_known_to_be_small_enough_is_downloaded(
    sizes: dict[str, int | None], sentence: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(remote, "listing", lambda source: Listing("0" * 40, sizes))
    monkeypatch.setattr("huggingface_hub.hf_hub_download", lambda *_, **__: pytest.fail("something was downloaded"))
    with pytest.raises(ModelError, match=sentence):
        remote.fetch(Source("org/x", cache_dir=tmp_path, kind="dataset"), ["a", "b"])
