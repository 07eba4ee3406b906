"""Pickles and files of PyTorch, read as data: what was written comes back, nothing runs, and no length in a file is believed."""

from __future__ import annotations

import io
import struct
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
import torch

from fface_hub.errors import ModelError
from fface_hub.hub.saved import Array, load_saved, load_tensor
from fface_hub.hub.unpickle import MAX_STEPS, Made, Name
from tests.hub.standins import pickled_value

DTYPES = (torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8)
END = b"."


def load(folder: Path, data: bytes) -> Any:
    (folder / "file.pkl").write_bytes(data)
    return load_saved(folder / "file.pkl")


def saved(value: Any, form: str) -> bytes:
    """`value` as one of the three forms."""
    if form == "pickle":
        return pickled_value(value)
    file = io.BytesIO()
    torch.save(value, file, _use_new_zipfile_serialization=form == "zip")
    return file.getvalue()


@pytest.mark.parametrize("protocol", range(6))
def test_plain_values_come_back_from_every_protocol(tmp_path: Path, protocol: int) -> None:
    value: dict[Any, Any] = {
        "numbers": [0, 1, -1, 255, 65536, 2**40, -(2**70), 1.5, float("inf"), True, False, None],
        "texts": ["", "a", "ä\n'\"", "x" * 300],
        "nested": {1: (), 2: (1,), 3: (1, 2), 4: (1, 2, 3), 5: (1, 2, 3, 4), "list": [[], {}]},
    }
    value["again"] = value["nested"]
    found = load(tmp_path, pickled_value(value, protocol))
    assert found == value and found["again"] is found["nested"]
    if protocol >= 3:
        assert load(tmp_path, pickled_value([b"", b"\0" * 300], protocol)) == [b"", b"\0" * 300]
    assert load(tmp_path, pickled_value(OrderedDict(a=1), protocol)) in ({"a": 1}, {})
    assert load(tmp_path, pickled_value({3}, protocol)) == [3]


def test_a_value_that_holds_itself(tmp_path: Path) -> None:
    ring: list[Any] = []
    ring.append(ring)
    found = load(tmp_path, pickled_value(ring))
    assert found[0] is found


@pytest.mark.parametrize("form", ["pickle", "old", "zip"])
def test_tensors_come_back_from_every_form(tmp_path: Path, form: str) -> None:
    tensors = {str(dtype): torch.arange(-3, 3).abs().to(dtype).reshape(2, 3) for dtype in DTYPES}
    tensors |= {"bool": torch.tensor([True, False]), "none": torch.zeros(0, 3), "one": torch.tensor(2.5)}
    base = torch.arange(24.0).reshape(2, 3, 4)
    tensors |= {"part": base[1:, 1:], "turned": base.permute(2, 0, 1), "last": base.contiguous(memory_format=torch.contiguous_format)}
    tensors["parameter"] = torch.nn.Parameter(torch.ones(2))
    found = load(tmp_path, saved(tensors, form))
    assert found.keys() == tensors.keys()
    for key, value in tensors.items():
        assert isinstance(found[key], Array) and found[key].dtype == value.dtype and found[key].nbytes == value.numel() * value.itemsize
        assert torch.equal(found[key].tensor(), value.detach()), key


def test_a_tensor_of_a_gpu_comes_to_the_cpu(tmp_path: Path) -> None:
    data = saved(torch.arange(3.0), "old")
    assert data.count(b"X\x03\x00\x00\x00cpu") == 1
    on_gpu = data.replace(b"X\x03\x00\x00\x00cpu", b"X\x06\x00\x00\x00cuda:0")
    (tmp_path / "t.pt").write_bytes(on_gpu)
    assert load_tensor(tmp_path / "t.pt").tolist() == [0, 1, 2]


def test_names_stay_names_and_calls_are_only_noted(tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    command = f"touch {canary}"
    found = load(tmp_path, f"cposix\nsystem\n(S'{command}'\ntR.".encode())
    assert isinstance(found, Made) and (found.path, found.arguments) == ("posix.system", (command,))
    assert load(tmp_path, b"cbuiltins\neval\n.") == Name("builtins.eval")
    assert load(tmp_path, b"(S'x'\niposix\nsystem\n.").path == "posix.system"
    assert load(tmp_path, b"(cposix\nsystem\nS'x'\no.").path == "posix.system"
    stacked = b"\x80\x04\x8c\x08builtins\x8c\x0deval.__call__\x93\x8c\x01x\x85R."  # a name with dots leads on to attributes elsewhere
    assert load(tmp_path, stacked).path == "builtins.eval.__call__"
    # What was made has no methods to call: a state is kept, whatever the class would do with it.
    built = load(tmp_path, b"cposix\nsystem\n)R}(S'__setstate__'\ncbuiltins\nexec\nub.")
    assert built.state == {"__setstate__": Name("builtins.exec")}
    assert not canary.exists()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "ends too early"),
        (b"\x80\x04", "ends too early"),
        (b"N", "ends too early"),
        (b".", "empty stack"),
        (b"hello", "not a whole file|remember"),
        (b"\xff.", "not a whole file"),
        (b"\x8e" + struct.pack("<Q", 2**62) + b"x.", "ends too early"),  # bytes that are said to be 4 EB
        (b"\x8d" + struct.pack("<Q", 10**12) + b"x.", "ends too early"),
        (b"\x8b" + struct.pack("<i", 2**31 - 1) + b"x.", "ends too early"),
        (b"\x8b" + struct.pack("<i", -5) + b"x.", "not a whole file"),
        (b"I" + b"9" * 5000 + b"\n.", "not a whole file"),
        (b"(" * 1000 + b"t.", None),
        (b"]" * (MAX_STEPS + 1) + END, "more steps"),
        (b"\x82\x01.", "EXT1"),
        (b"\x83\x01\x00.", "EXT2"),
        (b"\x84\x01\x00\x00\x00.", "EXT4"),
        (b"\x97.", "NEXT_BUFFER"),
        (b"P1\n.", "outside of itself"),
        (b"NQ.", "outside of itself"),
        (b"g7\n.", "did not remember"),
        (b"Np-1\n.", "impossible number"),
        (b"NR.", "empty stack"),
        (b"NNR.", "no name"),
        (b"cos\nsystem\nNR.", "no name"),
        (b"S'f'\n)R.", "no name"),
        (b"NNa.", "no list"),
        (b"N(NNu.", "no dictionary"),
        (b"}(Nu.", "no dictionary"),
        (b"t.", "mark"),
        (b"NN\x93.", "no name"),
        (b"c" + b"x" * 400 + b"\ny\n.", "no name"),
        (b"cos\n" + b"x" * 200_000 + b"\n.", "not a whole file"),
    ],
)
def test_what_is_no_pickle_of_data_is_told(tmp_path: Path, data: bytes, message: str | None) -> None:
    if message is None:
        assert load(tmp_path, data) == ()
        return
    with pytest.raises(ModelError, match=message) as told:
        load(tmp_path, data)
    assert len(str(told.value)) < 300


def test_depth_and_odd_keys_cost_nothing(tmp_path: Path) -> None:
    """Tuples in tuples, a quarter of a million deep, would overflow the stack of an unpickler that hashes them."""
    deep = b")" + b"\x85" * 250_000
    assert load(tmp_path, b"}" + deep + b"Ns.") == {}
    assert load(tmp_path, b"](" + deep + b"K\x02e.")[1] == 2
    made = b"cx\ny\np0\n0" + b"g0\n" * 50_000 + b")" + (b"R\x85" * 50_000)
    assert isinstance(load(tmp_path, made + END), tuple)
    # Numbers whose hashes are all the same, and large numbers for the memo.
    colliding = b"".join(b"\x8a\x09" + ((2**61 - 1) * n).to_bytes(9, "little") + b"N" for n in range(1, 500))
    assert load(tmp_path, b"}(" + colliding + b"u.") == {}
    assert load(tmp_path, b"N" + b"r\xff\xff\xff\xff" + END) is None


def zeros() -> torch.storage.TypedStorage:
    """Four numbers."""
    return torch.storage.TypedStorage(wrap_storage=torch.zeros(4).untyped_storage(), dtype=torch.float32, _internal=True)


class Bent:
    """A tensor that says of itself what it likes."""

    def __init__(self, offset: Any, size: Any, stride: Any, storage: Any = None) -> None:
        self.said = (zeros() if storage is None else storage, offset, size, stride, False, OrderedDict())

    def __reduce__(self) -> Any:
        return torch._utils._rebuild_tensor_v2, self.said


@pytest.mark.parametrize(
    ("bent", "message"),
    [
        (Bent(0, (10**12,), (0,)), "larger than its storage"),  # four terabytes out of one number
        (Bent(0, (10**6, 10**6), (0, 0)), "larger than its storage"),
        (Bent(0, (5,), (1,)), "larger than its storage"),
        (Bent(3, (2,), (1,)), "larger than its storage"),
        (Bent(0, (2,), (4,)), "larger than its storage"),
        (Bent(0, (2,), (3,)), "do not lie side by side"),  # four numbers of memory for two
        (Bent(0, (2, 2), (1, 1)), "do not lie side by side"),
        (Bent(-1, (1,), (1,)), "is none"),
        (Bent(0, (1,), (-1,)), "is none"),
        (Bent(0, (2**80,), (0,)), "is none"),
        (Bent(0, (1,) * 9, (1,) * 9), "is none"),
        (Bent(0, (1,), (1, 1)), "is none"),
        (Bent(0, (1.0,), (1,)), "is none"),
        (Bent(True, (1,), (1,)), "is none"),
        (Bent(0, [1], [1]), "is none"),
        (Bent(0, (1,), (1,), "storage"), "is none"),
    ],
)
def test_a_tensor_must_lie_in_its_storage(tmp_path: Path, bent: Bent, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        load(tmp_path, pickled_value(bent))
    assert load(tmp_path, pickled_value(Bent(1, (3,), (1,)))).shape == (3,)
    assert load(tmp_path, pickled_value(Bent(9, (0, 5), (5, 1)))).tensor().shape == (0, 5)
    assert load(tmp_path, pickled_value(Bent(0, (2, 2), (1, 2)))).tensor().shape == (2, 2)  # transposed


class Nested:
    """What a plain pickle says is the file of a storage."""

    def __init__(self, data: Any) -> None:
        self.data = data

    def __reduce__(self) -> Any:
        return torch.storage._load_from_bytes, (self.data,)


def test_a_storage_within_is_read_as_strictly(tmp_path: Path) -> None:
    good = saved(zeros(), "old")
    assert load(tmp_path, pickled_value(Nested(good))).count == 4
    for data, message in (
        (good[:-1], "ends too early"),
        (good[:-24] + struct.pack("<q", 10**12) + bytes(16), "list of storages"),
        (good[:-24] + struct.pack("<q", 3) + bytes(12), "list of storages"),
        (good.replace(b"FloatStorage", b"CloudStorage"), "no storage of numbers"),
        (good.replace(b"storageq", b"savagesq"), "no storage of numbers"),
        (good.replace(b"K\x04Nt", b"K\x05Nt"), "list of storages"),
        (good.replace(b"K\x04Nt", b"K\x04)t"), "no storage of numbers"),
        (good.replace(b"little_endianq\x02\x88", b"little_endianq\x02\x89"), "big-endian"),
        (pickled_value({"a": 1}), "no storage"),
        (pickled_value(Nested(good)), "no storage"),  # no nests in nests
        (saved(zeros(), "zip"), "outside of itself|not a whole file"),
        ("text", "no byte string"),
    ):
        assert data != good
        with pytest.raises(ModelError, match=message):
            load(tmp_path, pickled_value(Nested(data)))


def rewritten(data: bytes, compression: int = zipfile.ZIP_STORED, **members: bytes | None) -> bytes:
    """An archive with members (by their names in it, `__` for a slash) replaced, added, or left out."""
    file, changed = io.BytesIO(), {name.replace("__", "/"): value for name, value in members.items()}
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(file, "w", compression) as new:
        contents = {name: old.read(name) for name in old.namelist()}
        folder = old.namelist()[0].split("/")[0]
        contents |= {f"{folder}/{name}": value for name, value in changed.items()}
        for name, value in contents.items():
            if value is not None:
                new.writestr(name, value)
    return file.getvalue()


def test_archives_are_read_as_strictly(tmp_path: Path) -> None:
    good = saved({"a": torch.arange(4.0)}, "zip")
    assert load(tmp_path, rewritten(good))["a"].tensor().tolist() == [0, 1, 2, 3]
    numbers = torch.arange(4.0).numpy().tobytes()
    at = good.index(numbers)
    for data, message in (
        (rewritten(good, zipfile.ZIP_DEFLATED), "compressed"),
        (rewritten(good, zipfile.ZIP_DEFLATED, data__0=bytes(50_000_000)), "compressed"),  # a bomb of 50 kB
        (rewritten(good, data__0=None), "missing"),
        (rewritten(good, data__0=numbers + b"x"), "another size"),
        (rewritten(good, byteorder=b"big"), "big-endian"),
        (rewritten(good, **{"data.pkl": None}), "something else"),
        (rewritten(good, **{f"{n:0>200}": b"" for n in range(5000)}), "members is too long"),
        (good[: at + 3], "not a whole file"),
        (good[:at] + b"\x01" + good[at + 1 :], "damaged"),
        (good[:-1], "not a whole file"),
        (good.replace(b"PK\x01\x02", b"PK\x01\x03", 1), "not a whole file"),
    ):
        with pytest.raises(ModelError, match=message):
            load(tmp_path, data)


def test_members_that_share_their_bytes_are_refused(tmp_path: Path) -> None:
    """Each of many members may point at the same bytes of an archive, which would be read again and again."""
    data = rewritten(saved({"a": torch.zeros(2000)}, "zip"), data__1=b"")
    directory = data.index(b"PK\x01\x02")
    entry, end = data.index(b"archive/data/0", directory), data.index(b"PK\x05\x06")
    start = data.rindex(b"PK\x01\x02", 0, entry)
    length = 46 + sum(struct.unpack("<HHH", data[start + 28 : start + 34]))
    twin = bytearray(data[start : start + length])
    twin[46 + struct.unpack("<H", data[start + 28 : start + 30])[0] - 1] = ord("7")
    tail = bytearray(data[end:])
    count, size = struct.unpack("<H", tail[10:12])[0] + 1, struct.unpack("<I", tail[12:16])[0] + length
    tail[8:12], tail[12:16] = struct.pack("<HH", count, count), struct.pack("<I", size)
    with pytest.raises(ModelError, match="larger than itself"):
        load(tmp_path, data[:end] + bytes(twin) + bytes(tail))


def test_a_tensor_alone(tmp_path: Path) -> None:
    path = tmp_path / "ws0005.pt"
    torch.save(torch.ones(1, 2), path)
    assert load_tensor(path).tolist() == [[1, 1]]
    for value, message in (({"a": torch.ones(1)}, "holds no tensor"), (torch.tensor([float("nan")]), "not finite"), (3, "holds no tensor")):
        torch.save(value, path)
        with pytest.raises(ModelError, match=rf"'ws0005.pt' .*{message}"):
            load_tensor(path)
    torch.save(torch.ones(1000), path)
    with pytest.raises(ModelError, match="larger than"):
        load_tensor(path, max_bytes=1000)
    with pytest.raises(ModelError, match=r"There is no file 'none.pt'"):
        load_tensor(tmp_path / "none.pt")
    with pytest.raises(ModelError, match="cannot be read"):
        load_tensor(tmp_path)
