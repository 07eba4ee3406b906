"""What every optimisation shares."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from fface_hub.errors import OptimisationError
from fface_hub.progress import Step, check_finite, check_gradients, frozen


def test_fraction_of_a_step() -> None:
    assert Step(25, 100, {}).fraction == 0.25


def test_frozen_restores_what_was_trainable_even_after_an_error() -> None:
    model = nn.Linear(2, 2)
    model.bias.requires_grad_(False)
    with pytest.raises(KeyError), frozen(model, None, object()):
        assert not model.weight.requires_grad
        raise KeyError
    assert model.weight.requires_grad
    assert not model.bias.requires_grad


def test_check_finite_hands_over_the_best() -> None:
    check_finite(torch.zeros(2), "The work")
    with pytest.raises(OptimisationError, match="The work") as caught:
        check_finite(torch.tensor([0.0, torch.nan]), "The work", best="so far")
    assert caught.value.best == "so far"


def test_a_model_thaws_when_the_last_of_those_that_froze_it_is_done() -> None:
    model = nn.Linear(2, 2)
    first, second = frozen(model), frozen(model)
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)  # as of two threads: the one that began first ends first
    assert not model.weight.requires_grad
    second.__exit__(None, None, None)
    assert model.weight.requires_grad


def test_gradients_are_checked_together() -> None:
    fine, broken, unused = (torch.zeros(2, requires_grad=True) for _ in range(3))
    fine.grad, broken.grad = torch.ones(2), torch.tensor([0.0, torch.inf])
    check_gradients([fine, unused], "The work")
    with pytest.raises(OptimisationError, match="The work") as caught:
        check_gradients([fine, broken, unused], "The work", best="so far")
    assert caught.value.best == "so far"
