"""What `torch.save` and `pickle.dump` wrote of tensors and modules, without running any of it: a fourth door for untrusted bytes, beside
those of `fface_hub.doors`, which only the conversion of published files goes through.

Three forms are read: a plain pickle, whose storages are byte strings that hold files of the second form; PyTorch's old form, five pickles
and then the storages; and its zip archive. Tensors come as `Array`s, which are checked against their storage at once and take memory of
their own only when `tensor` is called. Everything else that is not plain data comes as `Made` (see `unpickle`).
"""

from __future__ import annotations

import io
import math
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import torch
from torch import Tensor

from fface_hub.errors import ModelError
from fface_hub.hub.unpickle import BrokenPickleError, Made, Name, Reader, Steps, unpickle

MAX_FILE_BYTES = 2_000_000_000
MAX_DIRECTORY_BYTES = 1_000_000  # of a zip archive's list of members; an official one takes a few kB
MAX_DIMENSIONS = 8
MAX_NUMBER = 2**40  # in a tensor's shape
MAGIC = 0x1950A86A20F9469CFC6C  # what the old form begins with
TYPES = {
    "DoubleStorage": torch.float64,
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
}
"""The kinds of storage, all on the CPU here, whatever device they were saved from."""
EMPTY_DICTIONARIES = ("collections.OrderedDict", "dnnlib.util.EasyDict", "dnnlib.EasyDict")
SAME_AS_ARGUMENT = ("torch.Size", "builtins.set", "__builtin__.set", "builtins.frozenset", "__builtin__.frozenset")
PERSISTENT = "torch_utils.persistence._reconstruct_persistent_obj"


@dataclass(eq=False, repr=False)
class Storage:
    """`count` numbers of `dtype` in `data`, which the old form gives only after the tensors that use them."""

    dtype: torch.dtype
    count: int
    data: bytes | memoryview | None = None


@dataclass(frozen=True, eq=False, repr=False)
class Array:
    """A tensor of `shape` in a part of a storage."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    @property
    def dtype(self) -> torch.dtype:
        """Its numbers' type."""
        return self.storage.dtype

    @property
    def nbytes(self) -> int:
        """Bytes of its numbers."""
        return math.prod(self.shape) * self.dtype.itemsize

    def tensor(self) -> Tensor:
        """A copy as a tensor on the CPU."""
        if not math.prod(self.shape):
            return torch.empty(self.shape, dtype=self.dtype)
        assert self.storage.data is not None
        size = self.dtype.itemsize
        end = self.offset + 1 + sum((n - 1) * step for n, step in zip(self.shape, self.strides, strict=True))
        numbers = torch.frombuffer(bytearray(self.storage.data[self.offset * size : end * size]), dtype=self.dtype)
        return numbers.as_strided(self.shape, self.strides)


def load_saved(path: str | Path, max_bytes: int = MAX_FILE_BYTES) -> Any:
    """The value that a file of any of the three forms holds. Raises `ModelError`.

    Besides what the pickle's own text takes, memory is bounded by the size of the file; that it ends within it, and that it stops, is not
    left to the file.
    """
    with _told(Path(path).name), Path(path).open("rb") as file:
        size = file.seek(0, io.SEEK_END)
        file.seek(0)
        if size > max_bytes:
            raise BrokenPickleError(f"it is larger than {max_bytes / 1e6:,.0f} MB")
        start = file.read(4)
        file.seek(0)
        if start == b"PK\x03\x04":
            return _Zip(file, size).load()
        return _Stream(Reader(file, size), Steps()).load()


def load_tensor(path: str | Path, max_bytes: int = 16_000_000) -> Tensor:
    """The tensor that a file holds, every number finite. Raises `ModelError`."""
    array = load_saved(path, max_bytes)
    if not isinstance(array, Array) or array.nbytes > max_bytes:
        raise ModelError(f"'{Path(path).name}' holds no tensor: choose a file that torch.save wrote of one.")
    tensor = array.tensor()
    if tensor.is_floating_point() and not bool(tensor.isfinite().all()):
        raise ModelError(f"'{Path(path).name}' holds values that are not finite numbers.")
    return tensor


@contextmanager
def _told(name: str) -> Iterator[None]:
    """Tell whatever a damaged file leads to as `ModelError` about the file `name`."""
    try:
        yield
    except (ModelError, MemoryError):
        raise
    except FileNotFoundError as error:
        raise ModelError(f"There is no file '{name}': check the path.") from error
    except BrokenPickleError as error:
        raise ModelError(f"'{name}' cannot be read ({error}): download it again, or choose another file.") from error
    except OSError as error:
        raise ModelError(f"The file '{name}' cannot be read ({error.strerror or 'it is damaged'}): check that you may read it.") from error
    except Exception as error:  # what the opcodes' own readers, zipfile and tensors of odd sizes raise on damaged files
        raise ModelError(f"'{name}' is not a whole file of PyTorch's or Python's: download it again, or choose another file.") from error


class _Values:
    """What calls in a pickle stand for, where they stand for data. Nothing that is passed in is copied: it could be passed in often."""

    def __init__(self, steps: Steps, nested: bool = False) -> None:
        self.steps, self.nested = steps, nested

    def make(self, path: str, arguments: tuple[Any, ...]) -> Any:
        """The value of calling `path` with `arguments`."""
        if path in EMPTY_DICTIONARIES and not arguments:
            return {}
        if path in SAME_AS_ARGUMENT and len(arguments) == 1:
            return arguments[0]
        if path == "torch._utils._rebuild_tensor_v2" or path == "torch._utils._rebuild_tensor":
            return _array(*arguments[:4])
        if path in ("torch._utils._rebuild_parameter", "torch._utils._rebuild_parameter_with_state") and arguments:
            return arguments[0]
        if path == "torch.storage._load_from_bytes" and not self.nested:
            return self._nested(*arguments)
        if path == PERSISTENT and len(arguments) == 1 and isinstance(arguments[0], dict):
            return _persistent(arguments[0])
        if path in ("copyreg._reconstructor", "copy_reg._reconstructor") and arguments and isinstance(arguments[0], Name):
            return Made(arguments[0].path)
        return Made(path, arguments)

    def _nested(self, data: Any) -> Any:
        """The storage in a byte string of a plain pickle, in the old form."""
        if not isinstance(data, bytes):
            raise BrokenPickleError("a storage in it is no byte string")
        storage = _Stream(Reader(io.BytesIO(data), len(data), memoryview(data)), self.steps, nested=True).load()
        if not isinstance(storage, Storage):
            raise BrokenPickleError("a byte string in it holds no storage")
        return storage


def _array(storage: Any, offset: Any, shape: Any, strides: Any) -> Array:
    """A tensor that fills a part of its storage without gaps: what is small in a file stays small in memory."""
    sizes = isinstance(shape, tuple) and isinstance(strides, tuple) and len(shape) == len(strides) <= MAX_DIMENSIONS
    numbers = [offset, *shape, *strides] if sizes else [None]
    if not isinstance(storage, Storage) or not all(type(n) is int and 0 <= n < MAX_NUMBER for n in numbers):
        raise BrokenPickleError("a tensor in it is none")
    count, span = math.prod(shape), 1 + sum((n - 1) * step for n, step in zip(shape, strides, strict=True))
    if count > storage.count or (count and offset + span > storage.count):
        raise BrokenPickleError("a tensor in it is larger than its storage")
    if count and span != count:
        raise BrokenPickleError("the numbers of a tensor in it do not lie side by side")
    return Array(storage, offset, shape, strides)


def _persistent(meta: dict[Any, Any]) -> Made:
    """The object of a class whose source is in the file as text, which is left where it is."""
    name, state = meta.get("class_name"), meta.get("state")
    return Made(name[:200] if isinstance(name, str) else "unnamed", (), state if isinstance(state, dict) else {})


def _storage_id(id: Any) -> tuple[torch.dtype, str, int]:
    """Type, key and count of the storage that a persistent id means."""
    kind, cls, key, _, count, *view = id if isinstance(id, tuple) and len(id) in (5, 6) else (None,) * 5
    dtype = TYPES.get(cls.path.rpartition(".")[2]) if isinstance(cls, Name) and cls.path.startswith("torch.") else None
    if kind != "storage" or dtype is None or view not in ([], [None]) or not isinstance(key, str) or type(count) is not int or count < 0:
        raise BrokenPickleError("it refers to something that is no storage of numbers")
    return dtype, key, count


class _Stream:
    """A plain pickle; or the old form: magic number, version, machine, the value, the keys of its storages, and these one after the other,
    each with its count in eight bytes before it."""

    def __init__(self, reader: Reader, steps: Steps, nested: bool = False) -> None:
        self.reader, self.steps, self.nested = reader, steps, nested
        self.storages: dict[str, Storage] = {}

    def load(self) -> Any:
        """The value."""
        values = _Values(self.steps, self.nested)
        first = unpickle(self.reader, values.make, None, self.steps)
        if type(first) is not int or first != MAGIC:
            return first
        _, machine = (unpickle(self.reader, steps=self.steps) for _ in range(2))
        if isinstance(machine, dict) and machine.get("little_endian") is False:
            raise BrokenPickleError("it was written on a big-endian machine")
        value = unpickle(self.reader, values.make, self._declared, self.steps)
        keys = unpickle(self.reader, steps=self.steps)
        if not isinstance(keys, list) or len(keys) != len(self.storages):
            raise BrokenPickleError("its list of storages is damaged")
        for key in keys:
            storage = self.storages.pop(key) if isinstance(key, str) and key in self.storages else None
            if storage is None or int.from_bytes(self.reader.read(8), "little") != storage.count:
                raise BrokenPickleError("its list of storages is damaged")
            storage.data = self.reader.take(storage.count * storage.dtype.itemsize)
        return value

    def _declared(self, id: Any) -> Storage | Name:
        """The storage of a persistent id, whose numbers follow later; or the class, where that comes with its source."""
        if isinstance(id, tuple) and len(id) == 4 and id[0] == "module" and isinstance(id[1], Name):
            return id[1]
        dtype, key, count = _storage_id(id)
        storage = self.storages.setdefault(key, Storage(dtype, count))
        if (storage.dtype, storage.count) != (dtype, count):
            raise BrokenPickleError("one of its storages has two sizes")
        return storage


class _Zip:
    """PyTorch's archive: NAME/data.pkl with the value, and NAME/data/KEY with the numbers of each storage; nothing in it is compressed."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self.file, self.size = file, size
        self.storages: dict[str, Storage] = {}
        bounded: Any = _Bounded(file)
        with zipfile.ZipFile(bounded) as archive:
            members = archive.infolist()
        self.members = {member.filename: member for member in members}
        if len(self.members) != len(members) or any(m.compress_type != zipfile.ZIP_STORED or m.flag_bits & 1 for m in members):
            raise BrokenPickleError("it is a compressed archive, which PyTorch does not write: if it holds a checkpoint, unpack that")
        if sum(member.file_size for member in members) > size:
            raise BrokenPickleError("its members are larger than itself")
        values = [name for name in self.members if name.endswith("/data.pkl") and name.count("/") == 1]
        if len(values) != 1:
            raise BrokenPickleError("it is an archive of something else than PyTorch's")
        self.folder = values[0].removesuffix("data.pkl")

    def load(self) -> Any:
        """The value."""
        if self.folder + "byteorder" in self.members and self._read("byteorder") != b"little":
            raise BrokenPickleError("it was written on a big-endian machine")
        data, steps = self._read("data.pkl"), Steps()
        return unpickle(Reader(io.BytesIO(data), len(data)), _Values(steps).make, self._stored, steps)

    def _stored(self, id: Any) -> Storage:
        """The storage of a persistent id."""
        dtype, key, count = _storage_id(id)
        if key not in self.storages:
            self.storages[key] = Storage(dtype, count, self._read(f"data/{key}"))
        storage = self.storages[key]
        if storage.dtype != dtype or storage.count != count or len(storage.data or b"") != count * dtype.itemsize:
            raise BrokenPickleError("a storage in it has another size than it says")
        return storage

    def _read(self, name: str) -> bytes:
        """The bytes of one member, which must be those that it was written with."""
        member = self.members.get(self.folder + name)
        if member is None:
            raise BrokenPickleError("a part of it is missing")
        self.file.seek(member.header_offset)
        head = self.file.read(30)
        self.file.seek(int.from_bytes(head[26:28], "little") + int.from_bytes(head[28:30], "little"), io.SEEK_CUR)
        data = self.file.read(member.file_size)
        if head[:4] != b"PK\x03\x04" or len(data) != member.file_size or zlib.crc32(data) != member.CRC:
            raise BrokenPickleError("a part of it is damaged")
        return data


class _Bounded:
    """A file of which only a little is read at a time: the library reads a zip archive's directory whole, as long as it says it is."""

    def __init__(self, file: BinaryIO) -> None:
        self.seek, self.tell, self._file = file.seek, file.tell, file

    def read(self, count: int = -1) -> bytes:
        """As of a file; `BrokenPickleError` beyond the bound."""
        data = self._file.read(MAX_DIRECTORY_BYTES + 1 if count < 0 else min(count, MAX_DIRECTORY_BYTES + 1))
        if len(data) > MAX_DIRECTORY_BYTES:
            raise BrokenPickleError("its list of members is too long")
        return data

    def seekable(self) -> bool:
        """Yes."""
        return True
