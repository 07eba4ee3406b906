"""What programs call, through gradio's own client: the endpoints are documented with names and types, files go out and come back, and what
is wrong is one plain sentence."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from PIL import Image

from fface_hub.doors import read_image
from fface_hub.progress import Step
from space import api, handlers, models
from space.jobs import stop_all
from space.page import build
from tests.space.visit import served

PHOTO = Path(__file__).parents[2] / "examples" / "photos" / "astronaut.jpg"
SIGNATURES = """\
predict(api_name="/layouts") -> layouts
predict(seed, layout, api_name="/face") -> (picture, labels, face)
predict(photo, consent, layout, parse, api_name="/invert") -> (picture, labels, face)
predict(face, painted, layout, api_name="/edit") -> (picture, labels, face, reached)
predict(face, layout, api_name="/views") -> (pictures, labels)
predict(face, frames, api_name="/orbit") -> video
predict(face, api_name="/mesh") -> mesh"""


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """A client of a page of its own, on a tiny generator with an inside and an outside."""
    folder = tmp_path_factory.mktemp("api")
    with served(folder) as address:
        yield Client(address, verbose=False, analytics_enabled=False, download_files=folder / "got")


def test_the_client_prints_sensible_names_and_types(client: Client) -> None:
    text = str(client.view_api(print_info=False, return_format="str"))
    assert re.findall(r"^ - (.*)$", text, re.MULTILINE) == SIGNATURES.splitlines()
    told = re.findall(r"\[Api\] (\w+): (.*?) *(?:\(.*\))? *$", text, re.MULTILINE)
    assert ("seed", "int") in told and ("consent", "bool") in told and ("reached", "float") in told and ("layout", "str") in told
    assert {kind for name, kind in told if name in ("photo", "face", "painted", "picture", "video", "mesh")} == {"filepath"}
    assert ("pictures", "list[filepath]") in told and (
        "layouts",
        "list[dict(layout: str, classes: list[dict(name: str, color: list[int])])]",
    ) in told


def test_every_endpoint_is_described_and_the_controls_of_the_page_are_not(client: Client) -> None:
    page = build()
    info = page.get_api_info()["named_endpoints"]
    assert list(info) == [f"/{name}" for name in api.ENDPOINTS]
    for name, endpoint in info.items():
        description = str(endpoint.get("description"))
        for parameter in endpoint["parameters"]:
            about = parameter["parameter_name"]
            assert about in ("face", "layout", "frames", "seed", "photo") or f"`{about}`" in description, (name, about)
        assert description.endswith(".")
    assert "/apply" in page.get_api_info(all_endpoints=True)["named_endpoints"]  # callable, as the load test does


def test_a_face_is_drawn_edited_and_looked_at(client: Client, tmp_path: Path) -> None:
    known = client.predict(api_name="/layouts")
    assert [layout["layout"] for layout in known] == models.layout_choices()
    names = [one["name"] for one in known[0]["classes"]]
    picture, labels, face = client.predict(seed=5, api_name="/face")
    shown = Image.open(labels)
    assert shown.mode == "P" and shown.size == (16, 16) and "computer-made" in str(Image.open(picture).text)  # type: ignore[attr-defined]
    assert (shown.getpalette() or [])[3:6] == known[0]["classes"][1]["color"]
    shown.paste(names.index("hat"), (4, 4, 12, 12))
    shown.save(tmp_path / "painted.png")
    edited, after, moved, reached = client.predict(handle_file(face), handle_file(tmp_path / "painted.png"), api_name="/edit")
    assert 0 <= reached <= 1 and Path(moved).read_bytes() != Path(face).read_bytes() and Path(edited).suffix == ".png"
    # The file is the face: it looks the same, seen from the front, where it is one of the five views.
    pictures, maps = client.predict(handle_file(moved), api_name="/views")
    assert len(pictures) == len(maps) == 5
    assert np.array_equal(np.array(Image.open(maps[2])), np.array(Image.open(after)))
    assert np.abs(np.array(Image.open(pictures[2]), int) - np.array(Image.open(edited), int)).max() <= 1
    assert Path(client.predict(handle_file(moved), frames=2, api_name="/orbit")).read_bytes()[4:8] == b"ftyp"


def test_calls_remember_nothing(client: Client) -> None:
    # One after the other: gradio's client loses the answer to a call that is made just when the one before has ended.
    first, other, again = ([Path(file).read_bytes() for file in client.predict(seed=seed, api_name="/face")] for seed in (1, 2, 1))
    assert first == again and first != other


@pytest.mark.parametrize(
    ("name", "arguments", "sentence"),
    [
        ("/face", ("seven",), "'seed' must be a whole number."),
        ("/face", (True,), "'seed' must be a whole number."),
        ("/face", (-1,), "The seed must be a whole number from 0 to 2147483647."),
        ("/face", (1, None), "'layout' must be text."),
        ("/face", (1, "../../etc"), "There is no layout '../../etc'"),
        ("/face", (1, "<b>"), "There is no layout '&lt;b&gt;'"),
        ("/invert", (handle_file(PHOTO),), "Set consent to true"),
        ("/invert", (handle_file(PHOTO), 1), "'consent' must be true or false."),
        ("/invert", ("photo.png", True), "'photo' must be a file: with gradio_client, pass it as handle_file(path)."),
        ("/orbit", ({"path": "/etc/passwd"}, 4), "'face' must be a file"),
        ("/mesh", (None,), "'face' must be a file"),
        ("/mesh", (handle_file(PHOTO),), "is not a whole safetensors file"),
    ],
)
def test_what_is_wrong_is_one_sentence(client: Client, name: str, arguments: tuple[Any, ...], sentence: str) -> None:
    with pytest.raises(AppError) as told:
        client.predict(*arguments, api_name=name)
    assert sentence in str(told.value) and "inside the program" not in str(told.value)


def test_painting_must_be_on_the_face_that_is_sent(client: Client, tmp_path: Path) -> None:
    _, labels, face = client.predict(seed=5, api_name="/face")
    Image.open(labels).resize((8, 8)).save(tmp_path / "small.png")
    Image.open(labels).convert("RGB").resize((16, 16), Image.Resampling.BICUBIC, (0, 0, 15, 15)).save(tmp_path / "smooth.png")
    for file, sentence in ((labels, "Nothing is painted"), ("small.png", "16 × 16 are needed"), ("smooth.png", "does not have")):
        with pytest.raises(AppError, match=sentence):
            client.predict(handle_file(face), handle_file(tmp_path / file), api_name="/edit")
    with pytest.raises(AppError, match="from 2 to 96 frames"):
        client.predict(handle_file(face), 10_000, api_name="/orbit")


@pytest.mark.usefixtures("tiny_page")
def test_a_photo_is_inverted_as_on_the_page(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked: list[Any] = []

    def invert(generator: Any, photo: Any, settings: Any, callback: Any, encoder: Any, box: Any) -> Any:
        """The visitor goes, and so does the work at its next step."""
        asked.append((photo.size, settings))
        while not stop_all(visitor):  # the job is not known yet
            time.sleep(0.01)
        callback(Step(1, 1, {}))

    visitor: Any = SimpleNamespace(session_hash="program")
    monkeypatch.setattr(handlers, "invert", invert)
    sent = {"path": str(PHOTO), "meta": {"_type": "gradio.FileData"}}
    with pytest.raises(Exception, match="Stopped"):
        api.invert_photo(visitor, sent, True)  # type: ignore[arg-type]
    assert asked == [(read_image(PHOTO).size, handlers.invert_settings(parse=False))]
