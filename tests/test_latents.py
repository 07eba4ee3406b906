"""Latents: mixing, moving and keeping them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from fface_hub.cameras import look_at
from fface_hub.errors import ModelError
from fface_hub.kept import Kept
from fface_hub.latents import Latents


def latents(value: float, batch: int = 1, classes: int = 1) -> Latents:
    """Three rows of two numbers, all `value`."""
    return Latents(torch.full((batch, 3, 2), value), torch.full((batch, classes, 3, 2), value))


def test_lerp_goes_straight_from_one_to_the_other() -> None:
    middle = latents(0.0).lerp(latents(8.0), 0.25)
    assert (middle.geometry == 2).all() and (middle.appearance == 2).all()


def test_mixed_rows_move_and_the_others_stay() -> None:
    mixed = latents(0.0, classes=2).mix_rows(latents(8.0, classes=2), range(2, 3), 0.5)
    assert mixed.geometry[0, :, 0].tolist() == [0, 0, 4]
    assert mixed.appearance[0, 1, :, 0].tolist() == [0, 0, 4]


def test_an_offset_moves_geometry_alone() -> None:
    moved = latents(1.0).offset(torch.tensor([[[1.0, 0.0]]]))
    assert moved.geometry[0].tolist() == [[2, 1]] * 3 and (moved.appearance == 1).all()


def test_appearance_of_another_face() -> None:
    mixed = latents(1.0).with_appearance(latents(2.0))
    assert (mixed.geometry == 1).all() and (mixed.appearance == 2).all()


def test_batches_are_joined_and_picked() -> None:
    both = Latents.cat([latents(1.0), latents(2.0, batch=2)])
    assert len(both) == 3 and len(both[0]) == 1 and (both[-1].geometry == 2).all() and len(both[1:]) == 2
    assert [len(face) for face in both] == [1, 1, 1]
    with pytest.raises(IndexError):
        both[3]


def test_a_detached_copy_is_on_its_own() -> None:
    source = latents(1.0)
    copy = source.detach()
    source.geometry.fill_(5.0)
    assert (copy.geometry == 1).all()


def test_saved_latents_come_back_also_when_halves_share_memory(tmp_path: Path) -> None:
    rows = torch.randn(2, 3, 4, generator=torch.Generator().manual_seed(0))
    Latents(rows, rows[:, None]).save(tmp_path / "a.safetensors")
    again = Latents.load(tmp_path / "a.safetensors")
    assert torch.equal(again.geometry, rows) and torch.equal(again.appearance, rows[:, None])


def test_wrong_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="expected"):
        Latents(torch.zeros(1, 3), torch.zeros(1, 1, 3, 2))


@pytest.mark.parametrize(
    "tensors",
    [
        {"geometry": torch.zeros(1, 3, 2)},
        {"geometry": torch.zeros(1, 3, 2), "appearance": torch.full((1, 1, 3, 2), float("nan"))},
        {"geometry": torch.zeros(1, 3), "appearance": torch.zeros(1, 1, 3, 2)},
    ],
)
def test_files_that_hold_no_latents_are_refused(tensors: dict[str, torch.Tensor], tmp_path: Path) -> None:
    save_file(tensors, tmp_path / "x.safetensors")
    with pytest.raises(ModelError):
        Latents.load(tmp_path / "x.safetensors")


def test_a_missing_or_broken_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "broken.safetensors").write_bytes(b"no header")
    for name in ("missing.safetensors", "broken.safetensors"):
        with pytest.raises(ModelError, match=name):
            Latents.load(tmp_path / name)


# ── faces of which something is kept ──────────────────────────────────────────────────────────────────────────────────────────────────


def edited(value: float, base: float, yaw: float = 0.0) -> Latents:
    """Latents of `value`, of which those of `base` are kept outside of a picture's left half."""
    maps = torch.zeros(1, 2, 4, 4, dtype=torch.uint8)
    maps[:, 0, :, :2] = 255
    kept = Kept(latents(base).geometry, look_at(yaw), maps, torch.tensor([2.0, 3.0]))
    return replace(latents(value), kept=kept)


def test_on_the_way_to_an_edited_face_what_is_kept_stays() -> None:
    before, after = latents(1.0), edited(3.0, base=1.0)
    half = before.lerp(after, 0.5)
    assert (half.geometry == 2).all() and half.kept is not None and (half.kept.geometry == 1).all()
    assert before.lerp(after, 1.0).kept is after.kept and before.lerp(after, 0.0).kept is None


def test_between_two_edited_faces_each_edit_goes_along() -> None:
    half = edited(3.0, base=1.0).lerp(edited(5.0, base=2.0, yaw=20.0), 0.5)
    assert half.kept is not None and half.kept.earlier is not None
    # From the face between both before their edits to that of the first's edit, and from there to that of the second's.
    assert [ways[0, 0, 0].item() for ways in (half.kept.earlier.geometry, half.kept.geometry, half.geometry)] == [1.5, 2.5, 4]
    assert torch.equal(half.kept.cameras.cam2world, look_at(20.0).cam2world)


def test_edits_that_both_faces_have_stay_as_they_are() -> None:
    first = edited(3.0, base=1.0)
    assert first.kept is not None
    second = replace(latents(7.0), kept=replace(first.kept, geometry=first.geometry, earlier=first.kept))
    read = Latents.from_tensors(first.tensors(), "first")
    for half in (first.lerp(second, 0.25), second.lerp(first, 0.75), read.lerp(second, 0.25)):
        assert (half.geometry == 4).all() and half.kept is not None and second.kept is not None and half.kept.same(second.kept)
    # Another edit in the same place of another face is not the same.
    other = replace(second, geometry=second.geometry + 1, kept=replace(first.kept, geometry=first.geometry + 1, earlier=first.kept))
    half = second.lerp(other, 0.5)
    assert half.kept is not None and [layer.geometry[0, 0, 0].item() for layer in half.kept.layers] == [1, 2, 4, 5.5]


def test_what_moves_geometry_or_colours_leaves_what_is_kept() -> None:
    face = edited(3.0, base=1.0)
    assert face.offset(torch.ones(1)).kept is face.kept
    assert face.with_appearance(latents(9.0)).kept is face.kept
    assert face[0].kept is face.kept and face.detach().kept is face.kept and Latents.cat([face]) is face


def test_a_face_of_which_something_is_kept_is_in_no_batch() -> None:
    face = edited(3.0, base=1.0)
    with pytest.raises(ValueError, match="cannot be in a batch"):
        Latents.cat([face, face])
    with pytest.raises(ValueError, match="cannot be mixed"):
        face.mix_rows(face, [0])
    with pytest.raises(ValueError, match="what is kept has the shape"):
        replace(latents(1.0, batch=2), kept=face.kept)


def test_a_file_brings_back_what_is_kept(tmp_path: Path) -> None:
    before = edited(3.0, base=1.0)
    before.save(tmp_path / "a.safetensors")
    after = Latents.load(tmp_path / "a.safetensors")
    assert all(torch.equal(value, after.tensors()[name]) for name, value in before.tensors().items()) and after.kept is not None
    damaged = {key: value for key, value in before.tensors().items() if key != "kept.span"}
    save_file(damaged, tmp_path / "b.safetensors")
    with pytest.raises(ModelError, match="damaged"):
        Latents.load(tmp_path / "b.safetensors")
