"""Labels for a generator without any: what an adapter found becomes part of the decoder, and pictures stay as they were."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
import torch
from torch import Tensor

from fface_hub.adapters.adapter import Adapter
from fface_hub.adapters.labelling import RESOLUTION, SETTINGS, fit_labels, parsed_samples, with_labels
from fface_hub.adapters.samples import Sample
from fface_hub.errors import ModelError
from fface_hub.generators.base import Generator
from fface_hub.generators.triplane import TriplaneGenerator
from fface_hub.layouts import BASE_15, EYES_19, Layout
from fface_hub.rendering.renderer import Rendering, render
from fface_hub.rendering.sampling import Sampling
from tests.tiny import SIZES, random_generator, solid_generator

QUICK = replace(SETTINGS, steps=150, batch=4, rays=128, kept=None, coarse=8, fine=8, learning_rate=0.1)


@cache
def unlabelled() -> TriplaneGenerator:
    """A solid one in EG3D's form."""
    model = random_generator(**SIZES, z_dim=6, decoder="eg3d")
    with torch.no_grad():
        last = model.get_submodule("decoder.net.2")
        last.get_parameter("weight")[0] *= 20
        last.get_parameter("bias")[0] = -4
    return model


def look(generator: TriplaneGenerator, adapter: Adapter | None = None, seed: int = 1, size: int = 16) -> Rendering:
    with torch.no_grad():
        return render(generator.scene(generator.sample(1, seed)), generator.default_camera, size, Sampling(8, 8), adapter=adapter)


def fitted(layout: Layout = BASE_15, seed: int = 0) -> Adapter:
    """Random weights that do not read the direction."""
    adapter = Adapter(layout.to_dict(), "a", unlabelled().fingerprint, 8, 2)
    adapter.initialise(torch.Generator().manual_seed(seed))
    with torch.no_grad():
        adapter.net[0].get_parameter("weight")[:, -3:] = 0
        adapter.net[0].get_parameter("bias").uniform_(generator=torch.Generator().manual_seed(seed))
    return adapter


def test_the_labels_are_those_of_the_adapter_and_all_else_is_as_before(tmp_path: Path) -> None:
    labelled = with_labels(unlabelled(), fitted())
    assert labelled.layout == BASE_15 and labelled.fingerprint != unlabelled().fingerprint
    before, after = look(unlabelled(), fitted()), look(labelled)
    assert torch.equal(before.raw, after.raw) and torch.equal(before.depth, after.depth)
    assert before.logits.std() > 0.1
    torch.testing.assert_close(after.logits, before.logits, rtol=1e-4, atol=1e-5)
    labelled.save_pretrained(tmp_path / "model")
    loaded = Generator.from_pretrained(tmp_path / "model")
    assert isinstance(loaded, TriplaneGenerator) and torch.equal(look(loaded).logits, after.logits)


def test_what_does_not_fit_is_refused() -> None:
    viewing = fitted()
    with torch.no_grad():
        viewing.net[0].get_parameter("weight")[0, -1] = 1
    for adapter in (viewing, fitted(EYES_19)):
        with pytest.raises(ModelError, match="fitted without the viewing direction"):
            with_labels(unlabelled(), adapter)
    with pytest.raises(ModelError, match=r"labels already \('base-15'\)"):
        fit_labels(solid_generator(), parsed_samples(unlabelled(), reddish, count=1))


def reddish(image: Tensor) -> Tensor:
    """A parser: skin where there is more red than blue, hair elsewhere."""
    return torch.where(image[:, 0] > image[:, 2], BASE_15.names.index("skin"), BASE_15.names.index("hair"))


def test_faces_are_drawn_parsed_and_learnt() -> None:
    generator = unlabelled()
    samples = parsed_samples(generator, reddish, count=4, seed=3)
    assert len(samples) == 4 and samples.layout == BASE_15
    first = samples.samples[0]
    assert isinstance(first, Sample) and first.labels.shape == (RESOLUTION, RESOLUTION)
    assert torch.equal(first.labels, reddish(first.image[None])[0])
    labelled = fit_labels(generator, samples, QUICK)
    right = []
    for seed in (9, 11):  # faces that it did not see
        found = look(labelled, seed=seed, size=32)
        truth = reddish(found.image)
        assert 0.2 < (truth == truth.max()).float().mean() < 0.8
        right.append((found.labels == truth).float().mean().item())
    assert min(right) > 0.75
