"""The audit of a model folder or repository: everything that the loader would refuse, and what a stranger's model should not hold.

Nothing of it is executed: names and sizes are looked at, the config is read as strict JSON and the weights as safetensors, by the loader's
own checks.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path, PurePosixPath

from fface_hub.doors import read_tensors
from fface_hub.errors import FFaceError
from fface_hub.models import fingerprint, read_config, read_weights
from fface_hub.remote import PICKLE_SUFFIXES, fetch, listing
from fface_hub.schema import check_arguments
from fface_hub.sources import CARD_NAME, CONFIG_NAME, Source, check_parts, inside, is_hub_id, locate, model_file

MAX_FILES = 1000
PICKLED = (*PICKLE_SUFFIXES, ".pickle", ".joblib", ".npy", ".npz", ".h5", ".keras", ".mar", ".nemo")
"""Suffixes of files that hold pickled objects or other code, or may."""
PROGRAMS = (
    ".py", ".pyc", ".pyd", ".pyw", ".ipynb", ".sh", ".bash", ".bat", ".cmd", ".ps1", ".vbs", ".pl", ".rb", ".php", ".lua", ".exe", ".msi",
    ".com", ".elf", ".so", ".dll", ".dylib", ".o", ".js", ".mjs", ".jar", ".class", ".wasm", ".whl", ".deb", ".rpm",
)  # fmt: skip
"""Suffixes of files that are run, by a system or an interpreter."""
EXPECTED = (".json", ".safetensors", ".md", ".txt", ".png", ".jpg", ".jpeg", ".webp", ".gif", ".mp4", ".glb")
EXPECTED_NAMES = ("LICENSE", ".gitattributes", ".gitignore")


@dataclass(frozen=True)
class Finding:
    """`what` is remarkable about the file `where`, in one sentence; `refused` if the model must not be used because of it."""

    where: str
    what: str
    refused: bool = True


@dataclass
class Verdict:
    """What an audit found. `model_class` and `fingerprint` are those of the config and the weights, None where these are refused."""

    id: str
    model_class: str | None = None
    fingerprint: str | None = None
    commit: str | None = None
    sizes: dict[str, int] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)

    @property
    def clean(self) -> bool:
        """Whether nothing is refused."""
        return not any(finding.refused for finding in self.findings)


def check(source: Source) -> Verdict:
    """Audit the model at `source`: a bundled name, `org/name` on the Hub, or a folder. Raises `ModelError` if it cannot be had at all.

    Of a repository on the Hub only the list of files, the config and the weights are fetched, of one commit.
    """
    verdict = Verdict(shown(str(source.id)))
    if isinstance(source.id, str) and is_hub_id(source.id):
        check_parts(source)
        found = listing(source)
        verdict.commit, verdict.sizes = found.commit, {name: size or 0 for name, size in sorted(found.sizes.items())}
        try:
            folder = fetch(replace(source, revision=found.commit), [CONFIG_NAME, source.weights_name])
        except FFaceError as error:
            verdict.findings.append(Finding(verdict.id, str(error)))
            folder = None
    else:
        folder = locate(source)
        verdict.sizes = dict(islice(_files(folder, verdict.findings), MAX_FILES + 1))
    if len(verdict.sizes) > MAX_FILES:
        verdict.sizes = dict(islice(verdict.sizes.items(), MAX_FILES))
        verdict.findings.append(
            Finding(verdict.id, f"There are more than {MAX_FILES} files, and a model has a few: look at them yourself.")
        )
    verdict.findings += [finding for name in verdict.sizes if (finding := _judge_name(name)) is not None]
    if CARD_NAME not in verdict.sizes:
        verdict.findings.append(
            Finding(CARD_NAME, "There is no card: nobody says how the model was made and what it is for.", refused=False)
        )
    if folder is not None:
        _judge_content(verdict, folder, source.weights_name)
    return verdict


def shown(name: str) -> str:
    """A name from a stranger as one may print it: short, and without characters that a terminal obeys."""
    short = name if len(name) <= 100 else f"{name[:99]}…"
    return short if short.isprintable() else repr(short)


def _files(folder: Path, findings: list[Finding]) -> Iterator[tuple[str, int]]:
    """Name and size of every file in a folder, links that lead elsewhere going to the `findings`."""
    for root, folders, names in os.walk(folder):
        for name in sorted([*names, *(name for name in folders if Path(root, name).is_symlink())]):
            path = Path(root, name)
            relative = path.relative_to(folder).as_posix()
            try:
                inside(folder, path)
            except FFaceError as error:
                findings.append(Finding(shown(relative), str(error)))
                if len(findings) > MAX_FILES:
                    return
                continue
            yield relative, path.stat().st_size if path.exists() else 0


def _judge_name(name: str) -> Finding | None:
    """What is to say about a file because of its name, of which every ending counts where the last is not harmless: `model.pth.tar`."""
    path = PurePosixPath(name)
    suffix = path.suffix.lower()
    suffixes = {suffix} if suffix in EXPECTED else {ending.lower() for ending in path.suffixes}
    if suffixes & set(PICKLED):
        return Finding(
            shown(name), "This file may hold pickled objects, which can run code in programs that load it: ask the author to remove it."
        )
    if suffixes & set(PROGRAMS):
        return Finding(shown(name), "This is a program, and a model needs none: ask the author to remove it.")
    if suffix not in EXPECTED and path.name not in EXPECTED_NAMES and path.parts[0] != ".cache":  # where 'hf download' keeps its notes
        what = "This is no usual part of a model, and its name does not tell what it is. It is never read: look at it before you open it."
        return Finding(shown(name), what, refused=False)
    return None


def _judge_content(verdict: Verdict, folder: Path, weights_name: str) -> None:
    """What the loader says to config and weights; weights whose config is refused are read all the same."""
    cls, arguments = None, {}
    try:
        named, raw = read_config(folder, verdict.id)
        arguments = check_arguments(named, raw)
        cls, verdict.model_class = named, named.__name__
    except FFaceError as error:
        verdict.findings.append(Finding(CONFIG_NAME, str(error)))
    try:
        if cls is None:
            read_tensors(model_file(folder, weights_name))
        else:
            verdict.fingerprint = fingerprint(read_weights(folder, weights_name, cls, arguments))
    except FFaceError as error:
        verdict.findings.append(Finding(weights_name, str(error)))
