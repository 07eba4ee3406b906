"""Where in space a face was edited: what lies elsewhere is kept as it was.

A painting says what one view shall show, and latents move whole faces. So an edited face is composed of two, the one before and the one
after, and this says how much of the second is at each point. The one before may be an edited face itself: each edit is a layer, which later
ones leave as it is.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

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
"""Frustums of one layer."""
LAYERS = 8
"""Layers of one face: each has planes of its own, which take time and memory."""
NAMES = ("geometry", "cameras", "maps", "span")


@dataclass(frozen=True)
class Kept:
    """The face before an edit, `geometry [1,L,D]`, and V frustums that the edited one fills: `cameras [V]` see them, and `maps [V,2,h,h]`
    (uint8, so that a file gives back just this) hold, row by row from the top left, in 255ths: how much of the edited face there is in each
    direction, and how far it goes along unit rays, between the depths `span [2]`; at its end it does not fade.

    `earlier` is what was kept of the face before, if it had been edited, too.
    """

    geometry: Tensor
    cameras: Camera
    maps: Tensor
    span: Tensor
    earlier: Kept | None = None

    def __post_init__(self) -> None:
        maps, known = self.maps, self.geometry.ndim == 3 and len(self.geometry) == 1 and self.span.shape == (2,)
        if maps.ndim != 4 or maps.shape[1:] != (2, maps.shape[-1], maps.shape[-1]) or maps.dtype != torch.uint8 or not known:
            raise ValueError(f"geometry [1,L,D], maps [V,2,h,h] (uint8) and span [2] expected, got {self.geometry.shape}, {maps.shape}")
        if len(self.cameras) != len(maps) or not 0 < len(maps) <= MOST:
            raise ValueError(f"1 to {MOST} frustums with a camera each expected, got {len(maps)} and {len(self.cameras)} cameras")
        earlier = self.earlier
        if earlier is not None and (earlier.geometry.shape != self.geometry.shape or len(earlier.layers) >= LAYERS):
            raise ValueError(f"up to {LAYERS} layers of one shape expected, got {earlier.geometry.shape} below {self.geometry.shape}")

    @property
    def layers(self) -> tuple[Kept, ...]:
        """This and all that is `earlier`, the first edit first."""
        return (*(() if self.earlier is None else self.earlier.layers), self)

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
    def stacked(layers: Sequence[Kept], most: int = LAYERS) -> Kept:
        """The last of `layers`, and before it the others, whatever was earlier than each of them until now.

        Where they are more than `most`, the one of which least shows becomes one with the next: of the face after both, and so not
        exactly what it was.
        """
        alone = [replace(layer, earlier=None) for layer in layers]
        while len(alone) > most:
            least = min(range(len(alone) - 1), key=lambda index: _showing(alone[index], alone[index + 1 :]))
            alone[least : least + 2] = [_joined(alone[least], alone[least + 1])]
        stack = alone[0]
        for layer in alone[1:]:
            stack = replace(layer, earlier=stack)
        return stack

    def same(self, other: Kept) -> bool:
        """Whether both keep the same of the same face."""
        mine, theirs = self.tensors(), other.tensors()
        return mine.keys() == theirs.keys() and all(torch.equal(values, theirs[name]) for name, values in mine.items())

    def frustums(self) -> Iterator[tuple[Tensor, Tensor]]:
        """The numbers of each camera `[25]`, with its maps `[2,h,h]`."""
        return zip(self.cameras.to_vector(), self.maps, strict=True)

    def to(self, device: torch.device | str) -> Kept:
        """The same on `device`."""
        earlier = None if self.earlier is None else self.earlier.to(device)
        return Kept(self.geometry.to(device), self.cameras.to(device), self.maps.to(device), self.span.to(device), earlier)

    def tensors(self) -> dict[str, Tensor]:
        """What `from_tensors` makes it from again; names of what is earlier begin with as many `earlier.`"""
        found = {"geometry": self.geometry, "cameras": self.cameras.to_vector(), "maps": self.maps, "span": self.span}
        if self.earlier is not None:
            found |= {f"earlier.{name}": values for name, values in self.earlier.tensors().items()}
        return found

    @staticmethod
    def from_tensors(tensors: Mapping[str, Tensor]) -> Kept:
        """Inverse of `tensors`; `ModelError` if they are not of such shapes and numbers."""
        layers, prefix = [], ""
        try:
            while len(layers) * len(NAMES) < len(tensors) and len(layers) < LAYERS:
                geometry, cameras, maps, span = (tensors[prefix + name] for name in NAMES)
                sane = 0 < float(span[0]) < float(span[1]) < LARGEST and float(cameras.abs().max()) < LARGEST
                if not sane:
                    raise ValueError("cameras that are nowhere, or no span")
                layers.append(Kept(geometry.float(), Camera.from_vector(cameras.float()), maps, span.float()))
                prefix += "earlier."
            if not layers or len(layers) * len(NAMES) != len(tensors):
                raise ValueError("other tensors than these")
            return Kept.stacked(layers[::-1])
        except (KeyError, ValueError, IndexError, RuntimeError) as error:
            raise ModelError("What this face keeps of the time before its edits is damaged: make the face again.") from error


def _joined(first: Kept, second: Kept) -> Kept:
    """The frustums of two layers, the second upon the first, as one; those that the same camera sees become one, and of more than `MOST`
    the first go."""
    cameras: list[Tensor] = []
    maps: list[Tensor] = []
    for camera, new in (*first.frustums(), *second.frustums()):
        same = [i for i, known in enumerate(cameras) if torch.equal(known, camera) and maps[i].shape == new.shape]
        if same:
            maps[same[0]] = torch.maximum(maps[same[0]], new)
        else:
            cameras.append(camera)
            maps.append(new)
    return replace(first, cameras=Camera.from_vector(torch.stack(cameras[-MOST:])), maps=torch.stack(maps[-MOST:]))


def _showing(layer: Kept, later: Sequence[Kept]) -> float:
    """How much of a picture shows `layer` and none of the `later` ones; what another camera saw hides nothing."""
    total = 0.0
    for camera, maps in layer.frustums():
        left = maps[0] / 255
        for known, above in (frustum for other in later for frustum in other.frustums()):
            if torch.equal(known, camera) and above.shape == maps.shape:
                left = left * (1 - above[0] / 255)
        total += float(left.mean())
    return total
