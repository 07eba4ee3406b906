"""Latents: everything that says which face it is. Two halves of style rows, one for geometry and one for appearance; and of a face that
was edited, what was kept of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from fface_hub.doors import read_tensors
from fface_hub.errors import ModelError
from fface_hub.files import write_tensors
from fface_hub.kept import Kept


@dataclass(frozen=True)
class Latents:
    """`geometry [B,L,D]` and `appearance [B,1 or K,L,D]` (one set of rows for the face, or one per class).

    With `kept` the geometry is that of the face only where it was edited (B = 1); elsewhere it is the one that was kept.
    """

    geometry: Tensor
    appearance: Tensor
    kept: Kept | None = None

    def __post_init__(self) -> None:
        if self.geometry.ndim != 3 or self.appearance.ndim != 4 or len(self.geometry) != len(self.appearance):
            raise ValueError(f"geometry [B,L,D] and appearance [B,K,L,D] expected, got {self.geometry.shape}, {self.appearance.shape}")
        if self.kept is not None and self.kept.geometry.shape != self.geometry.shape:
            raise ValueError(f"what is kept has the shape {self.kept.geometry.shape}, and the geometry {self.geometry.shape}")

    def __len__(self) -> int:
        return len(self.geometry)

    def __getitem__(self, index: int | slice | Tensor) -> Latents:
        if isinstance(index, int) and not -len(self) <= index < len(self):
            raise IndexError(f"index {index} of {len(self)} faces")  # which also ends a `for` loop
        rows = slice(index, index + 1 or None) if isinstance(index, int) else index
        return replace(self, geometry=self.geometry[rows], appearance=self.appearance[rows])

    @staticmethod
    def cat(items: Sequence[Latents]) -> Latents:
        """One batch from several; `ValueError` for a face of which something is kept, which has no place in a batch."""
        if len(items) > 1 and any(x.kept is not None for x in items):
            raise ValueError("an edited face of which something is kept cannot be in a batch with others")
        if len(items) == 1:
            return items[0]
        return Latents(torch.cat([x.geometry for x in items]), torch.cat([x.appearance for x in items]))

    def to(self, device: torch.device | str) -> Latents:
        """The same latents on `device`."""
        return Latents(self.geometry.to(device), self.appearance.to(device), None if self.kept is None else self.kept.to(device))

    def detach(self) -> Latents:
        """Copies that no gradient flows through."""
        return replace(self, geometry=self.geometry.detach().clone(), appearance=self.appearance.detach().clone())

    def lerp(self, other: Latents, amount: float | Tensor) -> Latents:
        """Straight line from this (0) to `other` (1)."""
        moved, weight = self.lerp_geometry(other, amount), self._weight(amount)
        return replace(moved, appearance=torch.lerp(self.appearance, other.appearance, weight))

    def lerp_geometry(self, other: Latents, amount: float | Tensor) -> Latents:
        """`lerp` of the geometry alone. Edits that both have stay as they are; of the others each goes along, where it was made."""
        weight = self._weight(amount)
        if weight.numel() == 1 and float(weight) in (0, 1):
            kept = (self.kept, other.kept)[int(weight)]
        elif self.kept is None and other.kept is None:
            kept = None
        else:
            kept = _between(self, other, weight)
        return replace(self, geometry=torch.lerp(self.geometry, other.geometry.expand_as(self.geometry), weight), kept=kept)

    def _weight(self, amount: float | Tensor) -> Tensor:
        return torch.as_tensor(amount, dtype=self.geometry.dtype, device=self.geometry.device)

    def mix_rows(self, other: Latents, rows: Sequence[int], amount: float = 1.0) -> Latents:
        """Style `rows` of both halves moved towards `other` by `amount`; the other rows stay (LMTA mixes the last third by one half)."""
        weight = torch.zeros(self.geometry.shape[1], 1, dtype=self.geometry.dtype, device=self.geometry.device)
        weight[list(rows)] = amount
        if self.kept is not None:
            raise ValueError("rows of an edited face of which something is kept cannot be mixed")
        return Latents(
            self.geometry + weight * (other.geometry - self.geometry),
            self.appearance + weight * (other.appearance - self.appearance),
        )

    def offset(self, delta: Tensor) -> Latents:
        """Geometry moved by `delta`, broadcastable to `[B,L,D]`; the appearance is held, as an edit wants it."""
        return replace(self, geometry=self.geometry + delta)

    def with_appearance(self, other: Latents) -> Latents:
        """This geometry under the appearance of `other`."""
        return replace(self, appearance=other.appearance)

    def tensors(self) -> dict[str, Tensor]:
        """What `from_tensors` makes them from again: `geometry`, `appearance` and, of what is kept, `kept.…`; on the CPU."""
        found = {"geometry": self.geometry, "appearance": self.appearance}
        if self.kept is not None:
            found |= {f"kept.{name}": values for name, values in self.kept.tensors().items()}
        # Cloned, because a generator may give both halves the same memory, which safetensors refuses.
        return {name: values.detach().cpu().clone(memory_format=torch.contiguous_format) for name, values in found.items()}

    @staticmethod
    def from_tensors(tensors: Mapping[str, Tensor], name: str) -> Latents:
        """Inverse of `tensors`, which lay in the file `name`; `ModelError` if they are no latents."""
        kept = {key.removeprefix("kept."): values for key, values in tensors.items() if key.startswith("kept.")}
        if {key for key in tensors if not key.startswith("kept.")} != {"geometry", "appearance"}:
            raise ModelError(f"The file '{name}' holds no latents: it must have the keys 'geometry' and 'appearance' and no other.")
        try:
            halves = tensors["geometry"].float(), tensors["appearance"].float()
            return Latents(*halves, Kept.from_tensors(kept) if kept else None)
        except ValueError as error:
            raise ModelError(f"The latents in '{name}' do not have the shapes [B,L,D] and [B,K,L,D].") from error

    def save(self, path: str | Path) -> None:
        """Write `tensors` as safetensors. `OSError`."""
        write_tensors(self.tensors(), path)

    @staticmethod
    def load(path: str | Path) -> Latents:
        """Inverse of `save`; `ModelError` if the file is not one of those."""
        return Latents.from_tensors(read_tensors(path), Path(path).name)


def _between(first: Latents, second: Latents, weight: Tensor) -> Kept:
    """What is kept of faces in between, of which one at least was edited."""
    layers = [() if latents.kept is None else latents.kept.layers for latents in (first, second)]
    ways = [[*(layer.geometry for layer in own), latents.geometry] for own, latents in zip(layers, (first, second), strict=True)]
    # Layers that both have, with the face before and the one after each of them.
    shared = 0
    for mine, theirs in zip(*layers, strict=False):
        if not mine.same(theirs) or not torch.equal(ways[0][shared + 1], ways[1][shared + 1]):
            break
        shared += 1
    # First the way from the second's face before its own edits to those of the first, and then to its own.
    ends = [(geometry, ways[1][shared]) for geometry in ways[0]] + [(ways[0][-1], geometry) for geometry in ways[1][shared + 1 :]]
    stack = [*layers[0], *layers[1][shared:]]
    before = [ends[k][0] if k < shared else torch.lerp(*ends[k], weight) for k in range(len(stack))]
    return Kept.stacked([replace(layer, geometry=geometry) for layer, geometry in zip(stack, before, strict=True)])
