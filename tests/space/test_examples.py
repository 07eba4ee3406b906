"""The strip of examples: its thumbnails show what the generator draws, and a click gives that face."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from PIL import Image

from fface_hub.doors import read_image
from space import examples, handlers, models
from space.page import build
from tests.space.visit import ALICE, quiet

FACES = examples.FOLDER / "faces"


def difference(one: Image.Image, two: Image.Image) -> float:
    """Mean absolute difference, in 255ths."""
    return float(np.abs(np.asarray(one, dtype=float) - np.asarray(two, dtype=float)).mean())


@pytest.mark.parametrize("seed", [examples.SEEDS[0], examples.SEEDS[-1]])
def test_thumbnails_show_what_the_generator_draws(seed: int) -> None:
    drawn = examples.thumbnail(seed)
    known = {path.stem: difference(read_image(path), drawn) for path in FACES.glob("*.webp")}
    assert min(known, key=lambda name: known[name]) == str(seed) and known[str(seed)] < 4  # what the compression costs


def test_the_photo_is_the_one_that_is_made_3d() -> None:
    assert difference(read_image(FACES / "astronaut.webp"), examples.photo_thumbnail()) < 4


def test_the_strip_is_small_and_has_nothing_else() -> None:
    files = list(FACES.iterdir())
    assert {path.stem for path in files} == {*map(str, examples.SEEDS), "astronaut"}
    assert sum(path.stat().st_size for path in files) <= 60_000
    entries = examples.build().value["entries"]
    assert [entry["seed"] for entry in entries] == [*examples.SEEDS, None]
    assert all(entry["picture"].startswith("data:image/webp;base64,") for entry in entries)


@pytest.mark.usefixtures("tiny_page")
def test_another_generator_offers_no_seeds_of_the_bundled_one() -> None:
    assert [entry["seed"] for entry in examples.build().value["entries"]] == [None]


def test_a_click_is_a_seed() -> None:
    assert examples.chosen_seed({"seed": 22}) == 22
    assert examples.chosen_seed("22") is None and examples.chosen_seed({}) is None


def test_the_photo_needs_nobodys_consent(monkeypatch: pytest.MonkeyPatch) -> None:
    def invert_photo(
        photo: Image.Image, consent: bool, parse: bool, layout: str, square: Any, before: Any, visitor: Any, progress: Any
    ) -> Any:
        yield photo.size, consent, parse, layout, square, before, visitor

    monkeypatch.setattr(handlers, "invert_photo", invert_photo)
    before: Any = object()
    shown = list(examples.invert_example(models.OWN_LAYOUT, before, ALICE, quiet))
    assert shown == [(read_image(examples.PHOTO).size, True, False, models.OWN_LAYOUT, None, before, ALICE)]


def test_a_click_keeps_the_faces_before() -> None:
    """Whatever shows another face is told which one was shown before."""
    page = build()
    (session,) = {event.outputs[0] for event in page.fns.values() if event.name == "draw_face"}
    events = [event for event in page.fns.values() if event.outputs[:1] == [session]]
    sources = [event for event in events if event.name in ("draw_face", "invert_photo", "invert_example", "open_session")]
    assert len(sources) == 6 and all(session in event.inputs for event in sources)
