"""What the Hub's client raises, in plain sentences."""

from __future__ import annotations

import errno
import json
import os

import pytest
from huggingface_hub.errors import LocalEntryNotFoundError, LocalTokenNotFoundError, OfflineModeIsEnabled

from fface_hub.errors import ModelError
from fface_hub.remote import UnreachableError, hub_errors


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
