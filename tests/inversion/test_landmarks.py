"""The landmark network's parts by hand, its squares, and the bundled weights on a photograph."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from fface_hub.errors import ModelError
from fface_hub.inversion import landmarks
from fface_hub.inversion.landmarks import (
    EG3D_MIDDLE,
    FIVE,
    MARGIN,
    MIRRORED,
    POINTS,
    LandmarkNet,
    Landmarks,
    Square,
    centres,
    cut_square,
    look,
    mean_head,
)
from fface_hub.inversion.pose import project, turned_camera


def test_mirrored_points_are_those_of_the_other_side() -> None:
    assert [POINTS[MIRRORED[POINTS.index(name)]] for name in ("pupil_left", "nose_tip", "ear_root_right")] == [
        "pupil_right",
        "nose_tip",
        "ear_root_left",
    ]
    head = mean_head()
    torch.testing.assert_close(head[list(MIRRORED)] * torch.tensor([-1.0, 1.0, 1.0]), head)


def test_the_mean_head_in_other_worlds() -> None:
    # Half of 55.4 mm in units of 0.42 m, and of 0.37 m.
    assert mean_head()[1, 0] == pytest.approx(0.0277 / 0.42)
    eg3d = mean_head(0.37)
    assert eg3d[1, 0] == pytest.approx(0.0277 / 0.37)
    torch.testing.assert_close(eg3d[:FIVE].mean(dim=0), torch.tensor(EG3D_MIDDLE))


def test_a_heat_maps_centre_by_hand() -> None:
    # All weight in column 3, row 0 of 4: its middle is 0.875 across and 0.125 down, which the margin stretches about the middle.
    heat = torch.full((1, 1, 4, 4), -100.0)
    heat[0, 0, 0, 3] = 100.0
    assert centres(heat)[0, 0].tolist() == pytest.approx([0.5 + MARGIN * 0.375, 0.5 - MARGIN * 0.375], abs=1e-6)
    assert centres(torch.zeros(1, 1, 4, 4))[0, 0].tolist() == pytest.approx([0.5, 0.5], abs=1e-6)


def test_shapes_and_exposure() -> None:
    network = LandmarkNet(side=32, channels=(4, 4, 4, 4), hidden=8).eval()
    image = torch.rand(2, 3, 32, 32)
    points, angles = network(image)
    assert points.shape == (2, len(POINTS), 2) and angles.shape == (2, 3)
    darker, _ = network(0.5 * image - 0.4)
    torch.testing.assert_close(darker, points, atol=0.02, rtol=0)


@pytest.mark.parametrize("sizes", [{"side": 40}, {"side": 1024}, {"channels": [4, 4, 4, 0]}, {"hidden": 0}])
def test_sizes_out_of_range_are_refused(sizes: dict[str, object]) -> None:
    with pytest.raises(ModelError, match="landmark network"):
        LandmarkNet.from_config({"side": 32, "channels": [4, 4, 4, 4], "hidden": 8, **sizes})


def test_a_square_is_cut_by_hand() -> None:
    photo = np.zeros((40, 60, 3), np.uint8)
    photo[10:20, 20:30] = (200, 100, 50)
    assert (cut_square(photo, Square((25.0, 15.0), 10.0), 10) == (200, 100, 50)).all()
    # Twice as large: the patch is the inner half, 5 of 10 pixels across, each a mean of 2 × 2.
    wide = cut_square(photo, Square((25.0, 15.0), 20.0), 10)
    assert (wide[3:7, 3:7] == (200, 100, 50)).all() and (wide[:2] == 0).all() and (wide[:, 8:] == 0).all()
    # Turned clockwise by 90° the square's right is the photo's down, so what is to the photo's right comes to lie above.
    photo[:, 30:] = 255
    turned = cut_square(photo, Square((30.0, 15.0), 8.0, tilt=90.0), 8)
    assert (turned[:3] == 255).all() and (turned[5:] == (200, 100, 50)).all()
    # Beyond the photo its border is repeated.
    assert (cut_square(photo, Square((80.0, 20.0), 10.0), 8) == 255).all()


def test_the_second_look_is_upright_around_what_the_first_found(monkeypatch: pytest.MonkeyPatch) -> None:
    angles = (12.0, -4.0, 20.0)
    points = 30 + 150 * project(turned_camera(*angles), mean_head()).numpy().astype(np.float64)
    squares: list[Square] = []

    def once(photo: np.ndarray, square: Square, network: object) -> Landmarks:
        squares.append(square)
        return Landmarks(points, angles)

    monkeypatch.setattr(landmarks, "_look_once", once)
    look(np.zeros((8, 8, 3), np.uint8), Square((100.0, 90.0), 130.0), LandmarkNet(side=32, channels=(4, 4, 4, 4), hidden=8))
    assert squares[0] == Square((100.0, 90.0), 130.0)
    assert squares[1].middle == pytest.approx(tuple(points[:FIVE].mean(axis=0)))
    assert squares[1].side == pytest.approx(landmarks.FACE_SIDE * 150, rel=1e-3) and squares[1].tilt == -20.0


def test_what_is_found_is_told_in_the_photo(monkeypatch: pytest.MonkeyPatch) -> None:
    class Fixed(LandmarkNet):
        def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            points = torch.full((2, len(POINTS), 2), 0.5)
            points[0, :, 0], points[1, :, 0] = 0.75, 0.25  # the mirror image agrees
            return points, torch.tensor([[5.0, 3.0, 2.0], [-5.0, 3.0, -2.0]])

    found = landmarks._look_once(np.zeros((8, 8, 3), np.uint8), Square((100.0, 50.0), 40.0, tilt=90.0), Fixed(side=32, hidden=8))
    # A quarter of the side to the square's right, which is down in the photo; the square's own tilt is no roll of the head.
    np.testing.assert_allclose(found.points[0], (100.0, 60.0), atol=1e-9)
    assert found.angles == pytest.approx((5.0, 3.0, 2.0 - 90.0))
