"""State of a training run on disk: tensors as safetensors, the rest as JSON, replaced in one step so that a kill leaves a whole one."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from fface_hub.doors import read_json, read_tensors
from fface_hub.errors import ModelError
from fface_hub.files import current_folder, replaced_folder, write_tensors

MOMENTS = ("exp_avg", "exp_avg_sq", "momentum")
"""What the optimisers remember of a parameter, next to the number of Adam's updates."""


@dataclass
class Progress:
    """Where a run is: `step` steps done in `seconds` of training, and the data cursor."""

    step: int
    seconds: float
    cursor: dict[str, Any]


Optimisers = Sequence[torch.optim.Optimizer]


def save_checkpoint(folder: Path, model: nn.Module, average: dict[str, Tensor], optimisers: Optimisers, progress: Progress) -> None:
    """Write `folder`/state.safetensors (weights, their average, the optimisers' moments) and state.json."""
    tensors = {f"model.{key}": value for key, value in model.state_dict().items()}
    tensors |= {f"average.{key}": value for key, value in average.items()}
    updates = 0
    for name, parameter in model.named_parameters():
        for optimiser in optimisers:
            state = optimiser.state.get(parameter, {})
            updates = max(updates, int(state.get("step", 0)))
            tensors |= {f"{moment}.{name}": state[moment] for moment in MOMENTS if moment in state}
    with replaced_folder(folder) as new:
        write_tensors({key: value.detach().cpu().contiguous().clone() for key, value in tensors.items()}, new / "state.safetensors")
        (new / "state.json").write_text(json.dumps({**vars(progress), "updates": updates}) + "\n")


def has_checkpoint(folder: Path) -> bool:
    """Whether `folder` holds a saved state."""
    return (current_folder(folder) / "state.json").exists()


@torch.no_grad()
def load_checkpoint(folder: Path, model: nn.Module, average: dict[str, Tensor], optimisers: Optimisers) -> Progress | None:
    """Put a saved state back in place; None if `folder` holds none. Raises `ModelError` if it is damaged or belongs to another model."""
    if not has_checkpoint(folder):
        return None
    folder = current_folder(folder)
    saved, tensors = read_json(folder / "state.json"), read_tensors(folder / "state.safetensors")
    if (
        not isinstance(saved, dict)
        or set(saved) != {"step", "seconds", "cursor", "updates"}
        or any(f"average.{key}" not in tensors for key in average)
    ):
        raise ModelError(f"The checkpoint in '{folder.parent.name}' is damaged: choose a new folder.")
    weights = {key.removeprefix("model."): value for key, value in tensors.items() if key.startswith("model.")}
    expected = {key: value.shape for key, value in model.state_dict().items()}
    if {key: value.shape for key, value in weights.items()} != expected:
        raise ModelError(
            f"The checkpoint in '{folder.parent.name}' is of another model: continue with its own config, or choose a new folder."
        )
    model.load_state_dict(weights)
    for key, value in average.items():
        value.copy_(tensors[f"average.{key}"])
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    for optimiser in optimisers:
        for parameter in (item for group in optimiser.param_groups for item in group["params"]):
            name = names[id(parameter)]
            # Laid out in memory like their parameter (channels last, it may be), which fused optimisers take for granted.
            laid = {key: torch.empty_like(parameter) for key in MOMENTS if f"{key}.{name}" in tensors}
            state: dict[str, Tensor] = {key: value.copy_(tensors[f"{key}.{name}"]) for key, value in laid.items()}
            if "exp_avg" in state:
                state["step"] = torch.tensor(float(saved["updates"]))
            optimiser.state[parameter].update(state)
    return Progress(saved["step"], saved["seconds"], saved["cursor"])
