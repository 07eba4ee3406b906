"""Damage to model files, drawn from a seeded source: what an attacker, a bad disk or a bad exporter would do to weights and configs."""

from __future__ import annotations

import json
import random
import struct
from collections.abc import Callable
from typing import Any


def parts(data: bytes) -> tuple[dict[str, Any], bytes]:
    """Header and values of a safetensors file."""
    length = struct.unpack("<Q", data[:8])[0]
    return json.loads(data[8 : 8 + length]), data[8 + length :]


def joined(header: dict[str, Any] | str, values: bytes, length: int | None = None) -> bytes:
    """Inverse of `parts`; `length` is what the file says of its header, if not the truth."""
    text = (header if isinstance(header, str) else json.dumps(header)).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + values


def one_of(header: dict[str, Any], source: random.Random) -> str:
    """The key of some tensor."""
    return source.choice([key for key in header if key != "__metadata__"])


def flip_bits(data: bytes, source: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(source.choice((1, 1, 2, 8, 64))):
        position = source.randrange(len(data) if source.random() < 0.5 else min(len(data), 500))
        changed[position] ^= 1 << source.randrange(8)
    return bytes(changed)


def cut(data: bytes, source: random.Random) -> bytes:
    return data[: source.randrange(len(data))]


def grow(data: bytes, source: random.Random) -> bytes:
    return data + source.randbytes(source.randrange(1, 100))


def wrong_length(data: bytes, source: random.Random) -> bytes:
    return struct.pack("<Q", source.choice((0, 1, 2**63, 2**64 - 1, 10**8, len(data), source.randrange(2**40)))) + data[8:]


def wrong_offsets(data: bytes, source: random.Random) -> bytes:
    header, values = parts(data)
    entry = header[one_of(header, source)]
    entry["data_offsets"] = [source.choice((0, -1, 1, 2**63, 10**12, len(values))), source.choice((0, 4, 2**63 - 1, 10**12, len(values)))]
    return joined(header, values)


def overlapping(data: bytes, source: random.Random) -> bytes:
    """A tensor laid over another, or moved by some bytes into its neighbour; sizes stay right."""
    header, values = parts(data)
    mine, other = (header[one_of(header, source)] for _ in range(2))
    start, size = other["data_offsets"][0] + source.choice((0, 4, -4)), mine["data_offsets"][1] - mine["data_offsets"][0]
    mine["data_offsets"] = [start, start + size]
    return joined(header, values)


def wrong_type(data: bytes, source: random.Random) -> bytes:
    header, values = parts(data)
    same_size = ("I32", "U32", "F16", "BF16")
    header[one_of(header, source)]["dtype"] = source.choice(
        (*same_size, "F64", "I64", "U8", "BOOL", "F8_E4M3", "C64", "OBJECT", "", None, 3)
    )
    return joined(header, values)


def wrong_shape(data: bytes, source: random.Random) -> bytes:
    header, values = parts(data)
    entry = header[one_of(header, source)]
    entry["shape"] = source.choice(([], [10**12, 10**12], [2**63], [-1, 3], [0], entry["shape"][::-1], [1] * 1000, "3", None))
    return joined(header, values)


def renamed(data: bytes, source: random.Random) -> bytes:
    header, values = parts(data)
    key = one_of(header, source)
    header[source.choice(("", "a\0b", "x" * 10_000, "../../x", "__class__", "net.9.weight"))] = header.pop(key)
    return joined(header, values)


def not_finite(data: bytes, source: random.Random) -> bytes:
    """NaN or infinity, as float32, at a value."""
    values_at = len(data) - len(parts(data)[1])
    position = values_at + 4 * source.randrange((len(data) - values_at) // 4)
    return data[:position] + struct.pack("<f", source.choice((float("nan"), float("inf"), -float("inf")))) + data[position + 4 :]


def odd_header(data: bytes, source: random.Random) -> bytes:
    """Headers that are odd JSON: deep, padded, with a key twice, or with metadata that is none."""
    header, values = parts(data)
    text = json.dumps(header)
    metadata = source.choice(('{"a": 1}', "[]", "null", '{"' + "x" * 50_000 + '": "y"}', '{"format": {"a": []}}'))
    odd = (
        "[" * 50_000,
        '{"a":' * 3000 + "}" * 3000,
        text + " " * 100_000,
        text[:-1] + ", " + text[1:],
        '{"__metadata__": ' + metadata + "}",
    )
    return joined(source.choice(odd), values)


def many_keys(data: bytes, source: random.Random) -> bytes:
    """Ten thousand further tensors without values."""
    header, values = parts(data)
    header.update({f"k{number}": {"dtype": "F32", "shape": [0], "data_offsets": [len(values)] * 2} for number in range(10_000)})
    return joined(header, values)


MUTATIONS: tuple[Callable[[bytes, random.Random], bytes], ...] = (
    flip_bits,
    cut,
    grow,
    wrong_length,
    wrong_offsets,
    overlapping,
    wrong_type,
    wrong_shape,
    renamed,
    not_finite,
    odd_header,
)
MANY_KEYS_EVERY = 100
"""Ten thousand keys are slow to write, so only every hundredth file has them."""


def mutated_weights(data: bytes, number: int, source: random.Random) -> bytes:
    """Mutation `number` of the safetensors file `data`: every kind in turn."""
    kind = many_keys if number % MANY_KEYS_EVERY == MANY_KEYS_EVERY - 1 else MUTATIONS[number % len(MUTATIONS)]
    return kind(data, source)


JUNK: tuple[Any, ...] = (
    None,
    -1,
    0,
    4096,
    2**24,
    2**62,
    0.5,
    1e-300,
    1e308,
    True,
    "",
    "x" * 5000,
    "os.system",
    "../x",
    "http://h/x",
    "Adapter",
    [],
    [1] * 5000,
    {},
    {"_class_name": "Model"},
    [[[[]]]] * 9,
)


def mutated_config(text: str, source: random.Random) -> str:
    """A config with one entry, at any depth, replaced, renamed or copied over another, or with its text damaged."""
    if source.random() < 0.3:
        position = source.randrange(len(text))
        return text[:position] + source.choice(("", '"', "{", "NaN", "\0", "9" * 50, "\\u0000", "[" * 2000)) + text[position + 1 :]
    config = json.loads(text)
    spots: list[tuple[Any, str | int]] = []

    def collect(value: Any) -> None:
        if isinstance(value, dict | list):
            for key in value if isinstance(value, dict) else range(len(value)):
                spots.append((value, key))
                collect(value[key])

    collect(config)
    # Half of the time an entry of the first level: most places lie deep in a layout's colours.
    holder, key = source.choice(spots) if source.random() < 0.5 else (config, source.choice(list(config)))
    chance = source.random()
    if chance < 0.15 and isinstance(holder, dict):
        holder[source.choice(("auto_map", "__reduce__", "path", "", "_name_or_path"))] = holder.pop(key)
    elif chance < 0.3:
        other, place = source.choice(spots)
        holder[key] = json.loads(json.dumps(other[place]))
    else:
        holder[key] = source.choice(JUNK)
    return json.dumps(config)
