"""Hostile model folders: mutated weights and configs, pickles, links. Whatever they hold, only our own errors come out."""

from __future__ import annotations

import json
import random
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from fface_hub.adapters.adapter import Adapter
from fface_hub.doors import read_tensors
from fface_hub.errors import FFaceError, ModelError
from fface_hub.layouts import NASAL_WING_17
from fface_hub.sources import WEIGHTS_NAME

QUICK, FULL = 300, 5000


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("models") / "adapter"
    Adapter(NASAL_WING_17.to_dict(), "heads-triplane", "0" * 64, hidden=8).save_pretrained(path)
    return path


def parts(data: bytes) -> tuple[dict, bytes]:
    """Header and values of a safetensors file."""
    length = struct.unpack("<Q", data[:8])[0]
    return json.loads(data[8 : 8 + length]), data[8 + length :]


def joined(header: dict, values: bytes, length: int | None = None) -> bytes:
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + values


def flip_bits(data: bytes, random: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(random.choice((1, 1, 2, 8, 64))):
        position = random.randrange(len(data) if random.random() < 0.5 else min(len(data), 500))
        changed[position] ^= 1 << random.randrange(8)
    return bytes(changed)


def cut(data: bytes, random: random.Random) -> bytes:
    return data[: random.randrange(len(data))]


def grow(data: bytes, random: random.Random) -> bytes:
    return data + random.randbytes(random.randrange(1, 100))


def wrong_length(data: bytes, random: random.Random) -> bytes:
    return struct.pack("<Q", random.choice((0, 1, 2**63, 2**64 - 1, 10**8, len(data), random.randrange(2**40)))) + data[8:]


def wrong_offsets(data: bytes, random: random.Random) -> bytes:
    header, values = parts(data)
    entry = header[random.choice([key for key in header if key != "__metadata__"])]
    entry["data_offsets"] = [random.choice((0, -1, 1, 2**63, 10**12, len(values))), random.choice((0, 4, 2**63 - 1, 10**12, len(values)))]
    return joined(header, values)


def wrong_type(data: bytes, random: random.Random) -> bytes:
    header, values = parts(data)
    entry = header[random.choice([key for key in header if key != "__metadata__"])]
    entry["dtype"] = random.choice(("F16", "F64", "I64", "U8", "BOOL", "F8_E4M3", "C64", "OBJECT", "", None, 3))
    return joined(header, values)


def wrong_shape(data: bytes, random: random.Random) -> bytes:
    header, values = parts(data)
    entry = header[random.choice([key for key in header if key != "__metadata__"])]
    entry["shape"] = random.choice(([], [10**12, 10**12], [2**63], [-1, 3], [0], entry["shape"][::-1], [1] * 1000, "3", None))
    return joined(header, values)


def many_keys(data: bytes, random: random.Random) -> bytes:
    header, values = parts(data)
    header.update({f"k{number}": {"dtype": "F32", "shape": [0], "data_offsets": [len(values)] * 2} for number in range(10_000)})
    return joined(header, values)


def renamed(data: bytes, random: random.Random) -> bytes:
    header, values = parts(data)
    key = random.choice([key for key in header if key != "__metadata__"])
    header[random.choice(("", "a\0b", "x" * 10_000, "../../x", "__class__", "net.9.weight"))] = header.pop(key)
    return joined(header, values)


MUTATIONS: tuple[Callable[[bytes, random.Random], bytes], ...] = (
    flip_bits,
    cut,
    grow,
    wrong_length,
    wrong_offsets,
    wrong_type,
    wrong_shape,
    renamed,
)


def refused_or_whole(path: Path, shapes: dict[str, tuple[int, ...]]) -> bool:
    """Whether a file was refused with our own error; if not, it must hold exactly what was wanted, finite."""
    try:
        tensors = read_tensors(path, shapes)
    except ModelError as error:
        assert len(str(error)) < 400 and "\n" not in str(error)
        return True
    assert {key: tuple(value.shape) for key, value in tensors.items()} == shapes
    assert all(bool(value.isfinite().all()) for value in tensors.values() if value.is_floating_point())
    return False


def mutate_weights(folder: Path, path: Path, count: int) -> int:
    """How many of `count` mutated weights files were refused by the weights door."""
    data = (folder / WEIGHTS_NAME).read_bytes()
    shapes = {key: tuple(value.shape) for key, value in Adapter.from_pretrained(folder).state_dict().items()}
    source = random.Random(7)
    refused = 0
    for number in range(count):
        path.write_bytes(MUTATIONS[number % len(MUTATIONS)](data, source))
        refused += refused_or_whole(path, shapes)
    return refused


def test_mutated_weights_give_only_our_errors(folder: Path, tmp_path: Path) -> None:
    # Flipped value bits can leave a whole and finite file; nearly everything else cannot.
    assert mutate_weights(folder, tmp_path / "w.safetensors", QUICK) > 0.8 * QUICK


@pytest.mark.slow
def test_many_mutated_weights_give_only_our_errors(folder: Path, tmp_path: Path) -> None:
    assert mutate_weights(folder, tmp_path / "w.safetensors", FULL) > 0.8 * FULL


def test_ten_thousand_extra_keys_are_told_in_one_sentence(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    path.write_bytes(many_keys((folder / WEIGHTS_NAME).read_bytes(), random.Random(0)))
    assert refused_or_whole(path, {key: tuple(value.shape) for key, value in Adapter.from_pretrained(folder).state_dict().items()})


def mutated_config(text: str, source: random.Random) -> str:
    """A config with one entry, at any depth, replaced, removed, doubled or wrapped, or with its text damaged."""
    if source.random() < 0.3:
        position = source.randrange(len(text))
        return text[:position] + source.choice(("", '"', "{", "NaN", "\0", "9" * 50, "\\u0000", "[" * 2000)) + text[position + 1 :]
    config = json.loads(text)
    spots: list[tuple[dict | list, str | int]] = []

    def collect(value: object) -> None:
        if isinstance(value, dict | list):
            for key in value if isinstance(value, dict) else range(len(value)):
                spots.append((value, key))  # type: ignore[arg-type]
                collect(value[key])  # type: ignore[index]

    collect(config)
    holder, key = source.choice(spots)
    junk = (
        None,
        -1,
        0,
        1e308,
        2**62,
        True,
        "",
        "x" * 5000,
        "os.system",
        "../x",
        "http://h/x",
        [],
        {},
        {"_class_name": "Model"},
        [[[[]]]] * 9,
    )
    if source.random() < 0.2 and isinstance(holder, dict):
        holder[source.choice(("auto_map", "__reduce__", "path", ""))] = holder.pop(key)  # type: ignore[call-overload]
    else:
        holder[key] = source.choice(junk)  # type: ignore[index, call-overload]
    return json.dumps(config)


def mutate_configs(folder: Path, target: Path, count: int) -> int:
    """How many of `count` mutated configs were refused by the loader."""
    target.mkdir()
    (target / WEIGHTS_NAME).write_bytes((folder / WEIGHTS_NAME).read_bytes())
    text = (folder / "config.json").read_text()
    source = random.Random(7)
    refused = 0
    for _ in range(count):
        (target / "config.json").write_text(mutated_config(text, source))
        try:
            Adapter.from_pretrained(target)
        except FFaceError:
            refused += 1
    return refused


def test_mutated_configs_give_only_our_errors(folder: Path, tmp_path: Path) -> None:
    # A changed colour, class name or generator id is still a config.
    assert mutate_configs(folder, tmp_path / "mutated", 200) > 120


@pytest.mark.slow
def test_many_mutated_configs_give_only_our_errors(folder: Path, tmp_path: Path) -> None:
    assert mutate_configs(folder, tmp_path / "mutated", 2000) > 1200


def test_pickled_weights_are_refused_by_name_and_never_run(folder: Path, tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    target = tmp_path / "model"
    target.mkdir()
    (target / "config.json").write_bytes((folder / "config.json").read_bytes())
    program = f"cposix\nsystem\n(S'touch {canary}'\ntR.".encode()  # runs a command when it is unpickled
    (target / "diffusion_pytorch_model.bin").write_bytes(program)
    with pytest.raises(ModelError, match="safetensors"):
        Adapter.from_pretrained(target)
    (target / WEIGHTS_NAME).write_bytes(program)  # the same under the right name
    with pytest.raises(ModelError, match="not a whole safetensors file"):
        Adapter.from_pretrained(target)
    assert not canary.exists()


def test_links_out_of_a_model_folder_are_refused(folder: Path, tmp_path: Path) -> None:
    target = tmp_path / "linked"
    target.mkdir()
    (target / "config.json").symlink_to(folder / "config.json")
    (target / WEIGHTS_NAME).symlink_to(folder / WEIGHTS_NAME)
    with pytest.raises(ModelError, match="link to somewhere else"):
        Adapter.from_pretrained(target)


def test_links_into_the_blobs_of_the_same_cached_repository_are_fine(folder: Path, tmp_path: Path) -> None:
    blobs, snapshot = tmp_path / "models--org--a" / "blobs", tmp_path / "models--org--a" / "snapshots" / "abc"
    foreign = tmp_path / "models--org--b" / "blobs"
    for place in (blobs, snapshot, foreign):
        place.mkdir(parents=True)
    for name in ("config.json", WEIGHTS_NAME):
        (blobs / name).write_bytes((folder / name).read_bytes())
        (snapshot / name).symlink_to(blobs / name)
    assert torch.equal(Adapter.from_pretrained(snapshot).net[0].weight, Adapter.from_pretrained(folder).net[0].weight)
    (blobs / WEIGHTS_NAME).rename(foreign / WEIGHTS_NAME)
    (snapshot / WEIGHTS_NAME).unlink()
    (snapshot / WEIGHTS_NAME).symlink_to(foreign / WEIGHTS_NAME)
    with pytest.raises(ModelError, match="link to somewhere else"):
        Adapter.from_pretrained(snapshot)
