"""Windows by hand, and edits of which only the window is rendered beside those of whole pictures."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest
import torch

from fface_hub.cameras import look_at
from fface_hub.editing.edit import EditResult, EditSession
from fface_hub.editing.kept import reach
from fface_hub.editing.windows import Window
from fface_hub.generators.base import Rendering
from fface_hub.inversion.inversion import Inversion
from fface_hub.rendering.renderer import render
from fface_hub.rendering.sampling import Sampling
from tests.editing.test_kept import CAMERA, SHORT, box
from tests.tiny import solid_generator


def test_a_window_by_hand() -> None:
    # Rows 4 to 6 and columns 10 to 14: five wide, and two more on each side.
    assert Window.around(box(32, slice(4, 7), slice(10, 15)), 2) == Window(2, 8, 9, 32)
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


@pytest.mark.parametrize("inverted", [False, True])
def test_edits_are_those_of_whole_pictures(inverted: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    generator = solid_generator()
    latents = generator.sample(1, seed=3)
    face, sizes = Inversion(latents, CAMERA, generator) if inverted else latents, list[int]()

    def spied(*arguments: object, **options: object) -> Rendering:
        sizes.append(arguments[2])  # pyright: ignore[reportArgumentType]
        return render(*arguments, **options)  # pyright: ignore[reportArgumentType]

    def painted() -> EditResult:
        session = EditSession(generator, face)
        target = session.before(SHORT).labels[0].clone()
        target[10:16, 10:16] = (target[10:16, 10:16] + 1) % len(generator.layout)
        return session.apply(target, SHORT, original_labels=session.before(SHORT).labels[0])

    monkeypatch.setattr("fface_hub.editing.edit.render", spied)
    fast = painted()
    assert reach(32) == 2 and sizes == [32, 14, 14]  # before; around the 6 painted pixels 4 on each side, alone and beside what is kept
    monkeypatch.setattr(EditSession, "_window", lambda *_: None)
    slow = painted()
    assert sizes[3:] == [32, 32, 32]
    assert fast.losses == slow.losses and torch.equal(fast.latents.geometry, slow.latents.geometry)
    assert fast.latents.kept is not None and slow.latents.kept is not None
    shares, others = fast.latents.kept.maps[0], slow.latents.kept.maps[0]
    assert (shares[0].int() - others[0].int()).abs().max() <= 1
    assert (shares[1].int() - others[1].int())[others[0] > 0].abs().max() <= 1
    for name in ("raw", "depth", "opacity"):
        torch.testing.assert_close(getattr(fast.after, name), getattr(slow.after, name), atol=5e-3, rtol=0)
    assert (fast.after.labels == slow.after.labels).float().mean() > 0.999


def test_a_face_that_was_edited_before_is_seen_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    generator, sizes = solid_generator(), list[int]()

    def spied(*arguments: object, **options: object) -> Rendering:
        sizes.append(arguments[2])  # pyright: ignore[reportArgumentType]
        return render(*arguments, **options)  # pyright: ignore[reportArgumentType]

    monkeypatch.setattr("fface_hub.editing.edit.render", spied)
    face = generator.sample(1, seed=3)
    for settings, expected in ((SHORT, [32, 14, 14]), (SHORT, [32, 32, 32]), (replace(SHORT, keep=False), [32, 32])):
        session = EditSession(generator, face)
        target = session.before(settings).labels[0].clone()
        target[10:16, 10:16] = (target[10:16, 10:16] + 1) % len(generator.layout)
        face = session.apply(target, settings, original_labels=session.before(settings).labels[0]).latents
        assert sizes == expected
        sizes.clear()
