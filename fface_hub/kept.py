"""Where in space a face was edited: what lies elsewhere is kept as it was.

A painting says what one view shall show, and latents move whole faces. So an edited face is composed of two, the one before and the one
after, and this says how much of the second is at each point.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from fface_hub.cameras import Camera
from fface_hub.errors import ModelError

SOFT = 0.02
"""Length along a ray over which an edit fades out behind what was edited, in world units (8 mm)."""
LARGEST = 1e6
"""Limit of a camera's numbers: far beyond it float32 would see points nowhere."""
MOST = 64
"""Frustums of one face."""


@dataclass(frozen=True)
class Kept:
    """The face before its edits, `geometry [1,L,D]`, and V frustums that the edited one fills: `cameras [V]` see them, and `maps [V,2,h,h]`
    (uint8, so that a file gives back just this) hold, row by row from the top left, in 255ths: how much of the edited face there is in each
    direction, and how far it goes along unit rays, between the depths `span [2]`; at its end it does not fade.
    """

    geometry: Tensor
    cameras: Camera
    maps: Tensor
    span: Tensor

    def __post_init__(self) -> None:
        maps, known = self.maps, self.geometry.ndim == 3 and len(self.geometry) == 1 and self.span.shape == (2,)
        if maps.ndim != 4 or maps.shape[1:] != (2, maps.shape[-1], maps.shape[-1]) or maps.dtype != torch.uint8 or not known:
            raise ValueError(f"geometry [1,L,D], maps [V,2,h,h] (uint8) and span [2] expected, got {self.geometry.shape}, {maps.shape}")
        if len(self.cameras) != len(maps) or not 0 < len(maps) <= MOST:
            raise ValueError(f"1 to {MOST} frustums with a camera each expected, got {len(maps)} and {len(self.cameras)} cameras")

    def at(self, points: Tensor) -> Tensor:
        """How much of the edited face is at world `points [P,3]`: in [0, 1], `[P]`, the most that a frustum has of it."""
        ways = points - self.cameras.cam2world[:, None, :3, 3]
        ahead = (ways * self.cameras.cam2world[:, None, :3, 2]).sum(-1) > 0
        # Beyond the picture the share of its rim would go on, where there is nothing.
        maps = F.pad(self.maps.to(points) / 255, (1, 1, 1, 1), mode="replicate")
        maps[:, 0, [0, -1]] = 0
        maps[:, 0, :, [0, -1]] = 0
        grid = ((2 * self.cameras.project(points) - 1) * (1 - 2 / maps.shape[-1])).nan_to_num()
        share, far = F.grid_sample(maps, grid[:, None], padding_mode="border", align_corners=False)[:, :, 0].unbind(1)
        low, high = self.span.to(points)
        left = (low + far * (high - low) - ways.norm(dim=-1)) / SOFT + 1
        return torch.where(ahead, share * torch.where(far >= 1, 1.0, left.clamp(0, 1)), 0.0).amax(0)

    @staticmethod
    def joined(several: Sequence[Kept], geometry: Tensor) -> Kept:
        """The frustums of `several` faces of one generator around one `geometry`; those that the same camera sees become one, and of more
        than `MOST` the first go."""
        cameras: list[Tensor] = []
        maps: list[Tensor] = []
        for camera, new in ((c, m) for kept in several for c, m in zip(kept.cameras.to_vector(), kept.maps, strict=True)):
            same = [i for i, known in enumerate(cameras) if torch.equal(known, camera) and maps[i].shape == new.shape]
            if same:
                maps[same[0]] = torch.maximum(maps[same[0]], new)
            else:
                cameras.append(camera)
                maps.append(new)
        return Kept(geometry, Camera.from_vector(torch.stack(cameras[-MOST:])), torch.stack(maps[-MOST:]), several[0].span)

    def to(self, device: torch.device | str) -> Kept:
        """The same on `device`."""
        return Kept(self.geometry.to(device), self.cameras.to(device), self.maps.to(device), self.span.to(device))

    def tensors(self) -> dict[str, Tensor]:
        """What `from_tensors` makes it from again."""
        return {"geometry": self.geometry, "cameras": self.cameras.to_vector(), "maps": self.maps, "span": self.span}

    @staticmethod
    def from_tensors(tensors: Mapping[str, Tensor]) -> Kept:
        """Inverse of `tensors`; `ModelError` if they are not of such shapes and numbers."""
        try:
            geometry, cameras, maps, span = (tensors[key] for key in ("geometry", "cameras", "maps", "span"))
            sane = 0 < float(span[0]) < float(span[1]) < LARGEST and float(cameras.abs().max()) < LARGEST
            if len(tensors) != 4 or cameras.shape[1:] != (25,) or not sane:
                raise ValueError("other tensors than these, no cameras, or no span")
            return Kept(geometry.float(), Camera.from_vector(cameras.float()), maps, span.float())
        except (KeyError, ValueError, IndexError, RuntimeError) as error:
            raise ModelError("What this face keeps of the time before its edits is damaged: make the face again.") from error
