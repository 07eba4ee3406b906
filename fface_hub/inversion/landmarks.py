"""Landmarks of a face and how the head is turned, by a small network that is bundled: it learnt from rendered heads only."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import torch
from diffusers.configuration_utils import register_to_config
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F

from fface_hub.doors import to_tensor
from fface_hub.errors import ModelError
from fface_hub.inversion.pose import place_square, turned_camera
from fface_hub.models import Model, register

MODEL = "heads-landmarks"

# Metres from the origin of the rendered heads' world (x to the person's left, y up, z ahead): means over 1,024 of them, made symmetric.
MEAN_HEAD: dict[str, tuple[float, float, float]] = {
    "pupil_right": (-0.0277, 0.0040, 0.1086), "pupil_left": (0.0277, 0.0040, 0.1086), "nose_tip": (0.0, -0.0346, 0.1333),
    "mouth_corner_right": (-0.0238, -0.0583, 0.1068), "mouth_corner_left": (0.0238, -0.0583, 0.1068),
    "eye_outer_right": (-0.0422, 0.0026, 0.0937), "eye_inner_right": (-0.0124, 0.0012, 0.1085),
    "eye_inner_left": (0.0124, 0.0012, 0.1085), "eye_outer_left": (0.0422, 0.0026, 0.0937), "brow_middle": (0.0, 0.0124, 0.1183),
    "nose_bridge": (0.0, 0.0027, 0.1162), "nose_base": (0.0, -0.0435, 0.1229), "nose_wing_right": (-0.0166, -0.0356, 0.1151),
    "nose_wing_left": (0.0166, -0.0356, 0.1151), "lip_top": (0.0, -0.0520, 0.1264), "lip_bottom": (0.0, -0.0720, 0.1209),
    "chin": (0.0, -0.0834, 0.1146), "menton": (0.0, -0.1004, 0.1036), "forehead_top": (0.0, 0.0638, 0.1073),
    "temple_right": (-0.0599, 0.0123, 0.0669), "temple_left": (0.0599, 0.0123, 0.0669), "jaw_angle_right": (-0.0513, -0.0684, 0.0446),
    "jaw_angle_left": (0.0513, -0.0684, 0.0446), "ear_root_right": (-0.0671, -0.0025, 0.0361), "ear_root_left": (0.0671, -0.0025, 0.0361),
}  # fmt: skip
POINTS = tuple(MEAN_HEAD)
"""Names of the landmarks, sides as the person has them. The first five are those that face detectors give, from the image's left."""
FIVE = 5
_OTHER_SIDE = {"right": "left", "left": "right"}
MIRRORED = tuple(POINTS.index("_".join(_OTHER_SIDE.get(word, word) for word in name.split("_"))) for name in POINTS)
"""Place of each point in the mirrored face."""
METRES_PER_UNIT = 0.42
"""Of the rendered heads and the generator that learnt from them."""
EG3D_MIDDLE = (0.0, -0.006, 0.229)
"""The middle of the first five points in the world of EG3D's models (see `mean_head`)."""
FACE_SIDE = 0.79
"""Side of the square that the network looks at, in sides of the default camera's picture of the head."""
ANGLE_UNIT = 10.0
"""Degrees of one unit of the network's angles."""
MARGIN = 1.3
"""Points may lie outside the square: the grid of places that they are a mean of is this much larger."""


def _convolution(channels_in: int, channels: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(channels_in, channels, 3, stride, 1, bias=False), nn.BatchNorm2d(channels), nn.ReLU())


class _Residual(nn.Module):
    """Two convolutions beside the identity (He et al. 2016)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = _convolution(channels, channels)
        self.second = nn.Sequential(nn.Conv2d(channels, channels, 3, 1, 1, bias=False), nn.BatchNorm2d(channels))

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(x + self.second(self.first(x)))


@register
class LandmarkNet(Model):
    """Squares around faces `[B,3,S,S]` in [-1, 1] → landmarks and angles.

    Four strides of two, residual blocks between them. Points are the means of heat maps at a quarter of the side (integral regression, Sun
    et al. 2018), which see the whole face through maps that are enlarged from below and added (Lin et al. 2017). Angles are read from the
    smallest maps and from the points. Each square is first given mean 0 and deviation 1, so exposure does not count.
    """

    @register_to_config
    def __init__(self, side: int = 96, channels: tuple[int, int, int, int] = (24, 40, 72, 104), hidden: int = 128) -> None:
        super().__init__()
        a, b, c, d = channels
        self.stem = nn.Sequential(_convolution(3, a, 2), _convolution(a, b, 2), _Residual(b))
        self.middle = nn.Sequential(_convolution(b, c, 2), _Residual(c), _Residual(c))
        self.deep = nn.Sequential(_convolution(c, d, 2), _Residual(d))
        self.lateral = nn.ModuleList([nn.Conv2d(d, c, 1), nn.Conv2d(c, b, 1)])
        self.heat = nn.Sequential(_convolution(b, b), nn.Conv2d(b, len(POINTS), 1))
        self.narrow = nn.Conv2d(d, 24, 1)
        self.turn = nn.Sequential(nn.Linear(24 * (side // 16) ** 2 + 2 * len(POINTS), hidden), nn.ReLU(), nn.Linear(hidden, 3))

    @classmethod
    def check_config(cls, config: dict[str, Any]) -> None:
        """`ModelError` for sizes out of range."""
        sizes = [*config.get("channels", ()), config.get("hidden", 1)]
        side = config.get("side", 16)
        if side % 16 or not 16 <= side <= 512 or not all(1 <= size <= 512 for size in sizes):
            raise ModelError(f"A landmark network's square must be a multiple of 16 and its sizes within 512, not {side} and {sizes}.")

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """`image [B,3,S,S]` → `points [B,P,2]` in shares of the side (x right, y down), `angles [B,3]`: the camera's yaw, pitch and roll in
        degrees (`pose.orbit_angles`)."""
        mean, deviation = image.mean(dim=(1, 2, 3), keepdim=True), image.std(dim=(1, 2, 3), keepdim=True)
        fine = self.stem((image - mean) / (deviation + 0.05))
        middle = self.middle(fine)
        deep = self.deep(middle)
        context = middle + F.interpolate(self.lateral[0](deep), scale_factor=2.0)
        context = fine + F.interpolate(self.lateral[1](context), scale_factor=2.0)
        points = centres(self.heat(context).float())
        seen = torch.cat([self.narrow(deep).flatten(1), (points.flatten(1) - 0.5) * 4], dim=1)
        return points, ANGLE_UNIT * self.turn(seen).float()


def centres(heat: Tensor) -> Tensor:
    """Means `[B,P,2]` of places under the softmax of maps `heat [B,P,h,h]`, in shares of the side; the places reach `MARGIN` times as far
    as the maps, so that points outside can be told, too."""
    size = heat.shape[-1]
    places = 0.5 + MARGIN * ((torch.arange(size, device=heat.device, dtype=heat.dtype) + 0.5) / size - 0.5)
    weights = heat.flatten(2).softmax(dim=-1).unflatten(2, (size, size))
    return torch.stack([(weights.sum(dim=2) * places).sum(dim=-1), (weights.sum(dim=3) * places).sum(dim=-1)], dim=-1)


@dataclass(frozen=True)
class Square:
    """A square of a photo: its `middle` (x, y) and `side` in pixels, turned clockwise by `tilt` degrees."""

    middle: tuple[float, float]
    side: float
    tilt: float = 0.0


@dataclass(frozen=True)
class Landmarks:
    """`points [P,2]`, where the `POINTS` are in the photo (pixels), and yaw, pitch and roll of the camera in degrees."""

    points: np.ndarray
    angles: tuple[float, float, float]


@functools.lru_cache(maxsize=1)
def bundled_network() -> LandmarkNet:
    """The landmark network that is installed with the program."""
    return LandmarkNet.from_pretrained(MODEL)


def mean_head(metres_per_unit: float = METRES_PER_UNIT) -> Tensor:
    """Where the `POINTS` of the mean head are in a generator's world, `[P,3]`, whose unit has that many metres.

    The rendered heads' own world has its origin within their head. That of EG3D's models is another: their crops put the origin of the
    Basel face model at (0, 0.006, 0.161) with 0.27 units to its decimetre (facts 3.9). Where a mean face lies around that origin is not
    in those facts: the middle of its five points, (0, −0.46, 2.53) centimetres off, is from memory and unverified. Inversion refines the
    camera from there.
    """
    points = torch.tensor(list(MEAN_HEAD.values())) / metres_per_unit
    if abs(metres_per_unit - METRES_PER_UNIT) < 1e-6:
        return points
    return points - points[:FIVE].mean(dim=0) + points.new_tensor(EG3D_MIDDLE)


def look(photo: np.ndarray, square: Square, network: LandmarkNet | None = None) -> Landmarks:
    """The landmarks of the face in a `square` of a `photo` (RGB, uint8 `[H,W,3]`).

    The network looks twice, each time at the picture and its mirror image: the second square is laid upright around what the first look
    found, since a detector's box may be too large, too small or askew.
    """
    network = network or bundled_network()
    first = _look_once(photo, square, network)
    _, _, side = place_square(first.points, mean_head(), turned_camera(*first.angles))
    middle = first.points[:FIVE].mean(axis=0)
    return _look_once(photo, Square((float(middle[0]), float(middle[1])), FACE_SIDE * side, -first.angles[2]), network)


@torch.no_grad()
def _look_once(photo: np.ndarray, square: Square, network: LandmarkNet) -> Landmarks:
    size = network.config["side"]
    image = to_tensor(Image.fromarray(cut_square(photo, square, size)))
    points, angles = network(torch.cat([image, image.flip(3)]).to(next(network.parameters()).device))
    points, angles = points.double().cpu().numpy(), angles.double().cpu().numpy()
    own = (points[0] + points[1][list(MIRRORED)] * (-1, 1) + (1, 0)) / 2
    yaw, pitch, roll = (angles[0] + angles[1] * (-1, 1, -1)) / 2
    matrix = _to_photo(square, 1.0)
    return Landmarks(own @ matrix[:, :2].T + matrix[:, 2], (float(yaw), float(pitch), float(roll - square.tilt)))


def cut_square(photo: np.ndarray, square: Square, size: int) -> np.ndarray:
    """The `square` of a `photo` (uint8 `[H,W,3]`) at `size`² pixels; beyond the photo its border is repeated."""
    # Large squares are cut with several samples to a pixel and then averaged, so that no detail turns into noise.
    samples = max(1, min(8, round(square.side / size)))
    fine = size * samples
    matrix = _to_photo(square, 1 / fine)
    # OpenCV counts from the middles of pixels: (x + ½) in the square is (X + ½) in the photo.
    matrix[:, 2] += matrix[:, :2] @ (0.5, 0.5) - 0.5
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    cut = cv2.warpAffine(photo, matrix, (fine, fine), flags=flags, borderMode=cv2.BORDER_REPLICATE)
    return cut if samples == 1 else cv2.resize(cut, (size, size), interpolation=cv2.INTER_AREA)


def _to_photo(square: Square, unit: float) -> np.ndarray:
    """Affine map `[2,3]` from places in the square, in `unit` shares of its side, to photo pixels."""
    angle = math.radians(square.tilt)
    axes = square.side * np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    return np.concatenate([axes * unit, (np.array(square.middle) - axes @ (0.5, 0.5))[:, None]], axis=1)
