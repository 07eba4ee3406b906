"""Latents: everything that says which face it is. Two halves of style rows, one for geometry and one for appearance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from fface_hub.doors import read_tensors
from fface_hub.errors import ModelError
from fface_hub.files import write_tensors


@dataclass(frozen=True)
class Latents:
    """`geometry [B,L,D]` and `appearance [B,1 or K,L,D]` (one set of rows for the face, or one per class)."""

    geometry: Tensor
    appearance: Tensor

    def __post_init__(self) -> None:
        if self.geometry.ndim != 3 or self.appearance.ndim != 4 or len(self.geometry) != len(self.appearance):
            raise ValueError(f"geometry [B,L,D] and appearance [B,K,L,D] expected, got {self.geometry.shape}, {self.appearance.shape}")

    def __len__(self) -> int:
        return len(self.geometry)

    def __getitem__(self, index: int | slice | Tensor) -> Latents:
        if isinstance(index, int) and not -len(self) <= index < len(self):
            raise IndexError(f"index {index} of {len(self)} faces")  # which also ends a `for` loop
        rows = slice(index, index + 1 or None) if isinstance(index, int) else index
        return Latents(self.geometry[rows], self.appearance[rows])

    @staticmethod
    def cat(items: Sequence[Latents]) -> Latents:
        """One batch from several."""
        return Latents(torch.cat([x.geometry for x in items]), torch.cat([x.appearance for x in items]))

    def to(self, device: torch.device | str) -> Latents:
        """The same latents on `device`."""
        return Latents(self.geometry.to(device), self.appearance.to(device))

    def detach(self) -> Latents:
        """Copies that no gradient flows through."""
        return Latents(self.geometry.detach().clone(), self.appearance.detach().clone())

    def lerp(self, other: Latents, amount: float | Tensor) -> Latents:
        """Straight line from this (0) to `other` (1)."""
        weight = torch.as_tensor(amount, dtype=self.geometry.dtype, device=self.geometry.device)
        return Latents(torch.lerp(self.geometry, other.geometry, weight), torch.lerp(self.appearance, other.appearance, weight))

    def mix_rows(self, other: Latents, rows: Sequence[int], amount: float = 1.0) -> Latents:
        """Style `rows` of both halves moved towards `other` by `amount`; the other rows stay (LMTA mixes the last third by one half)."""
        weight = torch.zeros(self.geometry.shape[1], 1, dtype=self.geometry.dtype, device=self.geometry.device)
        weight[list(rows)] = amount
        return Latents(
            self.geometry + weight * (other.geometry - self.geometry),
            self.appearance + weight * (other.appearance - self.appearance),
        )

    def offset(self, delta: Tensor) -> Latents:
        """Geometry moved by `delta`, broadcastable to `[B,L,D]`; the appearance is held, as an edit wants it."""
        return Latents(self.geometry + delta, self.appearance)

    def with_appearance(self, other: Latents) -> Latents:
        """This geometry under the appearance of `other`."""
        return Latents(self.geometry, other.appearance)

    def save(self, path: str | Path) -> None:
        """Write as safetensors with the keys `geometry` and `appearance`. `OSError`."""
        halves = {"geometry": self.geometry, "appearance": self.appearance}
        # Cloned, because a generator may give both halves the same memory, which safetensors refuses.
        write_tensors({name: rows.detach().cpu().clone(memory_format=torch.contiguous_format) for name, rows in halves.items()}, path)

    @staticmethod
    def load(path: str | Path) -> Latents:
        """Inverse of `save`; `ModelError` if the file is not one of those."""
        tensors = read_tensors(path)
        if set(tensors) != {"geometry", "appearance"}:
            raise ModelError(f"The file '{Path(path).name}' holds no latents: it must have exactly the keys 'geometry' and 'appearance'.")
        try:
            return Latents(tensors["geometry"].float(), tensors["appearance"].float())
        except ValueError as error:
            raise ModelError(f"The latents in '{Path(path).name}' do not have the shapes [B,L,D] and [B,K,L,D].") from error
