"""Model cards: one template, filled from the model itself and from measured results.

`python -m fface_hub.hub.cards` writes the card of every bundled model into `model_cards/` and beside its weights, from the figures in
`model_cards/results/NAME.json` (`{"fidelity": {"psnr": 27.1, ...}, ...}`: a benchmark's own JSON under its name), and of an adapter also
those in `model_cards/results/adapt-LAYOUT.json`. A test compares.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from string import Template
from typing import Any

from fface_hub.adapters.adapter import Adapter
from fface_hub.doors import read_json
from fface_hub.generators.base import Generator
from fface_hub.hub.releases import RELEASES
from fface_hub.layouts import Layout
from fface_hub.models import Model
from fface_hub.sources import CHECKPOINTS, bundled_names, is_bundled_name, is_hub_id

TEMPLATE = Path(__file__).with_name("card.md")
CARDS = Path(__file__).parents[2] / "model_cards"
# What each benchmark is measured on, and how its figures are called in words.
DATA_SETS = {
    "fidelity": "Rendered heads, held-out identities",
    "fewshot": "Rendered heads, held-out identities, ten painted samples",
}
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
}

LABELS_OF = {
    "eg3d": "- It has no class labels: pictures, depth, views and meshes work; painting, editing and adapters need `fface-hub label`.",
    "labelled": "- Its class labels were fitted afterwards, on its own faces; small classes and those that few faces have are the least "
    "certain.",
}
"""What a released generator's decoder means for its labels."""

GENERATOR_USAGE = """\
from fface_hub import Generator, orbit, render

generator = Generator.from_pretrained("$id")
views = render(generator.scene(generator.sample(1, seed=3)), orbit(5), resolution=64)
views.image  # [5,3,$side,$side] in [-1, 1]; views.labels, views.depth and views.opacity belong to it"""
ADAPTER_USAGE = """\
from fface_hub import Adapter, Generator, orbit, render

generator = Generator.from_pretrained("$generator")
adapter = Adapter.from_pretrained("$id")
views = render(generator.scene(generator.sample(1, seed=3)), orbit(5), resolution=64, adapter=adapter)
views.labels  # [5,64,64], ids of the classes below"""


def model_card(model: Model, id: str, results: Mapping[str, Any] | None = None, picture: str | None = None, provenance: str = "") -> str:
    """The card (`README.md`) of `model` under the name or Hub id `id`: metadata for the Hub, then sections in Markdown.

    `results` maps a benchmark to its figures; numbers become the Hub's evaluation results, nested tables stay in their JSON file.
    `picture` is the name of a preview that lies beside the card. `provenance` says in Markdown from which file converted weights come.
    """
    facts = _adapter_facts(model, id) if isinstance(model, Adapter) else _model_facts(model, id)
    facts["license"] = "Apache-2.0."
    if model.release is not None:
        release = RELEASES[model.release]
        facts |= {"made": " ".join(filter(None, (release.made, provenance))), "license": release.license}
        facts["limits"] = "\n".join(filter(None, (release.limits, LABELS_OF.get(model.config.get("decoder", "")))))
    facts["picture"] = f"\n\n![A face from three sides, its labels, and their classes]({picture})" if picture else ""
    text = Template(TEMPLATE.read_text(encoding="utf-8")).substitute(
        facts, title=id.split("/")[-1], measured=_measured(results or {}), fingerprint=model.fingerprint
    )
    return f"---\n{_metadata(model, id, results or {})}\n---\n\n{text}"


def _metadata(model: Model, id: str, results: Mapping[str, Any]) -> str:
    """The YAML head of the card. A generator's figures and an adapter's name their task as the Hub does."""
    from huggingface_hub import EvalResult, ModelCardData

    adapter = isinstance(model, Adapter)
    task = "image-segmentation" if adapter else "unconditional-image-generation"
    figures = [
        EvalResult(task, "rendered-heads", DATA_SETS.get(benchmark, benchmark), name, value, metric_name=FIGURES.get(name, name))
        for benchmark, table in results.items()
        for name, value in _numbers(table)
    ]
    data = ModelCardData(
        library_name="fface-hub",
        pipeline_tag=task,
        tags=["face-editing", "3d", "fface-adapter" if adapter else "fface-generator"],
        **_license(model),
        base_model=shown_id(model.config["generator_id"]) if adapter else None,
        base_model_relation="adapter" if adapter else None,
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
        parts.append(f"{escape(DATA_SETS.get(benchmark, benchmark))} (`fface-hub benchmark {escape(benchmark)}`):")
        parts.append(_table(["figure", "value"], rows))
        scores = table.get("iou_per_class")
        if isinstance(scores, Mapping):
            found = [f"| {escape(name)} | {'–' if score is None else f'{score:.2f}'} |" for name, score in scores.items()]
            parts.append(_table(["class", "IoU (–: not seen)"], found))
    return "\n\n".join(parts) or "Not measured yet."


def grid_table(figures: Mapping[str, Any]) -> str:
    """What `fface-hub benchmark adapt` found, in Markdown: a line for each number of samples, and what bounds them."""
    rows = {(row["variant"], row["shots"]): row for row in figures["rows"]}
    bounds = {"fixed-layout": "the generator's own classes, of which each new one is a part", "oracle": "`full` on {shots} samples"}
    names = list(dict.fromkeys(name for name, _ in rows if name not in bounds))
    lines = []
    for shots in sorted({shots for name, shots in rows if name in names}):
        cells = [score(rows.get((name, shots))) for name in names]
        lines.append(f"| {shots} | {' | '.join(cells)} |")
    told = [f"{name} ({bounds[name].format(shots=shots)}): {score(row)}" for (name, shots), row in rows.items() if name in bounds]
    about = (
        f"Mean IoU of layout {escape(figures['layout'])} by the number of painted samples, on {figures['identities']} held-out heads from "
        f"{len(figures['cameras'])} sides (in brackets the range over seeds; <code>{escape(figures['command'])}</code>):"
    )
    return "\n\n".join([about, _table(["samples", *names], lines), *([f"For comparison, {'; '.join(told)}."] if told else [])])


def score(row: Mapping[str, Any] | None) -> str:
    """A mean, and its range if there is one."""
    if row is None:
        return "–"
    spread = f" ({row['miou_min']:.3f}–{row['miou_max']:.3f})" if row["miou_max"] > row["miou_min"] else ""
    return f"{row['miou']:.3f}{spread}"


def _table(heads: list[str], rows: list[str]) -> str:
    return "\n".join([f"| {' | '.join(heads)} |", "|" + " --- |" * len(heads), *rows])


def layout_table(layout: Layout, further: Mapping[str, Sequence[str]] | None = None) -> str:
    """The classes of a layout as a Markdown table: id, name, colour, parent, and the `further` columns by their heads (a text for each
    class). Names are shown as text, whatever they contain."""
    further = further or {}
    rows = []
    for number, item in enumerate(layout.classes):
        cells = [str(number), escape(item.name), "#" + bytes(item.color).hex(), escape(item.parent or "–")]
        rows.append(f"| {' | '.join([*cells, *(column[number] for column in further.values())])} |")
    return _table(["id", "class", "colour", "merges into", *further], rows)


def escape(text: str) -> str:
    """`text` as Markdown that shows it literally: HTML entities for everything that Markdown or HTML would read."""
    return re.sub(r"[&<>\"\\`*_{}\[\]|~]", lambda match: f"&#{ord(match[0])};", text)


def shown_id(id: str) -> str:
    """An id that may stand in metadata and code as it is; anything that has not the form of one is replaced."""
    return id if is_bundled_name(id) or is_hub_id(id) else "unknown-generator"


def _adapter_facts(model: Adapter, id: str) -> dict[str, str]:
    generator = shown_id(model.config["generator_id"])
    count = sum(parameter.numel() for parameter in model.parameters())
    return {
        "summary": f"A face adapter: it labels every face of the generator `{generator}` with the {len(model.layout)} classes of the "
        f"layout *{escape(model.layout.name)}*.",
        "usage": Template(ADAPTER_USAGE).substitute(id=id, generator=generator),
        "details": f"A network of {count:,} numbers that reads the generator's features, density and labels at points in space and gives "
        f"logits of its own classes; pictures and shapes stay the generator's. It fits only the generator with the fingerprint "
        f"`{model.config['generator_fingerprint']}` and is refused on others.\n\n{layout_table(model.layout)}",
        "made": "Fitted on a few painted faces, after FFaceNeRF: cross-entropy and overlap loss, with the late style rows mixed at random "
        "so that labels do not lean on colour; on faces that nobody painted, its classes are held to those of the generator.",
        "limits": "- Small or rare classes are the least certain, and labels far from the frontal view are extrapolated.",
    }


def _model_facts(model: Model, id: str) -> dict[str, str]:
    count = sum(parameter.numel() for parameter in model.parameters())
    layout = getattr(model, "layout", None)
    kind = "generator of 3-D faces with class labels" if isinstance(model, Generator) else "model"
    settings = [f"| `{name}` | {escape(str(value))} |" for name, value in model.arguments.items()]
    classes = f"\n\n{layout_table(layout)}" if isinstance(layout, Layout) else ""
    return {
        "summary": f"A {kind} of the family `{type(model).__name__}`.",
        "usage": Template(GENERATOR_USAGE).substitute(id=id, side=512 if model.arguments.get("superresolution") else 64),
        "details": f"{count:,} parameters.\n\n" + _table(["setting", "value"], settings) + classes,
        "made": "Trained by volume rendering on rendered heads, whose pictures, labels and depths are known exactly; no photograph of a "
        "person was used. Identities with seeds from 1,000,000 were never trained on.",
        "limits": "- Faces look like the rendered heads it learnt from: studio light, plain background, few hair styles.",
    }


def write_card(model: Model, folder: Path, provenance: str, id: str | None = None) -> None:
    """Put the card of a converted `model` beside its weights in `folder`; without an `id` it tells how to load that folder."""
    own = f"./{folder.name}" if is_bundled_name(folder.name) else "./model"
    (folder / "README.md").write_text(model_card(model, id or own, provenance=provenance), encoding="utf-8")


def bundled_cards() -> dict[str, str]:
    """Name → card of every bundled model, from its weights and its files in `model_cards/results`."""
    cards = {}
    for name in bundled_names():
        model = Model.from_pretrained(name)
        path = CARDS / "results" / f"{name}.json"
        results = read_json(path) if path.is_file() else {}
        if isinstance(model, Adapter) and (grid := CARDS / "results" / f"adapt-{model.layout.name}.json").is_file():
            results["adapt"] = read_json(grid)
        cards[name] = model_card(model, name, results)
    return cards


def write_cards() -> list[Path]:
    """Write all bundled cards to `model_cards/NAME.md` and `checkpoints/NAME/README.md`; the paths written."""
    paths = []
    for name, card in bundled_cards().items():
        for path in (CARDS / f"{name}.md", CHECKPOINTS / name / "README.md"):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(card, encoding="utf-8")
            paths.append(path)
    return paths


if __name__ == "__main__":
    for written in write_cards():
        print(written)
