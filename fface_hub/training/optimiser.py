"""Which rule moves which weight: a network's matrices by orthogonalised momentum, everything else by Adam; at which rate; and the average
of the weights that becomes the model."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn

MOMENTUM = 0.95
ITERATIONS = 4
COEFFICIENTS = (3.4445, -4.7750, 2.0315)
"""Of the quintic polynomial p(x) = a x + b x³ + c x⁵ that drives singular values towards 1 fastest (Jordan et al. 2024, "Muon")."""


def orthogonalised(matrix: Tensor) -> Tensor:
    """`[R,C]` with its singular values brought near 1 (about 0.7 to 1.2): a few Newton–Schulz steps in bfloat16."""
    a, b, c = COEFFICIENTS
    tall = matrix.shape[0] > matrix.shape[1]
    x = (matrix.T if tall else matrix).bfloat16()
    x = x / (x.norm() + 1e-7)
    for _ in range(ITERATIONS):
        square = x @ x.T
        x = a * x + (b * square + c * (square @ square)) @ x
    return (x.T if tall else x).to(matrix.dtype)


class Muon(torch.optim.Optimizer):
    """Momentum whose step is the nearest orthogonal matrix (Jordan et al. 2024). Convolutions `[O,I,k,k]` count as matrices `[O,I·k²]`.

    Every direction of a matrix learns equally fast then, which a network that is modulated by few latents needs: Adam moves it along the
    few directions of large gradients. A step changes elements by `lr` · `scale` in the root mean square.
    """

    def __init__(self, parameters: Iterable[nn.Parameter], lr: float, scale: float) -> None:
        super().__init__(parameters, {"lr": lr, "scale": scale})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """One step along the gradients, with Nesterov's look ahead."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                state = self.state[parameter]
                if not state:
                    state["momentum"] = torch.zeros_like(parameter)
                state["momentum"].lerp_(parameter.grad, 1 - MOMENTUM)
                matrix = parameter.grad.lerp(state["momentum"], MOMENTUM).flatten(1)
                size = group["lr"] * group["scale"] * max(matrix.shape) ** 0.5
                parameter.add_(orthogonalised(matrix).view_as(parameter), alpha=-size)


def optimisers(
    model: nn.Module, lr: float, betas: tuple[float, float], scale: float, part: str = "synthesis"
) -> tuple[torch.optim.Optimizer, torch.optim.Optimizer]:
    """Muon for the weights of `model`'s layers within a module called `part` and Adam for the rest: mappings, decoders, biases."""
    named = list(model.named_parameters())
    matrices = [parameter for name, parameter in named if f".{part}." in f".{name}" and name.endswith("weight")]
    known = {id(parameter) for parameter in matrices}
    rest = [parameter for _, parameter in named if id(parameter) not in known]
    return Muon(matrices, lr, scale), torch.optim.Adam(rest, lr, betas, fused=True)


def scheduled_rate(peak: float, warmup: int, decay: float, progress: float, step: int) -> float:
    """Learning rate at `progress` in [0, 1] of a run: linear warm-up to `peak` over the first `warmup` steps, flat, then a half cosine to
    zero over the last `decay` of the run."""
    warm = min(1.0, (step + 1) / max(1, warmup))
    tail = max(0.0, (progress - (1 - decay)) / max(decay, 1e-9))
    return peak * warm * (0.5 + 0.5 * math.cos(math.pi * min(1.0, tail)))


@torch.no_grad()
def move_average(average: Mapping[str, Tensor], values: Mapping[str, Tensor], ema: float, done: int) -> None:
    """Let the exponential moving `average` follow `values` after `done` steps; short at first, so that early models show something."""
    amount = 1 - min(ema, (1 + done) / (10 + done))
    for key, value in average.items():
        value.lerp_(values[key], amount)
