"""What every optimisation shares: the report it makes after each step, and the way it freezes the model it looks at."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from fface_hub.errors import OptimisationError
from fface_hub.threads import lock_across_forks


@dataclass(frozen=True)
class Step:
    """One finished step: `index` counts from 1 to `total`, and is 0 while the work is prepared; `losses` by name; `preview [3,h,w]` in
    [-1, 1], on some steps only. What takes long between two steps tells the first one's index again, without losses, so that all work can
    be stopped within half a second.

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


def between(callback: Callback | None, index: int, total: int) -> Callable[[], None] | None:
    """What a renderer calls after each chunk of rays, so that work that has done `index` of `total` steps can be stopped there."""
    return None if callback is None else lambda: callback(Step(index, total, {}))


_LOCK = lock_across_forks()
_HOLDERS: dict[nn.Parameter, int] = {}  # parameters that are frozen now, and by how many blocks


@contextmanager
def frozen(*models: object) -> Iterator[None]:
    """Within the block no parameter of `models` asks for gradients (what is no module is left alone); afterwards all is as before.

    Several threads may freeze one model at the same time, as visitors of the page do: it thaws when the last of them is done.
    """
    parameters = {p for model in models if isinstance(model, nn.Module) for p in model.parameters()}
    with _LOCK:
        held = [p for p in parameters if p.requires_grad or p in _HOLDERS]
        for parameter in held:
            _HOLDERS[parameter] = _HOLDERS.get(parameter, 0) + 1
            parameter.requires_grad_(False)
    try:
        yield
    finally:
        with _LOCK:
            for parameter in held:
                _HOLDERS[parameter] -= 1
                if not _HOLDERS[parameter]:
                    del _HOLDERS[parameter]
                    parameter.requires_grad_(True)


def check_finite(value: Tensor, what: str, best: Any = None) -> None:
    """Raise `OptimisationError`, with what was reached before as its `best`, unless every number of `value` is finite."""
    if not bool(value.isfinite().all()):
        error = OptimisationError(f"{what} ran into numbers that are not finite and was stopped: try another seed.")
        error.best = best
        raise error


def check_gradients(parameters: Iterable[Tensor], what: str, best: Any = None) -> None:
    """`check_finite` for the gradients of `parameters` together; before each step, so that no step can spoil what is optimised."""
    gradients = [p.grad for p in parameters if p.grad is not None]
    check_finite(nn.utils.get_total_norm(gradients), what, best)
