"""Model cards: one template, filled from the model itself and from measured results.

`python -m fface_hub.hub.cards` writes the card of every bundled model into `model_cards/` and beside its weights, from the figures in
`model_cards/results/NAME.json` (`{"fidelity": {"psnr": 27.1, ...}, ...}`: a benchmark's own JSON under its name), of an adapter also those
in `model_cards/results/adapt-LAYOUT.json`, and of the editor those of the preview in `model_cards/results/edit.json`;
`model_cards/template.md`, for cards that are written by hand; and the tables of figures in the README (`hub/figures.py`). A test compares.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from string import Template
from typing import Any

from fface_hub.adapters.adapter import Adapter
from fface_hub.doors import read_json
from fface_hub.hub.card_facts import GENERATOR, KINDS, OF_A_GENERATOR, escape, facts_of, markdown_table, shown_id
from fface_hub.hub.figures import fill_tables, grid_table
from fface_hub.hub.releases import RELEASES
from fface_hub.inversion.encoder import CanonicalEditor
from fface_hub.models import Model
from fface_hub.sources import CARD_NAME, CHECKPOINTS, bundled_names, is_bundled_name

TEMPLATE = Path(__file__).with_name("card.md")
CARDS = Path(__file__).parents[2] / "model_cards"
# What each benchmark is measured on, and how its figures are called in words.
DATA_SETS = {
    "fidelity": "Rendered heads, held-out identities",
    "fewshot": "Rendered heads, held-out identities, ten painted samples",
    "parser": "Rendered heads, held-out identities, 128²",
    "invert": "Rendered heads, held-out identities, one picture in (yaw 0, ±20° or ±40°)",
    "edit": "Rendered heads, held-out identities, named edits painted by the truth; preview of four steps, medians",
    "landmarks": "Rendered heads, held-out identities at known cameras, yaw ±35°, pitch ±15°",
    "left-out": "The painted faces, dealt into up to three parts, each seen by a fit on the others",
}
LEFT_OUT = "left-out"
"""No benchmark but the page's own score of a layout: of faces that nobody else has, so nothing for the Hub's tables."""
FIGURES = {
    "psnr": "PSNR (dB)",
    "psnr_head": "PSNR on the head (dB)",
    "ssim": "SSIM",
    "miou": "mean IoU",
    "generator_miou_base15": "mean IoU of the generator's own labels, base-15",
    "classes": "classes",
    "miou_base15": "mean IoU, base-15",
    "depth_error": "depth error (world units)",
    "swap_psnr": "PSNR under another face's appearance (dB)",
    "swap_label_change": "share of labels that change with the appearance",
    "late_rows_label_change": "share of labels that change with the late rows",
    "late_rows_l1": "colour change with the late rows (L1)",
    "identities": "identities",
    "faces": "painted faces",
    "yaw": "yaw, median error (°)",
    "pitch": "pitch, median error (°)",
    "roll": "roll, median error (°)",
    "rotation": "whole rotation, median error (°)",
    "network_rotation": "whole rotation without the fit of the mean head, median error (°)",
    "rotation_p90": "whole rotation, error that nine of ten keep below (°)",
    "points": "five points, mean distance (shares of the pupils' distance)",
    "haar_found": "share of the heads that the Haar cascade finds",
    "haar_yaw": "from Haar's box: yaw, median error (°)",
    "haar_pitch": "from Haar's box: pitch, median error (°)",
    "haar_roll": "from Haar's box: roll, median error (°)",
    "haar_rotation": "from Haar's box: whole rotation, median error (°)",
    "haar_network_rotation": "from Haar's box: whole rotation without the fit, median error (°)",
    "haar_rotation_p90": "from Haar's box: whole rotation, error that nine of ten keep below (°)",
    "haar_points": "from Haar's box: five points, mean distance (shares of the pupils' distance)",
    "seconds": "time (s)",
    "seconds_p95": "time that 95 of 100 keep below (s)",
    "steps": "steps",
    "pairs": "pairs",
    "refused": "refused edits",
    "region_iou": "edited region, share of what was to change and did, of all that did or was to",
    "moved": "edited region, share of the asked pixels that have their label",
    "class_miou": "edited region, mean IoU of the classes that change",
    "outside_psnr": "outside the region, PSNR against the picture before (dB)",
    "outside_ssim": "outside the region, SSIM",
    "outside_lpips": "outside the region, LPIPS",
    "seam": "seam (255ths)",
    "truth_miou": "from other sides against the truth, mean IoU",
    "truth_psnr": "from other sides against the truth, PSNR (dB)",
    "truth_depth_error": "from other sides against the truth, depth error (world units)",
    "heads": "heads",
    "cpu_seconds": "processor time (s)",
    "camera_error_degrees": "camera, mean error (°)",
    **{
        f"{where}_{name}": f"{told}, {what}"
        for where, told in (("input", "at the picture's view"), ("front", "from the front"), ("side", "from ±30° and ±60°"))
        for name, what in (
            ("psnr", "PSNR (dB)"),
            ("psnr_head", "PSNR on the head (dB)"),
            ("ssim", "SSIM"),
            ("lpips", "LPIPS (heads-parser)"),
            ("miou", "mean IoU, base-15"),
            ("miou_merged", "mean IoU of hair, face, clothes, background"),
            ("depth_error", "depth error (world units)"),
        )
    },
}

BLANKS = {
    "title": "[the name]",
    "summary": "[One sentence: what it is, for which generator, in which classes.]",
    "picture": "\n\n![A face from three sides, its labels, and their classes](preview.png)",
    "usage": '# [a few lines that run as they are]\nfrom fface_hub import Generator\n\ngenerator = Generator.from_pretrained("[org/name]")',
    "details": "[Number of parameters, structure, settings; the table of classes with id, name, colour and the class each merges into; of "
    "an adapter the fingerprint of its generator.]",
    "measured": "[On which data, by which command: a table of figures, and of the IoU of every class. The same figures stand above as "
    "`model-index`. If there are none: Not measured yet.]",
    "made": "[From which data, of whose faces, with whose consent; how long, on what; by which command.]",
    "limits": "- [What it never saw, where it is wrong, what it must not be used for.]",
    "license": "[Its licence, in words.]",
    "fingerprint": "[what fface-hub check prints]",
}
"""What the template asks for in each place."""

LABELS_OF = {
    "eg3d": "- It has no class labels: pictures, depth, views and meshes work; painting, editing and adapters need `fface-hub label`.",
    "labelled": "- Its class labels were fitted afterwards, on its own faces; small classes and those that few faces have are the least "
    "certain.",
}
"""What a released generator's decoder means for its labels."""


def model_card(model: Model, id: str, results: Mapping[str, Any] | None = None, picture: str | None = None, provenance: str = "") -> str:
    """The card (`README.md`) of `model` under the name or Hub id `id`: metadata for the Hub, then sections in Markdown.

    `results` maps a benchmark to its figures; numbers become the Hub's evaluation results, nested tables stay in their JSON file.
    `picture` is the name of a preview that lies beside the card. `provenance` says in Markdown from which file converted weights come.
    """
    facts = facts_of(model, id)
    facts["license"] = "Apache-2.0."
    if model.release is not None:
        release = RELEASES[model.release]
        fitted = isinstance(model, Adapter) and model.release != "ffacenerf"  # here, on the generator of that release
        made = f"{facts['made']} The generator: {release.made}" if fitted else release.made
        facts |= {"made": " ".join(filter(None, (made, provenance))), "license": release.license}
        facts["limits"] = "\n".join(filter(None, (release.limits, LABELS_OF.get(model.config.get("decoder", "")))))
    facts["picture"] = f"\n\n![A face from three sides, its labels, and their classes]({picture})" if picture else ""
    text = Template(TEMPLATE.read_text(encoding="utf-8")).substitute(
        facts, title=id.split("/")[-1], measured=_measured(results or {}), fingerprint=model.fingerprint
    )
    return f"---\n{_metadata(model, id, results or {})}\n---\n\n{text}"


def _metadata(model: Model, id: str, results: Mapping[str, Any]) -> str:
    """The YAML head of the card. A generator's figures and an adapter's name their task as the Hub does."""
    from huggingface_hub import EvalResult, ModelCardData

    task, tag = next((about for kind, about in KINDS.items() if isinstance(model, kind)), GENERATOR)
    base = isinstance(model, OF_A_GENERATOR)
    figures = [
        EvalResult(task, "rendered-heads", DATA_SETS.get(benchmark, benchmark), name, value, metric_name=FIGURES.get(name, name))
        for benchmark, table in results.items()
        if benchmark != LEFT_OUT
        for name, value in _numbers(table)
    ]
    data = ModelCardData(
        library_name="fface-hub",
        pipeline_tag=task,
        tags=["face-editing", "3d", tag],
        **_license(model),
        base_model=shown_id(model.config["generator_id"]) if base else None,
        base_model_relation="adapter" if base else None,
        model_name=id.split("/")[-1] if figures else None,
        eval_results=figures or None,
    )
    return data.to_yaml()


def _license(model: Model) -> dict[str, Any]:
    """The licence, in the words of the Hub's metadata."""
    if model.release is None:
        return {"license": "apache-2.0"}
    release = RELEASES[model.release]
    link = {} if release.license_link is None else {"license_link": release.license_link}
    return {"license": "other", "license_name": release.license_name, **link}


def _numbers(table: Mapping[str, Any]) -> list[tuple[str, float]]:
    """The figures of a benchmark by name; none of a grid, whose numbers say how it was run."""
    if "rows" in table:
        return []
    return [(name, value) for name, value in table.items() if isinstance(value, int | float) and not isinstance(value, bool)]


def _measured(results: Mapping[str, Any]) -> str:
    """One Markdown table per benchmark, and one of its classes if it has measured them."""
    parts = []
    for benchmark, table in results.items():
        if benchmark == "adapt":
            parts.append(grid_table(table))
            continue
        rows = [f"| {escape(FIGURES.get(name, name))} | {value:.4g} |" for name, value in _numbers(table)]
        command = "" if benchmark == LEFT_OUT else f" (`fface-hub benchmark {escape(benchmark)}`)"
        parts.append(f"{escape(DATA_SETS.get(benchmark, benchmark))}{command}:")
        parts.append(markdown_table(["figure", "value"], rows))
        scores = table.get("iou_per_class")
        if isinstance(scores, Mapping):
            found = [f"| {escape(name)} | {'–' if score is None else f'{score:.2f}'} |" for name, score in scores.items()]
            parts.append(markdown_table(["class", "IoU (–: not seen)"], found))
    return "\n\n".join(parts) or "Not measured yet."


def save_with_card(model: Model, folder: Path, provenance: str, id: str | None = None) -> None:
    """Save a converted `model` and its card to `folder` in one step; without an `id` the card tells how to load that folder."""
    own = f"./{folder.name}" if is_bundled_name(folder.name) else "./model"
    model.save_pretrained(folder, beside={CARD_NAME: model_card(model, id or own, provenance=provenance)})


def bundled_cards() -> dict[str, str]:
    """Name → card of every bundled model, from its weights and its files in `model_cards/results`."""
    cards = {}
    for name in bundled_names():
        model = Model.from_pretrained(name)
        path = CARDS / "results" / f"{name}.json"
        results = read_json(path) if path.is_file() else {}
        if isinstance(model, CanonicalEditor):
            results["edit"] = read_json(CARDS / "results" / "edit.json")["methods"]["ours-preview"]
        if isinstance(model, Adapter) and (grid := CARDS / "results" / f"adapt-{model.layout.name}.json").is_file():
            results["adapt"] = read_json(grid)
        cards[name] = model_card(model, name, results)
    return cards


def template_card() -> str:
    """The card of no model in particular, with [what to write] in the place of facts."""
    from huggingface_hub import EvalResult, ModelCardData

    data = ModelCardData(
        library_name="fface-hub",
        pipeline_tag="[a task of the Hub, such as image-segmentation]",
        tags=["face-editing", "3d", "[fface-generator, fface-adapter, fface-encoder, fface-editor, fface-landmarks or fface-parser]"],
        license="[a licence of the Hub, such as apache-2.0]",
        base_model="[only of an adapter: the id of its generator]",
        base_model_relation="adapter",
        model_name="[the name]",
        eval_results=[EvalResult("[task]", "[id of the data]", "[the data in words]", "[metric]", 0, metric_name="[the metric in words]")],
    )
    return f"---\n{data.to_yaml()}\n---\n\n{Template(TEMPLATE.read_text(encoding='utf-8')).substitute(BLANKS)}"


def all_cards() -> dict[Path, str]:
    """Path → text of all that is published: the cards of every bundled model in `model_cards/` and beside its weights, the template, and
    the README with its tables.
    """
    bundled = bundled_cards().items()
    places = {path: card for name, card in bundled for path in (CARDS / f"{name}.md", CHECKPOINTS / name / CARD_NAME)}
    readme = CARDS.parent / "README.md"
    return {**places, CARDS / "template.md": template_card(), readme: fill_tables(readme.read_text(encoding="utf-8"))}


def write_cards() -> list[Path]:
    """Write all cards; the paths written."""
    cards = all_cards()
    for path, card in cards.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(card, encoding="utf-8")
    return list(cards)


if __name__ == "__main__":
    for written in write_cards():
        print(written)
