"""Held-out heads as cached rays, in a world whose right half is skin: figures by hand, and those of rendering."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from fface_hub.adapters.adapter import Adapter
from fface_hub.benchmarks.adapt_views import VIEWS, HeldOut, Scores, Sight
from fface_hub.heads.config import HELD_OUT_SEED
from fface_hub.heads.samples import head_latents
from fface_hub.layouts import BASE_15, EYES_19
from fface_hub.metrics import iou_per_class
from fface_hub.rendering.renderer import render
from tests.benchmarks.test_fewshot import painter
from tests.benchmarks.test_fidelity import Flat, generator

EXACT = Sight(resolution=8, sparse=False, epsilon=0.0)


class Counting(Flat):
    """Flat, and how many heads were built."""

    built = 0

    def trace(self, geometry_z: Any) -> Any:
        type(self).built += 1
        return super().trace(geometry_z)


def seeds(count: int) -> range:
    return range(HELD_OUT_SEED, HELD_OUT_SEED + count)


def held_out(folder: Path, identities: int = 1, sight: Sight = EXACT) -> HeldOut:
    heads = HeldOut(folder, generator(), Flat(), seeds(identities), sight)
    heads.prepare()
    return heads


def test_every_other_pixel_is_looked_at() -> None:
    assert Sight(resolution=4).pixels().tolist() == [0, 2, 5, 7, 8, 10, 13, 15]
    assert Sight(resolution=2, sparse=False).pixels().tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize("sparse", [False, True])
def test_an_adapter_that_calls_everything_skin(tmp_path: Path, sparse: bool) -> None:
    # Of 4 × 4 pixels 8 are skin and 8 are not, so both just count, though a sparse look sees only 4 of each.
    scores = held_out(tmp_path, 2, Sight(4, sparse, 0.0)).scores(painter("skin"), EYES_19)
    assert scores.table.shape == (2, len(VIEWS), 19)
    # Skin: 1/2; background: 0; their mean: 1/4.
    assert scores.miou == pytest.approx(0.25) and scores.by_view == pytest.approx([0.25] * len(VIEWS))
    classes = scores.per_class(EYES_19)
    assert classes["skin"] == pytest.approx(0.5) and classes["background"] == 0 and classes["pupil"] is None


def test_classes_of_few_pixels_do_not_count(tmp_path: Path) -> None:
    scores = held_out(tmp_path, 1, Sight(2, False, 0.0)).scores(painter("skin"), EYES_19)  # two pixels of each class
    assert scores.table.isnan().all()


def test_scores_are_those_of_rendered_labels(tmp_path: Path) -> None:
    network = generator(empty_logit=0.0)
    with torch.no_grad():
        network.get_submodule("decoder.geo_net.2").get_parameter("bias")[0] = 3  # something everywhere
        network.get_submodule("decoder.geo_net.2").get_parameter("weight").mul_(5)
    adapter = Adapter(EYES_19.to_dict(), "a", network.fingerprint, feature_channels=4)
    adapter.initialise(torch.Generator().manual_seed(1))
    with torch.no_grad():
        adapter.get_parameter("net.2.bias").sub_(adapter(torch.zeros(4), torch.zeros(16)))  # so that no class is ahead everywhere
    heads = HeldOut(tmp_path, network, Flat(), seeds(2), EXACT)
    heads.prepare()
    found = heads.scores(adapter, EYES_19).table
    truth = (torch.arange(64) % 8 >= 4).long().reshape(1, 8, 8)
    for index in range(2):
        scene = network.scene(head_latents(Flat(), network, [HELD_OUT_SEED + index]))
        labels = render(scene, heads.cameras, 8, adapter=adapter).labels
        expected = iou_per_class(labels, truth.expand(len(VIEWS), -1, -1), 19)
        assert len(labels.unique()) > 1
        assert torch.equal(found[index].isnan(), expected.isnan())
        assert (found[index] - expected).abs().nanmean() < 0.01  # half precision may turn a label here and there
        assert (found[index] - expected).abs().nan_to_num().max() < 0.1


def test_a_table_leads_to_the_classes_of_the_layout(tmp_path: Path) -> None:
    def sees_hats(features: torch.Tensor, geometry: torch.Tensor, directions: torch.Tensor) -> torch.Tensor:
        return 1e6 * torch.nn.functional.one_hot(torch.full(features.shape[:-1], 14), 15).float()

    table = torch.zeros(15, dtype=torch.int64)
    table[14] = 1
    heads = held_out(tmp_path)
    assert heads.scores(sees_hats, BASE_15).miou == 0
    assert heads.scores(sees_hats, BASE_15, table).miou == pytest.approx(0.25)  # hats as skin


def test_what_is_there_is_not_made_again(tmp_path: Path) -> None:
    told: list[int] = []
    Counting.built = 0
    HeldOut(tmp_path, generator(), Counting(), seeds(2), EXACT).prepare(told.append)
    assert Counting.built == 2 and told == [1, 2]
    HeldOut(tmp_path, generator(), Counting(), seeds(3), EXACT).prepare()
    assert Counting.built == 3
    HeldOut(tmp_path, generator(empty_logit=0.0), Counting(), seeds(3), EXACT).prepare()
    assert Counting.built == 3  # the same weights: a fingerprint
    other = generator()
    with torch.no_grad():
        next(other.parameters()).add_(1)
    HeldOut(tmp_path, other, Counting(), seeds(1), EXACT).prepare()
    HeldOut(tmp_path, generator(), Counting(), seeds(1), Sight(8, True, 0.0)).prepare()
    assert Counting.built == 5
    assert len(list(tmp_path.iterdir())) == 3 and not list(tmp_path.rglob("*.partial"))


def test_means_go_over_classes_then_pictures() -> None:
    nan = torch.nan
    scores = Scores(torch.tensor([[[1.0, 0.0], [0.2, nan]]]))  # one head, two views, two classes
    assert scores.by_view == pytest.approx([0.5, 0.2]) and scores.miou == pytest.approx(0.35)
