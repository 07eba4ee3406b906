"""A contact sheet: what the rendered heads look like, with their labels, depth, other views and named edits."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from PIL import Image
from torch import Tensor

from fface_hub.cameras import Camera, look_at
from fface_hub.doors import to_image
from fface_hub.heads.build import build_head
from fface_hub.heads.edits import apply_edit
from fface_hub.heads.head import Head, head_latents
from fface_hub.heads.render import render_head
from fface_hub.layouts import FINE_24
from fface_hub.rendering.views import depth_to_image, labels_to_image

SEEDS = (11, 204, 515, 231, 508, 218, 102, 301)
VIEWS = (-30.0, 15.0, 35.0)
EDITS = ("nasal_wing_width", "eye_size", "smile", "mouth_open", "jaw_width", "hair_length", "age", "glasses")


def contact_sheet(seeds: Sequence[int] = SEEDS, resolution: int = 128, edits: Sequence[str] = EDITS) -> Image.Image:
    """One column per seed: picture, labels, depth, three views; below them the first head under each of `edits`.

    Raises `FFaceError` for a name that is not in NAMED_EDITS.
    """
    columns = [_column(head_latents(seed), resolution) for seed in seeds]
    edited = [_picture(apply_edit(head_latents(seeds[0]), name), look_at(0.0), resolution) for name in edits]
    width = max(len(columns), len(edited))
    blank = torch.ones(3, resolution, resolution)
    rows = [list(row) for row in zip(*columns, strict=True)] + [edited]
    strips = [torch.cat([*row, *[blank] * (width - len(row))], dim=2) for row in rows]
    return to_image(torch.cat(strips, dim=1))


def _picture(head: Head, camera: Camera, resolution: int) -> Tensor:
    return render_head(head, camera, resolution).image


def _column(head: Head, resolution: int) -> list[Tensor]:
    """Pictures `[3, resolution, resolution]` in [-1, 1]: front, labels, depth, then VIEWS."""
    mesh = build_head(head)
    front = render_head(head, look_at(0.0), resolution, mesh=mesh)
    labels = labels_to_image(front.labels[None], FINE_24)[0]
    depth = depth_to_image(front.depth[None], front.opacity[None])[0]
    views = [render_head(head, look_at(yaw, 8.0 if index == 1 else 0.0), resolution, mesh=mesh).image for index, yaw in enumerate(VIEWS)]
    return [front.image, labels, depth, *views]
