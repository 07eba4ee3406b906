"""The face turned by dragging: small views while it moves, the full one when it rests; and what a view may show."""

from __future__ import annotations

import math
from typing import Any

import gradio as gr
from PIL import Image

from fface_hub.cameras import Camera, look_at
from fface_hub.doors import to_image
from fface_hub.errors import CancelledError, FFaceError
from fface_hub.generators.base import Rendering
from fface_hub.layouts import Layout
from fface_hub.progress import Callback, between
from fface_hub.rendering.renderer import render
from fface_hub.rendering.sampling import Sampling
from fface_hub.rendering.views import depth_to_image, normals_to_image
from space import handlers
from space.handlers import need
from space.jobs import running
from space.painting import SIDE, data_url, overlay
from space.state import Session
from space.toasts import plainly

FARTHEST = {"yaw": 36.0, "pitch": 20.0}
"""Degrees that a face turns to either side, up and down: about what the bundled generator has seen in training. Beyond it, bits of other
sides float beside the head."""
SIDES = range(32, 65)
"""Pixels that a view may have across while the face moves."""
MOVING = Sampling(coarse=16, fine=8)
CHOICES = ("Picture", "Labels", "Depth", "Normals")
"""What a view may show."""
LABELS_OPACITY = 0.75


@plainly
def turn(session: Session | None, asked: Any, show: str, request: gr.Request) -> Any:
    """The view of the current face that a browser `asked` for: {number, yaw, pitch (degrees), side (pixels while it moves, else 0)}.

    Gives {number, yaw, pitch, picture (a data URL; None if a newer wish stopped it)}.
    """
    if isinstance(asked, dict) and "anew" in asked:  # nobody has looked at this face yet
        return gr.skip()
    session, (number, yaw, pitch, side) = need(session), _read(asked)
    camera, layout = look_at(yaw, pitch), session.layout
    adapter = session.adapter if show == "Labels" else None

    def work(report: Callback) -> Rendering:
        size, sampling = (side, MOVING) if side else (handlers.RESOLUTION, handlers.SAMPLING)
        return render(session.scene(), camera, size, sampling, adapter, callback=between(report, 0, 1), finish=not side)

    answer = {"number": number, "yaw": yaw, "pitch": pitch}
    try:
        with running(request, work, "viewer") as job:
            rendering = job.result()
    except CancelledError:
        return {**answer, "picture": None}
    picture = pictures(rendering, camera, show, layout, side or SIDE)[0]
    return {**answer, "picture": data_url(picture)}


def _read(asked: Any) -> tuple[int, float, float, int]:
    """Number, yaw, pitch and side of what a browser asks for, within what is allowed."""
    wrong = FFaceError("There is no such view: reload the page and turn the face again.")
    if not isinstance(asked, dict):
        raise wrong
    number, side = asked.get("number"), asked.get("side", 0)
    if type(number) is not int or type(side) is not int or (side and side not in SIDES):
        raise wrong
    angles: list[float] = []
    for name, most in FARTHEST.items():
        angle = asked.get(name)
        if not isinstance(angle, int | float) or isinstance(angle, bool) or not math.isfinite(angle):
            raise wrong
        angles.append(max(-most, min(most, float(angle))))
    return number, angles[0], angles[1], side


def pictures(rendering: Rendering, camera: Camera, show: str, layout: Layout, labels_side: int = SIDE) -> list[Image.Image]:
    """What a `rendering` seen by `camera` (batches of as many) shows: one of `CHOICES`. Labels, which must not blur, are enlarged."""
    if show not in CHOICES:
        raise FFaceError(f"A view shows one of these: {', '.join(CHOICES)}.")
    if show == "Labels":
        each = zip(rendering.image, rendering.labels, strict=True)
        return [overlay(image, labels, layout, LABELS_OPACITY, labels_side) for image, labels in each]
    if show == "Depth":
        return [to_image(picture) for picture in depth_to_image(rendering.depth, rendering.opacity)]
    if show == "Normals":
        return [to_image(picture) for picture in normals_to_image(rendering.depth, camera, rendering.opacity)]
    return [to_image(picture) for picture in rendering.image]
