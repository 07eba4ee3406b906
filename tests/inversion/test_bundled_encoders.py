"""The bundled encoder and editor on heads that they never saw: what they say at once must be near the truth."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from fface_hub import Generator, render
from fface_hub.cameras import look_at
from fface_hub.heads.build import build_head
from fface_hub.heads.config import HELD_OUT_SEED
from fface_hub.heads.edits import apply_edit
from fface_hub.heads.head import Head, head_latents
from fface_hub.heads.render import render_head
from fface_hub.inversion.encoder import ENCODER, CanonicalEditor, Encoder, bundled_editor
from fface_hub.inversion.pose import rotation_error
from fface_hub.latents import Latents
from fface_hub.layouts import FINE_24
from fface_hub.metrics import psnr


@pytest.fixture(scope="module")
def generator() -> Generator:
    return Generator.from_pretrained("heads-triplane")


def latents_of(generator: Generator, head: Head) -> Latents:
    with torch.no_grad():
        return generator.map(torch.from_numpy(head.geometry_z)[None], torch.from_numpy(head.appearance_z)[None])  # pyright: ignore


@pytest.mark.parametrize(("seed", "yaw"), [(900, 0.0), (901, 25.0), (902, -40.0)])
def test_the_encoder_sees_who_it_is_and_from_where(generator: Generator, seed: int, yaw: float) -> None:
    head = head_latents(HELD_OUT_SEED + seed)
    truth = render_head(head, look_at(yaw), 128, mesh=build_head(head)).image[None]
    encoder = Encoder.from_pretrained(ENCODER)
    encoder.check(generator)
    latents, camera = encoder.encode(truth)
    assert rotation_error(camera, look_at(yaw)) < 8
    small = render_head(head, look_at(yaw), 64, mesh=build_head(head)).image[None]
    found, mean = (render(generator.scene(face), look_at(yaw), 64).image for face in (latents, generator.mean_latents()))
    assert float(psnr(found, small)) > float(psnr(mean, small)) + 3


@pytest.mark.parametrize("edit", ["hair_length", "smile", "eye_closed"])
def test_the_editors_guess_goes_the_right_way(generator: Generator, edit: str) -> None:
    editor = bundled_editor(generator)
    assert editor is not None
    reached, all_of_it = 0, 0
    for seed in range(HELD_OUT_SEED + 910, HELD_OUT_SEED + 914):
        before = head_latents(seed)
        after = apply_edit(before, edit)
        views = [render_head(head, look_at(0.0), 128, mesh=build_head(head)) for head in (before, after)]
        guess = editor.guess(views[0].image[None], views[0].labels, views[1].labels, FINE_24)
        start, end = (latents_of(generator, head) for head in (before, after))
        moved = start.offset((guess @ editor.axes[0]) * _geometry(editor))
        seen = [render(generator.scene(face), look_at(0.0), 64).labels for face in (start, moved, end)]
        wanted = seen[0] != seen[2]  # what the generator changes in the truly edited head
        reached, all_of_it = reached + int((seen[1] == seen[2])[wanted].sum()), all_of_it + int(wanted.sum())
    assert all_of_it > 100 and reached > 0.4 * all_of_it, (reached, all_of_it)


def _geometry(editor: CanonicalEditor) -> Tensor:
    """1 for rows of the first group, `[L,1]`."""
    return torch.tensor([float(group == 0) for group in editor.config["groups"]])[:, None]
