"""A new sample set to paint: faces as different as a generator draws them, the labels that are known already, and how to paint."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator

import torch
from torch import Tensor

from fface_hub.adapters.adapter import Adapter
from fface_hub.adapters.samples import Origin, Sample, SampleSet
from fface_hub.cameras import painting_view
from fface_hub.generators.base import Generator
from fface_hub.hub.card_facts import escape, layout_table
from fface_hub.latents import Latents
from fface_hub.layouts import Layout
from fface_hub.progress import Callback, Step
from fface_hub.rendering.renderer import render
from fface_hub.rendering.sampling import Sampling

POOL = 400
"""Faces drawn to choose from, at least; choosing looks at their latents only."""


def farthest_points(points: Tensor, count: int) -> list[int]:
    """`count` different rows of `points [N,D]`: first the one nearest to the mean, then always the one farthest from all before it.

    Greedy k-centre (Gonzalez 1985): no face of the pool is farther from a chosen one than twice the best possible.
    """
    if not 1 <= count <= len(points):
        raise ValueError(f"cannot choose {count} of {len(points)} points")
    picks = [int((points - points.mean(dim=0)).norm(dim=1).argmin())]
    distance = (points - points[picks[0]]).norm(dim=1)
    while len(picks) < count:
        distance[picks] = -1
        picks.append(int(distance.argmax()))
        distance = distance.minimum((points - points[picks[-1]]).norm(dim=1))
    return picks


def starting_table(known: Layout, wanted: Layout) -> Tensor:
    """Lookup table int64 `[K]`: class id in `known` → the class of `wanted` to start painting from.

    That of the same name, or its nearest parent there, or else the first class that has it as a parent (upper lip for lips: the painter
    parts them); 0 if there is none.
    """
    ids = {name: number for number, name in enumerate(wanted.names)}
    table = []
    for item in known.classes:
        match = next((ids[name] for name in known.ancestors(item) if name in ids), None)
        if match is None:
            match = next((number for number, part in enumerate(wanted.classes) if item.name in wanted.ancestors(part)), 0)
        table.append(match)
    return torch.tensor(table, dtype=torch.int64)


def draw(
    generator: Generator,
    layout: Layout,
    count: int = 10,
    seed: int = 0,
    resolution: int = 128,
    adapter: Adapter | None = None,
    callback: Callback | None = None,
) -> SampleSet:
    """`count` faces of `generator` in `layout`, to be painted: those of `propose`, as a sample set that says how its labels started."""
    known = generator.layout if adapter is None else adapter.layout
    samples = []
    for sample in propose(generator, layout, count, seed, resolution, adapter):
        samples.append(sample)
        if callback is not None:
            callback(Step(len(samples), count, {}))
    return SampleSet(layout, tuple(samples), (starting_note(known, layout),))


def proposed(generator: Generator, count: int, seed: int = 0) -> list[Latents]:
    """`count` faces (batches of one) that lie farthest from each other in the latents that decide on shape, of a pool drawn with `seed`;
    the first is the most average one. The pool, and so the first faces, are the same for all counts up to 100."""
    with torch.no_grad():
        pool = generator.sample(max(POOL, 4 * count), seed)
    return [pool[pick] for pick in farthest_points(pool.geometry.flatten(1), count)]


def propose(
    generator: Generator,
    layout: Layout,
    count: int,
    seed: int = 0,
    resolution: int = 128,
    adapter: Adapter | None = None,
    sampling: Sampling | None = None,
    done: Collection[int] = (),
) -> Iterator[Sample]:
    """One after the other, `count` faces of `generator` in `layout`: from front, left and right in turn, `resolution`² pixels; but not
    those of the numbers that are `done` already.

    They are those of `proposed`. Labels start as the generator's own, or those of an `adapter` that is good already, through
    `starting_table`. Raises `ModelError` for an adapter of another generator.
    """
    known = generator.layout
    if adapter is not None:
        adapter.check(generator)
        known = adapter.layout
    table, origin = starting_table(known, layout), Origin.of(generator)
    for index, latents in enumerate(proposed(generator, count, seed)):
        if index in done:
            continue
        camera = painting_view(index)
        with torch.no_grad():
            scene = generator.scene(latents)
            view = render(scene, camera.to(scene.device), resolution, sampling, adapter)
        yield Sample(view.image[0].cpu(), table[view.labels[0].cpu()], camera, latents.to("cpu").detach(), origin)


def starting_note(known: Layout, wanted: Layout) -> str:
    """In words, what `starting_table` does: which classes are there already, and which are left to paint."""
    table = starting_table(known, wanted).tolist()
    if not any(table):
        return f"No class of '{wanted.name}' is one of '{known.name}' or names one as its parent: everything starts as class 0."
    new = [name for number, name in enumerate(wanted.names) if number not in table]
    moved = [f"{a} as {wanted.names[b]}" for a, b in zip(known.names, table, strict=True) if b and a != wanted.names[b]]
    starts = f"The label maps start with what is known of '{known.name}'" + (f" ({', '.join(moved)})." if moved else ".")
    return f"{starts} To be painted: {', '.join(new)}." if new else starts


GUIDE = """\
# How to paint these faces

`0000.png`, `0001.png`, … are the faces. Beside each lies its label map, `0000_labels.png`, `0001_labels.png`, …: paint on these, and save
them under the same names. {note}

{table}

- Use exactly these colours, and tools without smoothing: a pencil, not a brush; selections and fills without feathering or antialiasing.
  Where single pixels go wrong, the nearest class around them is taken; above 1 % of a picture the label map is refused.
- Keep all label maps of one size. They may be larger than the faces, as long as they are square.
- Every pixel needs a class. What is nothing else is {first}.

GIMP, Krita: the label maps are indexed pictures, so that only their own colours can be painted; `palette.gpl` holds them with their names
(in GIMP: Windows, Dockable Dialogs, Palettes, Import). Put the face in as a layer above at half opacity to see what you do, and take it out
again before you export as PNG.

CVAT: make a task with the faces (without the label maps), and as its labels paste this under Raw. Export as "Segmentation mask 1.1". What
is left unannotated comes out black.

```json
{cvat}
```

Label Studio and others: any export works that has one PNG per face with these colours, as a palette or RGB picture. Exports have names and
folders of their own: `fface-hub samples import . --labels SegmentationClass --out painted`, called in this folder, puts the label maps of
another folder in by their names (`0000.png` or `0000_labels.png`).

Then `fface-hub samples check .` says what is missing, and `fface-hub adapt . --out my-adapter` fits the adapter.
"""


def painting_guide(layout: Layout, note: str) -> dict[str, str]:
    """Texts to put beside the samples: how to paint (`README.md`, with the sentence `note`) and the colours for GIMP (`palette.gpl`)."""
    hexes = ["#" + bytes(item.color).hex() for item in layout.classes]
    labels = [{"name": name, "color": color, "attributes": []} for name, color in zip(layout.names, hexes, strict=True)]
    guide = GUIDE.format(
        note=escape(note),
        table=layout_table(layout),
        first=escape(layout.names[0]),
        cvat=json.dumps(labels, ensure_ascii=False).replace("`", "'"),
    )
    colors = ["{:3d} {:3d} {:3d}\t{}".format(*item.color, item.name) for item in layout.classes]
    palette = "\n".join(["GIMP Palette", f"Name: {layout.name}", "Columns: 4", "#", *colors])
    return {"README.md": guide, "palette.gpl": palette + "\n"}
