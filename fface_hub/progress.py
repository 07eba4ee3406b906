"""What every optimisation shares: the report it makes after each step, and the way it freezes the model it looks at."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from fface_hub.errors import OptimisationError


@dataclass(frozen=True)
class Step:
    """One finished step: `index` counts from 1 to `total`; `losses` by name; `preview [3,h,w]` in [-1, 1], on some steps only.

    `best` is what the work would return if it were stopped now. A callback that stops it by raising `CancelledError` keeps that.
    """

    index: int
    total: int
    losses: Mapping[str, float]
    preview: Tensor | None = None
    best: Any = None

    @property
    def fraction(self) -> float:
        """How much is done, from 0 to 1."""
        return self.index / self.total


Callback = Callable[[Step], None]


@contextmanager
def frozen(*models: object) -> Iterator[None]:
    """Within the block no parameter of `models` asks for gradients (what is no module is left alone); afterwards all is as before."""
    parameters = [p for model in models if isinstance(model, nn.Module) for p in model.parameters() if p.requires_grad]
    for parameter in parameters:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in parameters:
            parameter.requires_grad_(True)


def check_finite(value: Tensor, what: str, best: Any = None) -> None:
    """Raise `OptimisationError`, with what was reached before as its `best`, unless every number of `value` is finite."""
    if not bool(value.isfinite().all()):
        error = OptimisationError(f"{what} ran into numbers that are not finite and was stopped: try a smaller step size or another seed.")
        error.best = best
        raise error
