"""From drawn portraits to what cameras make of people: squares cut as a detector would, with other backgrounds, light and colours, blur,
noise, JPEG and things in front. All of it on whole batches, from one generator of random numbers."""

from __future__ import annotations

import io
import math
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from fface_hub.heads.portraits import ROOM
from fface_hub.inversion.landmarks import FACE_SIDE, FIVE, MIRRORED

SHIFT, SCALE = 0.055, 0.13
"""Deviations of the square's place (in its sides) and of the logarithm of its size. Boxes of detectors differ so from the face's own."""
TILT = 13.0
"""Deviation of a head's roll in degrees; every fifth is turned by anything up to `MOST_TILT`."""
MOST_TILT = 45.0

STRETCH = 0.10
"""Deviation of the logarithm of a face's width by its height: real faces differ more in their proportions than the rendered ones do."""
WAVE, WAVE_LENGTH, WAVE_STEPS = 0.014, 0.4, 6
"""Most height and the length of the waves that move rows, in shares of the picture: longer noses over shorter chins, and the reverse."""

Batch = dict[str, Tensor]


@dataclass(frozen=True)
class Framing:
    """Squares of B pictures: `middle [B,2]` and `sides [B,2]` (width and height, in shares of the picture), turned clockwise by `tilt [B]`
    degrees; rows are moved up and down by a wave of height `swing [B]` that begins at `phase [B]` (radians) in the middle.

    In a square that is turned clockwise the head appears turned anticlockwise: the roll of the camera grows by `tilt`.
    """

    middle: Tensor
    sides: Tensor
    tilt: Tensor
    swing: Tensor
    phase: Tensor

    def inside(self, points: Tensor) -> Tensor:
        """`points [B,P,2]` of the pictures in shares of the squares."""
        # The wave says from which row of the picture a row is taken; where a row goes to is found by iteration, since waves are flat.
        y = points[..., 1]
        for _ in range(WAVE_STEPS):
            y = points[..., 1] - self._wave(y)
        angle = torch.deg2rad(self.tilt)[:, None]
        dx, dy = ((torch.stack([points[..., 0], y], dim=-1) - self.middle[:, None]) / self.sides[:, None]).unbind(dim=-1)
        return torch.stack([0.5 + dx * angle.cos() + dy * angle.sin(), 0.5 - dx * angle.sin() + dy * angle.cos()], dim=-1)

    def cut(self, pictures: Tensor, resolution: int, mode: str = "bilinear") -> Tensor:
        """The squares `[B,C,h,h]` of `pictures [B,C,H,W]`, by `mode` of interpolation; beyond the pictures their border is repeated."""
        angle = torch.deg2rad(self.tilt)[:, None, None]
        line = (torch.arange(resolution) + 0.5) / resolution - 0.5
        v, u = torch.meshgrid(line, line, indexing="ij")
        x = self.middle[:, :1, None] + self.sides[:, :1, None] * (u * angle.cos() - v * angle.sin())
        y = self.middle[:, 1:, None] + self.sides[:, 1:, None] * (u * angle.sin() + v * angle.cos())
        y = y + self._wave(y.flatten(1)).view_as(y)
        grid = 2 * torch.stack([x, y], dim=-1) - 1
        return F.grid_sample(pictures, grid, mode=mode, padding_mode="border", align_corners=False)

    def _wave(self, y: Tensor) -> Tensor:
        """How much lower in the picture the row that is shown at `y [B,N]` lies."""
        turns = (y - self.middle[:, 1:]) * (2 * math.pi / WAVE_LENGTH) + self.phase[:, None]
        return self.swing[:, None] * turns.sin()


class Augmenter:
    """Draws batches for the landmark network. `random` decides everything."""

    def __init__(self, random: torch.Generator, side: int) -> None:
        self.random, self.side = random, side

    def __call__(self, portraits: Batch) -> tuple[Tensor, Tensor, Tensor]:
        """`portraits` (as in `heads.portraits`, B of them) → `images [B,3,S,S]` in [-1, 1], `points [B,P,2]` in shares of the squares,
        `angles [B,3]` in degrees."""
        pictures = torch.cat([portraits["images"], portraits["opacity"][:, None]], dim=1).float() / 255
        points, angles = portraits["points"].clone(), F.pad(portraits["angles"], (0, 1))
        mirrored = self.chance(len(points), 0.5)
        pictures = torch.where(mirrored[:, None, None, None], pictures.flip(3), pictures)
        points, angles = mirror(points, angles, mirrored)
        cut, points, roll = self.cut(pictures, points)
        angles[:, 2] += roll
        noise = self.noise(len(cut))
        images = self.background(cut[:, :3], cut[:, 3:], noise)
        images = self.cover(self.light(images), noise.roll(2, 0))
        images = self.grain(self.blur(self.color(images)))
        return 2 * images.clamp(0, 1) - 1, points, angles

    def labelled(self, portraits: Batch) -> tuple[Tensor, Tensor]:
        """`portraits` → `images [B,3,S,S]` in [-1, 1] and their `labels [B,S,S]` (int64), without anything in front of the heads. Squares
        may be up to twice as large as the landmark network's."""
        pictures = torch.cat([portraits["images"], portraits["opacity"][:, None], portraits["labels"][:, None]], dim=1).float()
        mirrored = self.chance(len(pictures), 0.5)[:, None, None, None]
        pictures = torch.where(mirrored, pictures.flip(3), pictures)
        middle = torch.where(mirrored[:, 0, 0], torch.tensor([-1.0, 1.0]), 1.0) * portraits["points"][:, :FIVE].mean(dim=1)
        middle = middle + torch.where(mirrored[:, 0, 0], torch.tensor([1.0, 0.0]), 0.0)
        count = len(pictures)
        side = ROOM * self.uniform(0.7, 1.2, count)
        middle, tilt = middle + 0.08 * side[:, None] * self.normal(count, 2), TILT * self.normal(count).clamp(-2, 2)
        none = torch.zeros(count)
        framing = Framing(middle, side[:, None].expand(-1, 2), tilt, none, none)
        cut = framing.cut(pictures[:, :4] / 255, self.side)
        labels = framing.cut(pictures[:, 4:], self.side, "nearest")[:, 0].long()
        noise = self.noise(count)
        images = self.background(cut[:, :3], cut[:, 3:], noise)
        return 2 * self.grain(self.blur(self.color(self.light(images)))).clamp(0, 1) - 1, labels

    def chance(self, count: int, share: float) -> Tensor:
        """Which of `count` are drawn, each with probability `share`: bool `[count]`."""
        return torch.rand(count, generator=self.random) < share

    def uniform(self, low: float, high: float, *shape: int) -> Tensor:
        """Uniform numbers of that shape."""
        return low + (high - low) * torch.rand(shape, generator=self.random)

    def normal(self, *shape: int) -> Tensor:
        """Standard normal numbers of that shape."""
        return torch.randn(shape, generator=self.random)

    def cut(self, pictures: Tensor, points: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Squares `[B,C,S,S]` around the faces, the points in them, and by how many degrees each was turned (as a camera's roll)."""
        count = len(pictures)
        side = FACE_SIDE * ROOM * torch.exp((SCALE * self.normal(count)).clamp(-0.36, 0.36))
        middle = points[:, :FIVE].mean(dim=1) + side[:, None] * (SHIFT * self.normal(count, 2)).clamp(-0.17, 0.17)
        wide = self.chance(count, 0.2)
        tilt = torch.where(wide, self.uniform(-MOST_TILT, MOST_TILT, count), (TILT * self.normal(count)).clamp(-MOST_TILT, MOST_TILT))
        stretch = (STRETCH * self.normal(count)).clamp(-0.28, 0.28)
        sides = side[:, None] * torch.exp(0.5 * torch.stack([stretch, -stretch], dim=1))
        framing = Framing(middle, sides, tilt, self.uniform(-WAVE, WAVE, count), self.uniform(0, 2 * math.pi, count))
        return framing.cut(pictures, self.side), framing.inside(points), tilt

    def noise(self, count: int) -> Tensor:
        """Smooth noise `[count,3,S,S]` in about [0, 1], grey to colourful: sums of random maps, coarse ones the stronger."""
        total = self.uniform(0, 1, count, 1, 1, 1) + 0.2 * self.normal(count, 3, 1, 1)
        strength = self.uniform(0, 0.4, count, 1, 1, 1)
        for index, size in enumerate((2, 6, 20)):
            tones = self.normal(count, 1, size, size) + self.uniform(0, 0.8, count, 1, 1, 1) * self.normal(count, 3, size, size)
            large = F.interpolate(tones, (self.side, self.side), mode="bilinear", align_corners=False)
            total = total + strength * large / (1 + 0.6 * index)
        return total.clamp(0, 1)

    def background(self, images: Tensor, opacity: Tensor, noise: Tensor) -> Tensor:
        """Nine in ten heads stand before something else: noise, bars and edges, or other people out of focus."""
        count = len(images)
        bars = self.shapes(count, small=0.05, large=0.8, number=3)
        behind = torch.where(bars > 0.5, noise.roll(1, 0), noise)
        crowd = F.avg_pool2d(F.pad(images.roll(1, 0).flip(2 + int(self.chance(1, 0.5))), (2, 2, 2, 2), mode="replicate"), 5, 1)
        behind = torch.where(self.chance(count, 0.2)[:, None, None, None], crowd, behind)
        soft = F.avg_pool2d(F.pad(opacity, (1, 1, 1, 1), mode="replicate"), 3, 1)
        changed = self.chance(count, 0.9)[:, None, None, None]
        return torch.where(changed, torch.lerp(behind, images, soft), images)

    def shapes(self, count: int, small: float, large: float, number: int) -> Tensor:
        """Masks `[count,1,S,S]` of up to `number` turned rectangles and ellipses, their half sides from `small` to `large`."""
        line = (torch.arange(self.side) + 0.5) / self.side
        y, x = torch.meshgrid(line, line, indexing="ij")
        mask = torch.zeros(count, self.side, self.side)
        for _ in range(number):
            centre, half = self.uniform(-0.1, 1.1, count, 2, 1, 1), self.uniform(small, large, count, 2, 1, 1) / 2
            turn = self.uniform(0, math.pi, count, 1, 1)
            dx, dy = x - centre[:, 0], y - centre[:, 1]
            along = (dx * turn.cos() + dy * turn.sin()) / half[:, 0]
            across = (dy * turn.cos() - dx * turn.sin()) / half[:, 1]
            box = torch.maximum(along.abs(), across.abs())
            inside = torch.where(self.chance(count, 0.5)[:, None, None], box, (along.square() + across.square()).sqrt()) < 1
            mask = torch.where(inside & self.chance(count, 0.6)[:, None, None], 1.0, mask)
        return mask[:, None]

    def cover(self, images: Tensor, noise: Tensor) -> Tensor:
        """Something in front of every third head: a hand, a microphone, a scarf, in plain or mottled colours or in those of the skin."""
        count = len(images)
        mask = self.shapes(count, small=0.08, large=0.5, number=2) * self.chance(count, 0.35)[:, None, None, None]
        front = torch.where(self.chance(count, 0.4)[:, None, None, None], images.flip(2), noise)
        return images * (1 - mask) + front * mask

    def light(self, images: Tensor) -> Tensor:
        """Shadows that fall over half of the picture, soft or with an edge, and slopes of brightness."""
        count = len(images)
        line = 2 * (torch.arange(self.side) + 0.5) / self.side - 1
        turn = self.uniform(0, 2 * math.pi, count, 1, 1)
        slope = turn.cos() * line[None, None] + turn.sin() * line[None, :, None] + self.uniform(-0.7, 0.7, count, 1, 1)
        sharp = torch.exp(self.uniform(math.log(0.5), math.log(20), count, 1, 1))
        shade = 1 - self.uniform(0, 0.65, count, 1, 1) * torch.sigmoid(sharp * slope)
        return torch.where(self.chance(count, 0.4)[:, None, None, None], images * shade[:, None], images)

    def color(self, images: Tensor) -> Tensor:
        """Exposure, gamma, contrast, saturation and casts of colour; every seventh is grey."""
        count = len(images)

        def each(low: float, high: float, channels: int = 1) -> Tensor:
            return self.uniform(low, high, count, channels, 1, 1)

        images = images.clamp(1e-3, 1) ** torch.exp(each(-0.5, 0.5)) * torch.exp(each(-0.3, 0.3)) * each(0.88, 1.12, 3)
        grey = images.mean(dim=1, keepdim=True)
        saturation = torch.where(self.chance(count, 0.15)[:, None, None, None], torch.zeros(()), each(0.3, 1.5))
        images = grey + saturation * (images - grey)
        mean = images.mean(dim=(1, 2, 3), keepdim=True)
        images = mean + each(0.6, 1.4) * (images - mean)
        mixed = torch.einsum("bij,bjhw->bihw", torch.eye(3) + 0.05 * self.normal(count, 3, 3), images)
        return mixed.clamp(0, 1)

    def blur(self, images: Tensor) -> Tensor:
        """Half of the pictures have less detail: smaller ones enlarged, or lenses out of focus and in motion."""
        kinds = self.uniform(0, 1, len(images)).tolist()
        sizes = self.uniform(0.2, 0.9, len(images)).tolist()
        result = images.clone()
        for index, (kind, size) in enumerate(zip(kinds, sizes, strict=True)):
            picture = images[index : index + 1]
            if kind < 0.3:
                small = F.interpolate(picture, (round(size * self.side),) * 2, mode="bilinear", antialias=True, align_corners=False)
                result[index] = F.interpolate(small, (self.side, self.side), mode="bilinear", align_corners=False)[0]
            elif kind < 0.5:
                width, height = (3, 3) if kind < 0.4 else (5, 1) if kind < 0.45 else (1, 5)
                padded = F.pad(picture, (width // 2, width // 2, height // 2, height // 2), mode="replicate")
                result[index] = F.avg_pool2d(padded, (height, width), 1)[0]
        return result

    def grain(self, images: Tensor) -> Tensor:
        """Sensor noise, and the blocks of JPEG at low quality."""
        count = len(images)
        strength = self.uniform(0, 1, count, 1, 1, 1) ** 2 * 0.09 * self.chance(count, 0.6)[:, None, None, None]
        images = (images + strength * self.normal(*images.shape)).clamp(0, 1)
        qualities = self.uniform(12, 75, count).tolist()
        for index in self.chance(count, 0.3).nonzero()[:, 0].tolist():
            images[index] = jpeg(images[index], round(qualities[index]))
        return images


def mirror(points: Tensor, angles: Tensor, which: Tensor) -> tuple[Tensor, Tensor]:
    """`points [B,P,2]` (shares of the side) and `angles [B,3]` of the pictures of `which [B]` (bool) flipped left to right."""
    flipped = points[:, list(MIRRORED)] * points.new_tensor([-1.0, 1.0]) + points.new_tensor([1.0, 0.0])
    turned = angles * angles.new_tensor([-1.0, 1.0, -1.0])
    return torch.where(which[:, None, None], flipped, points), torch.where(which[:, None], turned, angles)


def jpeg(image: Tensor, quality: int) -> Tensor:
    """`image [3,H,W]` in [0, 1] after JPEG of that quality."""
    file = io.BytesIO()
    pixels = (image * 255).round().byte().permute(1, 2, 0).contiguous().numpy()
    Image.fromarray(pixels).save(file, "JPEG", quality=quality)
    return torch.from_numpy(np.array(Image.open(file))).permute(2, 0, 1).float() / 255
