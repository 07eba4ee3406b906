"""Session files: all of a face comes back to the last bit, the photo is not among it, and nothing that a stranger changed is taken."""

from __future__ import annotations

import io
import json
import random
import zipfile
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors.torch import load, save

from fface_hub import Adapter
from fface_hub.cameras import look_at
from fface_hub.editing.kept import keep
from fface_hub.editing.transfer import transfer
from fface_hub.errors import FFaceError, ModelError
from fface_hub.generators.base import Generator
from fface_hub.inversion.backdrop import Backdrop
from fface_hub.inversion.inversion import Inversion, round_differences, tuned_copy
from fface_hub.inversion.retouch import Retouch
from fface_hub.kept import LAYERS
from fface_hub.layouts import LAYOUTS
from fface_hub.rendering.renderer import render
from fface_hub.rendering.sampling import Sampling
from space import limits, models, saved
from space.painting import data_url
from space.state import Edit, Session
from tests.space.visit import apply, draw

pytestmark = pytest.mark.usefixtures("tiny_page")
SIDE, THUMBNAIL = 16, 64


@cache
def session_file() -> bytes:
    """A session of two edits, saved. All tests of this file have the same generator."""
    session = draw(1)
    apply(session, name="nose")
    apply(session, name="hair")
    path = session.path(".zip")
    saved.save(session, path, models.generator())
    return path.read_bytes()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """The file of `session_file`."""
    path = tmp_path / "face.session.zip"
    path.write_bytes(session_file())
    return path


def opened(path: Path) -> Session:
    return saved.load(path, models.generator(), SIDE, THUMBNAIL)[0]


def members(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def written(path: Path, contents: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in contents.items():
            archive.writestr(name, content)
    return path


def photographed(generator: Generator, photo: torch.Tensor) -> Session:
    """A session as a photo gives it: tuned weights, retouch and backdrop, in a layout of its own."""
    random_numbers = torch.Generator().manual_seed(0)
    tuned = tuned_copy(generator)
    assert isinstance(tuned, torch.nn.Module)
    with torch.no_grad():
        next(tuned.parameters()).add_(0.01)
        round_differences(generator, tuned)
    latents, camera = generator.sample(1, 3, 0.9), look_at(11.0, -4.0)
    retouch = Retouch(torch.randn(3, 3, 8, 8, generator=random_numbers), 0.5).rounded()
    backdrop = Backdrop(torch.rand(3, 8, 8, generator=random_numbers).half().float(), camera)
    inversion = Inversion(latents, camera, tuned, backdrop, photo, retouch=retouch)
    adapter = Adapter(LAYOUTS["eyes-19"].to_dict(), "tiny", generator.fingerprint, feature_channels=8)
    adapter.initialise(random_numbers)
    session = Session(tuned, camera, [Edit(latents)], inversion, adapter, name="photo", layout_id="org/eyes")
    session.add(latents.offset(torch.full_like(latents.geometry, 0.1)), torch.full((SIDE, SIDE), 18))
    for edit in session.edits:
        edit.thumbnail = data_url(Image.new("RGB", (THUMBNAIL, THUMBNAIL), (10, 20, 30)))
    session.edits[1].strength = 0.5
    session.edits[1].shown = session.edits[1].at(0.5)
    return session


def test_a_photographed_face_comes_back_to_the_last_bit_and_the_photo_does_not(tmp_path: Path) -> None:
    generator, photo = models.generator(), torch.rand(1, 3, 256, 256) * 2 - 1
    session = photographed(generator, photo)
    path = tmp_path / "face.zip"
    saved.save(session, path, generator, painting=torch.full((SIDE, SIDE), 3))
    found, painting = saved.load(path, generator, SIDE, THUMBNAIL)
    assert (found.name, found.layout_id, found.now) == ("photo", "org/eyes", 1) and found.layout == session.layout
    assert painting is not None and (painting == 3).all()
    for before, after in zip(session.edits, found.edits, strict=True):
        assert torch.equal(before.shown.geometry, after.shown.geometry) and torch.equal(before.shown.appearance, after.shown.appearance)
        assert all(getattr(before, name) == getattr(after, name) for name in ("parent", "strength", "layout", "thumbnail"))
    assert found.edits[1].painted is not None and (found.edits[1].painted == 18).all()
    views = [render(each.scene(), each.camera, 24, Sampling(12, 12), each.adapter) for each in (session, found)]
    assert torch.equal(views[0].image, views[1].image) and torch.equal(views[0].logits, views[1].logits)
    # The photo: neither as an object nor as numbers, of which the file is too small to hold those of 256² pixels.
    assert found.inversion is not None and found.inversion.image is None
    contents = members(path)
    sizes = [value.numel() for name, data in contents.items() if name.endswith(".safetensors") for value in load(data).values()]
    assert max(sizes) < photo.numel() / 4 and path.stat().st_size < 100_000
    assert "still encode the likeness" in json.loads(contents["session.json"])["note"]
    # What is opened can be saved again, and is the same file.
    again = tmp_path / "again.zip"
    saved.save(found, again, generator, painting)
    assert members(again) == contents


def test_rows_that_are_equal_are_written_once(file: Path) -> None:
    tensors = load(members(file)["session.safetensors"])
    # Three faces, one appearance (edits hold it), what each edit keeps of the face before, the labels painted for two edits.
    assert {name: len(table) for name, table in tensors.items()} == {
        "geometry": 3,
        "appearance": 1,
        "kept": 2,
        "painted": 2,
        "thumbnails": 3,
    }


def test_a_face_composed_of_others_comes_back_to_the_last_bit(tmp_path: Path) -> None:
    """Two edits that keep a part of the face before, then the colours of a class from another face: three scenes for each of two looks."""
    session, generator = draw(1), models.generator()
    region = torch.zeros(SIDE, SIDE, dtype=torch.bool)
    region[4:9, 5:12] = True
    kept = keep(session.latents, session.camera, region, session.scene())
    session.add(replace(session.latents.offset(torch.full_like(session.latents.geometry, 0.3)), kept=kept))
    kept = keep(session.latents, session.camera, region.T, session.scene())
    session.add(replace(session.latents.offset(torch.full_like(session.latents.geometry, -0.2)), kept=kept))
    session.add(transfer(generator, session.latents, generator.sample(1, 9), classes=["nose"]))
    for edit in session.edits:
        edit.thumbnail = data_url(Image.new("RGB", (THUMBNAIL, THUMBNAIL)))
    path = tmp_path / "face.zip"
    saved.save(session, path, generator)
    found = opened(path)
    assert (
        found.latents.kept is not None
        and len(found.latents.kept.layers) == 2
        and found.latents.appearance.shape[1] == len(generator.layout)
    )
    for before, after in zip(session.edits, found.edits, strict=True):
        first, second = before.latents.tensors(), after.latents.tensors()
        assert set(first) == set(second) and all(torch.equal(first[name], second[name]) for name in first)
    views = [render(each.scene(), each.camera, 24, Sampling(12, 12)) for each in (session, found)]
    assert torch.equal(views[0].image, views[1].image)


def test_a_session_that_is_too_large_is_not_saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "SESSION_BYTES", 1000)
    with pytest.raises(FFaceError, match=r"takes .* MB, and a session file may have"):
        saved.save(draw(1), tmp_path / "face.zip", models.generator())
    assert not (tmp_path / "face.zip").exists()


def test_files_of_another_generator_are_refused(file: Path, tmp_path: Path) -> None:
    contents = members(file)
    record = json.loads(contents["session.json"])
    record["generator"] = "0" * 64
    with pytest.raises(ModelError, match="another generator"):
        opened(written(tmp_path / "other.zip", {**contents, "session.json": json.dumps(record).encode()}))


def changed_record(change: Callable[[dict[str, Any]], Any]) -> Callable[[dict[str, bytes]], None]:
    """Change what the JSON says."""

    def work(contents: dict[str, bytes]) -> None:
        record = json.loads(contents["session.json"])
        change(record)
        contents["session.json"] = json.dumps(record).encode()

    return work


def changed_tensors(change: Callable[[dict[str, torch.Tensor]], Any]) -> Callable[[dict[str, bytes]], None]:
    """Change the tables."""

    def work(contents: dict[str, bytes]) -> None:
        tensors = load(contents["session.safetensors"])
        change(tensors)
        contents["session.safetensors"] = save(tensors)

    return work


HOSTILE: dict[str, Callable[[dict[str, bytes]], Any]] = {
    "no record": lambda c: c.pop("session.json"),
    "no tensors": lambda c: c.pop("session.safetensors"),
    "a member more": lambda c: c.update({"readme.txt": b"hello"}),
    "a path outside": lambda c: c.update({"../../outside.txt": b"hello"}),
    "an absolute path": lambda c: c.update({"/tmp/outside.txt": b"hello"}),
    "a bomb": lambda c: c.update({"inversion/tuning.safetensors": bytes(50_000_000)}),
    "another format": changed_record(lambda r: r.update(format="fface-session-1")),
    "an unknown key": changed_record(lambda r: r.update(command="run")),
    "a missing key": changed_record(lambda r: r.pop("now")),
    "no object": lambda c: c.update({"session.json": b"[]"}),
    "a number that is none": lambda c: c.update({"session.json": c["session.json"].replace(b'"now": 2', b'"now": NaN')}),
    "an unknown key of an edit": changed_record(lambda r: r["edits"][1].update(color="red")),
    "a name that is a path": changed_record(lambda r: r.update(name="../../evil")),
    "a layout that is no text": changed_record(lambda r: r.update(layout=["base-15"])),
    "a layout with a new line": changed_record(lambda r: r.update(layout="a\nb")),
    "no such edit": changed_record(lambda r: r.update(now=3)),
    "an edit that is a truth": changed_record(lambda r: r.update(now=True)),
    "no edits": changed_record(lambda r: r.update(edits=[])),
    "an edit too few": changed_record(lambda r: r["edits"].pop()),
    "an edit made from itself": changed_record(lambda r: r["edits"][1].update(parent=1)),
    "a face without parents in the middle": changed_record(lambda r: r["edits"][1].update(parent=None, before=None)),
    "a first face with a parent": changed_record(lambda r: r["edits"][0].update(parent=0)),
    "latents that are not there": changed_record(lambda r: r["edits"][1].update(latents=[3, 0])),
    "latents before the first": changed_record(lambda r: r["edits"][1].update(latents=[-1, 0])),
    "a strength beyond": changed_record(lambda r: r["edits"][1].update(strength=1.5)),
    "a strength that is text": changed_record(lambda r: r["edits"][1].update(strength="1")),
    "a layer without numbers": changed_record(lambda r: r["edits"][1]["latents"]["kept"].append({})),
    "too many layers": changed_record(lambda r: r["edits"][1]["latents"].update(kept=r["edits"][1]["latents"]["kept"] * (LAYERS + 1))),
    "a layer of nothing": changed_record(lambda r: r["edits"][1]["latents"]["kept"][0].update(maps=[], cameras=[])),
    "layers that are no list": changed_record(lambda r: r["edits"][1]["latents"].update(kept=None)),
    "labels without a layout": changed_record(lambda r: r["edits"][1].update(layout=None)),
    "a layout that is none": changed_record(lambda r: r["layouts"].append({"name": "x"})),
    "a camera of text": changed_record(lambda r: r.update(camera=["0"] * 25)),
    "a camera that is too far": changed_record(lambda r: r.update(camera=[1e30] * 25)),
    "a camera that is too short": changed_record(lambda r: r.update(camera=[1.0] * 24)),
    "numbers that are not finite": changed_tensors(lambda t: t["geometry"].fill_(torch.nan)),
    "numbers that are huge": changed_tensors(lambda t: t["geometry"].fill_(1e30)),
    "latents of another shape": changed_tensors(lambda t: t.update(geometry=torch.zeros(3, 6, 17))),
    "a table that is a number": changed_tensors(lambda t: t.update(geometry=torch.tensor(1.0))),
    "latents as whole numbers": changed_tensors(lambda t: t.update(geometry=t["geometry"].long())),
    "a table more": changed_tensors(lambda t: t.update(photo=torch.zeros(1))),
    "labels of another size": changed_tensors(lambda t: t.update(painted=torch.zeros(2, 8, 8, dtype=torch.uint8))),
    "labels beyond the layout": changed_tensors(lambda t: t["painted"].fill_(15)),
    "thumbnails of another size": changed_tensors(lambda t: t.update(thumbnails=torch.zeros(3, 512, 512, 3, dtype=torch.uint8))),
    "an adapter that is none": lambda c: c.update({"adapter/config.json": b"{}"}),
    "an inversion that is none": lambda c: c.update({"inversion/inversion.json": b"{}"}),
}


def test_what_a_stranger_changed_is_refused_in_one_sentence(file: Path, tmp_path: Path) -> None:
    path, whole = tmp_path / "changed.zip", members(file)
    assert opened(written(path, whole)).now == 2
    for what, change in HOSTILE.items():
        contents = dict(whole)
        change(contents)
        written(path, contents)
        with pytest.raises(FFaceError) as told:
            opened(path)
        assert path.stat().st_size < 200_000, what  # the bomb, too
        assert "\n" not in str(told.value) and "/tmp" not in str(told.value) and len(str(told.value)) < 300, what
    assert not (tmp_path.parent / "outside.txt").exists() and not Path("/tmp/outside.txt").exists()


def test_zips_of_other_kinds_are_refused(file: Path, tmp_path: Path) -> None:
    contents = members(file)
    double = tmp_path / "double.zip"
    with zipfile.ZipFile(double, "w") as archive, pytest.warns(UserWarning, match="Duplicate"):
        for name, content in [*contents.items(), ("session.json", b"{}")]:
            archive.writestr(name, content)
    other = tmp_path / "lzma.zip"
    with zipfile.ZipFile(other, "w", zipfile.ZIP_LZMA) as archive:
        for name, content in contents.items():
            archive.writestr(name, content)
    lying = bytearray(file.read_bytes())  # a member that says it is encrypted
    at = lying.index(b"PK\x01\x02")
    lying[at + 8] |= 1
    (tmp_path / "locked.zip").write_bytes(lying)
    (tmp_path / "empty.zip").write_bytes(b"")
    for path in (double, other, tmp_path / "locked.zip", tmp_path / "empty.zip"):
        with pytest.raises(ModelError, match="no whole session file"):
            opened(path)


def test_a_file_that_is_too_large_is_not_even_read(tmp_path: Path) -> None:
    path = tmp_path / "large.zip"
    with path.open("wb") as large:
        large.truncate(limits.SESSION_BYTES + 1)
    with pytest.raises(FFaceError, match="too large"):
        opened(path)


def test_damaged_bytes_are_refused_or_change_nothing(file: Path, tmp_path: Path) -> None:
    """Each member has a checksum: a file with a changed byte is refused, or it is in a part that means nothing."""
    data, numbers = file.read_bytes(), random.Random(0)
    wanted = opened(file)
    for trial in range(60):
        damaged = bytearray(data[: numbers.randrange(len(data))] if trial % 3 == 0 else data)
        if damaged and trial % 3:
            damaged[numbers.randrange(len(damaged))] ^= 1 << numbers.randrange(8)
        path = tmp_path / "damaged.zip"
        path.write_bytes(damaged)
        try:
            found = opened(path)
        except FFaceError:
            continue
        assert torch.equal(found.latents.geometry, wanted.latents.geometry) and found.now == wanted.now


def test_the_zip_says_nothing_of_when_or_where_it_was_made(file: Path) -> None:
    with zipfile.ZipFile(io.BytesIO(file.read_bytes())) as archive:
        assert {info.date_time for info in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)} and archive.comment == b""
