"""Windows by hand, and edits of which only the window is rendered beside those of whole pictures."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import pytest
import torch

from fface_hub.cameras import Camera, look_at
from fface_hub.editing.edit import EditResult, EditSession, EditSettings
from fface_hub.editing.kept import reach, seen_by
from fface_hub.editing.windows import Window
from fface_hub.generators.base import Rendering, Scene
from fface_hub.inversion.inversion import Inversion
from fface_hub.kept import LAYERS
from fface_hub.latents import Latents
from fface_hub.rendering.renderer import render
from fface_hub.rendering.sampling import Sampling
from tests.editing.test_kept import CAMERA, SHORT, box
from tests.tiny import solid_generator


def test_a_window_by_hand() -> None:
    # Rows 4 to 6 and columns 10 to 14: five wide, and two more on each side; three rows, and three more.
    assert Window.around(box(32, slice(4, 7), slice(10, 15)), 2) == Window(1, 8, 9, 32)
    assert Window.around(box(32, slice(4, 7), slice(10, 15)), 2, least=11) == Window(0, 7, 11, 32)
    # At the rim it is moved into the picture, and never larger than that.
    assert Window.around(box(32, slice(30, 32), slice(0, 1)), 3) == Window(24, 0, 8, 32)
    assert Window.around(box(32, slice(0, 32), slice(3, 4)), 3) == Window(0, 0, 32, 32)


def test_its_camera_sees_the_same_rays() -> None:
    camera = look_at(20.0, 10.0)
    window = Window(3, 5, 4, 16)
    for whole, part in zip(camera.rays(16), window.camera(camera).rays(4), strict=True):
        torch.testing.assert_close(part.reshape(4, 4, 3), whole.reshape(16, 16, 3)[3:7, 5:9], atol=1e-6, rtol=0)
    everything = Window(0, 0, 16, 16)
    assert torch.equal(everything.camera(camera).to_vector(), camera.to_vector())


def test_it_is_put_back_where_it_was() -> None:
    scene, window = solid_generator().scene(solid_generator().sample(1, seed=3)), Window(6, 2, 12, 24)
    whole = render(scene, CAMERA, 24, Sampling(12, 12), finish=False)
    part = render(scene, window.camera(CAMERA), 12, Sampling(12, 12), finish=False)
    blank = Rendering(**{field.name: torch.zeros_like(getattr(whole, field.name)) for field in fields(Rendering)})
    put = window.put(part, blank)
    for name in ("image", "raw", "logits", "labels", "depth", "opacity"):
        was, found = getattr(whole, name), getattr(put, name)
        torch.testing.assert_close(found[..., 6:18, 2:14], was[..., 6:18, 2:14], atol=2e-3, rtol=0)
        outside = found.clone()
        outside[..., 6:18, 2:14] = 0
        assert not outside.any()
    assert not blank.raw.any()


@pytest.fixture
def sizes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Sides of the pictures that edits render."""
    found = list[int]()

    def spied(scene: Scene, camera: Camera, size: int, *arguments: Any, **options: Any) -> Rendering:
        found.append(size)
        return render(scene, camera, size, *arguments, **options)

    monkeypatch.setattr("fface_hub.editing.edit.render", spied)
    return found


def painted(face: Latents | Inversion, settings: EditSettings = SHORT) -> EditResult:
    """`face` with 6 × 6 pixels painted over."""
    generator = solid_generator()
    session = EditSession(generator, face)
    labels = session.before(settings).labels[0]
    target = labels.clone()
    target[10:16, 10:16] = (target[10:16, 10:16] + 1) % len(generator.layout)
    return session.apply(target, settings, original_labels=labels)


@pytest.mark.parametrize("inverted", [False, True])
def test_edits_are_those_of_whole_pictures(inverted: bool, sizes: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    latents = solid_generator().sample(1, seed=3)
    face = Inversion(latents, CAMERA, solid_generator()) if inverted else latents
    fast = painted(face)
    assert reach(32) == 2 and seen_by(32) == 4 and seen_by(16) == 3
    # The face before; then around the 6 painted pixels 4 on each side, alone and beside what is kept.
    assert sizes == [32, 14, 14]
    monkeypatch.setattr(EditSession, "_window", lambda *_: None)
    slow = painted(face)
    assert sizes[3:] == [32, 32, 32]
    assert fast.losses == slow.losses and torch.equal(fast.latents.geometry, slow.latents.geometry)
    assert fast.latents.kept is not None and slow.latents.kept is not None
    shares, others = fast.latents.kept.maps[0], slow.latents.kept.maps[0]
    assert (shares[0].int() - others[0].int()).abs().max() <= 1
    assert (shares[1].int() - others[1].int())[others[0] > 0].abs().max() <= 1
    for name in ("raw", "depth", "opacity"):
        torch.testing.assert_close(getattr(fast.after, name), getattr(slow.after, name), atol=5e-3, rtol=0)
    assert (fast.after.labels == slow.after.labels).float().mean() > 0.999


def test_only_where_nothing_is_kept_all_is_seen_anew(sizes: list[int]) -> None:
    face = solid_generator().sample(1, seed=3)
    for settings, expected in (*((SHORT, [32, 14, 14]),) * (LAYERS + 1), (replace(SHORT, keep=False), [32, 32])):
        face = painted(face, settings).latents
        assert sizes == expected
        sizes.clear()
