"""The tri-plane family: EG3D's generator with NeRFFaceEditing's normalised planes, geometry decoder and appearance decoder.

Parameter names are those of the official state dicts below `backbone.`, `decoder.` and `superresolution.`. To load one: leave out
`dataset_label_std`, every `*.resample_filter` (a constant), the unused noise of `superresolution.*`, and `decoder.geo_net_appdx.*` (an
adapter: `0` and `2` there are `net.0` and `net.2` of `fface_hub.adapters.adapter.Adapter`).
"""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np
import torch
from diffusers.configuration_utils import register_to_config
from torch import Tensor, nn

from fface_hub.cameras import FOCAL, PIVOT, RADIUS, look_at
from fface_hub.errors import ModelError
from fface_hub.generators.baked import TriplaneField
from fface_hub.generators.base import Generator, GeometrySamples, Rendering, Rule, Scene
from fface_hub.generators.checks import check_rows, check_truncation, check_weights
from fface_hub.generators.decoders import DisentangledDecoder, LabelledDecoder, PlainDecoder
from fface_hub.generators.lookup import cut, look_up
from fface_hub.generators.planes import Statistics, normalise_planes
from fface_hub.generators.remembered import Remembered
from fface_hub.generators.stylegan import CameraMapping, FullyConnected, PairMapping, Synthesis
from fface_hub.generators.superres import SuperResolution
from fface_hub.latents import Latents
from fface_hub.layouts import LAYOUTS, LabelClass, Layout
from fface_hub.models import Model, register

UNLABELLED = Layout("unlabelled", (LabelClass("background", (0, 0, 0)),))
AXES = {"x": 0, "y": 1, "z": 2}
RANGES = {
    "z_dim": (1, 4096),
    "appearance_z_dim": (0, 4096),
    "mapping_layers": (1, 32),
    "mapping_multiplier": (1e-6, 1e3),
    "latent_dim": (1, 4096),
    "plane_channels": (1, 512),
    "channel_base": (8, 2**17),
    "channel_max": (1, 4096),
    "decoder_hidden": (1, 4096),
    "color_channels": (3, 512),
    "resolution": (1, 2048),
    "near": (0.0, 1e3),
    "far": (1e-3, 1e3),
    "box_warp": (1e-3, 1e3),
    "camera_radius": (1e-3, 1e3),
    "camera_focal": (1e-3, 1e3),
    "metres_per_unit": (1e-6, 1e6),
}
"""What numbers of a config may be: without limits a few bytes of it could ask for millions of layers."""
HELD = 8
"""Appearances whose plane statistics a generator remembers: one for each of a few people who edit at the same time."""
ALIVE = 128
"""Scenes that it finds again while somebody has them: an edit shows the faces before and after it several times, each of up to nine."""


class Backbone(nn.Module):
    """Mapping and synthesis, under the names of the official state dicts."""

    def __init__(self, mapping: CameraMapping | PairMapping, synthesis: Synthesis) -> None:
        super().__init__()
        self.mapping = mapping
        self.synthesis = synthesis


@register
class TriplaneGenerator(Model, Generator):  # pyright: ignore[reportIncompatibleVariableOverride, reportIncompatibleMethodOverride]
    """Faces as three feature planes.

    `mapping` "single": z and a camera give one w for all rows (EG3D). "pair": a geometry z of `z_dim` numbers gives the early rows and an
    appearance z of `appearance_z_dim` the last third; no camera. `decoder` "eg3d": one network for density and colour, no labels;
    "labelled": the same beside a label head; "disentangled": density and labels from normalised planes, colour from planes with their
    statistics given back. `plane_axes`: the axes that index width and height of each plane (EG3D's are xy, xz, zx, without a yz plane).
    `background` "latent": one colour per face, read from the appearance's last row; behind one that is not "black" there is
    nothing outside the cube, whose side is `box_warp`. `resolution` is the volume resolution the model was trained at.
    """

    @register_to_config
    def __init__(
        self,
        mapping: Literal["single", "pair"] = "single",
        z_dim: int = 512,
        appearance_z_dim: int = 0,
        mapping_layers: int = 2,
        mapping_multiplier: float = 0.01,
        latent_dim: int = 512,
        plane_resolution: int = 256,
        plane_channels: int = 32,
        plane_axes: tuple[str, ...] = ("xy", "xz", "zx"),
        channel_base: int = 32768,
        channel_max: int = 512,
        noise: bool = True,
        decoder: Literal["eg3d", "labelled", "disentangled"] = "disentangled",
        decoder_hidden: int = 64,
        color_channels: int = 32,
        superresolution: Literal["8x_dc"] | None = "8x_dc",
        superresolution_clamp: float | None = 256.0,
        background: Literal["black", "white", "latent"] = "black",
        empty_logit: float = 0.0,
        layout: str = "base-15",
        resolution: int = 128,
        near: float = 2.25,
        far: float = 3.3,
        box_warp: float = 1.0,
        camera_radius: float = RADIUS,
        camera_focal: float = FOCAL,
        camera_pivot: tuple[float, float, float] = PIVOT,
        metres_per_unit: float = 0.37,
    ) -> None:
        super().__init__()
        self.layout = UNLABELLED if decoder == "eg3d" else LAYOUTS[layout]
        x, y, z = camera_pivot
        self.default_camera = look_at(0.0, 0.0, camera_radius, (x, y, z), camera_focal)
        self.grid_axes = [AXES[letter] for axes in plane_axes for letter in axes]
        planes = len(plane_axes)
        self.backbone = Backbone(
            CameraMapping(z_dim, 25, latent_dim, mapping_layers, mapping_multiplier)
            if mapping == "single"
            else PairMapping(z_dim, appearance_z_dim, latent_dim, mapping_layers, mapping_multiplier),
            Synthesis(plane_resolution, planes * plane_channels, latent_dim, channel_base, channel_max, noise),
        )
        if decoder == "eg3d":
            self.decoder = PlainDecoder(plane_channels, decoder_hidden, color_channels)
        else:
            kind = LabelledDecoder if decoder == "labelled" else DisentangledDecoder
            self.decoder = kind(plane_channels, decoder_hidden, color_channels, len(self.layout))
        self.superresolution = SuperResolution(color_channels, latent_dim, superresolution_clamp) if superresolution else None
        self.background = FullyConnected(latent_dim, color_channels) if background == "latent" else None
        self._statistics: Remembered[Statistics] = Remembered(HELD)
        self._scenes: Remembered[TriplaneScene] = Remembered(ALIVE, weak=True)
        self.precision = torch.float32

    @classmethod
    def check_config(cls, config: dict[str, Any]) -> None:
        """`ValueError` for sizes that no network of this family can have."""
        for name, (low, high) in RANGES.items():
            if not low <= config.get(name, high) <= high:
                raise ValueError(f"{name} must lie between {low} and {high}, and is {config[name]}")
        if not config.get("near", 2.25) < config.get("far", 3.3):
            raise ValueError("near must be less than far")
        size = config.get("plane_resolution", 256)
        if size not in (8, 16, 32, 64, 128, 256, 512):
            raise ValueError(f"plane_resolution must be a power of two from 8 to 512, not {size}")
        if config.get("channel_base", 32768) < size:
            raise ValueError("channel_base must not be less than plane_resolution")
        if config.get("layout", "base-15") not in LAYOUTS:
            raise ValueError(f"layout must be one of {', '.join(LAYOUTS)}")
        axes = config.get("plane_axes", ("xy",))
        if not 1 <= len(axes) <= 16 or any(len(pair) != 2 or not set(pair) <= set(AXES) for pair in axes):
            raise ValueError("plane_axes must be up to 16 pairs of the letters x, y and z")
        if (config.get("mapping", "single") == "pair") != (config.get("appearance_z_dim", 0) > 0):
            raise ValueError("appearance_z_dim must be positive with the mapping 'pair', and 0 with 'single'")

    def set_precision(self, dtype: torch.dtype) -> None:
        """Compute the convolutions of backbone and super-resolution in `dtype`.

        Weights stay float32, so that tuned copies can take small steps; so do mapping, decoders and compositing. In bfloat16 pictures of
        the bundled generator differ from those in float32 by 54 dB or better; with decoders in it, too, that would be 32 dB.
        """
        self.precision = dtype

    def convolving(self, device: torch.device) -> torch.autocast:
        """The block in which backbone and super-resolution compute on `device`."""
        return torch.autocast(device.type, self.precision, enabled=self.precision != torch.float32)

    # ---- latents ----

    @property
    def num_rows(self) -> int:
        """Number of style rows L: 14 for planes of 256², 12 for 128², 10 for 64²."""
        return self.backbone.synthesis.num_rows

    @property
    def late_rows(self) -> range:
        """The last third of the rows, rounded up: rows 9 to 13 of 14, which label-preserving mixing may change."""
        return range(self.num_rows - -(-self.num_rows // 3), self.num_rows)

    def map(self, z: Tensor, other: Tensor, truncation: float = 1.0) -> Latents:
        """`z [B,Z]` and the conditioning camera `[B,25]` ("single") or geometry z `[B,Zg]` and appearance z `[B,Za]` ("pair") → latents.

        Both halves are the same rows. Each w is pulled towards the mean one as `truncation` goes from 1 to 0. `ValueError` for one that is
        not finite, `ModelError` for weights that are not float32.
        """
        check_truncation(truncation)
        check_weights(next(self.parameters()).dtype)
        mapping = self.backbone.mapping
        if isinstance(mapping, CameraMapping):
            rows = mapping.w_avg.lerp(mapping(z, other).float(), truncation)[:, None].expand(-1, self.num_rows, -1)
        else:
            early = mapping.geometry.w_avg.lerp(mapping.geometry(z).float(), truncation)
            late = mapping.appearance.w_avg.lerp(mapping.appearance(other).float(), truncation)
            rows = self._rows(early, late)
        return Latents(rows, rows[:, None])

    @torch.no_grad()
    def sample(self, count: int, seed: int, truncation: float = 0.7) -> Latents:
        """`count` faces drawn with `seed`, the same on every machine; the first faces do not depend on the count. Without gradients."""
        return self.map(*self._draw(count, seed), truncation)

    @torch.no_grad()
    def mean_latents(self) -> Latents:
        """The mean face (the stored mean w of each half), a batch of one."""
        mapping = self.backbone.mapping
        if isinstance(mapping, CameraMapping):
            rows = mapping.w_avg.expand(1, self.num_rows, -1).clone()
        else:
            rows = self._rows(mapping.geometry.w_avg[None], mapping.appearance.w_avg[None])
        return Latents(rows, rows[:, None])

    @torch.no_grad()
    def update_mean(self, count: int = 10_000, seed: int = 0) -> None:
        """Set the stored mean w to the mean over `count` draws. Call it when training has ended."""
        mapping = self.backbone.mapping
        z, other = self._draw(count, seed)
        if isinstance(mapping, CameraMapping):
            mapping.w_avg.copy_(mapping(z, other).mean(0))
        else:
            mapping.geometry.w_avg.copy_(mapping.geometry(z).mean(0))
            mapping.appearance.w_avg.copy_(mapping.appearance(other).mean(0))

    def _rows(self, early: Tensor, late: Tensor) -> Tensor:
        count = len(self.late_rows)
        return torch.cat([early[:, None].expand(-1, self.num_rows - count, -1), late[:, None].expand(-1, count, -1)], dim=1)

    def _draw(self, count: int, seed: int) -> tuple[Tensor, Tensor]:
        """The two inputs of `map` for random faces."""
        first, second = self.config["z_dim"], self.config["appearance_z_dim"]
        z = np.random.RandomState(seed).standard_normal((count, first + second)).astype(np.float32)
        z = torch.from_numpy(z).to(next(self.parameters()))
        if second:
            return z[:, :first], z[:, first:]
        return z, self.default_camera.to_vector().to(z).expand(count, -1)

    # ---- planes and scenes ----

    def planes(self, rows: Tensor, noise: bool = True) -> Tensor:
        """Style rows `[B,L,D]` → feature planes `[B,P,C,N,N]`, always float32; backbone noise is constant or, without `noise`, absent."""
        check_weights(next(self.parameters()).dtype)
        check_rows(rows, (self.num_rows, self.config["latent_dim"]))
        if self.precision == torch.float16 and torch.is_grad_enabled() and rows.requires_grad:
            raise ModelError("float16 loses the small numbers of gradients: edit and invert in bfloat16 or float32.")
        with self.convolving(rows.device):
            planes = self.backbone.synthesis(rows, noise).unflatten(1, (-1, self.config["plane_channels"]))
        if self.precision == torch.float16 and not bool(planes.isfinite().all()):
            raise ModelError("The numbers of this generator are too large for float16: use bfloat16 or float32.")
        return planes

    @staticmethod
    def normalise(planes: Tensor) -> tuple[Tensor, Statistics]:
        """Planes `[B,P,C,N,N]` with mean 0 and deviation 1 in each channel, and what they had. NeRFFaceEditing, section 3.1."""
        return normalise_planes(planes)

    def scene(self, latents: Latents) -> TriplaneScene:
        """Normalised planes of the geometry rows under the plane statistics of the appearance rows; gradients flow to both.

        Planes are computed once if both halves are the same tensor, as `map` and `sample` give them. Statistics of an appearance that needs
        no gradient are kept for later calls, so that an edit does not pay for them at each step; a scene without gradients is found again
        while somebody has it.
        """
        geometry, appearance = latents.geometry, latents.appearance[:, 0]
        if latents.appearance.shape[1] != 1 or latents.kept is not None:
            raise ModelError(
                "A tri-plane scene takes one appearance for the whole face, and no face that is kept in part: compose scenes "
                "with `face_scene` or `Inversion.scene`."
            )

        def make() -> TriplaneScene:
            """The scene, made anew."""
            normalised, statistics = self.normalise(self.planes(geometry))
            if not self._same(geometry, appearance):
                of = self._weights_version(appearance)
                statistics = self._statistics.get(of, (appearance,), lambda: self.normalise(self.planes(appearance))[1])
            background = None if self.background is None else self.background(appearance[:, -1]).tanh()
            return self.scene_from(normalised, statistics, background, geometry[:, -1])

        return self._scenes.get(self._weights_version(geometry, appearance), (geometry, appearance), make)

    def _weights_version(self, *rows: Tensor) -> tuple[Any, ...] | None:
        """Equal as long as `rows` give the same planes; None where gradients flow, which lead back to one computation only."""
        own = [*self.backbone.synthesis.parameters(), *([] if self.background is None else self.background.parameters())]
        if torch.is_grad_enabled() and any(values.requires_grad for values in (*rows, *own)):
            return None
        return (self.precision, *((weights.data_ptr(), weights._version) for weights in own))

    def scene_from(
        self, normalised: Tensor, statistics: Statistics, background_color: Tensor | None = None, row: Tensor | None = None
    ) -> TriplaneScene:
        """The scene of planes that exist already: `normalised [B,P,C,N,N]`, `background_color [B,C]` in [-1, 1] and, where there is
        super-resolution, its style `row [B,D]`. Without a colour a "latent" background is black.
        """
        if self.config["background"] == "white":
            background_color = normalised.new_ones(len(normalised), self.config["color_channels"])
        return TriplaneScene(self, normalised, statistics, background_color, row)

    def _same(self, geometry: Tensor, appearance: Tensor) -> bool:
        """Whether both halves are one variable (or equal, where no gradient tells them apart)."""
        if torch.is_grad_enabled() and (geometry.requires_grad or appearance.requires_grad):
            # Two variables may share memory (`detach` does), and two views of one variable may start at the same number.
            first, second = ((x._base if x._is_view() else x) for x in (geometry, appearance))
            alike = geometry.data_ptr() == appearance.data_ptr() and geometry.stride() == appearance.stride()
            return first is second and alike and geometry.shape == appearance.shape
        return torch.equal(geometry, appearance)


class TriplaneScene(Scene):
    """Faces as planes and a small decoder. Geometry reads normalised planes only; colour reads them with their statistics given back."""

    rule: Rule = "midpoint"

    def __init__(
        self, generator: TriplaneGenerator, normalised: Tensor, statistics: Statistics, background_color: Tensor | None, row: Tensor | None
    ) -> None:
        config = generator.config
        self.generator = generator
        self.batch = len(normalised)
        self.bounds = config["box_warp"] / 2
        # A black background may be EG3D's, which is in the volume: behind the cube, too. In their last texel planes fade to nothing.
        self.end = math.inf if config["background"] == "black" else self.bounds * (1 - 2 / normalised.shape[-1])
        self.near, self.far = config["near"], config["far"]
        self.layout = generator.layout
        self.empty_logit = config["empty_logit"]
        self.statistics = statistics
        self.background_color = background_color
        self.row = row
        # Measured with 24 to 32 channels a plane, 64 hidden units and an adapter of 19 classes; about two thirds of it without an adapter.
        self.numbers_per_sample = 4 * normalised.shape[1] * normalised.shape[2] + 2 * config["decoder_hidden"]
        self.planes = normalised
        if isinstance(generator.decoder, PlainDecoder):  # it reads density and colour from one set of planes
            self.planes = statistics.give_back(normalised)
        self._field: TriplaneField | None = None

    @property
    def fingerprint(self) -> str:  # pyright: ignore[reportIncompatibleVariableOverride]
        """Fingerprint of the generator's published weights (hashed when first asked for: training never asks)."""
        return self.generator.fingerprint

    @property
    def device(self) -> torch.device:
        """That of the planes."""
        return self.planes.device

    def geometry(self, points: Tensor, directions: Tensor) -> GeometrySamples:
        """One bilinear look-up in each plane; the mean over planes is the feature. The viewing direction plays no part."""
        lookup = self._look_up(points)
        features = lookup.mean(dim=3)
        density, logits = self.generator.decoder.geometry(features)
        return GeometrySamples(points, cut(density, points, self.end), features, logits, lookup.flatten(3))

    def color(self, samples: GeometrySamples) -> Tensor:
        """Colours `[B,R,S,C]` in [-1, 1].

        Denormalised planes need no look-up of their own. Interpolation is linear, so a sample of F̂·s + μ is s times the sample of F̂, plus μ
        times the share of the four texels that lies inside the plane (outside, both are 0).
        """
        decoder = self.generator.decoder
        if isinstance(decoder, PlainDecoder):
            return decoder.color(samples.features)
        lookup = self._look_up(samples.points).flatten(3) if samples.lookup is None else samples.lookup
        return decoder.color_under(lookup, self.coverage(samples.points), self.statistics.mean, self.statistics.std)

    def background(self, directions: Tensor) -> Tensor | None:
        """The face's own colour, the same in every direction."""
        return None if self.background_color is None else self.background_color[:, None].expand(-1, directions.shape[1], -1)

    def finish(self, rendering: Rendering) -> Rendering:
        """The picture super-resolved to 512², where the generator can."""
        generator = self.generator
        if generator.superresolution is None:
            return rendering
        if self.row is None:
            raise ValueError("a scene from planes needs a style row for super-resolution")
        if not torch.is_grad_enabled():
            return rendering.with_image(generator.superresolution.fast(rendering.raw, self.row, generator.precision))
        with generator.convolving(self.device):
            return rendering.with_image(generator.superresolution(rendering.raw, self.row))

    def field(self) -> TriplaneField | None:
        """This scene baked, once; None on devices that have no weighted sums of rows. What it costs: see `TriplaneField`."""
        if self._field is None and self.device.type in ("cpu", "cuda"):
            statistics = None if isinstance(self.generator.decoder, PlainDecoder) else self.statistics
            self._field = TriplaneField(self.generator.decoder, self.planes, self.generator.grid_axes, self.bounds, statistics, self.end)
        return self._field

    def coverage(self, points: Tensor) -> Tensor:
        """Share in [0, 1] of a look-up's bilinear weight that lies inside each plane, `[B,R,S,P]`."""
        size = self.planes.shape[-1]
        return ((1 - self._grid(points).abs()) * (size / 2) + 0.5).clamp(0, 1).prod(dim=-1)

    def _look_up(self, points: Tensor) -> Tensor:
        """Samples of every plane `[B,R,S,P,C]` at `points [B,R,S,3]`."""
        return look_up(self.planes, self._grid(points).flatten(1, 2)).unflatten(1, points.shape[1:3])

    def _grid(self, points: Tensor) -> Tensor:
        """Plane coordinates `[B,R,S,P,2]` in [-1, 1]: width, then height."""
        return (points[..., self.generator.grid_axes] / self.bounds).unflatten(-1, (-1, 2))
