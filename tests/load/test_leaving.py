"""Nobody fetches another visitor's files, they are gone when their time is over, and so is what was remembered of who has left."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest
from gradio_client import handle_file
from gradio_client.exceptions import AppError

from tests.load.visitors import Visitor, page, stats

LIFETIME, GRACE = 4.0, 1.5
"""Seconds, on this page."""
ROUTES = ("/gradio_api/file=", "/gradio_api/file/", "/file=", "/file/", "/static/", "/assets/", "/svelte/", "/custom_component/")


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the page and its visitors keep what they have."""
    return tmp_path_factory.mktemp("leaving")


@pytest.fixture(scope="module")
def address(room: Path) -> Iterator[str]:
    """A page that is quick to forget; when it is told to end, nothing is left of its files."""
    with page(room, "tiny", str(LIFETIME), str(GRACE)) as url:
        kept = Path(stats(room)["storage"])
        assert kept.is_dir()
        yield url
    assert not kept.exists()
    log = (room / "log").read_text()
    assert log.count("Traceback") == log.count("InvalidPathError:"), log  # gradio tells of files that nobody uploaded


def wait(until: Callable[[], bool], seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not until():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def disguises(file: Path, storage: Path) -> list[str]:
    """Ways to write the place of `file`, which lies in the page's `storage` but not among what it hands out."""
    path, uploads = str(file), str(storage / "uploads")
    climbing = f"{uploads}/../{file.relative_to(storage)}"
    plain = [
        path,
        climbing,
        f"{uploads}/x/../../{file.relative_to(storage)}",
        f"./..{path}",
        "../" * 12 + path[1:],
        f"/{path}",
        f"file://{path}",
    ]
    coded = [quote(path, safe=""), quote(quote(path, safe=""), safe=""), climbing.replace("..", "%2e%2e"), climbing.replace("/", "%2f")]
    return [*plain, *coded, climbing.replace("/", "\\"), climbing.replace("..", "..%00"), f"{path}%00.png", path.upper(), str(file.parent)]


def test_files_of_a_visitor_are_out_of_reach_of_others(address: str, room: Path) -> None:
    alice, bob = Visitor(address, 0, room), Visitor(address, 1, room)
    alice.round()
    storage = Path(stats(room)["storage"])
    secret = [path for path in (storage / "sessions").rglob("*") if path.is_file()]
    assert len(secret) >= 2
    contents, tried = {path.read_bytes() for path in secret}, 0
    with httpx.Client(base_url=address) as http:
        for file in (*secret, Path("/etc/passwd"), Path(__file__), room / "generator" / "config.json"):
            places = disguises(file, storage) if file in secret else [str(file), quote(str(file), safe="")]
            for place in places:
                for route in ROUTES:
                    answer = http.get(f"{route}{place}")
                    tried += 1
                    assert answer.status_code != 200 or answer.headers["content-type"].startswith("text/html"), f"{route}{place}"
                    assert answer.content not in contents and b"root:" not in answer.content
        # What was shown lies under a name that holds a secret of this machine: folders are not listed, and a hash of the content is no key.
        for place in (storage, storage / "uploads", storage / "sessions", storage / "uploads" / ("0" * 64) / "image.png"):
            assert http.get(f"/gradio_api/file={place}").status_code == 403
    for file in secret[:1]:
        given = {"path": str(file), "meta": {"_type": "gradio.FileData"}}
        refused = [("photo_chosen", (given,)), ("apply", (given, True, []))]
        for name, arguments in refused:  # bob tells the page that he has uploaded it
            with pytest.raises(AppError, match="upstream Gradio app"):
                upload_nothing(bob, name, arguments)
    print(f"{tried} requests for files of others")


def test_the_page_fetches_nothing_that_a_client_names(address: str, room: Path) -> None:
    """gradio would download an address in place of a file."""
    client = Visitor(address, 5, room).client
    for name in ("/mesh", "/photo_chosen"):
        with pytest.raises(AppError, match="Send the file itself"):
            client.predict(handle_file(f"{address}/theme.css"), api_name=name)


def upload_nothing(visitor: Visitor, name: str, arguments: tuple[object, ...]) -> None:
    """Call a handler with arguments as they are: the client would upload the files that they name."""
    endpoint = next(e for e in visitor.client.endpoints.values() if e.api_name == f"/{name}")
    endpoint.process_input_files = lambda *data: data  # type: ignore[method-assign]
    visitor.client.predict(*arguments, api_name=f"/{name}")


def test_files_go_when_their_time_is_over(address: str, room: Path) -> None:
    carol = Visitor(address, 2, room)
    carol.round()
    uploads = Path(stats(room)["storage"]) / "uploads"
    shown = [path for path in uploads.rglob("*") if path.is_file()]
    assert len(shown) > 1 and httpx.get(f"{address}/gradio_api/file={shown[0]}").status_code == 200
    wait(lambda: not any(path.is_file() for path in uploads.rglob("*")), 10 * LIFETIME)
    assert httpx.get(f"{address}/gradio_api/file={shown[0]}").status_code == 403
    assert "Face of seed 5" in carol.call("draw_face", 5, "")[-1]  # the page goes on


def close_tab(address: str, visitor: Visitor) -> None:
    """What a browser does that opens the page and closes it."""
    with httpx.stream("GET", f"{address}/gradio_api/heartbeat/{visitor.client.session_hash}") as beat:
        next(beat.iter_lines())


def test_closing_the_tab_frees_what_was_remembered(address: str, room: Path) -> None:
    sessions = Path(stats(room)["storage"]) / "sessions"

    def there(count: int) -> bool:
        gc.collect()  # a client closes its connection when it is collected
        found = stats(room)
        return (found["visitors"], found["sessions"], len(list(sessions.iterdir()))) == (count, count, count)

    wait(lambda: there(0))  # the visitors of the other tests have gone
    dave, erin = Visitor(address, 3, room), Visitor(address, 4, room)
    for visitor in (dave, erin):
        visitor.call("draw_face", 3, "")
    assert there(2)
    close_tab(address, dave)
    close_tab(address, erin)
    erin.call("reset")  # she is back
    wait(lambda: there(1))
    assert erin.call("reset")[-1] == "This is the face before any edit."
    with pytest.raises(AppError, match="There is no face yet"):
        dave.call("reset")
