"""Fetching models from the Hub, and its errors told in plain sentences."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from fface_hub.errors import ModelError

if TYPE_CHECKING:
    from fface_hub.sources import Source

# Seconds without any answer after which a connection counts as dead. Long, so that a slow network is not cut short.
PATIENCE = 120.0


def fetch(source: Source, names: list[str]) -> Path:
    """Folder of the cached snapshot of a Hub repository with exactly the files `names` (of the subfolder) in it.

    One commit is looked up first, so that all files belong together. Without a connection the last fetched version is taken, if there is
    one; else this fails at once. Raises `ModelError`.
    """
    from huggingface_hub import HfApi, hf_hub_download

    id = str(source.id)
    paths = [str(PurePosixPath(source.subfolder or "", name)) for name in names]
    cached = _cached(source, paths)
    if source.local_files_only and cached is None:
        raise ModelError(f"The model '{id}' was not downloaded to this machine before: allow downloading, or use a bundled model.")
    if source.local_files_only or (cached is not None and source.revision == cached.name):
        assert cached is not None
        return cached
    try:
        with hub_errors(id):
            sha = HfApi(token=source.token).model_info(id, revision=source.revision, timeout=PATIENCE).sha
    except Unreachable:
        if cached is not None:
            return cached
        raise
    with hub_errors(id):
        files = [
            hf_hub_download(id, path, revision=sha, cache_dir=source.cache_dir, token=source.token, etag_timeout=PATIENCE) for path in paths
        ]
    return Path(files[0]).parents[len(PurePosixPath(paths[0]).parents) - 1]


def _cached(source: Source, paths: list[str]) -> Path | None:
    """The snapshot folder of an earlier download that has all `paths`, or None."""
    from huggingface_hub import try_to_load_from_cache

    for revision in (source.revision,) if source.revision else ("main", None):
        found = [try_to_load_from_cache(str(source.id), path, source.cache_dir, revision) for path in paths]
        files = [Path(path) for path in found if isinstance(path, str)]
        if len(files) == len(paths):
            return files[0].parents[len(PurePosixPath(paths[0]).parents) - 1]
    return None


class Unreachable(ModelError):
    """The Hub cannot be reached from here."""


@contextmanager
def hub_errors(id: str, action: str = "load") -> Iterator[None]:
    """Tell what goes wrong while talking to the Hub about the repository `id` as `ModelError`; `action` is 'load' or 'push'."""
    from huggingface_hub import errors

    verb = "loaded from" if action == "load" else "pushed to"
    try:
        yield
    except errors.GatedRepoError as error:
        raise ModelError(f"The model '{id}' is gated: accept its terms on its page on the Hub and give an access token.") from error
    except errors.RevisionNotFoundError as error:
        raise ModelError(
            f"The model '{id}' has no such revision on the Hub: leave it out, or give an existing branch, tag or commit."
        ) from error
    except errors.RemoteEntryNotFoundError as error:
        raise ModelError(
            f"The repository '{id}' lacks config.json or diffusion_pytorch_model.safetensors: only safetensors weights are read, never "
            f"pickled ones (.bin, .pt), so choose another model or ask its author for safetensors."
        ) from error
    except errors.HfHubHTTPError as error:
        raise ModelError(_told(id, verb, error.response.status_code if error.response is not None else 0)) from error
    except errors.HFValidationError as error:
        raise ModelError(f"'{id[:80]}' is not a valid Hub id: write it as 'org/name'.") from error
    except (errors.OfflineModeIsEnabled, errors.LocalEntryNotFoundError) as error:
        raise Unreachable(_unreachable(id, verb)) from error
    except OSError as error:
        raise ModelError(
            f"The model '{id}' could not be {verb} the Hub ({error.strerror or 'file error'}): free disk space and try again."
        ) from error
    except Exception as error:
        # The client's transport has changed its package once already (httpx, httpx2), so its errors are known by name.
        if any(base.__name__ in ("TransportError", "HTTPError") for base in type(error).__mro__):
            raise Unreachable(_unreachable(id, verb)) from error
        raise


def _unreachable(id: str, verb: str) -> str:
    return (
        f"The model '{id}' could not be {verb} the Hub, which cannot be reached: check the network connection, "
        "use a bundled model by its plain name, or a folder."
    )


def _told(id: str, verb: str, status: int) -> str:
    """The sentence for an HTTP status of the Hub about the repository `id`."""
    told = {
        401: f"There is no public model '{id}' on the Hub: check the name, or give an access token if it is private.",
        403: f"The Hub refuses access to '{id}': use an access token with the right to it.",
        404: f"There is no model '{id}' on the Hub that you may see: check the name, or give an access token if it is private.",
        409: f"The repository '{id}' was changed by someone else at the same time: try again.",
        429: "The Hub asks for a pause because of too many requests: wait a few minutes and try again.",
    }
    return told.get(status, f"The model '{id}' could not be {verb} the Hub, which answered with error {status}: try again later.")
