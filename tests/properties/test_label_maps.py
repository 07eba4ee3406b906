"""Label maps and layouts of 2 to 64 classes come back from their files exactly."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest
import torch
from hypothesis.strategies import integers
from PIL import Image

from fface_hub.doors import parse_json, read_label_map, save_label_map
from fface_hub.layouts import MAX_CLASSES, LabelClass, Layout
from fface_hub.schema import OUTSIDE_REFERENCE
from tests.properties.holding import EXAMPLES, SEEDS, hold


def layout_of(seed: int, classes: int) -> Layout:
    """`classes` different colours, some of them neighbours in one channel, under names of odd characters."""
    random = np.random.RandomState(seed)
    colors: set[tuple[int, int, int]] = set()
    while len(colors) < classes:
        red, green, blue = (int(c) for c in random.randint(0, 256, 3))
        colors |= {(red, green, blue), (red, green, blue ^ 1)}
    ordered = sorted(colors)
    random.shuffle(ordered)
    letters = np.array(list("aäΩ→<>&'\"/\\ .0"))
    names = [f"{n}{''.join(random.choice(letters, random.randint(0, 20)))}.".strip() for n in range(classes)]
    names = [OUTSIDE_REFERENCE.sub("/", name) for name in names]
    return Layout(f"{seed}", tuple(LabelClass(name, color) for name, color in zip(names, ordered[:classes], strict=True)))


def maps_come_back(seed: int, classes: int, height: int, width: int) -> None:
    """As the palette PNG that we write, whose indices are the ids, and as exact colours in RGB and RGBA."""
    layout = layout_of(seed, classes)
    labels = torch.randint(0, classes, (height, width), generator=torch.Generator().manual_seed(seed))
    file = io.BytesIO()
    save_label_map(labels, layout, file)
    data = file.getvalue()
    assert (data[24], data[25]) == (8, 3)  # 8 bits per pixel, a palette
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(data))), labels.numpy())
    assert torch.equal(read_label_map(data, layout, (height, width)), labels)
    painted = Image.fromarray(layout.colors.numpy()[labels.numpy()])
    for picture in (painted, painted.convert("RGBA")):
        again = io.BytesIO()
        picture.save(again, format="PNG")
        assert torch.equal(read_label_map(again.getvalue(), layout), labels)


@pytest.mark.parametrize("examples", EXAMPLES)
def test_maps(examples: int) -> None:
    hold(maps_come_back, examples, seed=SEEDS, classes=integers(2, MAX_CLASSES), height=integers(1, 40), width=integers(1, 40))


@pytest.mark.parametrize("classes", range(2, MAX_CLASSES + 1))
def test_every_count_of_classes(classes: int) -> None:
    maps_come_back(classes, classes, 16, 16)


def layouts_come_back(seed: int, classes: int) -> None:
    layout = layout_of(seed, classes)
    assert Layout.from_dict(parse_json(json.dumps(layout.to_dict()))) == layout


@pytest.mark.parametrize("examples", EXAMPLES)
def test_layouts(examples: int) -> None:
    hold(layouts_come_back, examples, seed=SEEDS, classes=integers(2, MAX_CLASSES))
