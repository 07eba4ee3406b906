"""The few-shot benchmark on a world whose right half is skin: its figures by hand, and whom it refuses."""

from __future__ import annotations

import pytest
import torch

from fface_hub.adapters.adapter import Adapter
from fface_hub.benchmarks import fewshot
from fface_hub.errors import ModelError
from fface_hub.layouts import EYES_19
from tests.benchmarks.test_fidelity import Flat, generator


def painter(name: str) -> Adapter:
    """An adapter that sees the class `name` wherever there is anything at all."""
    model = Adapter(EYES_19.to_dict(), "org/faces", generator().fingerprint, feature_channels=4, hidden=4)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
        model.get_parameter("net.2.bias")[EYES_19.index(name)] = 1e6
    return model


def test_an_adapter_that_calls_everything_skin() -> None:
    figures = fewshot.measure(generator(), painter("skin"), identities=2, resolution=16, source=Flat())
    # Skin: right half of the picture of all of it, 1/2. Background: none of its half, 0. The mean of the two is 1/4.
    assert figures["iou_per_class"]["skin"] == pytest.approx(0.5)
    assert figures["iou_per_class"]["background"] == pytest.approx(0.0)
    assert figures["iou_per_class"]["pupil"] is None
    assert figures["miou"] == pytest.approx(0.25) and figures["miou_base15"] == pytest.approx(0.25)
    assert figures["classes"] == 19 and figures["identities"] == 2


def test_a_custom_class_counts_as_its_parent_in_the_base_layout() -> None:
    figures = fewshot.measure(generator(), painter("eyelid"), identities=1, resolution=16, source=Flat())
    assert figures["miou"] == pytest.approx(0.0)
    assert figures["miou_base15"] == pytest.approx(0.25)  # an eyelid is skin


def test_a_generator_without_bundled_adapters_is_refused() -> None:
    with pytest.raises(ModelError, match="No bundled adapter"):
        fewshot.run(generator())
