"""The face from every side: what the page shows below the edit, and its larger downloads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gradio as gr
import spaces
import torch.nn.functional as F

from fface_hub.cameras import FIVE_VIEWS, orbit
from fface_hub.errors import CancelledError, ModelError
from fface_hub.generators.base import Rendering, Scene
from fface_hub.progress import Callback, between
from fface_hub.rendering.export import save_glb, save_mp4
from fface_hub.rendering.mesh import extract_mesh
from fface_hub.rendering.views import five_views, orbit_frames
from space import handlers, limits
from space.handlers import need
from space.jobs import running
from space.state import Session
from space.toasts import plainly
from space.turning import pictures

ORBIT_FRAMES = 24


@plainly
@spaces.GPU(duration=limits.GPU_VIEWS)
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


def save_orbit(scene: Scene, count: int, path: str | Path, report: Callback) -> None:
    """Write the film (MP4) of `count` frames of a turning face, 12 a second, which `report` hears of."""
    frames = orbit_frames(scene, count, handlers.RESOLUTION, None, handlers.SAMPLING, report)
    save_mp4(F.interpolate(frames.image, size=(384, 384), mode="bicubic", antialias=True), path, fps=12)


@plainly
@spaces.GPU(duration=limits.GPU_LONG)
def make_video_and_mesh(session: Session | None, request: gr.Request, progress=gr.Progress()) -> tuple[Any, Any, Any, Any, str]:
    """Orbit video and coloured mesh of the current face, to look at and to download."""
    session = need(session)
    filmed, scene, video, mesh = session.latents, session.scene(), str(session.path(".mp4")), str(session.path(".glb"))

    def work(report: Callback) -> str | None:
        """Write the files; what is wrong if there is no mesh."""
        save_orbit(scene, ORBIT_FRAMES, video, report)
        try:
            save_glb(extract_mesh(scene, callback=between(report, ORBIT_FRAMES, ORBIT_FRAMES)), mesh)
        except ModelError as error:  # a face may have no closed surface; the video is kept
            return str(error)

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
