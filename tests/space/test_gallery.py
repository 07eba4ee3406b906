"""The gallery of the page: what its cards say is what models and the Hub's list say, and a card's layout is loaded or refused plainly."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradio as gr
import pytest

from fface_hub.adapters.adapter import Adapter
from fface_hub.doors import read_json
from fface_hub.hub.cards import CARDS, model_card
from fface_hub.hub.gallery import PublishedAdapter
from fface_hub.layouts import LabelClass, Layout
from fface_hub.sources import bundled_names
from space import gallery, models
from tests.hub.client import run_client
from tests.hub.loopback import Hub, Repository

SCRIPT = "<script>alert(1)</script>"


@pytest.mark.usefixtures("tiny_page")
def test_cards_come_at_once_and_their_pictures_later() -> None:
    first, second = gallery.bundled_cards()
    (card,) = first["cards"]
    assert card["id"] == models.OWN_LAYOUT and card["facts"][1] == "Not measured"  # of this tiny generator
    assert [item["name"] for item in card["classes"]] == list(models.generator().layout.names)
    assert second["cards"][0]["picture"].startswith("data:image/png;base64,")


def test_scores_are_those_that_were_measured() -> None:
    names = bundled_names("Adapter")
    assert len(names) >= 4
    for name in names:
        miou = read_json(CARDS / "results" / f"{name}.json")["fewshot"]["miou"]
        assert f"mean IoU: {miou:.2f} (Rendered heads, held-out identities, ten painted samples)" == gallery.score(name)
    miou = read_json(CARDS / "results" / "heads-triplane.json")["fidelity"]["miou_base15"]
    assert gallery.score("heads-triplane").startswith(f"mean IoU, base-15: {miou:.2f}")
    assert gallery.score("org/unknown") == "Not measured"


def test_cards_of_bundled_layouts_need_no_rendering(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gallery, "render", lambda *_: pytest.fail("a card was drawn"))
    card = gallery.layout_card("heads-eyes-19")
    assert card["title"] == "heads-eyes-19" and card["facts"][0] == "19 classes" and card["facts"][2] == "Generator: heads-triplane"
    assert {"pupil", "eyelid"} <= {item["name"] for item in card["classes"]}
    assert len({tuple(item["color"]) for item in card["classes"]}) == 19


@pytest.mark.usefixtures("tiny_page")
@pytest.mark.parametrize(
    "chosen", [None, {}, {"chosen": 3}, {"chosen": ""}, {"chosen": "../../etc"}, {"chosen": "heads-eyes-19"}, [SCRIPT]]
)
def test_only_a_layout_that_fits_is_chosen(chosen: Any) -> None:
    with pytest.raises(gr.Error) as told:
        gallery.paint_with(chosen)
    # heads-eyes-19 was fitted on another generator than this tiny one.
    assert "<" not in told.value.message and "inside the program" not in told.value.message


@pytest.mark.usefixtures("tiny_page")
def test_a_chosen_layout_opens_the_edit_tab() -> None:
    name, tabs = gallery.paint_with({"chosen": models.OWN_LAYOUT})
    assert name == models.OWN_LAYOUT and tabs.selected == "edit"


def test_without_a_network_there_is_one_sentence() -> None:
    cards, said = gallery.search_hub()
    assert cards == {"cards": []} and "cannot be reached" in said and said.count(".") == 1


def test_what_the_hub_says_stays_text() -> None:
    card = gallery.hub_card(PublishedAdapter("a/b", SCRIPT, 2, 10))
    assert card["facts"] == ["10 downloads, 2 likes", f"Generator: {SCRIPT}"]  # which the page's script sets as text


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    """A public adapter whose classes are called badly, a private one, and one of another generator."""
    server, folder = Hub(), tmp_path_factory.mktemp("adapter")
    layout = Layout("odd", (LabelClass("background", (0, 0, 0)), LabelClass(SCRIPT, (255, 0, 0))))
    fingerprint = models.bundled_adapter("heads-eyes-19").config["generator_fingerprint"]
    for id, generator, private in (("a/odd", "heads-triplane", False), ("c/own", "heads-triplane", True), ("b/nose", "org/heads", False)):
        adapter = Adapter(layout.to_dict(), generator, fingerprint if generator == "heads-triplane" else "ab" * 32)
        adapter.save_pretrained(folder)
        files = {path.name: path.read_bytes() for path in folder.iterdir()}
        server.repositories[id] = Repository(private)
        server.repositories[id].commit("main", {**files, "README.md": model_card(adapter, id).encode()})
    yield server
    server.close()


SEARCH = """
from space import gallery, models
found["cards"], found["said"] = gallery.search_hub()
found["chosen"], _ = gallery.paint_with({"chosen": "a/odd"})
found["classes"] = models.find_adapter("a/odd").layout.names
models.GENERATOR_ID = "/a/folder"
found["any"], found["other"] = gallery.search_hub()
"""


def test_the_hub_is_searched_as_anybody(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(os.environ, "HF_TOKEN", "hf_test")
    (tmp_path / "token").write_text("hf_test")  # what the server's own account may see is none of a visitor's business
    found = run_client(hub.url, tmp_path, SEARCH)
    assert [card["id"] for card in found["cards"]["cards"]] == ["a/odd"] and found["said"] == "One layout on the Hub for heads-triplane."
    assert found["chosen"] == "a/odd" and found["classes"] == ["background", SCRIPT]
    assert [card["id"] for card in found["any"]["cards"]] == ["a/odd", "b/nose"] and "for any generator" in found["other"]
