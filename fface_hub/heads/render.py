"""Pictures of heads by ray casting: geometry once (`trace`), colour as often as wanted (`shade`), and whole pictures (`render_head`).

Colour is a property of the surface point alone: highlights are those of a viewer straight in front, so that every view of a head
shows the same surface colours and a radiance field without a view direction can express them exactly.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from fface_hub.cameras import Camera
from fface_hub.heads.atlas import fine_labels
from fface_hub.heads.build import build_head
from fface_hub.heads.head import Head
from fface_hub.heads.light import Light, key_visibility
from fface_hub.heads.look import Look
from fface_hub.heads.materials import surface_color
from fface_hub.heads.mesh import HeadMesh
from fface_hub.heads.points import Points


@dataclass
class Hits:
    """First hits of R rays, without any colour.

    `depth [R]` is the distance along the unit ray, infinite where nothing is hit; `surface [R]` the index into `mesh.surfaces`, −1 where
    nothing is hit; `labels [R]` int64 classes of FINE_24, 0 where nothing is hit. `points` holds the hits of each surface.
    """

    mesh: HeadMesh
    depth: np.ndarray
    surface: np.ndarray
    labels: np.ndarray
    points: list[Points]

    @property
    def hit(self) -> np.ndarray:
        """Whether each ray meets the head: bool `[R]`."""
        return self.surface >= 0


@dataclass
class HeadRendering:
    """What one camera sees: `image [3, H, W]` in [-1, 1]; `depth [1, h, w]` along the unit ray (0 where nothing is hit);
    `labels [h, w]` int64 in FINE_24; `opacity [1, h, w]`, 1 where the head is."""

    image: Tensor
    depth: Tensor
    labels: Tensor
    opacity: Tensor


def camera_rays(camera: Camera, resolution: int) -> tuple[np.ndarray, np.ndarray]:
    """Origins and directions `[R, 3]`, as `trace` takes them, of the rays through the pixel centres of the first camera of `camera`."""
    origins, directions = camera[0].to("cpu").rays(resolution)
    return np.ascontiguousarray(origins[0].numpy()), np.ascontiguousarray(directions[0].numpy())


def trace(mesh: HeadMesh, origins: np.ndarray, directions: np.ndarray) -> Hits:
    """Cast rays `origins [R, 3]`, `directions [R, 3]` (unit, world) at a built head: geometry and labels, no colour."""
    found = mesh.first_hits(origins, directions)
    surface = found["geomID"].astype(np.int32)
    hit = surface >= 0
    labels = np.zeros(len(surface), np.int64)
    points = []
    for index, item in enumerate(mesh.surfaces):
        rays = np.flatnonzero(surface == index)
        if len(rays) == 0:
            continue
        u, v = found["u"][rays], found["v"][rays]
        at = Points(item, index, rays, found["primID"][rays], np.stack([1 - u - v, u, v], axis=1))
        points.append(at)
        labels[rays] = fine_labels(item, at.triangles, at.weights)
    return Hits(mesh, np.where(hit, found["tfar"], np.inf).astype(np.float32), surface, labels, points)


def shade(hits: Hits, appearance_z: np.ndarray, light: Light | None = None) -> np.ndarray:
    """Colours `[R, 3]`, sRGB in [0, 1], of traced rays under `appearance_z [Za]`; rays that hit nothing get the flat background. `light`
    replaces that of the appearance."""
    look = Look.from_latent(appearance_z)
    light = light or Light.from_look(look)
    color = np.tile(look.background, (len(hits.surface), 1)).astype(np.float32)
    for at in hits.points:
        at.openness = at.interpolate(hits.mesh.openness(at.index))
        at.key = key_visibility(hits.mesh, at, light)
        color[at.rays] = light.develop(surface_color(at, look, light))
    return color


def render_head(head: Head, camera: Camera, resolution: int, supersample: int = 2, mesh: HeadMesh | None = None) -> HeadRendering:
    """One view (the first camera of `camera`) of a head; `mesh` is `build_head(head)` if it exists already.

    The picture averages `supersample`² rays per pixel; labels and depth are those of the ray through the pixel centre.
    """
    mesh = build_head(head) if mesh is None else mesh
    centre = trace(mesh, *camera_rays(camera, resolution))
    fine = shade(trace(mesh, *camera_rays(camera, resolution * supersample)), head.appearance_z)
    blocks = fine.reshape(resolution, supersample, resolution, supersample, 3).mean(axis=(1, 3))
    shape = (1, resolution, resolution)
    return HeadRendering(
        image=torch.from_numpy(blocks.transpose(2, 0, 1).copy()) * 2 - 1,
        depth=torch.from_numpy(np.where(centre.hit, centre.depth, 0).reshape(shape).astype(np.float32)),
        labels=torch.from_numpy(centre.labels.reshape(shape[1:])),
        opacity=torch.from_numpy(centre.hit.reshape(shape).astype(np.float32)),
    )


def render_views(head: Head, cameras: Camera, resolution: int, supersample: int = 2) -> list[HeadRendering]:
    """`render_head` for every camera of the batch; the head is built once."""
    mesh = build_head(head)
    return [render_head(head, cameras[index], resolution, supersample, mesh) for index in range(len(cameras))]
