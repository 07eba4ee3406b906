"""A tri-plane scene baked for pictures: both plane sets as tables of rows, read in stages.

Exact up to rounding: its slow twin is the scene itself.
"""

from __future__ import annotations

from functools import cached_property

import torch
from torch import Tensor

from fface_hub.generators.base import Field
from fface_hub.generators.checks import check_planes
from fface_hub.generators.decoders import DisentangledDecoder, PlainDecoder
from fface_hub.generators.lookup import PlaneTable, cut
from fface_hub.generators.planes import Statistics


class TriplaneField(Field):
    """Density from a table of the scene's `planes [B,P,C,N,N]`; colour, where asked for, from a second table with the same rows and
    weights, whose planes have their `statistics` given back. (Without statistics `planes` serve both, as EG3D's do.)

    Outside the cube of half side `end` there is no density. It costs two copies of the planes (one without statistics), and reads the
    decoder as it is when asked. `ModelError` for planes that are not finite, whose rows no table has.
    """

    @torch.no_grad()
    def __init__(
        self,
        decoder: PlainDecoder | DisentangledDecoder,
        planes: Tensor,
        axes: list[int],
        bounds: float,
        statistics: Statistics | None,
        end: float,
    ) -> None:
        check_planes(planes, *(() if statistics is None else (statistics.mean, statistics.std)))
        self.decoder, self.bounds, self.end = decoder, bounds, end
        self.geometry = PlaneTable(planes, axes)
        self._planes, self._axes, self._statistics = planes, axes, statistics

    @cached_property
    @torch.no_grad()
    def appearance(self) -> PlaneTable | None:
        """The second table, made when a colour is first asked for."""
        return None if self._statistics is None else PlaneTable(self._statistics.give_back(self._planes), self._axes)

    def density(self, points: Tensor, face: int) -> tuple[Tensor, tuple[Tensor, ...]]:
        """See `Field.density`."""
        rows, weights = self.geometry.corners(points, self.bounds, face)
        features = self.geometry.mean(rows, weights)
        known = self.decoder.first(features)
        return cut(known[:, 0], points, self.end), (features, known, rows, weights)

    def labels(self, memory: tuple[Tensor, ...]) -> tuple[Tensor, Tensor]:
        """See `Field.labels`."""
        features, known = memory[:2]
        return features, self.decoder.labels(features, known)

    def color(self, memory: tuple[Tensor, ...]) -> Tensor:
        """See `Field.color`."""
        features, _, rows, weights = memory
        return self.decoder.color(features if self.appearance is None else self.appearance.mean(rows, weights))
