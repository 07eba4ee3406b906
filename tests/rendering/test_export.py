"""Files are read back by the libraries that others would open them with."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest
import torch
import trimesh
from PIL import Image

from fface_hub.rendering.export import MARK, save_glb, save_mp4, save_png
from fface_hub.rendering.mesh import Mesh


def test_a_film_has_its_frames_size_and_colours(tmp_path: Path) -> None:
    frames = torch.full((5, 3, 32, 48), -1.0)
    frames[:, 0] = torch.linspace(-0.8, 0.8, 5).reshape(5, 1, 1)  # red grows: 26 … 230 of 255
    save_mp4(frames, tmp_path / "orbit.mp4", fps=10)
    with av.open(str(tmp_path / "orbit.mp4")) as film:
        stream = film.streams.video[0]
        assert film.metadata["comment"] == MARK
        assert stream.codec_context.pix_fmt == "yuv420p" and stream.average_rate == 10
        pictures = [frame.to_ndarray(format="rgb24") for frame in film.decode(stream)]
    assert len(pictures) == 5 and pictures[0].shape == (32, 48, 3)
    reds = [picture[..., 0].mean() for picture in pictures]
    assert np.abs(np.array(reds) - np.linspace(25.5, 229.5, 5)).max() < 6
    data = (tmp_path / "orbit.mp4").read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")  # the index stands in front: playing starts before the download ends


def test_a_picture_is_marked_as_computer_made(tmp_path: Path) -> None:
    save_png(torch.tensor([-1.0, 0.0, 1.0]).reshape(3, 1, 1).expand(3, 4, 4), tmp_path / "face.png")
    with Image.open(tmp_path / "face.png") as picture:
        assert picture.text == {"Comment": MARK}
        assert picture.getpixel((0, 0)) == (0, 128, 255)


def test_what_a_killed_save_left_goes_with_the_next_one(tmp_path: Path) -> None:
    picture = torch.zeros(3, 4, 4)

    class Killed(BaseException):
        """Stands for a kill: nothing is tidied up after it."""

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, "unlink", lambda *_, **__: None)
        patch.setattr(Path, "replace", lambda *_: (_ for _ in ()).throw(Killed()))
        with pytest.raises(Killed):
            save_png(picture, tmp_path / "face.png")
    assert len(list(tmp_path.iterdir())) == 1 and not (tmp_path / "face.png").exists()
    save_png(picture, tmp_path / "face.png")
    assert [path.name for path in tmp_path.iterdir()] == ["face.png"]


def test_odd_sides_become_even(tmp_path: Path) -> None:
    save_mp4(torch.zeros(2, 3, 33, 35), tmp_path / "odd.mp4")
    with av.open(str(tmp_path / "odd.mp4")) as film:
        assert (film.streams.video[0].height, film.streams.video[0].width) == (34, 36)


def test_no_frames_leave_no_file(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="frames"):
        save_mp4(torch.zeros(0, 3, 8, 8), tmp_path / "none.mp4")
    assert list(tmp_path.iterdir()) == []


def test_a_mesh_comes_back_with_colours_and_volume(tmp_path: Path) -> None:
    # A tetrahedron with three legs of 1 along the axes has the volume 1/6.
    vertices = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]], dtype=np.float32)
    faces = np.array([[0, 2, 1], [0, 1, 3], [0, 3, 2], [1, 2, 3]], dtype=np.int32)
    colors = np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255], [9, 8, 7]], dtype=np.uint8)
    mesh = Mesh(vertices, faces, colors, np.zeros(4, dtype=np.int64))
    assert mesh.volume == pytest.approx(1 / 6)
    save_glb(mesh, tmp_path / "face.glb")
    loaded = trimesh.load(tmp_path / "face.glb", force="mesh", process=False)
    assert loaded.volume == pytest.approx(1 / 6, rel=1e-5)
    assert np.array_equal(np.asarray(loaded.visual.vertex_colors)[:, :3], colors)
    # Three faces at right angles meet in the first corner: −(1, 1, 1) / √3. A loader would make normals up if the file had none.
    assert loaded.vertex_normals[0] == pytest.approx([-((1 / 3) ** 0.5)] * 3, abs=1e-5)
    assert b'"NORMAL"' in (tmp_path / "face.glb").read_bytes()
    assert MARK.encode() in (tmp_path / "face.glb").read_bytes()
    assert [path.name for path in tmp_path.iterdir()] == ["face.glb"]
