"""Sample sets painted by the truth: which heads are chosen, and that labels and latents belong together."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from fface_hub.cameras import look_at
from fface_hub.errors import FFaceError, ModelError
from fface_hub.generators.triplane import TriplaneGenerator
from fface_hub.heads.samples import covering, head_latents, sample_set, true_labels
from fface_hub.layouts import EYES_19, FINE_24


class Discs:
    """Heads that are a disc of skin, with a disc of pupil in the heads of every fifth seed; geometry z says which."""

    version = "discs"

    def latents(self, seed: int) -> tuple[Any, Any]:
        """Seed and pupil in the geometry z."""
        return np.float32([seed, seed % 5 == 0, 0, 0]), np.float32([seed, 0, 0])

    def trace(self, geometry_z: Any) -> Any:
        """A function of rays that gives labels."""

        def hits(origins: Any, directions: Any) -> Any:
            at = origins + directions * (-origins[:, 2:] / directions[:, 2:])  # the plane z = 0
            distance = np.hypot(at[:, 0], at[:, 1])
            pupil = FINE_24.index("pupil") if geometry_z[1] else 1
            return np.where(distance < 0.05, pupil, np.where(distance < 0.2, 1, 0))

        return hits

    def labels(self, hits: Any) -> Any:
        """As traced."""
        return hits

    def depth(self, hits: Any) -> Any:
        """Not needed here."""
        raise NotImplementedError

    def shade(self, hits: Any, appearance_z: Any) -> Any:
        """Not needed here."""
        raise NotImplementedError


def tiny(appearance_z_dim: int = 3) -> TriplaneGenerator:
    torch.manual_seed(0)
    return TriplaneGenerator(
        mapping="pair",
        z_dim=4,
        appearance_z_dim=appearance_z_dim,
        latent_dim=8,
        plane_resolution=8,
        plane_channels=4,
        channel_base=32,
        channel_max=8,
        color_channels=3,
        superresolution=None,
        background="latent",
    )


def test_labels_and_latents_are_of_the_same_head() -> None:
    generator = tiny()
    samples = sample_set(Discs(), generator, EYES_19, count=3, seed=2, resolution=32)
    assert samples.layout == EYES_19
    for number, sample in enumerate(samples.samples):
        # 6 candidates for each of 3, seed 2: heads 36 to 53, of which 40, 45 and 50 show the pupil.
        head = (40, 45, 50)[number]
        expected = head_latents(Discs(), generator, [head])
        assert sample.latents is not None
        assert torch.equal(sample.latents.geometry, expected.geometry)
        yaw = (0.0, -23.0, 23.0)[number]
        assert torch.allclose(sample.camera.to_vector(), look_at(yaw).to_vector())
        assert torch.equal(sample.labels, true_labels(Discs(), head, look_at(yaw), 32, EYES_19))
        assert set(sample.labels.unique().tolist()) == {0, 1, EYES_19.index("pupil")}
        assert sample.image.shape == (3, 32, 32)


def test_covering_prefers_what_is_rare_so_far() -> None:
    present = torch.tensor([[1, 1, 0, 0], [1, 1, 1, 0], [1, 0, 0, 1], [1, 1, 1, 0]], dtype=torch.bool)
    # Worth at first 2, 3, 2, 3: row 1, the first of the best. Then row 0 is worth 1/2 + 1/2, row 2 is 1/2 + 1, row 3 is 3 · 1/2: row 2.
    # Then classes are there 2, 1, 1, 1 times: row 0 is worth 1/3 + 1/2, row 3 is worth 1/3 + 1/2 + 1/2.
    assert covering(present, 3) == [1, 2, 3]


def test_generators_and_seeds_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ModelError, match="rendered heads"):
        head_latents(Discs(), tiny(appearance_z_dim=5), [0])
    with pytest.raises(FFaceError, match="held out"):
        sample_set(Discs(), tiny(), EYES_19, count=10, seed=20_000)
