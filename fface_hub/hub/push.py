"""Publishing a model: repository, card, preview picture, config and weights in one commit."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fface_hub.hub.cards import model_card
from fface_hub.hub.preview import preview
from fface_hub.models import Model
from fface_hub.remote import hub_errors, ready_repository
from fface_hub.sources import CARD_NAME, PREVIEW_NAME, check_target


def push_model(
    model: Model,
    repo_id: str,
    *,
    token: str | bool | None = None,
    private: bool | None = None,
    revision: str | None = None,
    message: str | None = None,
    results: Mapping[str, Any] | None = None,
    provenance: str = "",
) -> str:
    """Create the repository `org/name` if it is not there, upload what changed in one commit, and return its URL.

    `results` are measured figures for the card, and `provenance` says where converted weights come from, as in `hub.cards`. A branch
    `revision` is created if need be. Raises `ModelError`, also for a public repository that is to be `private`; then it is as it was, since
    nothing is visible before the commit.
    """
    from huggingface_hub import CommitOperationAdd, HfApi

    check_target(repo_id, revision, token)
    picture = preview(model)
    card = model_card(model, repo_id, results, PREVIEW_NAME if picture is not None else None, provenance)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "model"
        model.save_pretrained(folder, beside={CARD_NAME: card})
        if picture is not None:
            picture.save(folder / PREVIEW_NAME)
        operations = [CommitOperationAdd(path.name, path) for path in sorted(folder.iterdir())]
        api = HfApi(token=token)
        with hub_errors(repo_id, "push"):
            url = ready_repository(api, repo_id, private, revision)
            api.create_commit(
                repo_id, operations, commit_message=message or f"Upload {type(model).__name__} of fface-hub", revision=revision
            )
    return url
