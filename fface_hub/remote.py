"""Fetching models and sample sets from the Hub, and its errors told in plain sentences."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Literal

from fface_hub.errors import ModelError

if TYPE_CHECKING:
    from fface_hub.sources import Source

# Seconds without any answer after which a connection counts as dead. Long, so that a slow network is not cut short.
PATIENCE = 120.0
PICKLE_SUFFIXES = (".bin", ".pt", ".pth", ".pkl", ".ckpt")

Action = Literal["load", "push"]
Kind = Literal["model", "dataset"]
NOUNS: dict[Kind, str] = {"model": "model", "dataset": "sample set"}
"""What a repository of each kind holds, in words."""
LOCAL: dict[Kind, str] = {"model": "use a bundled model by its plain name, or a folder", "dataset": "use a folder"}
"""What to use where the Hub is out of reach."""


class UnreachableError(ModelError):
    """The Hub cannot be reached from here."""


def fetch(source: Source, names: list[str]) -> Path:
    """Folder of the cached snapshot of a Hub repository with exactly the files `names` (of the subfolder) in it, all of one commit.

    Without a connection the version that was fetched last is taken; if there is none, this fails at once. Raises `ModelError`.
    """
    from huggingface_hub import HfApi, hf_hub_download

    id, kind = str(source.id), source.kind
    paths = [str(PurePosixPath(source.subfolder or "", name)) for name in names]
    cached = _cached(source, paths)
    if cached is not None and (source.local_files_only or cached.name == source.revision):
        return cached
    if source.local_files_only:
        raise ModelError(f"The {NOUNS[kind]} '{id}' was not downloaded to this machine before: allow downloading, or {LOCAL[kind]}.")
    api = HfApi(token=source.token)
    ask = api.dataset_info if kind == "dataset" else api.model_info
    try:
        with hub_errors(id, "load", kind):  # this request is the only one that the client does not repeat when the connection is refused
            info = ask(id, revision=source.revision, timeout=PATIENCE)
    except UnreachableError:
        if cached is None:
            raise
        return cached
    if cached is not None and cached.name == info.sha:
        return cached
    _check_listed(id, kind, paths, {file.rfilename for file in info.siblings or []})
    with hub_errors(id, "load", kind):
        options = {"repo_type": kind, "cache_dir": source.cache_dir, "token": source.token, "etag_timeout": PATIENCE}
        folder = _root(hf_hub_download(id, paths[0], revision=source.revision, **options), paths[0])
        for path in paths[1:]:
            hf_hub_download(id, path, revision=folder.name, **options)  # of the commit that the first file came from
    return folder


def _root(file: str, path: str) -> Path:
    """The snapshot folder, given a cached file and its path in the repository."""
    return Path(file).parents[len(PurePosixPath(path).parts) - 1]


def _cached(source: Source, paths: list[str]) -> Path | None:
    """The snapshot folder of an earlier download that has all `paths`, or None."""
    from huggingface_hub import try_to_load_from_cache

    found = [try_to_load_from_cache(str(source.id), path, source.cache_dir, source.revision, source.kind) for path in paths]
    return _root(found[0], paths[0]) if isinstance(found[0], str) and all(isinstance(file, str) for file in found) else None


def _check_listed(id: str, kind: Kind, paths: list[str], listed: set[str]) -> None:
    """`ModelError` unless the repository has all `paths`; pickled weights are named as what they are."""
    missing = [path for path in paths if path not in listed]
    if not missing:
        return
    pickles = sorted(name for name in listed if name.endswith(PICKLE_SUFFIXES))
    if pickles and kind == "model":
        raise ModelError(
            f"The model '{id}' has no safetensors weights ('{missing[-1]}'), only '{pickles[0][:80]}', which is never read since pickled "
            "files can run code: ask its author for safetensors."
        )
    raise ModelError(f"The repository '{id}' has no file '{missing[0]}': it does not hold a {NOUNS[kind]} of this program.")


@contextmanager
def hub_errors(id: str, action: Action, kind: Kind = "model") -> Iterator[None]:
    """Tell what goes wrong while talking to the Hub about the repository `id` as `ModelError`."""
    from huggingface_hub import errors

    try:
        yield
    except errors.HfHubHTTPError as error:
        raise ModelError(_told(id, action, kind, error)) from error
    except errors.HFValidationError as error:
        raise ModelError(f"'{id[:80]}' is not a valid Hub id: write it as 'org/name'.") from error
    except errors.LocalTokenNotFoundError as error:
        raise ModelError("No access token is stored on this machine: run 'hf auth login', or give a token.") from error
    except (errors.OfflineModeIsEnabled, errors.LocalEntryNotFoundError) as error:
        raise UnreachableError(_unreachable(id, action, kind)) from error
    except ValueError as error:  # the client's own checks, such as the Hub's verdict on a card's metadata
        raise ModelError(f"The Hub and this program disagree about '{id}': {str(error)[:160]}.") from error
    except OSError as error:
        cause = f"{error.strerror}: make room or choose another folder" if error.strerror else "the transfer was incomplete: try again"
        raise ModelError(f"The {NOUNS[kind]} '{id}' could not be {_done(action)} the Hub ({cause}).") from error
    except Exception as error:
        # The client's transport has changed its package once already (httpx, httpx2), so its errors are known by name.
        if any(base.__name__ == "TransportError" for base in type(error).__mro__):
            raise UnreachableError(_unreachable(id, action, kind)) from error
        raise


def _done(action: Action) -> str:
    return "loaded from" if action == "load" else "pushed to"


def _unreachable(id: str, action: Action, kind: Kind) -> str:
    advice = f"or {LOCAL[kind]}" if action == "load" else "or save to a folder and push later"
    return (
        f"The {NOUNS[kind]} '{id}' could not be {_done(action)} the Hub, which cannot be reached: check the network connection, {advice}."
    )


def _told(id: str, action: Action, kind: Kind, error: Exception) -> str:
    """The sentence for an answer of the Hub about the repository `id` that is an error."""
    from huggingface_hub import errors

    noun, response = NOUNS[kind], getattr(error, "response", None)
    status = 0 if response is None else response.status_code
    if isinstance(error, errors.GatedRepoError):
        return f"The {noun} '{id}' is gated: accept its terms on its page on the Hub and give an access token."
    if isinstance(error, errors.RevisionNotFoundError):
        return f"The {noun} '{id}' has no such revision on the Hub: leave it out, or give an existing branch, tag or commit."
    if action == "push" and status == 401:
        return "The Hub did not accept the access token: run 'hf auth login', or give a token that may write."
    if isinstance(error, errors.RepositoryNotFoundError) or status in (401, 404):
        return f"There is no {noun} '{id}' on the Hub that you may see: check the name, or give an access token if it is private."
    if status == 403:
        return f"The Hub refuses access to '{id}': use an access token with the right to {'write to' if action == 'push' else 'read'} it."
    if status == 409:
        return f"The repository '{id}' was changed by someone else at the same time: try again."
    if status == 429:
        return "The Hub asks for a pause because of too many requests: wait a few minutes and try again."
    return f"The {noun} '{id}' could not be {_done(action)} the Hub, which answered with error {status}: try again later."
