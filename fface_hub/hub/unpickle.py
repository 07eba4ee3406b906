"""Pickles read as data. A pickle is a program for a small stack machine; here its opcodes are followed, and nothing that they name is ever
imported, called or built: a name stays a name, and what a call would have made is a `Made` that notes what was asked for. The caller's
`make` turns those it knows into plain values.

The standard library's unpickler is not used. It would have to be kept from importing; and it reserves the memory that a pickle asks for,
or recurses as deep as it is told, before anyone can object. This one believes no length, does no work twice for one opcode, and stops after
a fixed number of them, so that time and memory are bounded by the size of the file.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pickletools import genops
from typing import Any, BinaryIO, cast

MAX_STEPS = 300_000
"""Opcodes in all. Official checkpoints take well below a hundred thousand."""
MAX_TEXT = 4_000_000
MAX_NAME = 300
MAX_LINE = 100_000
MAX_KEY = 2**31
"""Keys of dictionaries are short text and small numbers: hashes of others could be chosen to collide, or nested so deep as to crash."""


class BrokenPickleError(ValueError):
    """Why a pickle is not read, as the end of a sentence."""


@dataclass(frozen=True, slots=True)
class Name:
    """What a pickle calls by `path`, module and name with a dot between them. It was not looked up."""

    path: str


@dataclass(eq=False, repr=False, slots=True)
class Made:
    """In the place of what `path` would have made of `arguments`, with the `state` that it would have been given."""

    path: str
    arguments: tuple[Any, ...] = ()
    state: dict[Any, Any] = field(default_factory=dict)


class Steps:
    """How many opcodes are left, for all the pickles of one file together."""

    def __init__(self, left: int = MAX_STEPS) -> None:
        self.left = left

    def take(self) -> None:
        """Count one; `BrokenPickleError` if it is one too many."""
        self.left -= 1
        if self.left < 0:
            raise BrokenPickleError("it takes more steps than any official checkpoint")


class Reader:
    """Bytes of a file or of memory, one after the other; more are never asked for than there are."""

    def __init__(self, file: BinaryIO, size: int, memory: memoryview | None = None) -> None:
        self._file, self._memory, self._left, self._size = file, memory, size, size

    def read(self, count: int) -> bytes:
        """The next `count` bytes; `BrokenPickleError` if there are fewer."""
        if not 0 <= count <= self._left:
            raise BrokenPickleError("it ends too early, or says that it is longer than it is")
        data = self._file.read(count)
        if len(data) != count:
            raise BrokenPickleError("it was changed while it was read")
        self._left -= count
        return data

    def take(self, count: int) -> bytes | memoryview:
        """As `read`, without a copy where the bytes are in memory already."""
        if self._memory is None or not 0 <= count <= self._left:
            return self.read(count)
        start = self._size - self._left
        self._left -= count
        self._file.seek(start + count)
        return self._memory[start : start + count]

    def readline(self) -> bytes:
        """Up to and with the next line feed."""
        line = self._file.readline(min(MAX_LINE, self._left))
        self._left -= len(line)
        return line


Make = Callable[[str, tuple[Any, ...]], Any]
"""A path and arguments → the value they stand for, which is a `Made` for all that is not known. It must not copy its arguments."""
Load = Callable[[Any], Any]
"""A persistent id → what it stands for."""


def unpickle(reader: Reader, make: Make = Made, load: Load | None = None, steps: Steps | None = None) -> Any:
    """The value of the pickle that `reader` is at, after which it stands. Sets come as lists, keys that are no text or number are left out.

    Raises `ValueError` (`BrokenPickleError` among others) for what is no pickle, and for more than is bounded above.
    """
    machine, steps, source = _Machine(make, load), steps or Steps(), cast(BinaryIO, reader)  # as much of one as genops asks for
    for opcode, argument, _ in genops(source):
        steps.take()
        machine.follow(opcode.name, argument)
    return machine.pop()


class _Machine:
    """The stack, its marks, and the memo."""

    def __init__(self, make: Make, load: Load | None) -> None:
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}
        self.make, self.load = make, load

    def follow(self, opcode: str, argument: Any) -> None:
        """Do what one opcode says."""
        if opcode in LITERALS:
            if isinstance(argument, str) and len(argument) > MAX_TEXT:
                raise BrokenPickleError("it holds a text that is too long")
            self.stack.append(argument)
        elif opcode in CONSTANTS:
            self.stack.append(CONSTANTS[opcode])
        elif opcode in EMPTY:
            self.stack.append(EMPTY[opcode]())
        elif opcode in ACTIONS:
            ACTIONS[opcode](self, argument)
        elif opcode not in IGNORED:
            raise BrokenPickleError(f"it uses the opcode {opcode}, which no official checkpoint does")

    # ---- the stack ----

    def pop(self) -> Any:
        """The value on top, taken away."""
        if not self.stack:
            raise BrokenPickleError("it takes from an empty stack")
        return self.stack.pop()

    def top(self) -> Any:
        """The value on top."""
        if not self.stack:
            raise BrokenPickleError("it looks at an empty stack")
        return self.stack[-1]

    def mark(self, _: None) -> None:
        self.marks.append(len(self.stack))

    def since_mark(self, _: None = None) -> list[Any]:
        """The values above the last mark, taken away with it."""
        if not self.marks:
            raise BrokenPickleError("it looks for a mark that is not there")
        start = self.marks.pop()
        values = self.stack[start:]
        del self.stack[start:]
        return values

    def put(self, index: int | None) -> None:
        """Remember the value on top, under the next free number if none is given."""
        index = len(self.memo) if index is None else index
        if not 0 <= index < 2**32:
            raise BrokenPickleError("it remembers a value under an impossible number")
        self.memo[index] = self.top()

    def get(self, index: int) -> None:
        if index not in self.memo:
            raise BrokenPickleError("it asks for a value that it did not remember")
        self.stack.append(self.memo[index])

    # ---- containers ----

    def wrap(self, count: int) -> None:
        """A tuple of the last values."""
        values = [self.pop() for _ in range(count)]
        self.stack.append(tuple(reversed(values)))

    def extend(self, values: list[Any]) -> None:
        """Add to the list on top; what fills a stand-in is forgotten."""
        target = self.top()
        if isinstance(target, list):
            target.extend(values)
        elif not isinstance(target, Made):
            raise BrokenPickleError("it adds to something that is no list")

    def fill(self, values: list[Any], target: Any) -> None:
        """Keys and values in turn into `target`."""
        if len(values) % 2 or not isinstance(target, dict | Made):
            raise BrokenPickleError("it fills something that is no dictionary")
        if isinstance(target, dict):
            pairs = zip(values[::2], values[1::2], strict=True)
            target.update((key, value) for key, value in pairs if _is_key(key))

    def set_item(self, _: None) -> None:
        value, key = self.pop(), self.pop()
        self.fill([key, value], self.top())

    def set_items(self, _: None) -> None:
        values = self.since_mark()
        self.fill(values, self.top())

    def dictionary(self, _: None) -> None:
        values, made = self.since_mark(), {}
        self.fill(values, made)
        self.stack.append(made)

    # ---- what would run code ----

    def name(self, module: Any, name: Any) -> None:
        if not (isinstance(module, str) and isinstance(name, str) and len(module) + len(name) < MAX_NAME):
            raise BrokenPickleError("it names something by what is no name")
        self.stack.append(Name(f"{module}.{name}"))

    def stack_name(self, _: None) -> None:
        name, module = self.pop(), self.pop()
        self.name(module, name)

    def line_name(self, text: str) -> None:
        module, _, name = text.partition(" ")
        self.name(module, name)

    def call(self, function: Any, arguments: Any) -> None:
        """Note what would have been called; `make` knows the few calls that stand for data."""
        if not isinstance(function, Name) or not isinstance(arguments, tuple):
            raise BrokenPickleError("it calls something that is no name")
        self.stack.append(self.make(function.path, arguments))

    def reduce(self, _: None) -> None:
        arguments, function = self.pop(), self.pop()
        self.call(function, arguments)

    def new_with_keywords(self, _: None) -> None:
        keywords, arguments, function = self.pop(), self.pop(), self.pop()
        self.call(function, (*arguments, keywords) if isinstance(arguments, tuple) and len(arguments) < 10 else None)

    def instance(self, text: str) -> None:
        arguments = tuple(self.since_mark())
        self.line_name(text)
        self.call(self.pop(), arguments)

    def object(self, _: None) -> None:
        function, *arguments = self.since_mark() or [None]
        self.call(function, tuple(arguments))

    def build(self, _: None) -> None:
        """Give the stand-in on top its state, whole and without a copy; other values keep to what they are."""
        state, target = self.pop(), self.top()
        if isinstance(state, tuple) and len(state) == 2:  # attributes, and those in slots
            state = state[0]
        if isinstance(target, Made) and isinstance(state, dict):
            target.state = state

    def persistent(self, id: Any) -> None:
        if self.load is None:
            raise BrokenPickleError("it refers to something outside of itself")
        self.stack.append(self.load(id))


def _is_key(key: Any) -> bool:
    return (isinstance(key, str) and len(key) <= MAX_TEXT) or (type(key) is int and abs(key) < MAX_KEY)


NUMBERS = ("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT")
TEXTS = ("STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE", "SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8")
BYTES = ("BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8")
LITERALS = frozenset((*NUMBERS, *TEXTS, *BYTES))
CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}
EMPTY: dict[str, Callable[[], Any]] = {"EMPTY_LIST": list, "EMPTY_SET": list, "EMPTY_DICT": dict}
IGNORED = frozenset(("PROTO", "FRAME", "STOP"))
ACTIONS: dict[str, Callable[[_Machine, Any], Any]] = {
    "POP": lambda machine, _: machine.pop(),
    "DUP": lambda machine, _: machine.stack.append(machine.top()),
    "MARK": _Machine.mark,
    "POP_MARK": _Machine.since_mark,
    "GET": _Machine.get,
    "BINGET": _Machine.get,
    "LONG_BINGET": _Machine.get,
    "PUT": _Machine.put,
    "BINPUT": _Machine.put,
    "LONG_BINPUT": _Machine.put,
    "MEMOIZE": _Machine.put,
    "LIST": lambda machine, _: machine.stack.append(machine.since_mark()),
    "FROZENSET": lambda machine, _: machine.stack.append(machine.since_mark()),
    "TUPLE": lambda machine, _: machine.stack.append(tuple(machine.since_mark())),
    "TUPLE1": lambda machine, _: machine.wrap(1),
    "TUPLE2": lambda machine, _: machine.wrap(2),
    "TUPLE3": lambda machine, _: machine.wrap(3),
    "DICT": _Machine.dictionary,
    "APPEND": lambda machine, _: machine.extend([machine.pop()]),
    "APPENDS": lambda machine, _: machine.extend(machine.since_mark()),
    "ADDITEMS": lambda machine, _: machine.extend(machine.since_mark()),
    "SETITEM": _Machine.set_item,
    "SETITEMS": _Machine.set_items,
    "GLOBAL": _Machine.line_name,
    "STACK_GLOBAL": _Machine.stack_name,
    "REDUCE": _Machine.reduce,
    "NEWOBJ": _Machine.reduce,
    "NEWOBJ_EX": _Machine.new_with_keywords,
    "INST": _Machine.instance,
    "OBJ": _Machine.object,
    "BUILD": _Machine.build,
    "PERSID": lambda machine, id: machine.persistent(id),
    "BINPERSID": lambda machine, _: machine.persistent(machine.pop()),
}
