"""What a training run is: one JSON-able dataclass, and the named configurations that the command line knows."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from fface_hub.doors import read_json
from fface_hub.errors import ModelError
from fface_hub.heads.config import APPEARANCE_SIZE, GEOMETRY_SIZE, METRES_PER_UNIT


@dataclass(frozen=True)
class TrainConfig:
    """Everything that decides the numbers of a run except its length.

    `generator` are the constructor's arguments. Each step takes `groups` groups of the data and, of every head, `rays` rays (spread over
    its views) with `near` samples around the known surface and `free` samples anywhere. `near_width` bounds the half width of the near
    samples, drawn per ray (log-uniform), so that surfaces are learnt solid enough for coarse samplers. The learning rate warms up over the
    first `warmup` steps and falls to zero (a half cosine) over the last `decay` of the run; `matrix_scale` is the step of the synthesis
    network's matrices in units of it. `weights` are the losses' weights by name, `class_weights` those of rays in the label losses (1 for
    classes that are not named), `background_weight` that of background rays in the losses of colour and opacity: the data holds half as
    many as pictures do.
    """

    name: str
    generator: dict[str, Any]
    seed: int = 0
    groups: int = 2
    rays: int = 1920
    near: int = 6
    free: int = 4
    near_width: tuple[float, float] = (0.015, 0.12)
    learning_rate: float = 6e-3
    betas: tuple[float, float] = (0.9, 0.99)
    warmup: int = 50
    decay: float = 0.75
    matrix_scale: float = 0.5
    ema: float = 0.998
    bfloat16: bool = True
    weights: dict[str, float] = field(
        default_factory=lambda: {
            "l1": 2.0,
            "l2": 16.0,
            "labels": 0.4,
            "depth": 1.0,
            "spread": 20.0,
            "opacity": 0.5,
            "surface_color": 1.0,
            "surface_labels": 0.2,
        }
    )
    class_weights: dict[str, float] = field(
        default_factory=lambda: {
            "background": 2.0, "skin": 0.7, "brow": 1.5, "eye": 1.5, "glasses": 1.5, "ear": 1.5, "earring": 3.0, "nose": 1.2, "mouth": 4.0,
            "lips": 1.5, "necklace": 4.0, "cloth": 1.2, "hat": 2.0,
        }
    )  # fmt: skip
    background_weight: float = 2.0

    def to_json(self, path: Path) -> None:
        """Write as JSON."""
        path.write_text(json.dumps(asdict(self), indent=2) + "\n")

    @staticmethod
    def from_dict(data: Any) -> TrainConfig:
        """From JSON's form; `ModelError` for unknown or missing keys."""
        known = {item.name for item in fields(TrainConfig)}
        if not isinstance(data, dict) or not {"name", "generator"} <= set(data) <= known:
            raise ModelError("A training config must be an object with 'name', 'generator' and no keys but those of TrainConfig.")
        pairs = {key: tuple(data[key]) for key in ("near_width", "betas") if key in data}
        return TrainConfig(**{**data, **pairs})

    @staticmethod
    def from_json(path: Path) -> TrainConfig:
        """Inverse of `to_json`."""
        return TrainConfig.from_dict(read_json(path))


HEADS_TRIPLANE = TrainConfig(
    name="heads-triplane",
    generator={
        "mapping": "pair",
        "z_dim": GEOMETRY_SIZE,
        "appearance_z_dim": APPEARANCE_SIZE,
        "mapping_layers": 3,
        "mapping_multiplier": 0.1,
        "latent_dim": 256,
        "plane_resolution": 128,
        "plane_channels": 32,
        "plane_axes": ["xy", "xz", "zy"],
        "channel_base": 6144,
        "channel_max": 256,
        "noise": False,
        "decoder": "disentangled",
        "decoder_hidden": 64,
        "color_channels": 3,
        "superresolution": None,
        "background": "latent",
        "empty_logit": 4.0,
        "layout": "base-15",
        "resolution": 128,
        "metres_per_unit": METRES_PER_UNIT,
    },
)
"""The bundled generator: 5 million parameters, which two CPU cores can train and every page can run."""

HEADS_TRIPLANE_POLISH = replace(
    HEADS_TRIPLANE,
    name="heads-triplane-polish",
    weights={**HEADS_TRIPLANE.weights, "l1": 1.0, "l2": 64.0},
    learning_rate=1.5e-3,
    warmup=30,
    decay=1.0,
)
"""For the last minutes of its training (`--init` with what came before): small rates, and squared errors of colours above all. Eleven
minutes of it took the shipped weights from 25.43 to 25.56 dB in the benchmark `fidelity`."""

CONFIGS: dict[str, TrainConfig] = {config.name: config for config in (HEADS_TRIPLANE, HEADS_TRIPLANE_POLISH)}
