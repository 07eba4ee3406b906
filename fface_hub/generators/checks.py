"""What is asked of what a generator is given: each fault is told in words, not by the first network that meets it."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from fface_hub.errors import ModelError
from fface_hub.latents import Latents


def check_truncation(truncation: float) -> None:
    """`ValueError` for a truncation that would give latents which are not finite."""
    if not math.isfinite(truncation):
        raise ValueError(f"truncation must be a finite number, as a rule from 0 to 1, and is {truncation}")


def check_weights(dtype: torch.dtype) -> None:
    """`ModelError` for a generator whose weights were moved to `dtype` as a whole: mapping, decoders and compositing stay in float32."""
    if dtype != torch.float32:
        raise ModelError(
            f"The weights of this generator were made {dtype}, and they stay float32: load it with from_pretrained(dtype=…), or call "
            "set_precision, which computes the convolutions in other numbers."
        )


def check_rows(rows: Tensor, wanted: tuple[int, int]) -> None:
    """`ModelError` unless style `rows [B,L,D]` are as many as are `wanted`, of float32 numbers."""
    if rows.ndim != 3 or rows.shape[1:] != wanted:
        raise ModelError(
            f"These latents have {list(rows.shape[1:])} numbers and this generator takes {list(wanted)}: use latents that were made with "
            "this generator."
        )
    if rows.dtype != torch.float32:
        raise ModelError(f"These latents are of {rows.dtype} numbers, and a generator takes float32: convert both halves with .float().")


def check_latents(latents: Latents) -> None:
    """`ModelError` unless all numbers of both halves are finite. It waits for a GPU: call it where work begins, not at each step."""
    if not bool(latents.geometry.isfinite().all() and latents.appearance.isfinite().all()):
        raise ModelError("These latents hold numbers that are not finite: draw or invert the face again.")


def check_planes(*values: Tensor) -> None:
    """`ModelError` unless all numbers of planes and their statistics are finite. It waits for a GPU, so it is for pictures only."""
    # A sum is finite where all its terms are, and one pass over the planes without a copy.
    if not bool(torch.stack([part.sum() for part in values]).isfinite().all()):
        raise ModelError("This face holds numbers that are not finite, of its latents or its generator: draw or invert the face again.")
