"""Training of the encoder and of the canonical editor, by regression on rendered heads whose latents are known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from fface_hub.doors import read_tensors
from fface_hub.errors import ModelError
from fface_hub.generators.triplane import TriplaneGenerator
from fface_hub.heads.head import head_latents
from fface_hub.heads.moves import MoveSettings
from fface_hub.heads.records import write_shard
from fface_hub.inversion.encoder import ANGLE_UNIT, EDITOR, ENCODER, CanonicalEditor, Encoder, LatentBasis
from fface_hub.layouts import BASE_15, FINE_24, LAYOUTS
from fface_hub.training.augment import Augmenter, Batch
from fface_hub.training.metric import picture_metric
from fface_hub.training.optimiser import optimisers
from fface_hub.training.portraits import PortraitConfig, PortraitRun

AXES = 96
MATRIX_SCALE = 8.0
"""Of the steps of weights, in units of those of biases. Weights are of size 1 (equalised), so a step of .016 is a large one."""
FAINT = 2e-2
"""What is added to the size of a move by which its error is divided: what one in ten has."""


@dataclass(frozen=True)
class EncoderConfig(PortraitConfig):
    """`coordinates` weighs the plain squared error of the coordinates beside that by the metric (`training.metric`), `angles` the absolute
    error of the camera in units of 30°, `consistency` the difference, by the metric, between what two views of a head give (IDE-3D's
    multi-view term). `labelled` pictures of a batch come with their labels, `backgrounds` with another background."""

    name: str = ENCODER
    data: MoveSettings = field(default_factory=MoveSettings)
    batch: int = 24
    learning_rate: float = 2e-3
    weight_decay: float = 0.0
    warmup: int = 50
    coordinates: float = 0.2
    angles: float = 1.0
    consistency: float = 0.5
    labelled: float = 0.5
    backgrounds: float = 0.4


HEADS_ENCODER = EncoderConfig()
HEADS_EDITOR = EncoderConfig(name=EDITOR, batch=32, learning_rate=6e-4)
"""Errors of single moves are relative, so small moves make steep gradients: at the rate of the encoder they grew without bound."""
LAYOUTS_TO_PAINT = tuple(LAYOUTS.values())


class MoveRun(PortraitRun):
    """What both runs share: the generator, the basis and metric of its latents, and the coordinates of all heads."""

    config: EncoderConfig

    def __init__(
        self, config: EncoderConfig, folder: Path, records: Batch, generator: TriplaneGenerator, device: torch.device | str = "cpu"
    ) -> None:
        """As `PortraitRun`, for the latents of `generator`. The metric takes minutes and is kept in `folder`."""
        self.generator = generator
        self.basis = LatentBasis.of(generator, AXES)
        self.metric = self._metric(folder / "metric.safetensors").to(device)
        heads = np.stack([head_latents(int(seed)).geometry_z for seed in records["seeds"]])
        own = torch.from_numpy(heads).float()
        self.geometry_z, self.moved_z = own, own[:, None] + records["moves"]
        super().__init__(config, folder, records, device)

    def new_optimisers(self) -> Sequence[torch.optim.Optimizer]:
        """Orthogonalised momentum for the weights, of which some of the coordinates' gradients are a hundred times others', and Adam for
        the rest."""
        return optimisers(self.network, self.config.learning_rate, (0.9, 0.99), MATRIX_SCALE, "trunk")

    def _metric(self, path: Path) -> Tensor:
        """The metric of `path`, computed if it is not there."""
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            write_shard({"metric": picture_metric(self.generator, self.basis)}, path)
        metric = read_tensors(path)["metric"]
        if len(metric) != self.basis.axes.shape[0] * self.basis.axes.shape[1]:
            raise ModelError(f"The metric in '{path.parent.name}' is of another generator: choose a new folder.")
        return metric

    @torch.no_grad()
    def coordinates(self, geometry_z: Tensor, appearance_z: Tensor) -> Tensor:
        """Of the generator's latents `[B,N,K]` for heads `[B,Zg]`, `[B,Za]`."""
        device = self.generator.device
        return self.basis.coordinates(self.generator.map(geometry_z.to(device), appearance_z.to(device)).geometry)

    def errors(self, difference: Tensor) -> Tensor:
        """Δᵀ G Δ `[B]` per number of `difference [B,·]`, the first coordinates of all (a whole [B,N·K], or the first group's)."""
        count = difference.shape[1]
        return (difference @ self.metric[:count, :count] * difference).sum(dim=1) / count

    def error(self, difference: Tensor) -> Tensor:
        """The mean of `errors`."""
        return self.errors(difference).mean()

    def shared(self) -> dict[str, object]:
        """Constructor arguments that say which generator it is."""
        return {
            "generator_id": self.generator.model_id or "",
            "generator_fingerprint": self.generator.fingerprint,
            "groups": self.basis.groups,
            "latent_dim": self.basis.means.shape[1],
            "axes": self.basis.axes.shape[1],
        }

    def pictures(self, images: Tensor, labels: Tensor, augmenter: Augmenter) -> Tensor:
        """`images [B,3,S,S]` uint8 as networks see them: some before another background (where `labels` are 0), blurred, noisy."""
        seen = images.float() / 255
        changed = augmenter.chance(len(seen), self.config.backgrounds)[:, None, None, None]
        behind = augmenter.background(seen, (labels > 0)[:, None].float(), augmenter.noise(len(seen)))
        seen = torch.where(changed, behind, seen)
        exposure = torch.exp(augmenter.uniform(-0.08, 0.08, len(seen), 1, 1, 1))
        return 2 * augmenter.grain(augmenter.blur(seen * exposure)).clamp(0, 1) - 1


class EncoderRun(MoveRun):
    """A run of the encoder: two views of each head of a batch, under different colours and lights, whose geometry is one."""

    def new_network(self) -> Encoder:
        """See `PortraitRun`."""
        config = self.generator.config
        view = {"camera_radius": config["camera_radius"], "camera_focal": config["camera_focal"], "camera_pivot": config["camera_pivot"]}
        network = Encoder(**{**self.shared(), "layout": BASE_15.name, **view, **self.config.network})  # pyright: ignore[reportArgumentType]
        network.set_basis(self.basis)
        return network

    def losses(self, portraits: Batch, random: torch.Generator) -> dict[str, Tensor]:
        """See `PortraitRun`; "geometry" and "appearance" are what is left of the error that the mean face makes, "degrees" that of the
        camera's angles."""
        config, side = self.config, portraits["images"].shape[-1]
        augmenter = Augmenter(random, side)
        count, views = portraits["images"].shape[:2]
        order = torch.rand(count, views, generator=random).argsort(dim=1)[:, :2]
        heads = torch.arange(count)[:, None].expand(-1, 2)
        images, labels, looks, angles = (
            portraits[key][heads, order].flatten(0, 1) for key in ("images", "labels", "appearance_z", "angles")
        )
        fine = labels.long()
        known = FINE_24.convert(fine, BASE_15)
        known[~augmenter.chance(len(known), config.labelled)] = len(BASE_15)
        wanted = self.coordinates(self.geometry_z[portraits["index"]].repeat_interleave(2, dim=0), looks).flatten(1).to(self.device)
        pictures = self.pictures(images, fine, augmenter).to(self.device, memory_format=torch.channels_last)
        with torch.autocast(self.device.type, dtype=torch.bfloat16):
            found, turned = self.network(pictures, known.to(self.device))
        found = found.flatten(1)
        half = self.basis.axes.shape[1]
        off = found - wanted
        terms = {
            "metric": self.error(off),
            "coordinates": config.coordinates * off.square().mean(),
            "angles": config.angles * (turned - angles.to(self.device)).abs().mean() / ANGLE_UNIT,
            "consistency": config.consistency * self.error((found[0::2] - found[1::2])[:, :half]),
        }
        left = {"geometry": self.error(off[:, :half]) / self.error(wanted[:, :half])}
        left["appearance"] = off[:, half:].square().mean() / wanted[:, half:].square().mean()
        degrees = (turned.detach() - angles.to(self.device)).abs().mean()
        return {"loss": torch.stack(list(terms.values())).sum(), **left, "degrees": degrees}


class EditorRun(MoveRun):
    """A run of the canonical editor: front views, and labels before and after traits moved, in layouts that differ from head to head."""

    def new_network(self) -> CanonicalEditor:
        """See `PortraitRun`."""
        network = CanonicalEditor(**{**self.shared(), **self.config.network})  # pyright: ignore[reportArgumentType]
        network.set_basis(self.basis)
        return network

    def losses(self, portraits: Batch, random: torch.Generator) -> dict[str, Tensor]:
        """See `PortraitRun`; "relative" is the error of a move by the metric as a share of that of no move, the mean over moves, and "left"
        the share over all moves together."""
        side, count = portraits["images"].shape[-1], len(portraits["images"])
        augmenter = Augmenter(random, side)
        chosen = torch.randint(portraits["moves"].shape[1], (count,), generator=random)
        heads = torch.arange(count)
        fine, moved = portraits["labels"][:, 0].long(), portraits["moved_labels"][heads, chosen].long()
        before, after = self.relabelled(fine, moved, random)
        index = portraits["index"]
        looks = portraits["appearance_z"][:, 0]
        start, end = (self.coordinates(z, looks)[:, 0] for z in (self.geometry_z[index], self.moved_z[index, chosen]))
        wanted = (end - start).to(self.device)
        pictures = self.pictures(portraits["images"][:, 0], fine, augmenter).to(self.device, memory_format=torch.channels_last)
        with torch.autocast(self.device.type, dtype=torch.bfloat16):
            found = self.network(pictures, before.to(self.device), after.to(self.device))
        off = found - wanted
        # Each edit counts alike, whether it moves hair or a nostril.
        size = self.errors(wanted)
        relative = (self.errors(off) / (size + FAINT)).mean()
        plain = ((off.square().sum(dim=1)) / (wanted.square().sum(dim=1) + FAINT)).mean()
        return {
            "loss": relative + self.config.coordinates * plain,
            "relative": relative,
            "left": self.error(off) / size.mean(),
            "plain": plain,
        }

    @staticmethod
    def relabelled(before: Tensor, after: Tensor, random: torch.Generator) -> tuple[Tensor, Tensor]:
        """Both maps `[B,S,S]` (FINE_24) as a layout shows them that is drawn for each head: the classes that it lacks are merged."""
        tables = [FINE_24.table_to(layout)[None] for layout in LAYOUTS_TO_PAINT]
        back = [layout.table_to(FINE_24) for layout in LAYOUTS_TO_PAINT]
        merged = torch.cat([back[i][tables[i]] for i in range(len(tables))])  # [layouts, 24]
        drawn = torch.randint(len(merged), (len(before),), generator=random)
        return tuple(merged[drawn].gather(1, maps.flatten(1)).view_as(maps) for maps in (before, after))  # pyright: ignore[reportReturnType]


RUNS: dict[str, tuple[type[MoveRun], EncoderConfig]] = {ENCODER: (EncoderRun, HEADS_ENCODER), EDITOR: (EditorRun, HEADS_EDITOR)}
"""What is trained on moves, by the name of its config."""
