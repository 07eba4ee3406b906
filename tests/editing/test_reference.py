"""The original's edit, step for step: its start, its losses, its region and its last step, on a tiny random generator."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from fface_hub.adapters.adapter import Adapter
from fface_hub.editing.reference import ReferenceSettings, edit_reference
from fface_hub.errors import CancelledError, LayoutError, ModelError
from fface_hub.latents import Latents
from fface_hub.losses import cross_entropy, dice_overlap
from fface_hub.progress import Step
from fface_hub.rendering.renderer import render, render_rays
from fface_hub.rendering.sampling import Sampling
from tests.tiny import new_solid_generator, solid_generator


def l1(image: Tensor, target: Tensor) -> Tensor:
    return (image - target).abs().mean()


SMALL = ReferenceSettings(steps=2, resolution=16, coarse=8, fine=8, perceptual=l1)
FACE = solid_generator().sample(1, 0, 1.0)


def goal(amount: float = 0.4) -> Tensor:
    """Labels of a face that is part of the way to another one."""
    other = Latents(FACE.geometry.lerp(solid_generator().sample(1, 1, 1.0).geometry, amount), FACE.appearance)
    return labels_of(other)


def labels_of(face: Latents) -> Tensor:
    return render(solid_generator().scene(face), solid_generator().default_camera, 16, Sampling(8, 8)).labels[0]


def drawn(settings: ReferenceSettings) -> tuple[Sampling, Tensor, Sampling]:
    """The random numbers of an edit in the order in which it draws them: jitter of the picture before, a row of noise, jitter of step 1."""
    random = torch.Generator().manual_seed(settings.seed)
    _, directions = solid_generator().default_camera.rays(settings.resolution)
    first = Sampling(settings.coarse, settings.fine, random).drawn(directions)
    noise = torch.randn(1, 1, FACE.geometry.shape[2], generator=random)
    return first, noise, Sampling(settings.coarse, settings.fine, random).drawn(directions)


def test_it_starts_with_one_row_of_noise_and_keeps_the_last_step_from_before_its_update() -> None:
    _, noise, _ = drawn(SMALL)
    first = edit_reference(solid_generator(), FACE, goal(), settings=replace(SMALL, steps=1)).latents.geometry
    assert torch.allclose(first - FACE.geometry, (0.01 * noise).expand_as(first), atol=1e-6)
    second = edit_reference(solid_generator(), FACE, goal(), settings=SMALL).latents.geometry
    # Adam's first step moves every number by the rate, whatever its gradient; and rows part.
    moved = second - first
    assert moved.abs().median().item() == pytest.approx(0.02, rel=1e-3) and moved.abs().max() < 0.02001
    assert not torch.equal(moved[:, 0], moved[:, 1])


def test_losses_are_those_of_the_whole_picture_and_of_the_rest_of_it_in_grey() -> None:
    before, noise, sampling = drawn(SMALL)
    model, target = solid_generator(), goal()
    rays = model.default_camera.rays(16)
    with torch.no_grad():
        shown = render_rays(model.scene(FACE), *rays, before)
        found = render_rays(model.scene(FACE.offset(0.01 * noise)), *rays, sampling)
    result = edit_reference(model, FACE, target, settings=replace(SMALL, steps=1))
    region = shown.logits.argmax(-1)[0].reshape(16, 16) != target
    assert torch.equal(result.region, region) and region.any()
    keep = ~region.reshape(1, -1, 1)
    expected = {
        "cross_entropy": cross_entropy(found.logits.transpose(1, 2), target.reshape(1, -1)),
        "overlap": dice_overlap(found.logits.transpose(1, 2), target.reshape(1, -1)),
        "image": ((found.color * keep - shown.color * keep) ** 2).mean(),
        "perceptual": ((found.color - shown.color) * keep).abs().mean(),
    }
    losses = result.losses[0]
    for name, value in expected.items():
        assert losses[name] == pytest.approx(value.item(), rel=1e-4), name
    assert losses["loss"] == pytest.approx(sum(losses[name] * (0.5 if name == "overlap" else 1) for name in expected), rel=1e-5)
    without = edit_reference(model, FACE, target, settings=replace(SMALL, steps=1, overlap_weight=0.0)).losses[0]
    assert "overlap" not in without
    assert without["loss"] == pytest.approx(losses["loss"] - 0.5 * losses["overlap"], rel=1e-5)


@pytest.mark.parametrize("with_adapter", [False, True])
def test_labels_move_towards_the_target_and_appearance_is_held(with_adapter: bool) -> None:
    model, adapter = new_solid_generator(), None
    if with_adapter:
        adapter = Adapter(model.layout.to_dict(), "a", model.fingerprint, 8)
        adapter.initialise(torch.Generator().manual_seed(1))
    other = Latents(FACE.geometry.lerp(model.sample(1, 1, 1.0).geometry, 0.4), FACE.appearance)

    def labels(face: Latents) -> Tensor:
        return render(model.scene(face), model.default_camera, 16, Sampling(8, 8), adapter=adapter).labels[0]

    target = labels(other)
    result = edit_reference(model, FACE, target, adapter, settings=replace(SMALL, steps=30))
    shares = [(labels(face) == target).float().mean() for face in (FACE, result.latents)]
    assert shares[1] > shares[0] + 0.4 * (1 - shares[0])
    assert torch.equal(result.latents.appearance, FACE.appearance)
    assert all(p.requires_grad and p.grad is None for p in model.parameters())
    assert len(result.losses) == 30


def test_steps_are_reported_can_be_stopped_and_are_the_same_each_time() -> None:
    steps: list[Step] = []

    def stop(step: Step) -> None:
        steps.append(step)
        if step.index == 2:
            raise CancelledError("Stopped.")

    with pytest.raises(CancelledError):
        edit_reference(solid_generator(), FACE, goal(), settings=replace(SMALL, steps=9), callback=stop)
    assert [(step.index, step.total) for step in steps] == [(0, 9), (1, 9), (2, 9)]
    again = edit_reference(solid_generator(), FACE, goal(), settings=SMALL)
    assert torch.equal(again.latents.geometry, steps[-1].best.geometry) and again.losses[-1] == dict(steps[-1].losses)


def test_its_own_trunk_is_the_bundled_one() -> None:
    losses = edit_reference(solid_generator(), FACE, goal(), settings=replace(SMALL, steps=1, perceptual=None)).losses[0]
    assert 0 < losses["perceptual"] < 2


def test_labels_at_another_size_are_taken_at_the_pixels_under_the_new_centres() -> None:
    large = goal().repeat_interleave(2, 0).repeat_interleave(2, 1)
    found = [edit_reference(solid_generator(), FACE, labels, settings=replace(SMALL, steps=1)).region for labels in (goal(), large)]
    assert torch.equal(found[0], found[1])


@pytest.mark.parametrize("labels", [torch.zeros(16, 8).long(), torch.full((16, 16), 15), torch.full((16, 16), -1), torch.zeros(16, 16)])
def test_labels_that_do_not_fit_are_refused(labels: Tensor) -> None:
    with pytest.raises(LayoutError, match="15 classes"):
        edit_reference(solid_generator(), FACE, labels, settings=SMALL)


def test_an_adapter_of_another_generator_is_refused() -> None:
    adapter = Adapter(solid_generator().layout.to_dict(), "org/faces", "0" * 64, 8)
    with pytest.raises(ModelError, match="org/faces"):
        edit_reference(solid_generator(), FACE, goal(), adapter, settings=SMALL)
