"""Publishing a model: repository, card, preview picture, config and weights in one commit."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fface_hub.errors import ModelError
from fface_hub.hub.cards import model_card
from fface_hub.hub.preview import preview
from fface_hub.models import Model
from fface_hub.remote import hub_errors
from fface_hub.sources import is_hub_id

PREVIEW = "preview.png"


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
    `revision` is created if need be. Raises `ModelError`; then the repository is as it was, since nothing is visible before the commit.
    """
    from huggingface_hub import CommitOperationAdd, HfApi

    if not is_hub_id(repo_id):
        raise ModelError(f"'{repo_id[:80]}' is not a valid Hub id: write it as 'org/name'.")
    picture = preview(model)
    card = model_card(model, repo_id, results, PREVIEW if picture is not None else None, provenance)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "model"
        model.save_pretrained(folder)
        (folder / "README.md").write_text(card, encoding="utf-8")
        if picture is not None:
            picture.save(folder / PREVIEW)
        operations = [CommitOperationAdd(path.name, path) for path in sorted(folder.iterdir())]
        api = HfApi(token=token)
        with hub_errors(repo_id, "push"):
            url = api.create_repo(repo_id, private=private, exist_ok=True)
            if revision is not None:
                api.create_branch(repo_id, branch=revision, exist_ok=True)
            api.create_commit(
                repo_id, operations, commit_message=message or f"Upload {type(model).__name__} of fface-hub", revision=revision
            )
    return str(url)
