"""Networks that answer at once what optimisation searches for: an encoder (picture → latents and camera), and a canonical editor (front
view, its labels and those that are wanted → how the latents move).

Both are residual CNNs with equalised learning rates (Karras et al. 2018, section 4.1), their blocks those of StyleGAN2's discriminator
(Karras et al. 2020), trained on rendered heads and the generator's own latents for them. They tell latents by coordinates on principal axes
of what the generator draws. IDE-3D (Sun et al. 2022, section 3.3) has two such networks.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from diffusers.configuration_utils import register_to_config
from torch import Tensor, nn

from fface_hub.cameras import FOCAL, PIVOT, RADIUS, Camera, look_at
from fface_hub.errors import ModelError
from fface_hub.generators.base import Generator
from fface_hub.generators.stylegan import GAIN, SLOPE, FullyConnected
from fface_hub.latents import Latents
from fface_hub.layouts import FINE_24, LAYOUTS, Layout
from fface_hub.models import Model, check_generator_id, register
from fface_hub.sources import bundled_names

ENCODER, EDITOR = "heads-encoder", "heads-canonical-editor"
ANGLE_UNIT = 30.0
"""Degrees of one unit of the encoder's angles."""
PATCH = 4
"""Pixels along the side of the patches that the first convolution sees as one."""
SIDE = 128
MEAN_TO_SIDE = 1.35
"""Pictures are only shrunk by averaging when they are larger than this many times `SIDE`."""


@dataclass(frozen=True)
class LatentBasis:
    """Principal axes of a generator's style rows.

    Rows that are always equal are one group: `groups` says for each of the L rows which of the N it belongs to. `means [N,D]`,
    `axes [N,K,D]`; each axis is one standard deviation long, so the coordinates of drawn faces have mean 0 and deviation 1.
    """

    groups: tuple[int, ...]
    means: Tensor
    axes: Tensor

    @staticmethod
    @torch.no_grad()
    def of(generator: Generator, axes: int = 96, samples: int = 4096, seed: int = 0) -> LatentBasis:
        """The basis of `samples` faces drawn from `generator`; `ModelError` if its halves are not the same rows."""
        drawn = generator.sample(samples, seed, truncation=1.0)
        rows = drawn.geometry
        if drawn.appearance.shape[1] != 1 or not torch.equal(rows, drawn.appearance[:, 0]):
            raise ModelError("An encoder needs a generator whose geometry and appearance are drawn as the same style rows.")
        groups: list[int] = []
        firsts: list[int] = []
        for row in range(rows.shape[1]):
            known = next((group for group, first in enumerate(firsts) if torch.equal(rows[:, first], rows[:, row])), None)
            if known is None:
                firsts.append(row)
            groups.append(len(firsts) - 1 if known is None else known)
        means = rows[:, firsts].mean(dim=0)
        count = min(axes, samples - 1, rows.shape[2])
        found = []
        for group, first in enumerate(firsts):
            centred = (rows[:, first] - means[group]).cpu().double()
            values, vectors = torch.linalg.eigh(centred.T @ centred / samples)
            found.append((vectors * values.clamp_min(0).sqrt()).flip(1)[:, :count].T.to(rows))
        return LatentBasis(tuple(groups), means, torch.stack(found))

    def rows(self, coordinates: Tensor) -> Tensor:
        """Style rows `[B,L,D]` at `coordinates [B,N,K]`."""
        return (self.means + self.directions(coordinates))[:, list(self.groups)]

    def directions(self, coordinates: Tensor) -> Tensor:
        """How far from the mean each group is, `[B,N,D]`."""
        return torch.einsum("bnk,nkd->bnd", coordinates, self.axes)

    def coordinates(self, rows: Tensor) -> Tensor:
        """Coordinates `[B,N,K]` of the nearest point of the basis to style rows `[B,L,D]` (of each group the mean row)."""
        groups = torch.tensor(self.groups, device=rows.device)
        means = torch.stack([rows[:, groups == group].mean(dim=1) for group in range(len(self.means))], dim=1)
        lengths = self.axes.square().sum(dim=-1).clamp_min(1e-12)
        return torch.einsum("bnd,nkd->bnk", means - self.means, self.axes) / lengths


class EqualConv(nn.Module):
    """Convolution with equalised learning rate: weights N(0, 1), scaled by 1/√(inputs) when used; lrelu · √2 if `activate`."""

    def __init__(self, inputs: int, outputs: int, kernel: int, activate: bool = True) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(outputs)) if activate else None
        self.gain = 1 / math.sqrt(inputs * kernel**2)
        self.activate = activate

    def forward(self, x: Tensor) -> Tensor:
        """`[B,C,h,w]` → `[B,C',h,w]`."""
        y = F.conv2d(x, self.weight * self.gain, self.bias, padding=self.weight.shape[-1] // 2)
        return F.leaky_relu(y, SLOPE) * GAIN if self.activate else y


class HalvingBlock(nn.Module):
    """Two convolutions beside a linear one, at half the size; their sum keeps its variance."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.first = EqualConv(inputs, inputs, 3)
        self.second = EqualConv(inputs, outputs, 3)
        self.skip = EqualConv(inputs, outputs, 1, activate=False)

    def forward(self, x: Tensor) -> Tensor:
        """`[B,C,2h,2w]` → `[B,C',h,w]`."""
        return (F.avg_pool2d(self.second(self.first(x)), 2) + self.skip(F.avg_pool2d(x, 2))) * math.sqrt(0.5)


class Trunk(nn.Module):
    """Maps of `SIDE`² pixels → one vector: patches, halving blocks down to 4², two full layers."""

    def __init__(self, inputs: int, channels: Sequence[int], hidden: int, outputs: int) -> None:
        super().__init__()
        self.stem = EqualConv(inputs * PATCH**2, channels[0], 3)
        self.blocks = nn.Sequential(*(HalvingBlock(a, b) for a, b in itertools.pairwise(channels)))
        side = SIDE // PATCH // 2 ** (len(channels) - 1)
        self.hidden = FullyConnected(channels[-1] * side**2, hidden, activate=True)
        self.out = FullyConnected(hidden, outputs)

    def forward(self, x: Tensor) -> Tensor:
        """`[B,C,SIDE,SIDE]` → `[B,outputs]`."""
        return self.out(self.hidden(self.blocks(self.stem(F.pixel_unshuffle(x, PATCH))).flatten(1)))


def check_shared(config: dict[str, Any]) -> None:
    """`ModelError` for a generator that has no such name, and for sizes that no network here can have."""
    check_generator_id(config["generator_id"])
    channels, groups = config.get("channels", (1, 1, 1, 1)), config.get("groups", (0,))
    sizes = [*channels, config.get("hidden", 1), config.get("latent_dim", 1), config.get("axes", 1)]
    if not 2 <= len(channels) <= 4 or not all(1 <= size <= 1024 for size in sizes):
        raise ModelError("An encoder needs two to four stages, and sizes from 1 to 1024.")
    if not 1 <= len(groups) <= 64 or set(groups) != set(range(len(set(groups)))):
        raise ModelError("An encoder's groups must name for each style row one of the groups 0, 1 and so on, none left out.")


class _OfGenerator(Model):
    """What both networks share: the generator that they belong to, and the basis of its latents."""

    means: Tensor
    axes: Tensor

    def _make_basis(self, groups: Sequence[int], axes: int, latent_dim: int) -> None:
        count = max(groups) + 1
        self.register_buffer("means", torch.zeros(count, latent_dim))
        self.register_buffer("axes", torch.zeros(count, axes, latent_dim))

    @property
    def basis(self) -> LatentBasis:
        """Of the generator's latents."""
        return LatentBasis(tuple(self.config["groups"]), self.means, self.axes)

    def set_basis(self, basis: LatentBasis) -> None:
        """Take over another basis of the same sizes, before training."""
        with torch.no_grad():
            self.means.copy_(basis.means)
            self.axes.copy_(basis.axes)

    def fits(self, generator: Generator) -> bool:
        """Whether its latents are those of `generator` (tuned copies keep their origin's fingerprint)."""
        return generator.fingerprint == self.config["generator_fingerprint"]

    def check(self, generator: Generator) -> None:
        """Raise `ModelError` unless it was trained for `generator`."""
        if not self.fits(generator):
            raise ModelError(
                f"This {type(self).__name__} was trained for the generator '{self.config['generator_id']}' and does not fit this one: load "
                "that generator, or go without."
            )


@register
class Encoder(_OfGenerator):
    """A picture, framed as the default camera frames a head, and optionally its labels → latents and camera.

    `groups` as in `LatentBasis`; `axes` are the coordinates of each. Labels are in the published layout `layout`, each class a learnt
    vector of `label_channels` numbers, and one more for pictures without labels. Cameras look at `camera_pivot` from the distance
    `camera_radius`; yaw and pitch are told.
    """

    @register_to_config
    def __init__(
        self,
        generator_id: str,
        generator_fingerprint: str,
        groups: tuple[int, ...] = (0,),
        latent_dim: int = 512,
        axes: int = 96,
        layout: str = "base-15",
        label_channels: int = 6,
        channels: tuple[int, ...] = (64, 128, 224, 320),
        hidden: int = 256,
        camera_radius: float = RADIUS,
        camera_focal: float = FOCAL,
        camera_pivot: tuple[float, float, float] = PIVOT,
    ) -> None:
        super().__init__()
        self.classes = LAYOUTS[layout]
        self._make_basis(groups, axes, latent_dim)
        self.embedding = nn.Embedding(len(self.classes) + 1, label_channels)
        self.trunk = Trunk(3 + label_channels, channels, hidden, len(self.means) * axes + 2)

    @classmethod
    def check_config(cls, config: dict[str, Any]) -> None:
        """`ModelError` for sizes out of range and unknown layouts."""
        check_shared(config)
        if config.get("layout", "base-15") not in LAYOUTS or not 1 <= config.get("label_channels", 6) <= 64:
            raise ModelError("An encoder reads labels of a published layout, in 1 to 64 channels.")

    def forward(self, image: Tensor, labels: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """`image [B,3,SIDE,SIDE]` in [-1, 1] and `labels [B,SIDE,SIDE]` (int64; its number of classes stands for none) → coordinates
        `[B,N,K]`, yaw and pitch of the camera in degrees `[B,2]`."""
        if labels is None:
            labels = torch.full((len(image), SIDE, SIDE), len(self.classes), device=image.device)
        seen = torch.cat([image, self.embedding(labels).movedim(-1, 1).to(image)], dim=1)
        found = self.trunk(seen).float()
        return found[:, :-2].unflatten(1, self.axes.shape[:2]), ANGLE_UNIT * found[:, -2:]

    @torch.no_grad()
    def encode(self, image: Tensor, labels: Tensor | None = None) -> tuple[Latents, Camera]:
        """Latents and cameras of `image [B,3,H,H]` in [-1, 1], framed, and optionally of its `labels [B,h,h]` (int64). `ValueError` for
        shapes that are none of these."""
        if image.ndim != 4 or image.shape[1] != 3 or image.shape[2] != image.shape[3]:
            raise ValueError(f"square pictures [B,3,H,H] expected, got {list(image.shape)}")
        coordinates, angles = self(to_side(image), None if labels is None else labels_to_side(labels))
        rows = self.basis.rows(coordinates)
        x, y, z = self.config["camera_pivot"]
        yaw, pitch = angles.cpu().unbind(dim=1)
        camera = look_at(yaw, pitch, self.config["camera_radius"], (x, y, z), self.config["camera_focal"])
        return Latents(rows, rows[:, None]), camera.to(image.device)


@register
class CanonicalEditor(_OfGenerator):
    """A front view, its labels and those that are wanted → how the geometry of the latents moves, in one pass.

    Labels are known by the names of FINE_24; classes of other layouts by what they merge into. Only the first of the `groups` moves, whose
    rows hold the geometry. What it says of labels that do not change is taken away from every answer, so no change is no move, exactly.
    """

    @register_to_config
    def __init__(
        self,
        generator_id: str,
        generator_fingerprint: str,
        groups: tuple[int, ...] = (0,),
        latent_dim: int = 512,
        axes: int = 96,
        label_channels: int = 6,
        channels: tuple[int, ...] = (64, 128, 224, 320),
        hidden: int = 256,
    ) -> None:
        super().__init__()
        self._make_basis(groups, axes, latent_dim)
        self.embedding = nn.Embedding(len(FINE_24), label_channels)
        self.trunk = Trunk(3 + 2 * label_channels + 1, channels, hidden, axes)

    @classmethod
    def check_config(cls, config: dict[str, Any]) -> None:
        """`ModelError` for sizes out of range."""
        check_shared(config)
        if not 1 <= config.get("label_channels", 6) <= 64:
            raise ModelError("A canonical editor reads labels in 1 to 64 channels.")

    def forward(self, image: Tensor, before: Tensor, after: Tensor) -> Tensor:
        """Moves `[B,K]` from `image [B,3,SIDE,SIDE]` and labels `[B,SIDE,SIDE]` (int64, FINE_24)."""
        images, befores, afters = image.repeat(2, 1, 1, 1), before.repeat(2, 1, 1), torch.cat([after, before])
        labels = [self.embedding(labels).movedim(-1, 1).to(image) for labels in (befores, afters)]
        differ = (befores != afters)[:, None].to(image)
        answer, nothing = self.trunk(torch.cat([images, *labels, differ], dim=1)).float().chunk(2)
        return answer - nothing

    @torch.no_grad()
    def guess(self, image: Tensor, before: Tensor, after: Tensor, layout: Layout) -> Tensor:
        """By how much the coordinates `[K]` of the geometry move so that a face that looks like `image [1,3,H,H]` from the front, with the
        labels `before [h,h]` (int64, in `layout`), gets the labels `after [h,h]`. `LayoutError` for classes that merge into none known."""
        maps = [labels_to_side(layout.convert(labels, FINE_24)[None]) for labels in (before, after)]
        return self(to_side(image), *maps)[0]


def find_bundled(name: str, kind: str, generator: Generator, found: str, without: str) -> tuple[Any, str]:
    """The bundled network `name`, a `kind` such as "encoder", on the generator's device, if it was fitted to this generator, else None; and
    a sentence: `found`, or why there is none and what happens `without`. `ModelError` if it is damaged."""
    if name not in bundled_names():
        return None, f"No {kind} is bundled: {without}."
    network: Any = Model.from_pretrained(name, device=generator.mean_latents().geometry.device)
    try:
        network.check(generator)
    except ModelError:
        return None, f"The {kind} {name} was fitted to another generator: {without}."
    return network, found


def find_editor(generator: Generator) -> tuple[CanonicalEditor | None, str]:
    """The bundled editor, on the generator's device, if there is one for this generator, else None; and a sentence that says so.
    `ModelError` if it is damaged."""
    found, without = f"The edit starts with a guess of the editor {EDITOR}.", "the edit starts from the face as it is"
    return find_bundled(EDITOR, "editor", generator, found, without)


def bundled_editor(generator: Generator) -> CanonicalEditor | None:
    """The editor of `find_editor` alone."""
    return find_editor(generator)[0]


def to_side(image: Tensor) -> Tensor:
    """Pictures `[B,3,H,H]` at `SIDE`² pixels."""
    if image.shape[-1] == SIDE:
        return image
    larger = image.shape[-1] > MEAN_TO_SIDE * SIDE
    return F.interpolate(image, (SIDE, SIDE), mode="bilinear", align_corners=False, antialias=larger)


def labels_to_side(labels: Tensor) -> Tensor:
    """Label maps `[B,h,h]` at `SIDE`² pixels, each taking the label under its centre."""
    return F.interpolate(labels[:, None].float(), (SIDE, SIDE), mode="nearest-exact")[:, 0].long()
