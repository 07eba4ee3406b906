"""Portraits of rendered heads with their landmarks and pose: what the landmark network learns from.

A portrait is one head from a random side and distance, under a light of its own, with livelier expressions than the other data sets have.
Colours, blur, background and framing are varied later, while training (`training.augment`): here is only what needs the ray caster.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from fface_hub.cameras import FOCAL, PIVOT, RADIUS, Camera, look_at
from fface_hub.heads.build import build_surfaces
from fface_hub.heads.head import Head, head_latents
from fface_hub.heads.light import VIEWER, Light
from fface_hub.heads.look import Look
from fface_hub.heads.mesh import HeadMesh
from fface_hub.heads.records import RecordSettings
from fface_hub.heads.render import camera_rays, shade, trace
from fface_hub.heads.shape import head_shape
from fface_hub.inversion.landmarks import POINTS
from fface_hub.inversion.pose import orbit_angles, project

KEYS = ("images", "opacity", "labels", "points", "angles")
MOST_YAW, MOST_PITCH = 80.0, 40.0
NEAREST, FARTHEST = 1.4, 6.0
"""How far cameras are from the head's middle, in world units: 60 cm to 2.5 m."""
ROOM = 0.92
"""Heads are drawn this much smaller than the default camera shows them, so that a crop can be shifted and turned."""
LIVELY = {"smile": 1.5, "jaw_open": 1.5, "brow_raise": 1.3, "pucker": 1.2, "blink": 1.1}
"""Factors of the expressions: people laugh into cameras."""


@dataclass(frozen=True)
class PortraitSettings(RecordSettings):
    """What a data set of portraits holds."""

    heads: int = 4_608
    first_seed: int = 0
    views: int = 2
    resolution: int = 160
    per_shard: int = 256


def portrait_camera(rng: np.random.Generator) -> Camera:
    """A camera somewhere in front of a head: mostly near the middle, at times far to the side; near cameras see more perspective."""
    far_off = rng.random() < 0.45
    yaw = rng.uniform(-MOST_YAW, MOST_YAW) if far_off else rng.normal(0, 20)
    pitch = rng.normal(0, 13)
    radius = float(np.exp(rng.uniform(np.log(NEAREST), np.log(FARTHEST))))
    focal = ROOM * FOCAL * (radius - PIVOT[2]) / (RADIUS - PIVOT[2])
    return look_at(float(np.clip(yaw, -MOST_YAW, MOST_YAW)), float(np.clip(pitch, -MOST_PITCH, MOST_PITCH)), radius, focal=focal)


def portrait_head(seed: int) -> Head:
    """The head of `seed` with its expression exaggerated by `LIVELY`."""
    head = head_latents(seed)
    return head.with_traits(**{name: factor * head.trait(name) for name, factor in LIVELY.items()})


def portrait_light(rng: np.random.Generator, appearance_z: np.ndarray) -> Light:
    """Light from anywhere in front, hard or soft: a window at the side, the sky, a lamp from below."""
    light = Light.from_look(Look.from_latent(appearance_z))
    azimuth, elevation = np.deg2rad(rng.uniform(-85, 85)), np.deg2rad(rng.uniform(-20, 75))
    key = np.array([np.sin(azimuth) * np.cos(elevation), np.sin(elevation), np.cos(azimuth) * np.cos(elevation)], np.float32)
    half = key + VIEWER
    balance = rng.uniform(0, 1)
    return replace(
        light,
        key=key,
        half=(half / np.linalg.norm(half)).astype(np.float32),
        key_color=light.key_color * np.float32(0.15 + 1.2 * balance) * rng.uniform(0.85, 1.15, 3).astype(np.float32),
        fill_color=light.fill_color * np.float32(1.75 - 1.25 * balance) * rng.uniform(0.9, 1.1, 3).astype(np.float32),
        exposure=light.exposure * float(np.exp(rng.normal(0, 0.2))),
    )


def landmarks(geometry_z: np.ndarray) -> Tensor:
    """Where the `POINTS` of the head of `geometry_z [Zg]` are: `[P,3]` in world units."""
    marks = head_shape(geometry_z).landmarks
    return torch.from_numpy(np.stack([marks[name] for name in POINTS])).float()


def draw_portraits(seed: int, settings: PortraitSettings) -> dict[str, Tensor]:
    """The V portraits of one head: `images [V,3,S,S]` uint8; `opacity [V,S,S]` uint8, 255 where the head is; `labels [V,S,S]` uint8 in
    FINE_24; `points [V,P,2]`, its landmarks in shares of the picture's side (x right, y down); `angles [V,2]`, yaw and pitch in degrees as
    `pose.orbit_angles` tells.
    """
    rng = np.random.default_rng([seed, 5])
    head = portrait_head(seed)
    mesh, world = HeadMesh(build_surfaces(head.geometry_z)), landmarks(head.geometry_z)
    views: list[dict[str, Tensor]] = []
    for _ in range(settings.views):
        camera = portrait_camera(rng)
        hits = trace(mesh, *camera_rays(camera, settings.resolution))
        color = shade(hits, head.appearance_z, portrait_light(rng, head.appearance_z))
        square = (settings.resolution, settings.resolution)
        yaw, pitch, _ = orbit_angles(camera)
        views.append(
            {
                "images": torch.from_numpy(np.rint(color.clip(0, 1) * 255).astype(np.uint8)).reshape(*square, 3).permute(2, 0, 1),
                "opacity": torch.from_numpy(hits.hit.astype(np.uint8) * 255).reshape(square),
                "labels": torch.from_numpy(hits.labels.astype(np.uint8)).reshape(square),
                "points": project(camera, world),
                "angles": torch.tensor([yaw, pitch]),
            }
        )
    return {key: torch.stack([view[key] for view in views]) for key in views[0]}
