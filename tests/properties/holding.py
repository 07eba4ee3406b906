"""Properties that are to hold for every input: hypothesis draws the inputs, the same ones in every run."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis.strategies import SearchStrategy, integers

FULL = [pytest.mark.slow, pytest.mark.full]
EXAMPLES = [25, pytest.param(500, marks=FULL)]
"""How many inputs a property is tried on."""
FEW = [6, pytest.param(60, marks=FULL)]
"""The same for properties that render."""
SEEDS = integers(0, 2**32 - 1)


def hold(check: Callable[..., None], examples: int, **strategies: SearchStrategy) -> None:
    """Call `check` with `examples` draws of the `strategies`; a draw that fails is made smaller and shown."""
    options = {"derandomize": True, "deadline": None, "database": None}
    settings(max_examples=examples, suppress_health_check=[HealthCheck.too_slow], **options)(given(**strategies)(check))()
