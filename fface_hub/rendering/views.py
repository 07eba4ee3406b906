"""What one looks at: the five views, the frames of an orbit, and depth, normals and labels as pictures.

Every picture is float32 `[B,3,h,w]` in [-1, 1], as `doors.to_image` takes it.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from fface_hub.cameras import Camera, orbit, swing
from fface_hub.generators.base import Rendering, Scene
from fface_hub.layouts import Layout
from fface_hub.progress import Callback, Step, between
from fface_hub.rendering.renderer import Relabel, render
from fface_hub.rendering.sampling import Sampling

SOLID = 0.5
"""A pixel shows a surface if at least this share of its light comes from the volume."""


def five_views(
    scene: Scene,
    resolution: int = 128,
    adapter: Relabel | None = None,
    sampling: Sampling | None = None,
    callback: Callback | None = None,
) -> Rendering:
    """The face of a `scene` (batch 1) from yaw −30°, −15°, 0, 15°, 30°: a rendering with B = 5. `callback` hears of every view,
    and of every chunk of rays before it is done."""
    return _each_view(scene, orbit(5), resolution, adapter, sampling, callback)


def orbit_frames(
    scene: Scene,
    count: int = 48,
    resolution: int = 128,
    adapter: Relabel | None = None,
    sampling: Sampling | None = None,
    callback: Callback | None = None,
) -> Rendering:
    """`count` views of a `scene` (batch 1) along the closed loop `cameras.swing`: the frame after the last is the first again."""
    return _each_view(scene, swing(count), resolution, adapter, sampling, callback)


def _each_view(
    scene: Scene, cameras: Camera, resolution: int, adapter: Relabel | None, sampling: Sampling | None, callback: Callback | None
) -> Rendering:
    """One view after another, so that memory stays that of one view."""
    views = []
    with torch.no_grad():
        for index in range(len(cameras)):
            look = cameras[index].to(scene.device)
            view = render(scene, look, resolution, sampling, adapter, callback=between(callback, index, len(cameras)))
            views.append(view)
            if callback is not None:
                callback(Step(index + 1, len(cameras), {}, preview=view.image[0]))
    names = ("image", "raw", "logits", "labels", "depth", "opacity")
    return Rendering(**{name: torch.cat([getattr(view, name) for view in views]) for name in names})


def labels_to_image(labels: Tensor, layout: Layout) -> Tensor:
    """Label maps `[B,h,w]` (int64) in the file colours of `layout`; as 8-bit pictures they are exactly those colours."""
    colors = layout.colors.to(labels.device)[labels]
    return colors.movedim(-1, 1).float() / 127.5 - 1


def depth_to_image(depth: Tensor, opacity: Tensor | None = None) -> Tensor:
    """Depth `[B,1,h,w]` as grey, per picture: the nearest surface white, the farthest dark grey, and black where `opacity` shows none."""
    solid = torch.ones_like(depth, dtype=torch.bool) if opacity is None else opacity >= SOLID
    near = depth.masked_fill(~solid, torch.inf).amin(dim=(1, 2, 3), keepdim=True)
    far = depth.masked_fill(~solid, -torch.inf).amax(dim=(1, 2, 3), keepdim=True)
    closeness = (far - depth) / (far - near).clamp(min=1e-6)
    grey = torch.where(solid, 0.2 + 0.8 * closeness.clamp(0, 1), torch.zeros_like(depth))
    return (2 * grey - 1).expand(-1, 3, -1, -1)


def normals(depth: Tensor, camera: Camera) -> Tensor:
    """Unit surface normals `[B,3,h,w]` in world axes from `depth [B,1,h,w]` along the unit rays of `camera`.

    Along each picture axis the nearer of the two neighbours is used, so a silhouette does not bend the normals beside it.
    """
    batch, _, height, width = depth.shape
    origins, directions = camera.to(depth.device).expand(batch).rays(height)
    points = (origins + directions * depth.reshape(batch, -1, 1)).movedim(1, 2).reshape(batch, 3, height, width)
    across, down = _short_difference(points, 3), _short_difference(points, 2)
    # Picture x runs along camera x and picture y along camera down, so down × across points back towards the camera.
    return F.normalize(torch.linalg.cross(down, across, dim=1), dim=1)


def _short_difference(points: Tensor, dim: int) -> Tensor:
    """Difference to the next or from the last neighbour along `dim`, whichever is shorter; the only one there is at the borders."""
    step = points.diff(dim=dim)
    last = step.select(dim, -1).unsqueeze(dim)
    first = step.select(dim, 0).unsqueeze(dim)
    ahead, behind = torch.cat([step, last], dim=dim), torch.cat([first, step], dim=dim)
    return torch.where(ahead.norm(dim=1, keepdim=True) <= behind.norm(dim=1, keepdim=True), ahead, behind)


def normals_to_image(depth: Tensor, camera: Camera, opacity: Tensor | None = None) -> Tensor:
    """Normals as colours in camera axes: red to the right, green up, blue towards the viewer; black where `opacity` shows no surface."""
    world = normals(depth, camera)
    # World to camera is the transposed rotation; then y up and z towards the viewer instead of OpenCV's y down and z forward.
    rotation = camera.to(depth.device).expand(len(depth)).cam2world[:, :3, :3]
    local = torch.einsum("bij,bihw->bjhw", rotation, world) * world.new_tensor([1.0, -1.0, -1.0]).reshape(1, 3, 1, 1)
    return local if opacity is None else local.masked_fill(opacity < SOLID, -1.0)


def strip(images: Tensor) -> Tensor:
    """Pictures `[B,3,H,W]` side by side in one, `[3,H,B·W]`."""
    return torch.cat(list(images), dim=2)
