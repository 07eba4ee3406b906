"""The gallery of the page: what its cards say is what models and the Hub's list say, and a card's layout is loaded or refused plainly."""

from __future__ import annotations

import base64
import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradio as gr
import pytest
from PIL import Image

from fface_hub.adapters.adapter import Adapter
from fface_hub.doors import read_image, read_json
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
    ((cards, said),) = gallery.search_hub()
    assert cards == {"cards": []} and "cannot be reached" in said and said.count(".") == 1


def test_what_the_hub_says_stays_text() -> None:
    card = gallery.hub_card(PublishedAdapter("a/b", SCRIPT, 2, 10))
    assert card["facts"] == ["10 downloads, 2 likes", f"Generator: {SCRIPT}"]  # which the page's script sets as text


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    """A public adapter whose classes are called badly, with a picture and a score; one on other weights; one whose config is none; one of
    another generator; and a private one."""
    server, folder = Hub(), tmp_path_factory.mktemp("adapter")
    layout = Layout("odd", (LabelClass("background", (0, 0, 0)), LabelClass(SCRIPT, (255, 0, 0))))
    fingerprint = models.bundled_adapter("heads-eyes-19").config["generator_fingerprint"]
    picture = io.BytesIO()
    Image.new("RGB", (384, 900), (0, 200, 0)).save(picture, "PNG")
    for id, generator, stamp in (
        ("a/odd", "heads-triplane", fingerprint),
        ("b/nose", "org/heads", "ab" * 32),
        ("c/own", "heads-triplane", fingerprint),
        ("d/stale", "heads-triplane", "cd" * 32),
        ("e/broken", "heads-triplane", fingerprint),
    ):
        adapter = Adapter(layout.to_dict(), generator, stamp)
        adapter.save_pretrained(folder)
        files = {path.name: path.read_bytes() for path in folder.iterdir()}
        results = {"fewshot": {"miou": 0.625}} if id == "a/odd" else None
        files["README.md"] = model_card(adapter, id, results).encode()
        if id == "a/odd":
            files["preview.png"] = picture.getvalue()
        if id == "e/broken":
            files |= {"config.json": b"{}", "preview.png": b"no picture"}
        server.repositories[id] = Repository(private=id == "c/own")
        server.repositories[id].commit("main", files)
    yield server
    server.close()


SEARCH = """
from space import gallery, limits, models
steps = list(gallery.search_hub())
found["steps"], (found["cards"], found["said"]) = len(steps), steps[-1]
found["chosen"], _ = gallery.paint_with({"chosen": "a/odd"})
found["classes"] = models.find_adapter("a/odd").layout.names
limits.LOOKED = 1
found["few"], found["first"] = list(gallery.search_hub())[-1]
fault(["GET", "/api/models/", "drop"])
found["cut"] = [told for _, told in gallery.search_hub()]
models.GENERATOR_ID = "/a/folder"
found["any"], found["other"] = next(gallery.search_hub())
"""


def test_the_hub_is_searched_as_anybody(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(os.environ, "HF_TOKEN", "hf_test")
    (tmp_path / "token").write_text("hf_test")  # what the server's own account may see is none of a visitor's business
    found = run_client(hub.url, tmp_path, SEARCH)
    cards = {card["id"]: card for card in found["cards"]["cards"]}
    assert list(cards) == ["a/odd", "d/stale", "e/broken"] and found["said"] == "3 layouts on the Hub for heads-triplane."
    assert found["chosen"] == "a/odd" and found["classes"] == ["background", SCRIPT]
    assert [card["id"] for card in found["any"]["cards"]] == ["a/odd", "b/nose", "d/stale", "e/broken"]
    assert "for any generator" in found["other"]

    assert found["steps"] == 1 + len(cards)  # each as it is looked into
    assert len(found["cut"]) == 2 and "cannot be reached" in found["cut"][1]  # none where the Hub is gone
    assert found["first"].endswith("for heads-triplane. The first 1 are shown with their classes.")
    odd, stale, broken = cards.values()
    score = "Its card says: mean IoU: 0.62 (Rendered heads, held-out identities, ten painted samples)"
    assert odd["facts"] == ["2 classes", score, "10 downloads, 2 likes", "Generator: heads-triplane"]
    assert [item["name"] for item in odd["classes"]] == ["background", SCRIPT]  # which the page's script sets as text
    picture = read_image(base64.b64decode(odd["picture"].removeprefix("data:image/png;base64,")))
    assert picture.size == (384, 256) and picture.getpixel((9, 9)) == (0, 200, 0)
    assert stale["facts"][1] == "Not measured" and "other weights" in stale["facts"][-1] and stale["picture"] == ""
    assert broken["classes"] == [] and broken["picture"] == "" and "class" in broken["facts"][-1]
    assert [bool(card["classes"]) for card in found["few"]["cards"]] == [True, False, False]
