"""The face from every side: what the page shows below the edit, and its larger downloads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gradio as gr
import torch
import torch.nn.functional as F

from fface_hub.cameras import FIVE_VIEWS, orbit
from fface_hub.errors import CancelledError, ModelError
from fface_hub.generators.base import Rendering
from fface_hub.inversion.inversion import Inversion
from fface_hub.progress import Callback, Step, between
from fface_hub.rendering.export import save_glb, save_mp4
from fface_hub.rendering.mesh import extract_mesh
from fface_hub.rendering.views import five_views, orbit_frames
from space import handlers, limits
from space.handlers import need
from space.jobs import running
from space.lent import lent
from space.state import Session
from space.toasts import plainly
from space.turning import pictures

ORBIT_FRAMES = 24


@plainly
def show_five_views(session: Session | None, show: str, request: gr.Request, progress=gr.Progress()) -> Any:
    """The current face from yaw −30° to 30°, or its labels, depth or normals: pictures with captions for the gallery."""
    session = need(session)
    scene, adapter = session.scene(), session.adapter

    def work(report: Callback) -> Rendering:
        return five_views(scene, handlers.RESOLUTION, adapter, handlers.SAMPLING, report)

    try:
        with running(request, work, "views") as job:
            for step in job:
                progress((step.index, step.total), desc="Rendering five views")
            views = job.result()
    except CancelledError:  # they are asked for anew, or nobody is there any more
        return gr.skip()
    seen = pictures(views, orbit(5), show, session.layout)
    return [(picture, f"{yaw:.0f}°") for picture, yaw in zip(seen, FIVE_VIEWS, strict=True)]


def save_film(face: Inversion, count: int, path: str | Path, report: Callback) -> None:
    """Write the film (MP4) of `count` frames of a turning face, 12 a second, which `report` hears of; by a lent GPU, where the page has
    such."""
    lent(limits.GPU_START + limits.GPU_PICTURE * count, report, _film, face, count, path)


def save_mesh(face: Inversion, path: str | Path, report: Callback) -> None:
    """Write the mesh (GLB) of a face, as `save_film`. `ModelError` for one without a closed surface."""
    lent(limits.GPU_START + limits.GPU_MESH, report, _mesh, face, path)


def _film(face: Inversion, count: int, path: str | Path, report: Callback) -> None:
    with torch.no_grad():
        frames = orbit_frames(face.scene(), count, handlers.RESOLUTION, None, handlers.SAMPLING, report)
    save_mp4(F.interpolate(frames.image, size=(384, 384), mode="bicubic", antialias=True), path, fps=12)


def _mesh(face: Inversion, path: str | Path, report: Callback) -> None:
    with torch.no_grad():
        save_glb(extract_mesh(face.scene(), callback=between(report, 0, 1)), path)


def _film_and_mesh(face: Inversion, video: str, mesh: str, report: Callback) -> str | None:
    """Write both files; what is wrong if there is no mesh."""
    _film(face, ORBIT_FRAMES, video, report)
    try:
        _mesh(face, mesh, lambda _: report(Step(ORBIT_FRAMES, ORBIT_FRAMES, {})))
    except ModelError as error:  # a face may have no closed surface; the video is kept
        return str(error)


@plainly
def make_video_and_mesh(session: Session | None, request: gr.Request, progress=gr.Progress()) -> tuple[Any, Any, Any, Any, str]:
    """Orbit video and coloured mesh of the current face, to look at and to download."""
    session = need(session)
    filmed, face, video, mesh = session.latents, session.face(), str(session.path(".mp4")), str(session.path(".glb"))

    def work(report: Callback) -> str | None:
        seconds = limits.GPU_START + limits.GPU_PICTURE * ORBIT_FRAMES + limits.GPU_MESH
        return lent(seconds, report, _film_and_mesh, face, video, mesh)

    try:
        with running(request, work, "turn") as job:
            for step in job:
                progress((step.index, step.total), desc="Building the mesh" if step.index == step.total else "Rendering the orbit")
            problem = job.result()
            session.filmed = filmed
    except CancelledError:
        return gr.skip(), gr.skip(), gr.skip(), gr.skip(), "Stopped. There is no new video."
    video_button = gr.DownloadButton(value=video, interactive=True)
    if problem is not None:
        return video, None, video_button, gr.DownloadButton(value=None, interactive=False), f"The orbit video is ready. {problem}"
    mesh_button = gr.DownloadButton(value=mesh, interactive=True)
    return video, mesh, video_button, mesh_button, "The orbit video and the mesh are ready."
