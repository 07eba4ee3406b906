"""A fit on rays that are looked at once takes the steps of its slow twin, which renders them anew: whatever is painted, in any settings."""

from __future__ import annotations

import pytest
import torch
from hypothesis.strategies import booleans, integers, none, one_of, sampled_from

from fface_hub.adapters.distillation import Distillation
from fface_hub.adapters.fit import fit, fit_reference
from fface_hub.adapters.learner import Form
from fface_hub.adapters.mixing import Mixing
from fface_hub.adapters.plan import FitSettings, Objective
from fface_hub.adapters.samples import Sample, SampleSet
from fface_hub.cameras import look_at
from fface_hub.layouts import EYES_19
from fface_hub.progress import Step
from tests.properties.holding import FEW, SEEDS, hold
from tests.tiny import solid_generator

SIZE = 12
UNPAINTED = Distillation(faces=2, resolution=SIZE, kept=48, batch=2, rays=16)


def painted(seed: int, shots: int) -> SampleSet:
    """Faces of which a painter who knows nothing has painted blocks of 3² pixels."""
    random = torch.Generator().manual_seed(seed)
    samples = []
    for number in range(shots):
        blocks = torch.randint(len(EYES_19), (SIZE // 3, SIZE // 3), generator=random)
        labels = blocks.repeat_interleave(3, 0).repeat_interleave(3, 1)
        latents = solid_generator().sample(1, (seed + number) % 2**31, 1.0)
        samples.append(Sample(torch.zeros(3, SIZE, SIZE), labels, look_at(30 * float(torch.rand(1, generator=random)) - 15), latents))
    return SampleSet(EYES_19, tuple(samples))


def fits_agree(seed: int, shots: int, form: Form, unpainted: bool, overlap: bool, kept: int | None, **sizes: int) -> None:
    """Every loss is within 1e-4 and every weight within 1e-3 of the twin's, at ε = 0 and without jitter: both must see the same."""
    settings = FitSettings(
        steps=sizes["steps"], batch=sizes["batch"], rays=sizes["rays"], kept=kept, coarse=sizes["coarse"],
        fine=sizes["fine"] if sizes["coarse"] > 3 else 0,
        jitter=False, epsilon=0.0, form=form, mixing=Mixing(mixes=sizes["mixes"]), distillation=UNPAINTED if unpainted else None,
        objective=Objective(overlap_weight=0.5 if overlap else 0.0, overlap_start=0.3), seed=seed % 1000,
    )  # fmt: skip
    found = []
    for function in (fit, fit_reference):
        steps: list[Step] = []
        adapter = function(solid_generator(), painted(seed, shots), settings=settings, callback=steps.append)
        found.append(([step.losses for step in steps if step.index], adapter))
    (fast, cached), (slow, rendered) = found
    assert len(fast) == len(slow) == settings.steps
    for mine, twins in zip(fast, slow, strict=True):
        assert {name: mine[name] for name in twins} == pytest.approx(twins, rel=0, abs=1e-4)
    for mine, twins in zip(cached.parameters(), rendered.parameters(), strict=True):
        torch.testing.assert_close(mine, twins, rtol=0, atol=1e-3)


@pytest.mark.parametrize("examples", FEW)
def test_fits(examples: int) -> None:
    forms = sampled_from([Form("gated"), Form("open", warm_start=True), Form("none", view_direction=False), Form("gated", warm_start=True)])
    sizes = {"steps": integers(1, 6), "batch": integers(1, 4), "rays": integers(1, 64), "mixes": integers(1, 3)}
    passes = {"coarse": integers(3, 10), "fine": integers(0, 10), "kept": one_of(none(), integers(64, SIZE**2))}
    switches = {"unpainted": booleans(), "overlap": booleans()}
    hold(fits_agree, examples, seed=SEEDS, shots=integers(1, 3), form=forms, **sizes, **passes, **switches)
