"""Sample sets on the Hub: datasets of pictures, label maps, latents and metadata, with a card."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path
from string import Template

from fface_hub.adapters.samples import LAYOUT, SampleSet
from fface_hub.adapters.samples_rows import METADATA, read_rows, row_files
from fface_hub.errors import ModelError
from fface_hub.hub.card_facts import escape, layout_table, shown_id
from fface_hub.remote import fetch, hub_errors, ready_repository
from fface_hub.sources import CARD_NAME, Source, check_parts, check_target

TEMPLATE = Path(__file__).with_name("samples_card.md")
WRITTEN = re.compile(r"\d{4}(_labels\.png|\.png|\.safetensors)")
"""The names of files that a push writes, and a later push of fewer samples takes away."""
LICENSE = re.compile(r"[a-z0-9][a-z0-9.+-]{0,40}")

USAGE = """\
from fface_hub import Generator
from fface_hub.adapters.fit import fit
from fface_hub.adapters.samples import SampleSet

samples = SampleSet.load("$id")
generator = Generator.from_pretrained("$generator")
adapter = fit(generator, samples)"""


def push_samples(
    samples: SampleSet,
    repo_id: str,
    *,
    token: str | bool | None = None,
    private: bool | None = None,
    revision: str | None = None,
    license: str = "apache-2.0",
) -> str:
    """Create the dataset `org/name` if it is not there, upload the set and its card in one commit, and return its URL.

    Samples of an earlier push that are not in the set any more go with the same commit. A branch `revision` is created if need be.
    `license` is the Hub's identifier of one. Raises `ModelError`, also for a public repository that is to be `private`; then it is as it
    was.
    """
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi

    check_target(repo_id, revision, token)
    card = dataset_card(samples, repo_id, license)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "samples"
        samples.save(folder, {CARD_NAME: card})
        paths = sorted(folder.iterdir())
        api = HfApi(token=token)
        with hub_errors(repo_id, "push", "dataset"):
            url = ready_repository(api, repo_id, private, revision, "dataset")
            before = api.list_repo_files(repo_id, repo_type="dataset", revision=revision)
            gone = [name for name in before if WRITTEN.fullmatch(name) and not (folder / name).exists()]
            api.create_commit(
                repo_id,
                [*(CommitOperationAdd(path.name, path) for path in paths), *(CommitOperationDelete(name) for name in gone)],
                commit_message="Upload a sample set of fface-hub",
                repo_type="dataset",
                revision=revision,
            )
    return url


def fetch_samples(source: Source) -> Path:
    """The local folder of the sample set at `source` on the Hub, all of one commit: first what names the files, then these."""
    check_parts(source)
    return fetch(source, [METADATA, LAYOUT], lambda folder: [*dict.fromkeys(row_files(read_rows(folder / METADATA)))])


def dataset_card(samples: SampleSet, id: str, license: str = "apache-2.0") -> str:
    """The card (`README.md`) of a sample set under the Hub id `id`: metadata for the Hub, then sections in Markdown. `ModelError` if
    `license` does not look like an identifier of the Hub's."""
    from huggingface_hub import DatasetCardData

    if not LICENSE.fullmatch(license):
        raise ModelError(f"{license[:60]!r} is not a licence of the Hub: write its identifier, such as 'apache-2.0' or 'cc-by-4.0'.")
    title = id.split("/")[-1]
    data = DatasetCardData(
        license=license,
        pretty_name=title,
        tags=["face-editing", "3d", "few-shot", "fface-samples"],
        task_categories=["image-segmentation"],
        size_categories="n<1K" if len(samples) < 1000 else "1K<n<10K",
    )
    origins = sorted({(o.id, o.fingerprint) for sample in samples.samples if (o := sample.origin) is not None})
    made = "".join(f"\n- Latents of the generator `{shown_id(name)}` with the fingerprint `{escape(print_)}`." for name, print_ in origins)
    sizes = samples.samples[0].image.shape[-1], samples.samples[0].labels.shape[-1]
    text = Template(TEMPLATE.read_text(encoding="utf-8")).substitute(
        title=escape(title),
        summary=f"A few-shot sample set: {len(samples)} painted faces in the {len(samples.layout)} classes of the layout "
        f"*{escape(samples.layout.name)}*, to fit a face adapter with.",
        usage=Template(USAGE).substitute(id=id, generator=shown_id(origins[0][0]) if origins else "heads-triplane"),
        layout=layout_table(samples.layout, {"painted pixels": [f"{count:,}" for count in samples.pixels.values()]}),
        made=f"- {len(samples)} faces; the first one's picture is {sizes[0]}² pixels and its label map {sizes[1]}²." + made,
    )
    return f"---\n{data.to_yaml()}\n---\n\n{text}"
