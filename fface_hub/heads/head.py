"""A head is two standard-normal vectors: geometry z says what is where, appearance z which colour it has."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fface_hub.heads.config import APPEARANCE_SIZE, GEOMETRY_INDEX, GEOMETRY_SIZE


@dataclass(frozen=True)
class Head:
    """`geometry_z [GEOMETRY_SIZE]` and `appearance_z [APPEARANCE_SIZE]`, float32. `ValueError` for other sizes."""

    geometry_z: np.ndarray
    appearance_z: np.ndarray

    def __post_init__(self) -> None:
        if self.geometry_z.shape != (GEOMETRY_SIZE,) or self.appearance_z.shape != (APPEARANCE_SIZE,):
            raise ValueError(f"expected [{GEOMETRY_SIZE}] and [{APPEARANCE_SIZE}], got {self.geometry_z.shape}, {self.appearance_z.shape}")

    def trait(self, name: str) -> float:
        """The value of one dimension of geometry z, by its name in `config.GEOMETRY_DIMS`."""
        return float(self.geometry_z[GEOMETRY_INDEX[name]])

    def with_traits(self, **values: float) -> Head:
        """The same head with some dimensions of geometry z set."""
        geometry = self.geometry_z.copy()
        for name, value in values.items():
            geometry[GEOMETRY_INDEX[name]] = value
        return Head(geometry, self.appearance_z)

    def with_appearance(self, other: Head) -> Head:
        """This shape in the colours and light of `other`."""
        return Head(self.geometry_z, other.appearance_z)


def head_latents(seed: int) -> Head:
    """The head of a seed (0 to 2³² − 1), bit-equal on every machine: numpy's frozen Mersenne Twister, geometry first."""
    random = np.random.RandomState(seed)
    values = random.standard_normal(GEOMETRY_SIZE + APPEARANCE_SIZE).astype(np.float32)
    return Head(values[:GEOMETRY_SIZE], values[GEOMETRY_SIZE:])
