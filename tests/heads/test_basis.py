"""The blend basis: interpolation weights by hand, the cache file, and agreement with Anny itself."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fface_hub.errors import ModelError
from fface_hub.heads.basis import (
    CORNERS,
    Basis,
    anny_model,
    anny_phenotypes,
    cache_folder,
    corner_weights,
    load_basis,
    read_basis,
    to_world,
    write_atomically,
)
from fface_hub.heads.config import METRES_PER_UNIT


def test_corner_weights_are_products_of_shares() -> None:
    weights = corner_weights({"age": 0.25, "gender": 1.0, "muscle": 0.5, "weight": 0.8, "african": 1.0, "asian": 3.0})
    assert weights.sum() == pytest.approx(1)
    # young 0.75 · female 1 · average muscle 1 · weight 0.8 → 0.4 average and 0.6 max · asian 3/4
    assert weights[CORNERS.index(("young", "female", "average", "max", "asian"))] == pytest.approx(0.75 * 0.6 * 0.75)
    assert weights[CORNERS.index(("old", "female", "average", "average", "african"))] == pytest.approx(0.25 * 0.4 * 0.25)
    assert weights[[index for index, corner in enumerate(CORNERS) if corner[1] == "male"]].sum() == 0


def test_no_ancestry_means_equal_shares() -> None:
    weights = corner_weights({"age": 0.0, "gender": 0.0, "muscle": 0.0, "weight": 0.0})
    assert weights[CORNERS.index(("young", "male", "min", "min", "asian"))] == pytest.approx(1 / 3)


def test_changes_have_two_directions_and_actions_one() -> None:
    names = (*("/".join(corner) for corner in CORNERS), "nose-hump-incr+", "nose-hump-incr-", "jawOpen")
    directions = np.zeros((len(names), 3), np.float32)
    directions[-3], directions[-2], directions[-1] = (1, 0, 0), (0, 1, 0), (0, 0, 1)
    empty = np.zeros((0, 3), np.int32)
    basis = Basis(np.full((1, 3), 5, np.float32), directions, names, empty, np.zeros((0, 3, 2)), np.zeros(1), {})
    # 5 + (0.5, 0, 0) + (0, 0, 0.25), then −0.5 along the other direction of the same change
    np.testing.assert_allclose(basis.evaluate({}, {"nose-hump-incr": 0.5}, {"jawOpen": 0.25}), [[5.5, 5, 5.25]])
    np.testing.assert_allclose(basis.evaluate({}, {"nose-hump-incr": -0.5}, {}), [[5, 5.5, 5]])


def test_axes_become_y_up_and_face_forward() -> None:
    # Anny: 0.42 m to the left, 0.84 m in front (−y), 1.26 m up → 1 left, 3 up, 2 forward.
    np.testing.assert_allclose(to_world(np.array([0.42, -0.84, 1.26])), [1, 3, 2])


def test_the_cache_folder_can_be_chosen(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("FFACE_CACHE", str(tmp_path / "kept"))
    assert cache_folder() == tmp_path / "kept"


def test_a_damaged_file_says_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "basis.safetensors"
    path.write_bytes(b"not safetensors")
    with pytest.raises(ModelError, match="delete it"):
        read_basis(path)
    write_atomically(path, {"mean": np.zeros((1, 3), np.float32)}, {"names": "[]"})
    with pytest.raises(ModelError, match="delete it"):
        read_basis(path)
    assert [item.name for item in tmp_path.iterdir()] == ["basis.safetensors"]


def test_the_basis_has_one_skin_a_tongue_and_two_eyes() -> None:
    basis = load_basis()
    counts = np.bincount(basis.part)
    assert len(counts) == 4 and counts[0] > 4000
    left, right = basis.mean[basis.part == 2], basis.mean[basis.part == 3]
    assert left[:, 0].min() > 0 > right[:, 0].max()


@pytest.mark.slow
def test_agrees_with_anny() -> None:
    """Largest distance over random draws is below half a millimetre (measured: 0.03 mm)."""
    model, basis = anny_model(), load_basis()
    random = np.random.RandomState(0)
    changes = [name[:-1] for name in basis.names if name.endswith("+")]
    actions = list(basis.names[len(CORNERS) + 2 * len(changes) :])
    worst = 0.0
    for _ in range(8):
        values = dict(zip(("gender", "muscle", "weight", "african", "asian", "caucasian"), random.uniform(size=6).tolist(), strict=True))
        age = float(random.uniform())
        local = dict(zip(changes, random.uniform(-1, 1, len(changes)).tolist(), strict=True))
        faces = dict(zip(actions, random.uniform(0, 0.5, len(actions)).tolist(), strict=True))
        phenotypes = anny_phenotypes(age, **values)
        truth = model(phenotype_kwargs=phenotypes, local_changes_kwargs=local, facial_actions=faces)["rest_vertices"][0]
        found, expected = basis.evaluate({"age": age, **values}, local, faces), to_world(truth.detach().numpy())
        skin = basis.part <= 1
        # Heads differ by a shift: the basis is centred on each phenotype's own head.
        gap = (found - expected)[skin]
        worst = max(worst, float(np.linalg.norm(gap - gap.mean(axis=0), axis=1).max()) * METRES_PER_UNIT * 1000)
    print(f"largest distance {worst:.3f} mm")
    assert worst < 0.5
