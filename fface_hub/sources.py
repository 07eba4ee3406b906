"""Where a model comes from: a bundled name, `org/name` on the Hub, or a folder; and the way to its files."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from fface_hub.doors import read_json
from fface_hub.errors import ModelError
from fface_hub.files import current_folder, is_folder
from fface_hub.remote import CONVERT, PICKLE_SUFFIXES, Kind, fetch

CHECKPOINTS = Path(__file__).parent / "checkpoints"
CONFIG_NAME = "config.json"
WEIGHTS_NAME = "diffusion_pytorch_model.safetensors"
CARD_NAME = "README.md"
PREVIEW_NAME = "preview.png"

_PLAIN_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,94}[A-Za-z0-9])?")
_TOKEN = re.compile(r"[!-~]{1,1000}")
_SEGMENTS = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,60}(?:/[A-Za-z0-9_][A-Za-z0-9._-]{0,60}){0,3}")


@dataclass(frozen=True)
class Source:
    """Where a model comes from: a bundled name, a Hub id `org/name` or a folder, and which part of a repository (of which `kind`)."""

    id: str | Path
    revision: str | None = None
    subfolder: str | None = None
    variant: str | None = None
    token: str | bool | None = None
    cache_dir: str | Path | None = None
    local_files_only: bool = False
    kind: Kind = "model"

    @property
    def weights_name(self) -> str:
        """File name of the weights, with the variant in it if there is one."""
        return WEIGHTS_NAME if self.variant is None else WEIGHTS_NAME.replace(".safetensors", f".{self.variant}.safetensors")


def bundled_names(class_name: str | None = None) -> list[str]:
    """Names of the models that are installed with the program; of one class only, if `class_name` (as in their configs) is given."""
    configs = sorted(CHECKPOINTS.glob(f"*/{CONFIG_NAME}"))
    return [path.parent.name for path in configs if class_name in (None, read_json(path).get("_class_name"))]


def is_hub_id(id: str) -> bool:
    """Whether `id` has the form `org/name`."""
    parts = id.split("/")
    return len(parts) == 2 and len(id) <= 96 and all(is_bundled_name(part) for part in parts)


def is_bundled_name(name: str) -> bool:
    """Whether `name` has the form of a bundled model's name, which is never looked up on the Hub."""
    return bool(_PLAIN_NAME.fullmatch(name)) and ".." not in name and "--" not in name


def check_parts(source: Source) -> None:
    """`ModelError` unless revision, subfolder, variant and token have the form of such, and a revision is asked of what has some."""
    if not isinstance(source.id, str | Path):
        raise ModelError(f"{str(source.id)[:80]!r} is not the name of a model: give a bundled name, a Hub id 'org/name' or a folder.")
    for what, value, pattern in (
        ("revision", source.revision, _SEGMENTS),
        ("subfolder", source.subfolder, _SEGMENTS),
        ("variant", source.variant, _PLAIN_NAME),
    ):
        if value is not None and (not isinstance(value, str) or not pattern.fullmatch(value) or ".." in value):
            raise ModelError(f"{str(value)[:60]!r} is not a valid {what}: use letters, digits, '.', '_' and '-'.")
    if source.revision is not None and not (isinstance(source.id, str) and is_hub_id(source.id)):
        raise ModelError(f"'{str(source.id)[-80:]}' is not on the Hub, and only what is there has revisions: leave the revision out.")
    check_token(source.token)


def check_token(token: str | bool | None) -> None:
    """`ModelError` for a token that cannot be one: the client would send it again and again before it says that the Hub is out of reach."""
    if isinstance(token, str) and not _TOKEN.fullmatch(token):
        raise ModelError("The access token holds spaces, line breaks or other characters that none has: copy it again, without them.")


def check_target(repo_id: str, revision: str | None, token: str | bool | None) -> None:
    """`ModelError` unless something may be pushed to this branch `revision` of the repository `repo_id`, by its form."""
    if not is_hub_id(repo_id):
        raise ModelError(f"'{repo_id[:80]}' is not a valid Hub id: write it as 'org/name'.")
    check_parts(Source(repo_id, revision, token=token))


def locate(source: Source) -> Path:
    """The local folder that holds the model, downloaded first if it is on the Hub. `ModelError` with what to do."""
    check_parts(source)
    id = source.id
    if Path(id).suffix.lower() in PICKLE_SUFFIXES and not is_folder(Path(id)):
        raise ModelError(
            f"{str(id)[-80:]!r} is a pickled checkpoint, which is never loaded as it is, since pickled files can run code. {CONVERT}"
        )
    if isinstance(id, str) and is_bundled_name(id):
        folder = CHECKPOINTS / id
        if not (folder / CONFIG_NAME).is_file():
            beside = f" For the folder beside you write './{id}'." if Path(id).is_dir() else ""
            raise ModelError(
                f"There is no bundled model '{id}': choose {' or '.join(bundled_names()) or 'a folder'}, or a Hub id 'org/name'.{beside}"
            )
    elif isinstance(id, str) and is_hub_id(id):
        folder = fetch(source, [CONFIG_NAME, source.weights_name])
    else:
        folder = _as_folder(id)
    return _subfolder(folder, source.subfolder) if source.subfolder else folder


def _subfolder(folder: Path, name: str) -> Path:
    """The folder `name` in `folder`; `ModelError` if it is a link to somewhere else."""
    if not (folder / name).resolve().is_relative_to(folder.resolve()):
        raise ModelError(f"'{name}' of the folder '{folder.name}' is a link to somewhere else: copy the folder itself.")
    return folder / name


def _as_folder(id: str | Path) -> Path:
    text = str(id)
    if Path(id) == Path() or not is_folder(Path(id)) or not text.isprintable():
        names = ", ".join(bundled_names()) or "none are installed"
        raise ModelError(f"{text[:80]!r} is not a model: give a bundled name ({names}), a Hub id 'org/name' or an existing folder.")
    return current_folder(Path(id))


def _is_snapshot(folder: Path) -> bool:
    """Whether `folder` lies where the Hub's client keeps a version of a repository: KIND--ORG--NAME/snapshots/COMMIT."""
    return folder.parent.name == "snapshots" and folder.parent.parent.name.startswith(("models--", "datasets--"))


def model_file(folder: Path, name: str) -> Path:
    """The file `name` of a model folder. Links may lead within the folder, or to the blobs of the same cached repository, not elsewhere."""
    path = folder / name
    if not path.is_file():
        pickles = sorted(p.name for p in folder.glob("*") if p.suffix in PICKLE_SUFFIXES) if folder.is_dir() else []
        never = "is never read, since pickled files can run code: ask for safetensors weights."
        hint = f" {pickles[0][:80]!r} {never} {CONVERT}" if pickles else ""
        raise ModelError(f"The model folder '{folder.name}' has no file '{name}'.{hint or ' Choose a folder that a model was saved to.'}")
    return inside(folder, path)


def inside(folder: Path, path: Path) -> Path:
    """Where `path` of a folder of models or samples really lies. `ModelError` for a link that leads neither within the folder nor to the
    blobs of the same cached repository."""
    try:
        real = path.resolve()
    except (OSError, RuntimeError) as error:
        raise ModelError(f"{path.name[:80]!r} of the folder '{folder.name}' is a link that leads to itself: remove it.") from error
    snapshot = next((p for p in (folder.absolute(), *folder.absolute().parents) if _is_snapshot(p)), None)
    # The blobs are a folder of the repository's own: were the place of a link to them allowed, a link could choose what is allowed.
    allowed = [folder.resolve(), *([snapshot.parent.parent.resolve() / "blobs"] if snapshot else [])]
    if not any(real.is_relative_to(place) for place in allowed):
        raise ModelError(
            f"{path.name[:80]!r} of the folder '{folder.name}' is a link to somewhere else: copy the file itself into the folder."
        )
    return real
