"""Cameras: OpenCV axes (x right, y down, z forward), intrinsics normalised by the image size, angles in degrees and true.

World: right-handed, y up, the face looks towards +z inside the cube [-0.5, 0.5]³. Positive yaw puts the camera at +x, positive pitch above.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

RADIUS = 2.7
PIVOT = (0.0, 0.0, 0.2)
FOCAL = 4.2647
FIVE_VIEWS = (-30.0, -15.0, 0.0, 15.0, 30.0)


@dataclass(frozen=True)
class Camera:
    """A batch of pinhole cameras: `cam2world [B,4,4]` and `intrinsics [B,3,3]` (focal lengths and centre divided by the image size)."""

    cam2world: Tensor
    intrinsics: Tensor

    def __post_init__(self) -> None:
        if self.cam2world.shape[1:] != (4, 4) or self.intrinsics.shape[1:] != (3, 3) or len(self.cam2world) != len(self.intrinsics):
            raise ValueError(f"cam2world [B,4,4] and intrinsics [B,3,3] expected, got {self.cam2world.shape}, {self.intrinsics.shape}")

    def __len__(self) -> int:
        return len(self.cam2world)

    def __getitem__(self, index: int | slice | Tensor) -> Camera:
        if isinstance(index, int) and not -len(self) <= index < len(self):
            raise IndexError(f"index {index} of {len(self)} cameras")  # which also ends a `for` loop
        rows = slice(index, index + 1 or None) if isinstance(index, int) else index
        return Camera(self.cam2world[rows], self.intrinsics[rows])

    @staticmethod
    def from_vector(vector: Tensor) -> Camera:
        """EG3D's 25 numbers `[B,25]`: cam2world row by row, then intrinsics row by row. `ValueError` for another shape."""
        if vector.ndim != 2 or vector.shape[1] != 25:
            raise ValueError(f"cameras [B,25] expected, got {vector.shape}")
        return Camera(vector[:, :16].reshape(-1, 4, 4), vector[:, 16:].reshape(-1, 3, 3))

    def to_vector(self) -> Tensor:
        """EG3D's 25 numbers `[B,25]`."""
        return torch.cat([self.cam2world.reshape(-1, 16), self.intrinsics.reshape(-1, 9)], dim=1)

    def to(self, device: torch.device | str) -> Camera:
        """The same cameras on `device`."""
        return Camera(self.cam2world.to(device), self.intrinsics.to(device))

    def expand(self, batch: int) -> Camera:
        """One camera repeated `batch` times (no copy); a batch of that size is returned as it is."""
        if len(self) == batch:
            return self
        if len(self) != 1:
            raise ValueError(f"cannot expand {len(self)} cameras to {batch}")
        return Camera(self.cam2world.expand(batch, 4, 4), self.intrinsics.expand(batch, 3, 3))

    def rays(self, resolution: int) -> tuple[Tensor, Tensor]:
        """Origins and unit directions `[B,R,3]` of the pixel-centre rays of a square picture: R = resolution², rows from the top left."""
        centres = (torch.arange(resolution, dtype=self.cam2world.dtype, device=self.cam2world.device) + 0.5) / resolution
        v, u = torch.meshgrid(centres, centres, indexing="ij")
        return self.rays_at(torch.stack([u, v], dim=-1).reshape(1, -1, 2).expand(len(self), -1, 2))

    def rays_at(self, uv: Tensor) -> tuple[Tensor, Tensor]:
        """Origins and unit directions `[B,R,3]` through picture positions `uv [B,R,2]` in [0, 1] (x right, y down).

        As EG3D's ray sampler, skew included.
        """
        u, v = uv[..., 0], uv[..., 1]
        k = self.intrinsics[:, :, :, None]
        fx, fy, cx, cy, skew = k[:, 0, 0], k[:, 1, 1], k[:, 0, 2], k[:, 1, 2], k[:, 0, 1]
        x = (u - cx + cy * skew / fy - skew * v / fy) / fx
        y = (v - cy) / fy
        local = torch.stack([x, y, torch.ones_like(x)], dim=-1)
        directions = local @ self.cam2world[:, :3, :3].transpose(1, 2)
        directions = torch.nn.functional.normalize(directions, dim=-1)
        return self.cam2world[:, None, :3, 3].expand_as(directions), directions

    def project(self, points: Tensor) -> Tensor:
        """Picture positions `[B,P,2]` (x right, y down, in [0, 1] inside the picture) of world `points [P,3]` or `[B,P,3]`: those whose
        `rays_at` meet the points."""
        local = (points - self.cam2world[:, None, :3, 3]) @ self.cam2world[:, :3, :3]
        image = local @ self.intrinsics.transpose(1, 2)
        return image[..., :2] / image[..., 2:]

    def window(self, left: float, top: float, side: float) -> Camera:
        """Cameras whose whole picture is a square part of this one's: `side` wide, from `left` and `top`, all as shares of the picture."""
        part = self.intrinsics.new_tensor([[1 / side, 0, -left / side], [0, 1 / side, -top / side], [0, 0, 1]])
        return Camera(self.cam2world, part @ self.intrinsics)

    def mirror(self) -> Camera:
        """The camera that sees the mirrored world (x → −x) as this one sees the world, flipped left to right."""
        flip = torch.diag(torch.tensor([-1.0, 1.0, 1.0, 1.0], dtype=self.cam2world.dtype, device=self.cam2world.device))
        intrinsics = self.intrinsics.clone()
        intrinsics[:, 0, 1] *= -1
        intrinsics[:, 0, 2] = 1 - intrinsics[:, 0, 2]
        return Camera(flip @ self.cam2world @ flip, intrinsics)


def look_at(
    yaw: Tensor | float,
    pitch: Tensor | float = 0.0,
    radius: float = RADIUS,
    pivot: tuple[float, float, float] = PIVOT,
    focal: float = FOCAL,
) -> Camera:
    """Cameras at true angles `yaw`, `pitch` (degrees, scalar or `[B]`) and distance `radius` from the origin, looking at `pivot`."""
    yaw_t, pitch_t = torch.broadcast_tensors(torch.as_tensor(yaw, dtype=torch.float32), torch.as_tensor(pitch, dtype=torch.float32))
    yaw_t, pitch_t = torch.deg2rad(yaw_t.reshape(-1)), torch.deg2rad(pitch_t.reshape(-1))
    origin = radius * torch.stack([yaw_t.sin() * pitch_t.cos(), pitch_t.sin(), yaw_t.cos() * pitch_t.cos()], dim=-1)
    forward = torch.nn.functional.normalize(origin.new_tensor(pivot) - origin, dim=-1)
    up = origin.new_tensor([0.0, 1.0, 0.0]).expand_as(forward)
    right = torch.nn.functional.normalize(torch.linalg.cross(forward, up), dim=-1)
    down = torch.linalg.cross(forward, right)
    cam2world = torch.eye(4).repeat(len(origin), 1, 1)
    cam2world[:, :3, :] = torch.stack([right, down, forward, origin], dim=-1)
    intrinsics = torch.tensor([[focal, 0, 0.5], [0, focal, 0.5], [0, 0, 1]]).repeat(len(origin), 1, 1)
    return Camera(cam2world, intrinsics)


def orbit(count: int = 5, yaw: float = 30.0, pitch: float = 0.0) -> Camera:
    """`count` cameras side by side, from −`yaw` to +`yaw` degrees at one pitch; `orbit(5)` is the five views −30, −15, 0, 15, 30.

    `ValueError` for less than one.
    """
    if count < 1:
        raise ValueError(f"an orbit has at least one camera, and the count is {count}")
    return look_at(torch.linspace(-yaw, yaw, count) if count > 1 else torch.zeros(1), pitch)


def painting_view(index: int) -> Camera:
    """The camera of the face `index` of a sample set that is drawn to be painted: front, left and right (±23°) in turn, as in FFaceNeRF's
    public annotations."""
    return look_at((0.0, -23.0, 23.0)[index % 3])


def swing(count: int, yaw: float = 30.0, pitch: float = 8.0) -> Camera:
    """`count` cameras of a closed loop around the frontal view (an ellipse in yaw and pitch): frame `count` would be frame 0 again."""
    phase = torch.arange(count) * (2 * math.pi / count)
    return look_at(yaw * phase.sin(), pitch * phase.cos())
