"""What a generator has made already and need not make again, as long as its weights stay as they are."""

from __future__ import annotations

import weakref
from collections import deque
from collections.abc import Callable
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor

Value = TypeVar("Value")


class Remembered(Generic[Value]):
    """The last `count` values that were made, each from one or more tensors of rows by one version of the weights; with `weak` only while
    somebody else still has them. A copy begins with none: it has weights of its own.
    """

    def __init__(self, count: int, weak: bool = False) -> None:
        self.count, self.weak = count, weak
        self._known: deque[tuple[Any, tuple[Tensor, ...], Callable[[], Value | None]]] = deque(maxlen=count)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.count, self.weak)

    def get(self, version: Any, rows: tuple[Tensor, ...], make: Callable[[], Value]) -> Value:
        """What `make` gives, or has given for equal `rows` on the same device and the same `version`; None as a version remembers nothing.
        Whatever the answer is shared with must not be changed."""
        if version is None:
            return make()
        for known, theirs, held in tuple(self._known):
            if known == version and (value := held()) is not None and all(map(_equal, theirs, rows)):
                return value
        value = make()
        held = weakref.ref(value) if self.weak else lambda: value
        self._known.append((version, tuple(part.detach().clone() for part in rows), held))
        return value


def _equal(first: Tensor, second: Tensor) -> bool:
    return first.device == second.device and torch.equal(first, second)
