"""How well the landmark network reads heads that it never saw, at known cameras, from truth-laid squares and from Haar's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from fface_hub.cameras import FOCAL, RADIUS, Camera
from fface_hub.doors import to_image
from fface_hub.errors import ModelError
from fface_hub.heads.build import build_head
from fface_hub.heads.config import HELD_OUT_SEED
from fface_hub.heads.head import head_latents
from fface_hub.heads.portraits import landmarks
from fface_hub.heads.render import render_head
from fface_hub.heads.truth import random_camera
from fface_hub.inversion.align import locate_head
from fface_hub.inversion.detect import Detection, haar
from fface_hub.inversion.landmarks import FACE_SIDE, FIVE, LandmarkNet, Square, look
from fface_hub.inversion.pose import orbit_angles, project, rotation_error, turned_camera
from fface_hub.progress import Callback, Step

JITTER = (0.05, 0.1)
"""Deviations of truth-laid squares: of their places in sides, and of the logarithm of their sizes. A detector is no better."""


@dataclass(frozen=True)
class _View:
    """A held-out head: `pixels` (uint8 `[S,S,3]`), its `camera`, where its `points [P,2]` are in pixels, and the length in pixels of the
    line between its pupils seen from the front."""

    pixels: np.ndarray
    camera: Camera
    points: np.ndarray
    pupils: float


def run(
    network: Any, identities: int = 256, seed: int = HELD_OUT_SEED, resolution: int = 256, callback: Callback | None = None
) -> dict[str, Any]:
    """Figures of `identities` held-out heads from `seed` on, each from one random camera (yaw ±35°, pitch ±15°).

    Errors of pose are medians in degrees: of `yaw`, `pitch`, `roll` and of the whole `rotation`, and `rotation_p90`, which nine of ten
    keep below; `points` is the mean distance of the five points in shares of the pupils' distance. `pose` and `points` come from the path
    that photos take (the network's two looks and the fit of the mean head), from squares laid by the truth and shifted at random;
    `network_rotation` is what the network says alone. `haar_*`: the same from Haar's boxes, over the share `haar_found` of heads that Haar
    finds. Raises `ModelError` for what is no landmark network.
    """
    if not isinstance(network, LandmarkNet):
        raise ModelError("This benchmark measures the landmark network: choose heads-landmarks.")
    rng = np.random.default_rng(7)
    framed: list[dict[str, float]] = []
    found: list[dict[str, float]] = []
    for index in range(identities):
        view = _view(seed + index, resolution)
        middle = view.points[:FIVE].mean(axis=0)
        shift, size = JITTER[0] * rng.standard_normal(2), np.exp(JITTER[1] * rng.standard_normal())
        side = FACE_SIDE * resolution
        square = Square((float(middle[0] + side * shift[0]), float(middle[1] + side * shift[1])), float(side * size))
        framed.append(_errors(view, Detection(square), network))
        if faces := haar(view.pixels):
            found.append(_errors(view, faces[0], network))
        if callback is not None:
            callback(Step(index + 1, identities, {}))
    figures = _summary(framed)
    haars = {f"haar_{name}": value for name, value in _summary(found).items()} if found else {}
    return {**figures, "haar_found": len(found) / identities, **haars, "identities": identities}


def _view(seed: int, resolution: int) -> _View:
    head, camera = head_latents(seed), random_camera(seed)
    picture = render_head(head, camera, resolution, mesh=build_head(head)).image
    world = landmarks(head.geometry_z)
    pupils = float((world[0] - world[1]).norm()) * FOCAL / (RADIUS - float(world[:2, 2].mean())) * resolution
    return _View(np.array(to_image(picture)), camera, project(camera, world).numpy().astype(np.float64) * resolution, pupils)


def _errors(view: _View, face: Detection, network: LandmarkNet) -> dict[str, float]:
    points, fit = locate_head(view.pixels, face, network=network)
    told = look(view.pixels, face.square, network).angles
    true = orbit_angles(view.camera)
    away = np.linalg.norm(points - view.points[:FIVE], axis=1).mean()
    return {
        "yaw": abs(fit.yaw - true[0]),
        "pitch": abs(fit.pitch - true[1]),
        "roll": abs(fit.roll - true[2]),
        "rotation": rotation_error(fit.camera, view.camera),
        "network_rotation": rotation_error(turned_camera(*told), view.camera),
        "points": float(away) / view.pupils,
    }


def _summary(rows: list[dict[str, float]]) -> dict[str, float]:
    columns = {name: np.array([row[name] for row in rows]) for name in rows[0]}
    points = columns.pop("points")
    medians = {name: float(np.median(values)) for name, values in columns.items()}
    return {**medians, "rotation_p90": float(np.quantile(columns["rotation"], 0.9)), "points": float(points.mean())}
