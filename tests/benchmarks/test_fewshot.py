"""The few-shot benchmark on a world whose right half is skin: its figures by hand, and whom it refuses."""

from __future__ import annotations

import pytest
import torch

from fface_hub.adapters.adapter import Adapter
from fface_hub.benchmarks import fewshot
from fface_hub.errors import ModelError
from fface_hub.heads.config import HELD_OUT_SEED
from fface_hub.heads.samples import head_latents, true_labels
from fface_hub.heads.truth import random_camera
from fface_hub.layouts import BASE_15, EYES_19
from fface_hub.metrics import mean_iou
from fface_hub.rendering.renderer import render
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
    figures = fewshot.measure(generator(), {"org/a": painter("skin")}, identities=2, resolution=16, source=Flat())["org/a"]
    # Skin: right half of the picture of all of it, 1/2. Background: none of its half, 0. The mean of the two is 1/4.
    assert figures["iou_per_class"]["skin"] == pytest.approx(0.5)
    assert figures["iou_per_class"]["background"] == pytest.approx(0.0)
    assert figures["iou_per_class"]["pupil"] is None
    assert figures["miou"] == pytest.approx(0.25) and figures["miou_base15"] == pytest.approx(0.25)
    assert figures["classes"] == 19 and figures["identities"] == 2


def test_a_custom_class_counts_as_its_parent_in_the_base_layout() -> None:
    both = {"org/a": painter("skin"), "org/b": painter("eyelid")}
    skin, eyelid = fewshot.measure(generator(), both, identities=1, resolution=16, source=Flat()).values()
    assert skin["miou"] == pytest.approx(0.25) and eyelid["miou"] == pytest.approx(0.0)
    assert eyelid["miou_base15"] == pytest.approx(0.25)  # an eyelid is skin
    assert skin["generator_miou_base15"] == eyelid["generator_miou_base15"]


def test_labels_are_those_of_a_rendering() -> None:
    model, seed = generator(), HELD_OUT_SEED + 3
    figures = fewshot.measure(model, {"org/a": painter("skin")}, 1, seed, resolution=16, source=Flat())["org/a"]
    camera = random_camera(seed)
    view = render(model.scene(head_latents(Flat(), model, [seed])), camera, 16)
    truth = true_labels(Flat(), seed, camera, 16, BASE_15)[None]
    assert figures["generator_miou_base15"] == pytest.approx(mean_iou(view.labels, truth, len(BASE_15)).item())


def test_a_generator_without_bundled_adapters_is_refused() -> None:
    with pytest.raises(ModelError, match="No bundled adapter"):
        fewshot.run(generator())
