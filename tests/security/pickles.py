"""Damaged and hostile checkpoints, drawn from a seeded source, through the converter, in a process of its own:
`python -m tests.security.pickles mutated|bombs COUNT FOLDER` prints what came of them (see `fuzz`, whose measures these are).

All that the checkpoints name can be imported meanwhile, and would make the canary if it were used.
"""

from __future__ import annotations

import io
import json
import random
import struct
import sys
import zipfile
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import torch

from fface_hub.hub.convert import convert, read_checkpoint
from fface_hub.hub.saved import load_saved
from tests.hub.standins import Official, official_state
from tests.hub.test_convert import SMALL, adapter_state
from tests.security.fuzz import Findings, memory, start_mark
from tests.tiny import random_generator

CONVERTED_EVERY = 25
"""One file in so many is also written as a model and loaded again, if it is accepted."""


def text(value: str) -> bytes:
    """The opcode that pushes a short text."""
    return b"\x8c" + struct.pack("B", len(value.encode())) + value.encode()


def number(value: int) -> bytes:
    """The opcode that pushes a whole number of any size."""
    data = value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)
    return b"\x8a" + struct.pack("B", len(data)) + data


def escapes(canary: Path) -> list[bytes]:
    """Programs that push one value, and would make the canary on the way if anything of them were done as it says."""
    touch, write = f"touch {canary}", f"open({str(canary)!r}, 'w')"
    shell = io.BytesIO()
    torch.save({"a": 1}, shell, _use_new_zipfile_serialization=False)
    nested = shell.getvalue().replace(b"}q\x00X\x01\x00\x00\x00aq\x01K\x01s.", b"cposix\nsystem\n" + text(touch) + b"\x85R.")
    calls = [
        b"cposix\nsystem\n" + text(touch) + b"\x85R",
        b"cos\nsystem\n(" + text(touch) + b"tR",
        text("builtins") + text("eval") + b"\x93" + text(write) + b"\x85R",
        text("builtins") + text("exec") + b"\x93" + text(write) + b"\x85R",
        text("builtins") + text("open") + b"\x93" + text(str(canary)) + text("w") + b"\x86R",
        text("subprocess") + text("Popen.__init__.__globals__") + b"\x93" + text(touch) + b"\x85R",
        text("torch") + text("serialization.os.system") + b"\x93" + text(touch) + b"\x85R",
        text("collections") + text("OrderedDict.__init__") + b"\x93" + text("x") + b"\x85R",
        b"(" + text(touch) + b"iposix\nsystem\n",
        b"(cposix\nsystem\n" + text(touch) + b"o",
        b"cposix\nsystem\n" + text(touch) + b"\x85\x81",
        b"cposix\nsystem\n" + text(touch) + b"\x85}\x92",
        b"ctorch\nload\n" + text(str(canary)) + b"\x85R",
        b"ctorch.storage\n_load_from_bytes\nB" + struct.pack("<I", len(nested)) + nested + b"\x85R",
        b"ctorch.utils.data.datapipes.utils.decoder\nbasichandlers\n" + text("pickle") + b"N\x86R",
        b"ctorch_utils.persistence\n_reconstruct_persistent_obj\n}" + text("module_src") + text(write) + b"s\x85R",
        b"ctraining.triplane\nOSGDecoder\n)\x81}" + text("__setstate__") + b"cposix\nsystem\nsb",
        b"ctraining.triplane\nOSGDecoder\n)\x81" + text(touch) + b"b",
        b"cdnnlib.util\nEasyDict\n)\x81" + text("a") + text("b") + b"s",
        b"ccollections\nOrderedDict\n)R}" + text("__class__") + b"cbuiltins\neval\nsb",
        b"]cposix\nsystem\na",
        b"\x82\x01",
        b"\x83\x01\x00",
        b"\x84\x01\x00\x00\x00",
        b"Pposix.system\n",
        text("posix.system") + b"Q",
        b"\x97",
        b"N\x98",
    ]
    torch_calls = [b"ctorch._utils\n_rebuild_tensor_v2\n(NK\x00" + number(n) + b"\x85K\x00\x85\x89Nt" + b"R" for n in (1, 10**12, -1)]
    return [*calls, *torch_calls]


def spots(data: bytes, tensors: list[bytes]) -> list[int]:
    """Places in a checkpoint that are no numbers of tensors."""
    inside = bytearray(len(data))
    for numbers in tensors:
        start = data.find(numbers)
        if start >= 0 and len(numbers) > 64:
            inside[start : start + len(numbers)] = b"\1" * len(numbers)
    return [place for place, value in enumerate(inside) if not value]


class Mutations:
    """Ways to damage the checkpoint `data`, whose `places` are what is not numbers."""

    def __init__(self, data: bytes, places: list[int], hostile: list[bytes], source: random.Random) -> None:
        self.data, self.places, self.hostile, self.source = data, places, hostile, source
        # After a value was remembered, another can be pushed; "\x94" does that in pickles, "q" and a number in archives.
        self.seams = [place + 1 for place in places if data[place] == 0x94] or [p + 2 for p in places if data[p : p + 1] == b"q"]

    def kinds(self) -> list[Callable[[], bytes]]:
        """All ways, in the order in which they take turns."""
        archive = [self.recompressed, self.renamed, self.directory] if self.data[:2] == b"PK" else []
        return [self.flipped, self.cut, self.spliced, self.swapped, self.call, self.lying, self.moved, self.anywhere, *archive]

    def place(self) -> int:
        return self.source.choice(self.places)

    def flipped(self) -> bytes:
        changed = bytearray(self.data)
        for _ in range(self.source.choice((1, 1, 2, 8, 64))):
            changed[self.place()] ^= 1 << self.source.randrange(8)
        return bytes(changed)

    def anywhere(self) -> bytes:
        changed = bytearray(self.data)
        changed[self.source.randrange(len(changed))] ^= 1 << self.source.randrange(8)
        return bytes(changed)

    def cut(self) -> bytes:
        end = self.source.choice((self.place(), self.source.randrange(len(self.data))))
        return self.data[:end] + self.source.randbytes(self.source.choice((0, 0, 20)))

    def spliced(self) -> bytes:
        """Something hostile where a value may stand, taken away again, left there, or in the place of what is there."""
        place, hostile = self.source.choice(self.seams), self.source.choice(self.hostile)
        way = self.source.randrange(3)
        rest = self.data[place:] if way < 2 else self.data[place + self.source.randrange(1, 40) :]
        return self.data[:place] + hostile + (b"0" if way == 0 else b"") + rest

    def swapped(self) -> bytes:
        """Another opcode in the place of a byte."""
        place = self.place()
        return (
            self.data[:place]
            + self.source.choice(b"().0123456789abcdegijlopqrstuVXYZ]}\x80\x81\x82\x85\x88\x8a\x8c\x92\x93\x94\x95").to_bytes()
            + (self.data[place + 1 :])
        )

    def call(self) -> bytes:
        """A name of the checkpoint's own turned into another, everywhere or once."""
        old, new = self.source.choice(
            (
                ((b"torch._utils", b"_rebuild_tensor_v2"), (b"posix", b"system")),
                ((b"torch.storage", b"_load_from_bytes"), (b"builtins", b"eval")),
                ((b"torch_utils.persistence", b"_reconstruct_persistent_obj"), (b"builtins", b"exec")),
                ((b"collections", b"OrderedDict"), (b"os", b"system")),
                ((b"torch._utils", b"_rebuild_parameter"), (b"torch", b"load")),
                ((b"dnnlib.util", b"EasyDict"), (b"training.triplane", b"OSGDecoder")),
                ((b"torch", b"FloatStorage"), (b"training.triplane", b"OSGDecoder")),
            )
        )
        data, count = self.data, self.source.choice((1, 1, 3, -1))
        for before, after in zip(old, new, strict=True):
            data = data.replace(bytes([len(before)]) + before, bytes([len(after)]) + after, count)
        return data.replace(b"\n".join(old), b"\n".join(new), count)

    def lying(self) -> bytes:
        """A number that is another, or a length that is too large."""
        place = self.place()
        lie = self.source.choice(
            (number(10**12), number(-1), number(2**70), b"\x8e" + b"\xff" * 8, b"B\xff\xff\xff\x7f", b"\x95" + b"\xff" * 8)
        )
        small = [p for p in self.places if self.data[p : p + 1] == b"K"]
        if self.source.random() < 0.6 and small:
            place = self.source.choice(small)
            return self.data[:place] + lie + self.data[place + 2 :]
        return self.data[:place] + lie + self.data[place:]

    def moved(self) -> bytes:
        """A piece left out, twice, or somewhere else."""
        start, length = self.place(), self.source.choice((1, 5, 50, 500))
        piece = self.data[start : start + length] * self.source.choice((0, 2, 30))
        return self.data[:start] + piece + self.data[start + length :]

    def recompressed(self) -> bytes:
        file = io.BytesIO()
        with zipfile.ZipFile(io.BytesIO(self.data)) as old, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as new:
            for name in old.namelist()[:5]:
                new.writestr(name, bytes(10_000_000) if "/data/" in name else old.read(name))
        return file.getvalue()

    def renamed(self) -> bytes:
        old, new = self.source.choice(
            ((b"data/", b"dat../"), (b"data.pkl", b"code.pkl"), (b"/data/1", b"/data/2"), (b"archive/", b"/etc/pw/"))
        )
        return self.data.replace(old, new[: len(old)], self.source.choice((1, 2, -1)))

    def directory(self) -> bytes:
        """Bytes of the list of members, and of what points to it."""
        changed, start = bytearray(self.data), self.data.index(b"PK\x01\x02")
        for _ in range(self.source.choice((1, 4, 30))):
            changed[self.source.randrange(start, len(changed))] = self.source.choice((0, 1, 255, self.source.randrange(256)))
        return bytes(changed)


def fuzz_mutated(folder: Path, count: int) -> Findings:
    """Mutated checkpoints of EG3D and of FFaceNeRF in turn."""
    found, source, official = Findings(), random.Random(7), Official(folder / "canary")
    plain, labelled = official_state(random_generator(**SMALL, decoder="eg3d")), official_state(random_generator(**SMALL))
    labelled |= adapter_state(19)
    hostile, kinds = escapes(official.canary), []
    for data, state in ((official.pickled(plain), plain), (official.module(labelled), labelled)):
        places = spots(data, [tensor.numpy().tobytes() for tensor in state.values()])
        kinds.append(Mutations(data, places, hostile, source).kinds())
        found.file = max(found.file, len(data))
    path = folder / "ckpt_eyes.pth"
    base = start_mark()
    for index in range(count):
        ways = kinds[index % 2]
        path.write_bytes(ways[index // 2 % len(ways)]())
        found.file = max(found.file, path.stat().st_size)
        with official.importable():
            found.attempt(lambda index=index: convert(path, folder / "out") if index % CONVERTED_EVERY == 0 else read_checkpoint(path))
        assert not official.canary.exists(), f"checkpoint {index} ran something"
    found.loaded, found.peak = -(-count // CONVERTED_EVERY), memory("VmHWM") - base
    return found


def bombs() -> list[bytes]:
    """Small files that ask for much."""
    deflated = io.BytesIO()
    with zipfile.ZipFile(deflated, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", bytes(200_000_000))
    members = io.BytesIO()
    with zipfile.ZipFile(members, "w") as archive:
        for index in range(30_000):
            archive.writestr(f"archive/{index}", b"")
    name = text("x" * 250)
    return [
        deflated.getvalue(),
        members.getvalue(),
        b"N" + b"r\xff\xff\xff\xff" * 1000 + b".",  # remembered under a number for which others reserve 64 GB
        b"\x8e" + struct.pack("<Q", 2**40) + b"x",
        b"\x95" + struct.pack("<Q", 2**62) + b"N.",
        b"}" * 20_000_000,
        b"\x8f" * 20_000_000,
        b")" + b"\x85" * 20_000_000,
        name + b"\x94" + name + b"\x94" + b"h\x00h\x01\x93\x94" * 5_000_000,
        b"](" + b"N" * 100_000 + b"e\x94" + b"h\x000" * 100_000 + b"ccollections\nOrderedDict\n\x94" + b"h\x01h\x00\x85R" * 50_000 + b".",
        b"X" + struct.pack("<I", 20_000_000) + b"a" * 19_999_996 + "😀".encode() + b".",  # one letter makes all of them four times as wide
    ]


def fuzz_bombs(folder: Path, _: int) -> Findings:
    """All bombs, one after the other."""
    found, path = Findings(), folder / "bomb.pkl"
    files = bombs()
    found.file = max(map(len, files))
    base = start_mark()
    for data in files:
        path.write_bytes(data)
        found.attempt(lambda: load_saved(path))
    found.peak = memory("VmHWM") - base
    return found


if __name__ == "__main__":
    run = {"mutated": fuzz_mutated, "bombs": fuzz_bombs}[sys.argv[1]]
    print(json.dumps(asdict(run(Path(sys.argv[3]), int(sys.argv[2])))))
