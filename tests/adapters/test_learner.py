"""The forms in which an adapter learns: what they fold into, where they start, and what cannot move."""

from __future__ import annotations

from itertools import product
from math import exp, log

import pytest
import torch
from torch import Tensor

from fface_hub.adapters.adapter import FRONTAL, Adapter
from fface_hub.adapters.learner import Form, Learner, warm_start
from fface_hub.layouts import BASE_15, EYES_19, LabelClass, Layout
from fface_hub.rendering.renderer import render
from tests.tiny import solid_generator

FORMS = [Form(*values) for values in product(("open", "gated", "none"), (False, True), (False, True))]


def new_adapter(layout: Layout = EYES_19, form: Form | None = None, features: int = 8) -> Adapter:
    adapter = Adapter(layout.to_dict(), "a", solid_generator().fingerprint, features)
    adapter.initialise(torch.Generator().manual_seed(2))
    if form is not None and form.warm_start:
        warm_start(adapter, BASE_15, gated=form.injection != "open")
    return adapter


def samples(count: int = 50) -> tuple[Tensor, Tensor, Tensor]:
    random = torch.Generator().manual_seed(3)
    features, geometry = torch.randn(count, 8, generator=random), 3 * torch.randn(count, 16, generator=random)
    return features, geometry, torch.nn.functional.normalize(torch.randn(count, 3, generator=random), dim=-1)


def trained(form: Form) -> Learner:
    """After three steps towards random labels."""
    learner = Learner(new_adapter(form=form), form)
    optimiser = torch.optim.Adam(learner.parameters(), lr=0.1)
    for _ in range(3):
        optimiser.zero_grad()
        torch.nn.functional.cross_entropy(learner(*samples()), torch.arange(50) % 19).backward()
        optimiser.step()
    learner.fold()
    return learner


@pytest.mark.parametrize("form", FORMS, ids=str)
def test_the_adapter_it_folds_into_computes_the_same(form: Form) -> None:
    learner = trained(form)
    features, geometry, directions = samples()
    with torch.no_grad():
        logits = learner(features, geometry, directions)
        assert torch.equal(learner.adapter(features, geometry, directions), logits)
        gap = (learner.adapter(features, geometry) - logits).abs().max()
    assert (gap == 0) == (not form.view_direction)  # no direction stands for the frontal one
    assert list(learner.adapter.state_dict()) == list(new_adapter().state_dict())
    assert all(p.grad is None for p in learner.adapter.parameters())


@pytest.mark.parametrize("form", FORMS, ids=str)
def test_everything_that_learns_moves_and_nothing_else(form: Form) -> None:
    start, learner = Learner(new_adapter(form=form), form), trained(form)
    pairs = dict(zip(start.weights, zip(start.weights.values(), learner.weights.values(), strict=True), strict=True))
    assert all(not torch.equal(a, b) for a, b in pairs.values())
    read = learner.adapter.get_parameter("net.0.weight")
    assert bool(read[:, :8].any()) == (form.injection != "none")
    assert bool(read[:, 24:].any()) == form.view_direction
    if form.injection == "gated":
        assert learner.gate is not None and (learner.gate != 0).all()
        assert not start.adapter.get_parameter("net.0.weight")[:, :8].any()


def test_a_gate_scales_what_a_unit_reads_of_the_features() -> None:
    learner = Learner(new_adapter(form=None), Form("gated"))
    assert learner.gate is not None
    with torch.no_grad():
        learner.gate[0] = 0.5
    folded, raw = learner.fold().get_parameter("net.0.weight"), new_adapter().get_parameter("net.0.weight")
    assert torch.equal(folded[0, :8], 0.5 * raw[0, :8]) and not folded[1:, :8].any()
    assert torch.equal(folded[:, 8:], raw[:, 8:])


def test_a_view_that_is_not_looked_at_goes_into_the_bias() -> None:
    adapter = new_adapter()
    features, geometry, directions = samples()
    with torch.no_grad():
        frontal = adapter(features, geometry, torch.tensor(FRONTAL))
        folded = Learner(adapter, Form(view_direction=False)).adapter(features, geometry, directions)
    assert torch.allclose(folded, frontal, atol=1e-5)


@pytest.mark.parametrize("form", [form for form in FORMS if form.warm_start], ids=str)
def test_a_warm_start_has_the_logits_of_the_parents(form: Form) -> None:
    learner = Learner(new_adapter(form=form), form)
    features, geometry, directions = samples()
    geometry[0, 1:] = torch.arange(15.0) - 7
    with torch.no_grad():
        logits = learner(features, geometry, directions)
    # EYES_19: 15 ala is nose (7), 16 iris and 17 pupil are eye (3), 18 eyelid is skin (1).
    parents = [*range(15), 7, 3, 3, 1]
    expected = torch.nn.functional.softplus(geometry[:, 1:][:, parents])
    assert torch.allclose(logits, expected, atol=0.02)
    # By hand, for the parent's y = 7: softplus(softplus(7) + 4) − softplus(4), with softplus(x) = ln(1 + eˣ).
    carried = log(1 + exp(log(1 + exp(7)) + 4)) - log(1 + exp(4))
    assert logits[0, 14].item() == pytest.approx(carried, abs=1e-4)
    best = geometry[:, 1:].argmax(dim=1)
    assert torch.equal(logits.argmax(dim=1), best)  # of equal ones the first, which is the parent itself


def test_a_warm_start_labels_pictures_as_the_generator_does() -> None:
    form = Form("gated", warm_start=True)
    adapter = Learner(new_adapter(form=form), form).adapter
    scene = solid_generator().scene(solid_generator().sample(1, 0))
    own = render(scene, solid_generator().default_camera, 24).labels
    found = render(scene, solid_generator().default_camera, 24, adapter=adapter).labels
    assert len(own.unique()) > 2
    assert (own == found).float().mean() > 0.9  # the fog of random weights is where sums of softplus differ from sums of logits


def test_classes_without_a_parent_start_at_nothing() -> None:
    layout = Layout("blush", (BASE_15.classes[0], LabelClass("powder", (9, 9, 9)), LabelClass("cheek", (8, 8, 8), "skin")))
    form = Form("none", warm_start=True)
    features, geometry, directions = samples()
    with torch.no_grad():
        logits = Learner(new_adapter(layout, form), form)(features, geometry, directions)
    assert torch.allclose(logits[:, [0, 2]], torch.nn.functional.softplus(geometry[:, [1, 2]]), atol=0.02)
    assert not logits[:, 1].any()
