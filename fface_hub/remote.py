"""Fetching models and sample sets from the Hub, and its errors told in plain sentences."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Literal

from fface_hub.errors import FFaceError, ModelError

if TYPE_CHECKING:
    from huggingface_hub import HfApi

    from fface_hub.sources import Source

# Seconds without any answer after which a connection counts as dead. Long, so that a slow network is not cut short.
PATIENCE = 120.0
CONNECTING = 15.0  # a Hub that does not take the connection within these seconds is not there; on a slow network it does, and then works on
MAX_DOWNLOAD = 2_000_000_000
"""Bytes of one model or sample set that are downloaded; what is larger is refused before its first byte."""
PICKLE_SUFFIXES = (".bin", ".pt", ".pth", ".pkl", ".ckpt")
CONVERT = "An official one of EG3D, NeRFFaceEditing or FFaceNeRF becomes a model by 'fface-hub convert FILE OUT'."

Action = Literal["load", "push"]
Kind = Literal["model", "dataset"]
Thing = Literal["model", "dataset", "gallery"]
NOUNS: dict[Thing, str] = {"model": "model", "dataset": "sample set", "gallery": "gallery"}
"""What a repository of each kind, or a search among them, is called in words."""
LOCAL: dict[Thing, str] = {
    "model": "use a bundled model by its plain name, or a folder",
    "dataset": "use a folder",
    "gallery": "use a bundled adapter by its plain name",
}
"""What to use where the Hub is out of reach."""
DONE: dict[Action, str] = {"load": "loaded from", "push": "pushed to"}


class UnreachableError(ModelError):
    """The Hub cannot be reached from here."""


@dataclass(frozen=True)
class Listing:
    """The files of a repository at one `commit`: name → bytes, None where the Hub does not say; and the `results` that its card claims, as
    the Hub hands them on (`model-index`)."""

    commit: str
    sizes: dict[str, int | None]
    results: Any = None


def listing(source: Source) -> Listing:
    """What the repository at `source` holds, without downloading any of it. Raises `ModelError`, at once where there is no network."""
    from huggingface_hub import HfApi

    id, kind = str(source.id), source.kind
    api = HfApi(token=source.token)
    ask = api.dataset_info if kind == "dataset" else api.model_info
    with hub_errors(id, "load", kind):  # this request is the only one that the client does not repeat when the connection is refused
        timeout: Any = (CONNECTING, PATIENCE, PATIENCE, CONNECTING)  # to connect, read, write, and get a connection of the pool
        info = ask(id, revision=source.revision, timeout=timeout, files_metadata=True)
    sizes = {file.rfilename: file.size for file in info.siblings or []}
    return Listing(info.sha or source.revision or "main", sizes, getattr(info, "model_index", None))


def fetch(source: Source, names: list[str], further: Callable[[Path], list[str]] | None = None) -> Path:
    """Folder of the cached snapshot of a Hub repository with exactly the files `names` (of the subfolder) in it, all of one commit; and
    with those that `further` names when it sees the folder.

    Without a connection the version that was fetched last is taken; if there is none, this fails at once. Raises `ModelError`.
    """
    id, kind = str(source.id), source.kind
    paths = _paths(source, names)
    cached = _whole(source, paths, further)
    if cached is not None and (source.local_files_only or cached.name == source.revision):
        return cached
    if source.local_files_only:
        raise ModelError(f"The {NOUNS[kind]} '{id}' was not downloaded to this machine before: allow downloading, or {LOCAL[kind]}.")
    try:
        found = listing(source)
    except UnreachableError:
        if cached is None:
            raise
        return cached
    if cached is not None and cached.name == found.commit:
        return cached
    folder = download(source, paths, found)
    if further is not None:
        download(source, [*paths, *_paths(source, further(folder / (source.subfolder or "")))], found)
    if source.revision != found.commit:
        # Notes what the branch or tag means now. Last, so that an update that is cut short leaves the version before it in reach.
        with hub_errors(id, "load", kind):
            _download(source, paths[0], source.revision)
    return folder


def download(source: Source, paths: list[str], found: Listing) -> Path:
    """Folder of the cached snapshot of the commit that was `found` at `source`, with the files `paths` of the repository in it.

    `ModelError`, also for files that are not listed.
    """
    id, kind = str(source.id), source.kind
    _check_listed(id, kind, paths, found.sizes)
    with hub_errors(id, "load", kind):
        files = [_download(source, path, found.commit) for path in paths]
    return _root(files[-1], paths[-1])


def _download(source: Source, path: str, revision: str | None) -> str:
    """Where one file of the repository at `source` is in the cache, downloaded if need be. Raises what the client raises."""
    from huggingface_hub import hf_hub_download

    _be_patient()
    return hf_hub_download(
        str(source.id),
        path,
        repo_type=source.kind,
        revision=revision,
        cache_dir=source.cache_dir,
        token=source.token,
        etag_timeout=PATIENCE,
    )


def _paths(source: Source, names: list[str]) -> list[str]:
    """Files of the subfolder as files of the repository."""
    return [str(PurePosixPath(source.subfolder or "", name)) for name in names]


def _be_patient() -> None:
    """Let the client wait for a download as long as for an answer: it has no argument for that, only this setting (of 10 seconds)."""
    from huggingface_hub import constants

    if "HF_HUB_DOWNLOAD_TIMEOUT" not in os.environ:
        constants.HF_HUB_DOWNLOAD_TIMEOUT = int(PATIENCE)


def _root(file: str, path: str) -> Path:
    """The snapshot folder, given a cached file and its path in the repository."""
    return Path(file).parents[len(PurePosixPath(path).parts) - 1]


def _whole(source: Source, paths: list[str], further: Callable[[Path], list[str]] | None) -> Path | None:
    """The snapshot folder of an earlier download that has all `paths` and what `further` names, or None."""
    folder = _cached(source, paths)
    if folder is None or further is None:
        return folder
    try:
        more = further(folder / (source.subfolder or ""))
    except FFaceError:
        return folder  # it is there, but not of the form: who reads it says so
    return _cached(source, [*paths, *_paths(source, more)])


def _cached(source: Source, paths: list[str]) -> Path | None:
    """The snapshot folder of an earlier download that has all `paths`, or None."""
    from huggingface_hub import try_to_load_from_cache

    found = [try_to_load_from_cache(str(source.id), path, source.cache_dir, source.revision, source.kind) for path in paths]
    return _root(found[0], paths[0]) if isinstance(found[0], str) and all(isinstance(file, str) for file in found) else None


def _check_listed(id: str, kind: Kind, paths: list[str], sizes: Mapping[str, int | None]) -> None:
    """`ModelError` unless the repository has all `paths` and says that they are not too large; pickled weights are named as such."""
    if missing := [path for path in paths if path not in sizes]:
        pickles = sorted(name for name in sizes if name.endswith(PICKLE_SUFFIXES))
        if pickles and kind == "model":
            raise ModelError(
                f"The model '{id}' has no safetensors weights ('{missing[-1]}'), only {pickles[0][:80]!r}, which is never read since "
                f"pickled files can run code: ask its author for safetensors. {CONVERT}"
            )
        raise ModelError(f"The repository '{id}' has no file '{missing[0]}': it does not hold a {NOUNS[kind]} of this program.")
    if unknown := [path for path in paths if sizes[path] is None]:
        raise ModelError(f"The Hub does not say how large '{unknown[0]}' of '{id}' is, so it is not downloaded: try again later.")
    if (total := sum(sizes[path] or 0 for path in paths)) > MAX_DOWNLOAD:
        raise ModelError(
            f"The {NOUNS[kind]} '{id}' on the Hub is {total / 1e9:.1f} GB large, and at most {MAX_DOWNLOAD / 1e9:.0f} GB are downloaded: "
            "if you trust it, fetch it with 'hf download' and give its folder."
        )


def ready_repository(api: HfApi, id: str, private: bool | None, revision: str | None, kind: Kind = "model") -> str:
    """Create the repository `id` and its branch `revision` where they are missing; its URL. `ModelError` for a public one that is to be
    private: the Hub leaves what is there as visible as it is."""
    url = api.create_repo(id, repo_type=kind, private=private, exist_ok=True)
    if private and not api.repo_info(id, repo_type=kind).private:
        raise ModelError(
            f"The {NOUNS[kind]} '{id}' is public on the Hub, and nothing was uploaded, since it is to be private: make it private in its "
            "settings there, or choose another name."
        )
    if revision is not None:
        api.create_branch(id, repo_type=kind, branch=revision, exist_ok=True)
    return str(url)


@contextmanager
def hub_errors(id: str, action: Action, kind: Thing = "model") -> Iterator[None]:
    """Tell what goes wrong while talking to the Hub about the repository `id` as `ModelError`."""
    try:
        yield
    except FFaceError:
        raise
    except Exception as error:
        if (told := _told(error, id, action, kind)) is None:
            raise
        raise told from error


def _told(error: BaseException, id: str, action: Action, kind: Thing) -> ModelError | None:
    """What `error`, of whatever the client raises, means in plain words; None for what has nothing to do with the Hub."""
    from huggingface_hub import errors

    noun, done = NOUNS[kind], DONE[action]
    wrapped = isinstance(error, errors.LocalEntryNotFoundError | RuntimeError)  # the client puts these around what went wrong
    if wrapped and error.__cause__ is not None and (told := _told(error.__cause__, id, action, kind)) is not None:
        return told
    if isinstance(error, errors.HfHubHTTPError):
        return ModelError(_answered(error, id, action, kind))
    if isinstance(error, errors.HFValidationError):
        return ModelError(f"'{id[:80]}' is not a valid Hub id: write it as 'org/name'.")
    if isinstance(error, errors.LocalTokenNotFoundError):
        return ModelError("No access token is stored on this machine: run 'hf auth login', or give a token.")
    # The client's transport has changed its package once already (httpx, httpx2), so its errors are known by name.
    if isinstance(error, ConnectionError | errors.LocalEntryNotFoundError) or "TransportError" in {c.__name__ for c in type(error).__mro__}:
        advice = f"or {LOCAL[kind]}" if action == "load" else "or save to a folder and push later"
        return UnreachableError(
            f"The {noun} '{id}' could not be {done} the Hub, which cannot be reached: check the network connection, {advice}."
        )
    if isinstance(error, json.JSONDecodeError | LookupError | TypeError):  # the client takes an answer apart without looking at it first
        return ModelError(f"The {noun} '{id}' could not be {done} the Hub, whose answer cannot be read: try again later.")
    if isinstance(error, ValueError):  # the client's own checks, such as the Hub's verdict on a card's metadata
        return ModelError(f"The Hub and this program disagree about '{id}': {' '.join(str(error).split())[:160]}.")
    if isinstance(error, OSError | RuntimeError):
        cause = getattr(error, "strerror", None)
        cause = f"{cause}: make room or choose another folder" if cause else "the transfer was incomplete: try again"
        return ModelError(f"The {noun} '{id}' could not be {done} the Hub ({cause}).")
    return None


def _answered(error: Exception, id: str, action: Action, kind: Thing) -> str:
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
    return f"The {noun} '{id}' could not be {DONE[action]} the Hub, which answered with error {status}: try again later."
