"""Where to sample a ray: evenly with jitter first, then where the first pass found something. EG3D's scheme, detail for detail.

Without a random generator both are deterministic: the middle of every jitter interval, and evenly spaced quantiles with both ends.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class Sampling:
    """`coarse` samples from near to far and `fine` samples by importance; `jitter` is their randomness (or its numbers, as `drawn` gives
    them: `[B,R,coarse]`, `[B,R,fine]`), None is deterministic."""

    coarse: int = 48
    fine: int = 48
    jitter: torch.Generator | tuple[Tensor, Tensor] | None = None

    def __post_init__(self) -> None:
        if self.coarse < 2 or self.fine < 0 or (self.fine > 0 and self.coarse < 4):
            raise ValueError(f"at least 2 coarse samples are needed, and 4 for fine ones; got {self.coarse} and {self.fine}")

    def drawn(self, rays: Tensor) -> Sampling:
        """The same for `rays [B,R,3]`, its numbers drawn already: so their parts get the numbers that they would get all together."""
        if not isinstance(self.jitter, torch.Generator):
            return self
        first = self.uniform("coarse", (*rays.shape[:2], self.coarse), rays)
        second = self.uniform("fine", (*rays.shape[:2], self.fine), rays)
        assert first is not None and second is not None
        return replace(self, jitter=(first, second))

    def part(self, window: slice) -> Sampling:
        """What `drawn` gave, for a part of its rays."""
        if not isinstance(self.jitter, tuple):
            return self
        return replace(self, jitter=(self.jitter[0][:, window], self.jitter[1][:, window]))

    def uniform(self, stage: Literal["coarse", "fine"], shape: tuple[int, ...], like: Tensor) -> Tensor | None:
        """Numbers in [0, 1) of `shape` on the device of `like` for one `stage`, or None where sampling is deterministic."""
        if self.jitter is None:
            return None
        if isinstance(self.jitter, tuple):
            return self.jitter[0 if stage == "coarse" else 1]
        return torch.rand(shape, generator=self.jitter, device=self.jitter.device, dtype=like.dtype).to(like.device)


def stratified(near: float, far: float, rays: Tensor, sampling: Sampling) -> Tensor:
    """Coarse depths `[B,R,N]` of `rays [B,R,3]`: linspace(near, far, N) + u·Δ, Δ = (far − near) / (N − 1), u in [0, 1) or 0.5.

    As in EG3D the last samples may lie behind `far` by up to Δ.
    """
    count = sampling.coarse
    shape = (*rays.shape[:-1], count)
    even = torch.linspace(near, far, count, dtype=rays.dtype, device=rays.device)
    offset = sampling.uniform("coarse", shape, rays)
    step = (far - near) / (count - 1)
    return (even + 0.5 * step).expand(shape) if offset is None else even + offset * step


def importance(depths: Tensor, weights: Tensor, sampling: Sampling) -> Tensor:
    """Fine depths `[B,R,M]`, drawn where the coarse pass has weight; no gradient flows through them.

    `depths [B,R,N]` are the sorted coarse depths, `weights [B,R,N−1]` the weights of the intervals between them. The weights are spread to
    their neighbours (maximum of two, then mean of two) and floored. As in EG3D the bins are the mid-points of the depths, and the last of
    them is never used.
    """
    with torch.no_grad():
        spread = F.max_pool1d(weights, kernel_size=2, stride=1, padding=1)
        smooth = F.avg_pool1d(spread, kernel_size=2, stride=1) + 0.01
        bins = (depths[..., :-1] + depths[..., 1:]) / 2
        return inverse_cdf(bins, smooth[..., 1:-1], sampling)


def inverse_cdf(bins: Tensor, weights: Tensor, sampling: Sampling) -> Tensor:
    """Samples `[B,R,M]` of the piecewise constant density `weights [B,R,K]` over `bins [B,R,≥K+1]` (edges; those after K+1 are not used).

    Mildenhall et al. 2020, section 5.2, with the guard 1e-5 against empty bins.
    """
    pdf = weights + 1e-5
    pdf = pdf / pdf.sum(-1, keepdim=True)
    cdf = F.pad(pdf.cumsum(-1), (1, 0))  # [B,R,K+1], from 0 to 1
    shape = (*weights.shape[:-1], sampling.fine)
    u = sampling.uniform("fine", shape, weights)
    if u is None:
        u = torch.linspace(0, 1, sampling.fine, dtype=weights.dtype, device=weights.device).expand(shape).contiguous()
    right = torch.searchsorted(cdf, u, right=True)
    below = (right - 1).clamp(min=0)
    above = right.clamp(max=weights.shape[-1])
    low, high = cdf.gather(-1, below), cdf.gather(-1, above)
    width = torch.where(high - low < 1e-5, 1.0, high - low)
    start = bins.gather(-1, below)
    return start + (u - low) / width * (bins.gather(-1, above) - start)
