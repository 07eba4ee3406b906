"""Model cards: metadata in the Hub's form, text that stays text, and bundled cards that match their models."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from huggingface_hub import ModelCard

from fface_hub.adapters.adapter import Adapter
from fface_hub.hub.cards import CARDS, bundled_cards, escape, grid_table, layout_table, model_card
from fface_hub.layouts import EYES_19, LabelClass, Layout
from fface_hub.sources import CHECKPOINTS, bundled_names

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


def test_a_grid_of_fits_is_a_table_by_samples() -> None:
    def row(variant: str, shots: int, miou: float, half: float = 0.0) -> dict[str, object]:
        return {"variant": variant, "shots": shots, "miou": miou, "miou_min": miou - half, "miou_max": miou + half}

    rows = [
        row("fixed-layout", 0, 0.5),
        row("full", 10, 0.8),
        row("full", 1, 0.75, 0.01),
        row("original", 10, 0.7),
        row("oracle", 500, 0.9),
    ]
    told = {"layout": "eyes-19", "identities": 40, "cameras": [[0, 0], [1, 0]], "command": "fface-hub <b>", "seeds": 3}
    text = grid_table({"rows": rows, **told})
    assert "| samples | full | original |\n| --- | --- | --- |\n| 1 | 0.750 (0.740–0.760) | – |\n| 10 | 0.800 | 0.700 |" in text
    assert "which each new one is a part): 0.500; oracle (`full` on 500 samples): 0.900." in text
    assert "40 held-out heads from 2 sides" in text and "<b>" not in text and "<code>fface-hub &#60;b&#62;</code>" in text
    adapter = Adapter(EYES_19.to_dict(), "org/heads", "ab" * 32)
    card = model_card(adapter, "org/eyes", {"adapt": {"rows": rows, **told}})
    assert text in card and ModelCard(card).data.eval_results is None  # how it was run is no figure


def test_names_from_strangers_stay_text() -> None:
    layout = Layout("evil", (LabelClass("<script>alert(1)</script>", (0, 0, 0)), LabelClass("a|b [x](javascript:y) `c`", (1, 2, 3))))
    table = layout_table(layout)
    assert "<" not in table and "[" not in table and "`" not in table and "a&#124;b" in table
    assert escape("a & b") == "a &#38; b"
    stranger = Adapter(layout.to_dict(), 'x"); import os #', "ab" * 32)
    assert "import os" not in model_card(stranger, "org/evil").split("## What it is")[0].replace("orbit, render", "")


def test_the_cards_of_bundled_models_are_up_to_date() -> None:
    for name, card in bundled_cards().items():
        for path in (CARDS / f"{name}.md", CHECKPOINTS / name / "README.md"):
            assert path.is_file() and path.read_text(encoding="utf-8") == card, f"{path.name}: run python -m fface_hub.hub.cards"


def test_no_card_or_result_is_left_without_its_model() -> None:
    known = set(bundled_names())
    assert {path.stem for path in CARDS.glob("*.md")} <= known
    assert {path.stem for path in (CARDS / "results").glob("*.json") if not path.stem.startswith("adapt-")} <= known


@pytest.mark.slow
@pytest.mark.parametrize("name", bundled_names())
def test_the_usage_block_of_a_bundled_card_runs(name: str) -> None:
    block = re.search(r"```python\n(.*?)```", (CARDS / f"{name}.md").read_text(), re.DOTALL)
    assert block is not None
    done = subprocess.run([sys.executable, "-c", block[1]], cwd=ROOT, env=dict(os.environ), capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
