"""The fast renderer: pictures of scenes that offer a `Field`, without gradients. Its slow twin is `renderer.render_rays`.

The same samples at the same depths and the same weights ω, but what a pixel does not need is not computed:

- *Space that is empty or hidden.* A coarse pass over a few rays, no farther apart than `CELL`, tells how much a sample between them could
  weigh: at most the light that reaches any of the neighbouring rays so far, times the opacity of the densest sample around. Where that is
  below `FAINT` the density of the pass stands for its own. Approximate: a thing narrower than `CELL` that no ray of the pass meets, and
  none meets anything beside it, is missed. What light a ray has is tested on the ray itself: those that have more are looked at in full.
- *Fine samples* between two coarse ones of that kind, or behind where less than `LAST` of the light is left, take the line between them.
- *Labels and colours* are asked for only where ω > `SLIGHT`. What is left out is at most `SLIGHT` for each sample, and the others
  of the ray take its weight, so that opacity stays.
- *Depths* are merged, not sorted: both passes are in order.

In fog, where nothing can be left out, all of it is exact up to rounding. Tests are put so that what is not a number is looked at, and
shows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from fface_hub.generators.base import Field, Scene
from fface_hub.memory import in_parts
from fface_hub.rendering.compositing import (
    RayOutputs,
    Relabel,
    composite_depth,
    one_hot_background,
    opacities,
    sample_weights,
    weights_between,
)
from fface_hub.rendering.sampling import Sampling, importance, stratified
from fface_hub.threads import in_threads

CELL = 1 / 80
"""Distance of the rays that look for empty space, as a share of the cube's side."""
FAINT = 2e-4
"""Weight that a sample must be able to have for a look."""
LAST = 1e-4
"""Transmittance behind which nothing is seen."""
SLIGHT = 1e-5
"""Weight below which a sample's colour and labels are not asked for."""
POINTS = {"cpu": 16384}
"""Points looked at in one piece: on a CPU what its cache holds."""
MANY = 2**22
"""The same on other devices."""
AT_ONCE = 2
"""Tiles for each thread between two calls of a callback: not all of them take as long."""


@dataclass(frozen=True)
class Cells:
    """What the first pass found: for each of `G²` cells of the picture, `stride` pixels wide, and each coarse depth its raw `density`, the
    largest opacity `haze` of a sample around, and whether a sample is `worth` a look, all `[G,G,S]`.
    """

    stride: int
    density: Tensor
    haze: Tensor
    worth: Tensor

    def at(self, pixels: Tensor, side: int) -> tuple[Tensor, Tensor, Tensor]:
        """Density, haze and worth `[R,S]` for `pixels [R]` of a picture of `side`² (row by row)."""
        cell = pixels // side // self.stride * len(self.density) + pixels % side // self.stride
        density, haze, worth = (x.flatten(0, 1).index_select(0, cell) for x in (self.density, self.haze, self.worth))
        return density, haze, worth


@dataclass
class Pass:
    """Samples of the rays of one tile at `depths [R,S]`: raw `density [R,S]`, and `memory` of those looked at, the entries `looked [N]`
    of the flattened `[R·S]` in order; None are all of them.
    """

    depths: Tensor
    density: Tensor
    memory: tuple[Tensor, ...]
    looked: Tensor | None


class Tile:
    """Some rays of one face: `origins`, `directions [R,3]`."""

    def __init__(self, field: Field, scene: Scene, face: int, origins: Tensor, directions: Tensor) -> None:
        self.field, self.scene, self.face, self.origins, self.directions = field, scene, face, origins, directions

    def look(self, depths: Tensor, density: Tensor | None = None, worth: Tensor | None = None) -> Pass:
        """Samples at `depths [R,S]`; where it is not `worth [R,S]` a look, `density [R,S]` stands."""
        if density is None or worth is None:
            points = self.origins[:, None] + depths[..., None] * self.directions[:, None]
            found, memory = self.field.density(points.flatten(0, 1), self.face)
            return Pass(depths, found.reshape(depths.shape), memory, None)
        looked = worth.flatten().nonzero()[:, 0]
        rays = looked // depths.shape[1]
        at = depths.flatten().index_select(0, looked)[:, None]
        points = torch.addcmul(self.origins.index_select(0, rays), at, self.directions.index_select(0, rays))
        found, memory = self.field.density(points, self.face)
        return Pass(depths, density.flatten().index_copy(0, looked, found).reshape(depths.shape), memory, looked)

    def between(self, coarse: Pass) -> Tensor:
        """Weights `[R,S-1]` of the intervals of a coarse pass."""
        return weights_between(coarse.density, coarse.depths, self.scene.rule)


def render_face(
    scene: Scene,
    field: Field,
    face: int,
    rays: tuple[Tensor, Tensor],
    sampling: Sampling,
    adapter: Relabel | None = None,
    chunk: int | None = None,
    callback: Callable[[], None] | None = None,
) -> RayOutputs:
    """One `face` of a scene's batch seen along the `rays`, origins and directions `[R,3]` (unit) of a whole square picture row by row.

    Outputs are those of `render_rays` with B = 1; `sampling` is `drawn` for the whole batch. Rays come in tiles, a few at a
    time (at most `chunk` rays); after those `callback` is called.
    """
    origins, directions = rays
    side = int(len(origins) ** 0.5)
    size = 4 * scene.numbers_per_sample * (sampling.coarse + sampling.fine)
    cells = find_cells(Tile(field, scene, face, origins, directions), side, sampling, size, callback)

    def tile_of(window: slice) -> tuple[Tensor, ...]:
        tile = Tile(field, scene, face, origins[window], directions[window])
        known = None if cells is None else cells.at(torch.arange(window.start, window.stop, device=origins.device), side)
        return _render_tile(tile, known, _of_face(sampling, face, window), adapter)

    tiles: list[tuple[Tensor, ...]] = []
    for part in _in_tiles(tile_of, len(origins), size, _tile_size(cells, sampling, origins.device), chunk):
        tiles += part
        if callback is not None:
            callback()
    opacity, kept, logits, color, depth = (torch.cat(column)[None] for column in zip(*tiles, strict=True))
    # Rays with nothing worth a look show what is behind them.
    empty = 1 - torch.where(kept == 0, 0.0, opacity)[..., None]
    scale = (1 - empty) / torch.where(kept == 0, 1.0, kept)[..., None]
    logits = logits * scale
    if scene.empty_logit:
        logits = logits + empty * scene.empty_logit * one_hot_background(logits)
    behind = scene.background(directions.expand(scene.batch, -1, -1))
    behind = -1.0 if behind is None else behind[face : face + 1]
    return RayOutputs(color * scale + empty * behind, logits, depth, opacity)


def _of_face(sampling: Sampling, face: int, window: slice) -> Sampling:
    """Drawn numbers for some rays of one face."""
    if not isinstance(sampling.jitter, tuple):
        return sampling
    return replace(sampling, jitter=(sampling.jitter[0][face, window], sampling.jitter[1][face, window]))


def find_cells(tile: Tile, side: int, sampling: Sampling, ray: int, callback: Callable[[], None] | None = None) -> Cells | None:
    """The first pass over a picture of `side`² pixels whose rays take `ray` bytes; None if it would not pay, for pixels are too wide, or
    little is empty or hidden. `callback` is called after every few tiles.
    """
    scene = tile.scene
    middle = (scene.near + scene.far) / 2
    width = float((tile.directions[1] - tile.directions[0]).norm()) * middle if side > 1 else torch.inf
    stride = int(min(CELL * 2 * scene.bounds / max(width, 1e-9), side / 4))
    if stride < 2:
        return None
    places = torch.arange(0, side, stride, device=tile.origins.device) + stride // 2
    places = places.clamp(max=side - 1)
    pixels = (places[:, None] * side + places).flatten()
    origins, directions = tile.origins[pixels], tile.directions[pixels]
    even = Sampling(sampling.coarse, 0)

    def part_of(window: slice) -> tuple[Tensor, Tensor]:
        few = Tile(tile.field, scene, tile.face, origins[window], directions[window])
        coarse = few.look(stratified(scene.near, scene.far, few.directions, even))
        # Light one sample earlier, in case a neighbour's surface lies deeper.
        return coarse.density, 1 - F.pad(few.between(coarse).cumsum(-1), (2, 0))[:, :-1]

    parts: list[tuple[Tensor, ...]] = []
    for part in _in_tiles(part_of, len(pixels), ray, _tile_size(None, even, origins.device)):
        parts += part
        if callback is not None:
            callback()
    density, light = (torch.cat(column).unflatten(0, (len(places), len(places))) for column in zip(*parts, strict=True))
    haze = opacities(density, (scene.far - scene.near) / (sampling.coarse - 1), scene.rule)
    haze = _spread(haze, 1)
    worth = ~(_spread(light, 0) * haze <= FAINT)
    if float(worth.float().mean()) > 0.8:
        return None
    return Cells(stride, density, haze, worth)


def _spread(values: Tensor, along: int) -> Tensor:
    """Maximum over 3×3 cells, and over `along` depths on either side, of `values [G,G,S]`."""
    return F.max_pool3d(values[None, None], (3, 3, 2 * along + 1), stride=1, padding=(1, 1, along))[0, 0]


def _tile_size(cells: Cells | None, sampling: Sampling, device: torch.device) -> int:
    """Rays of a tile, so that a pass looks at about `POINTS`."""
    each = max(sampling.coarse, sampling.fine)
    if cells is not None:
        # Fine samples go where coarse ones found something: as many, or a few times as many.
        each = min(each, 1 + 4 * int(cells.worth.float().sum(-1).mean()))
    return max(64, POINTS.get(device.type, MANY) // each)


def _in_tiles(
    work: Callable[[slice], tuple[Tensor, ...]], count: int, ray: int, tile: int, chunk: int | None = None
) -> Iterator[list[tuple[Tensor, ...]]]:
    """`work(window)` for tiles of `count` rays that take `ray` bytes each, a few tiles at a time (at most `chunk` rays), which the threads
    of a processor share.
    """

    def several(window: slice) -> list[tuple[Tensor, ...]]:
        return in_threads(work, [slice(start, min(start + tile, window.stop)) for start in range(window.start, window.stop, tile)])

    return in_parts(several, count, ray, chunk or tile * AT_ONCE * torch.get_num_threads())


def _render_tile(
    tile: Tile, known: tuple[Tensor, Tensor, Tensor] | None, sampling: Sampling, adapter: Relabel | None
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Opacity `[R]`, the part of it whose labels and colours were asked for `[R]`, their sums `[R,K]` and `[R,C]`, and depth `[R]`."""
    scene = tile.scene
    depths = stratified(scene.near, scene.far, tile.directions, sampling).contiguous()
    coarse, worth = _coarse(tile, depths, known)
    passes = [coarse]
    if sampling.fine:
        between = tile.between(coarse)
        drawn = importance(depths, between, sampling)
        passes.append(_fine(tile, coarse, between, worth, drawn if sampling.jitter is None else drawn.sort(dim=-1).values))
    weights, depths = _weigh(passes, scene)
    sums = [_sum(tile, each, weight, adapter) for each, weight in zip(passes, weights, strict=True)]
    kept, logits, color = (torch.stack(column).sum(0) for column in zip(*sums, strict=True))
    weight = torch.cat(weights, dim=1)
    return weight.sum(-1), kept, logits, color, composite_depth(weight, depths)


def _coarse(tile: Tile, depths: Tensor, known: tuple[Tensor, Tensor, Tensor] | None) -> tuple[Pass, Tensor | None]:
    """The coarse pass, and which of its samples were worth a look (None: all)."""
    if known is None:
        return tile.look(depths), None
    density, haze, worth = known
    coarse = tile.look(depths, density, worth)
    light = 1 - F.pad(tile.between(coarse).cumsum(-1), (1, 0))
    astray = (~(light * haze <= FAINT) & ~worth).any(-1, keepdim=True)
    if bool(astray.any()):
        worth = worth | (astray & ~(haze <= FAINT))
        coarse = tile.look(depths, density, worth)
    return coarse, worth


def _fine(tile: Tile, coarse: Pass, between: Tensor, worth: Tensor | None, depths: Tensor) -> Pass:
    """The fine pass at sorted `depths [R,M]`."""
    last = coarse.depths.shape[1] - 1
    start = (torch.searchsorted(coarse.depths, depths, right=True) - 1).clamp(0, last - 1)
    # Light at the interval before the one that a sample lies in, so that a surface seen a little too early hides nothing.
    light = 1 - F.pad(between.cumsum(-1), (2, 0))[:, :last]
    lit = ~(light <= LAST)
    seen = (lit if worth is None else lit & (worth[:, :-1] | worth[:, 1:])).gather(-1, start)
    if bool(seen.all()):
        return tile.look(depths)
    low, high = coarse.density.gather(-1, start), coarse.density.gather(-1, start + 1)
    near, far = coarse.depths.gather(-1, start), coarse.depths.gather(-1, start + 1)
    line = low + (high - low) * ((depths - near) / (far - near)).clamp(0, 1)
    return tile.look(depths, line, seen)


def _weigh(passes: list[Pass], scene: Scene) -> tuple[list[Tensor], Tensor]:
    """ω of the samples of each pass, and all depths as the passes have them `[R,ΣS]`."""
    if len(passes) == 1:
        return [sample_weights(passes[0].density, passes[0].depths, scene.rule)], passes[0].depths
    (a, b), count = (p.depths for p in passes), passes[0].depths.shape[1]
    # Each sample's place is its own number plus how many of the other pass lie before it; ties go to the coarse one.
    places = torch.cat(
        [
            torch.arange(count, device=a.device) + torch.searchsorted(b, a, right=False),
            torch.arange(b.shape[1], device=a.device) + torch.searchsorted(a, b, right=True),
        ],
        dim=1,
    )
    depths, density = torch.cat([a, b], dim=1), torch.cat([p.density for p in passes], dim=1)
    ordered = torch.empty_like(depths).scatter_(1, places, depths)
    weights = sample_weights(torch.empty_like(density).scatter_(1, places, density), ordered, scene.rule).gather(1, places)
    return list(weights.split([count, b.shape[1]], dim=1)), depths


def _sum(tile: Tile, each: Pass, weights: Tensor, adapter: Relabel | None) -> tuple[Tensor, Tensor, Tensor]:
    """Σω `[R]`, Σω·logits `[R,K]` and Σω·colour `[R,C]` over the samples of a pass that weigh more than `SLIGHT`."""
    flat = weights.flatten()
    looked = each.looked
    candidates = flat if looked is None else flat.index_select(0, looked)
    heavy = (~(candidates <= SLIGHT)).nonzero()[:, 0]
    memory, where, picked = each.memory, looked, candidates
    if len(heavy) < len(candidates):
        memory = tuple(m.index_select(0, heavy) for m in memory)
        where, picked = heavy if looked is None else looked.index_select(0, heavy), candidates.index_select(0, heavy)
    elif looked is None:
        where = heavy
    assert where is not None
    rays = where // weights.shape[1]
    features, logits = tile.field.labels(memory)
    if adapter is not None:
        density = each.density.flatten().index_select(0, where)[:, None]
        logits = adapter(features, torch.cat([density, logits], dim=-1), tile.directions.index_select(0, rays))
    counts = torch.bincount(rays, minlength=len(weights))
    starts = counts.cumsum(0) - counts
    values = torch.cat([torch.ones_like(picked)[:, None], logits, tile.field.color(memory)], dim=-1)
    sums = F.embedding_bag(torch.arange(len(picked), device=rays.device), values, starts, per_sample_weights=picked, mode="sum")
    return sums[:, 0], sums[:, 1 : 1 + logits.shape[-1]], sums[:, 1 + logits.shape[-1] :]
