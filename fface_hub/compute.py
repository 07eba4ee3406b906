"""Where a program computes, in which numbers and in how much memory: `--device`, `--dtype` and `--memory` of every command."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import torch

from fface_hub.errors import ModelError
from fface_hub.memory import RAY_MEMORY, set_ray_memory

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
LEAST_MEMORY = 64 * 2**20
UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}
VARIABLES = {"device": "FFACE_DEVICE", "dtype": "FFACE_DTYPE", "memory": "FFACE_MEMORY"}
"""Environment variables of the page, which has no command line on a Space."""


@dataclass(frozen=True)
class Compute:
    """`device`; `dtype` that generators compute their convolutions in (everything else is float32); `memory`, bytes that rays may take at
    once, on top of models and pictures."""

    device: torch.device
    dtype: torch.dtype = torch.float32
    memory: int = RAY_MEMORY

    @classmethod
    def choose(cls, device: str = "auto", dtype: str | None = None, memory: str | None = None) -> Self:
        """What these words mean on this machine. Raises `ModelError` if there is no such device, number type or size."""
        if dtype is not None and dtype not in DTYPES:
            raise ModelError(f"The number type '{dtype[:40]}' is not known: choose one of {', '.join(DTYPES)}.")
        return cls(choose_device(device), DTYPES[dtype or "float32"], RAY_MEMORY if memory is None else read_size(memory))

    @classmethod
    def from_environment(cls, variables: Mapping[str, str] = os.environ) -> Self:
        """What `FFACE_DEVICE`, `FFACE_DTYPE` and `FFACE_MEMORY` ask for, as `choose`."""
        return cls.choose(**{name: variables[key] for name, key in VARIABLES.items() if variables.get(key)})

    def apply(self) -> Self:
        """Make `memory` the limit of this process."""
        set_ray_memory(self.memory)
        return self


def choose_device(name: str) -> torch.device:
    """The device called `name`, "auto" being a GPU if there is one (CUDA before Apple's); `ModelError` if this machine has none such."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise ModelError(f"The device '{name[:40]}' cannot be used on this machine: use --device cpu or --device auto.") from error
    if device.type not in ("cpu", "cuda", "mps"):
        raise ModelError(f"The device '{name[:40]}' is not one of auto, cpu, cuda, cuda:N and mps: choose one of those.")
    return device


def read_size(text: str) -> int:
    """Bytes of a size such as 4G, 1.5G, 800M or 800MB (units of 1024); `ModelError` if it is none, or less than 64M."""
    match = re.fullmatch(r"(\d{1,12}(?:\.\d{1,6})?)\s*([KMGT]?)(?:i?B)?", text.strip(), re.IGNORECASE)
    if match is None:
        raise ModelError(f"'{text[:40]}' is no amount of memory: write it as 4G or 800M.")
    size = int(float(match[1]) * UNITS[match[2].upper()])
    if size < LEAST_MEMORY:
        raise ModelError(f"{text[:40]} of memory is too little to render a face in: give at least {LEAST_MEMORY // 2**20}M.")
    return size
