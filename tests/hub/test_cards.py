"""Model cards: metadata in the Hub's form, text that stays text, and bundled cards that match their models."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from huggingface_hub import ModelCard

from fface_hub.adapters.adapter import Adapter
from fface_hub.cli import build_parser
from fface_hub.hub.card_facts import escape, layout_table
from fface_hub.hub.cards import CARDS, DATA_SETS, all_cards, model_card
from fface_hub.hub.figures import grid_table
from fface_hub.inversion.encoder import EDITOR
from fface_hub.layouts import EYES_19, LabelClass, Layout
from fface_hub.models import Model
from fface_hub.sources import CARD_NAME, CHECKPOINTS, bundled_names
from tests.tiny import PAIR, random_generator

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def adapter() -> Adapter:
    return Adapter(EYES_19.to_dict(), "org/heads", "ab" * 32)


def test_the_metadata_are_in_the_hubs_form(adapter: Adapter) -> None:
    results = {"fewshot": {"miou": 0.71, "iou_per_class": {"skin": 0.9}, "identities": 64}}
    data = ModelCard(model_card(adapter, "org/eyes", results)).data
    told = data.to_dict()
    assert [told[name] for name in ("license", "library_name", "pipeline_tag")] == ["apache-2.0", "fface-hub", "image-segmentation"]
    assert (data.base_model, data.base_model_relation) == ("org/heads", "adapter")
    assert "fface-adapter" in data.tags
    assert [(r.metric_type, r.metric_value) for r in data.eval_results] == [("miou", 0.71), ("identities", 64)]
    assert data.model_name == "eyes"
    assert ModelCard(model_card(adapter, "org/eyes")).data.eval_results is None


def test_the_text_has_usage_classes_figures_limits_and_fingerprint(adapter: Adapter) -> None:
    text = model_card(adapter, "org/eyes", {"fewshot": {"miou": 0.71, "iou_per_class": {"pupil": 0.567, "hat": None, "<b>": 1}}})
    for part in ("# eyes\n", 'Adapter.from_pretrained("org/eyes")', 'Generator.from_pretrained("org/heads")', "| mean IoU | 0.71 |"):
        assert part in text
    for part in ("| 17 | pupil | #7f7f7f | iris |", "consent", "Apache-2.0", adapter.fingerprint, "ab" * 32):
        assert part in text
    assert "| pupil | 0.57 |\n| hat | – |\n| &#60;b&#62; | 1.00 |" in text
    assert "Not measured yet." in model_card(adapter, "org/eyes")
    assert not re.search(r"\$\w", text)  # nothing of the template was left open


def test_only_the_bundled_generator_is_said_to_have_seen_no_photograph() -> None:
    bundled = Model.from_pretrained("heads-triplane")
    assert "no photograph of a person was used. Identities" in model_card(bundled, "org/copy")
    for other in (bundled.tuned_copy(), random_generator(0, **PAIR)):
        with torch.no_grad():
            next(iter(other.parameters())).add_(0.5)
        other.origin = None
        text = model_card(other, "org/other")
        assert "whoever published it knows" in text and "studio light" not in text


def test_an_adapter_on_a_released_generator_has_that_licence(adapter: Adapter) -> None:
    fitted = Adapter(**adapter.arguments)
    fitted.release = "eg3d"
    text = model_card(fitted, "org/eyes")
    assert "nvidia-eg3d-non-commercial" in text and "NVIDIA's for EG3D" in text and "Apache-2.0" not in text
    assert "Fitted on a few painted faces" in text and "The generator: Trained by NVIDIA" in text


def test_a_grid_of_fits_is_a_table_and_no_figures(adapter: Adapter) -> None:
    row = {"variant": "full", "shots": 10, "miou": 0.8, "miou_min": 0.8, "miou_max": 0.8}
    grid = {"rows": [row], "layout": "eyes-19", "identities": 40, "cameras": [[0, 0]], "command": "fface-hub", "seeds": 3}
    card = model_card(adapter, "org/eyes", {"adapt": grid})
    assert grid_table(grid) in card and ModelCard(card).data.eval_results is None  # how it was run is no figure


def test_names_from_strangers_stay_text() -> None:
    layout = Layout("evil", (LabelClass("<script>alert(1)</script>", (0, 0, 0)), LabelClass("a|b [x](javascript:y) `c`", (1, 2, 3))))
    table = layout_table(layout)
    assert "<" not in table and "[" not in table and "`" not in table and "a&#124;b" in table
    assert escape("a & b") == "a &#38; b"
    stranger = Adapter(layout.to_dict(), 'x"); import os #', "ab" * 32)
    assert "import os" not in model_card(stranger, "org/evil").split("## What it is")[0].replace("orbit, render", "")


def test_all_cards_are_up_to_date() -> None:
    cards = all_cards()
    wanted = {path for name in bundled_names() for path in (CARDS / f"{name}.md", CHECKPOINTS / name / CARD_NAME)}
    assert set(cards) == wanted | {CARDS / "template.md", ROOT / "README.md"}
    for path, card in cards.items():
        assert path.is_file() and path.read_text(encoding="utf-8") == card, f"{path.name}: run python -m fface_hub.hub.cards"


SECTIONS = ["Use", "What it is", "Measured", "How it was made", "Limits and ethics", "Licence"]


def headings(text: str) -> list[str]:
    """The headings of a card's second level, without what stands in its code blocks."""
    return re.findall(r"^## (.+)$", re.sub(r"```.*?```", "", text, flags=re.DOTALL), re.MULTILINE)


@pytest.mark.parametrize("name", [*bundled_names(), "template"])
def test_every_card_has_the_same_sections_and_metadata(name: str) -> None:
    card = ModelCard.load(CARDS / f"{name}.md")
    assert headings(card.text) == SECTIONS
    assert all(part.strip() for part in re.split(r"^## .+$", card.text, flags=re.MULTILINE)), "a section is empty"
    told = card.data.to_dict()
    assert {"license", "library_name", "pipeline_tag", "tags"} <= set(told) and told["library_name"] == "fface-hub"
    (kind,) = [tag for tag in told["tags"] if "fface-" in tag]
    of_a_generator = any(name in kind for name in ("fface-adapter", "fface-encoder", "fface-editor"))
    assert (told.get("base_model_relation") == "adapter") == ("base_model" in told) == of_a_generator
    assert card.data.eval_results, "figures in the Hub's form"
    for result in card.data.eval_results:
        assert result.task_type == told["pipeline_tag"] or name == "template"
        assert all((result.dataset_type, result.dataset_name, result.metric_type, result.metric_name))
        assert isinstance(result.metric_value, int | float)


@pytest.mark.parametrize("name", bundled_names())
def test_the_figures_of_a_card_are_those_that_were_measured(name: str) -> None:
    results = CARDS / "results"
    if name == EDITOR:  # its figures are those of the preview that begins with its guess
        measured = {"edit": json.loads((results / "edit.json").read_text())["methods"]["ours-preview"]}
    else:
        measured = json.loads((results / f"{name}.json").read_text())
    card = ModelCard.load(CARDS / f"{name}.md")
    told = {(result.dataset_name, result.metric_type): result.metric_value for result in card.data.eval_results or []}
    found = {
        (DATA_SETS[benchmark], figure): value
        for benchmark, figures in measured.items()
        for figure, value in figures.items()
        if type(value) in (int, float)
    }
    assert told == found and len(found) > 2


def test_trainings_are_told_as_commands_that_are_understood() -> None:
    found = 0
    for name in bundled_names():
        for words in re.findall(r"`fface-hub (train [^`]*)`", (CARDS / f"{name}.md").read_text()):
            args = build_parser().parse_args([*words.replace(" N", " 1").split(), "--out", "run"])
            found += args.config == name
    assert found == 4


def test_the_template_says_what_to_write_in_every_place() -> None:
    text = (CARDS / "template.md").read_text()
    assert not re.search(r"\$\w", text)
    assert all(f"[{what}" in text for what in ("the name]", "One sentence", "Number of parameters", "From which data", "Its licence"))


def test_no_card_or_result_is_left_without_its_model() -> None:
    known, tables = set(bundled_names()), ("adapt-", "edit", "encoder-views", "invert", "render-", "transfer")
    assert {path.stem for path in CARDS.glob("*.md")} == known | {"template"}
    assert {path.stem for path in (CARDS / "results").glob("*.json") if not path.stem.startswith(tables)} <= known


@pytest.mark.slow
@pytest.mark.parametrize("name", bundled_names())
def test_the_usage_block_of_a_bundled_card_runs(name: str) -> None:
    block = re.search(r"```python\n(.*?)```", (CARDS / f"{name}.md").read_text(), re.DOTALL)
    assert block is not None
    done = subprocess.run([sys.executable, "-c", block[1]], cwd=ROOT, env=dict(os.environ), capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
