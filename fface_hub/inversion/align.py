"""From a photograph to the framing that a generator knows: find the face, cut a square around it, and tell from where it is seen.

The square is the one in which the face's five points (pupils, nose tip, corners of the mouth) lie best where the generator's default
camera, turned to the same side, sees those of the mean head. It stays upright; a tilted head becomes a rolled camera. For EG3D's models
this is EG3D's own crop (facts 3.9); the usual FFHQ crop is not. The inversion refines the camera from there.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from fface_hub.cameras import PIVOT, Camera
from fface_hub.errors import FaceNotFoundError, ImageError
from fface_hub.inversion.detect import Detection, haar, is_profile, yunet, yunet_model
from fface_hub.inversion.landmarks import FIVE, METRES_PER_UNIT, LandmarkNet, Square, look, mean_head
from fface_hub.inversion.pose import HeadFit, axis_rotation, fit_head, roll_camera, turned_camera

DETECTION_SIDE = 1024
"""Faces are looked for in the photo shrunk to this longest side: larger ones only take longer."""
SMALLEST_BOX = 80
"""In pixels of the photo: a crop must hold more than the 64 rays across that an inversion looks at. Then a face from brows to chin is
about 42 pixels wide."""
FARTHEST_YAW = 60.0
"""In degrees. Beyond it half of the face is not in the picture, and no generator has seen such faces."""
SMALLER, LARGER = 0.6, 1.7
"""How much smaller and larger than the square that was found another one may be; its middle must lie in the found one."""
AS_LARGE = 0.8
"""A second face of this share of the largest one's size makes it unclear which is meant."""


@dataclass(frozen=True)
class Box:
    """A square of a photo in pixels, from the left top corner; it may reach beyond the photo."""

    left: int
    top: int
    size: int


@dataclass(frozen=True)
class FaceCrop:
    """Where the face is and how it is turned: `box` to cut; `eyes`, both pupils `(x, y)` in photo pixels, image-left first; the camera's
    `yaw`, `pitch`, `roll` in degrees; `detector` "yunet" or "haar"; `faces`, how many were found; `note`, what the user should know;
    `points`, all five (pupils, nose tip, corners of the mouth); `fitted`, if somebody has chosen another square to cut, the one that was
    found."""

    box: Box
    eyes: tuple[tuple[float, float], tuple[float, float]]
    yaw: float
    pitch: float
    roll: float
    detector: str
    faces: int
    note: str
    points: tuple[tuple[float, float], ...] = ()
    fitted: Box | None = None

    @property
    def camera(self) -> Camera:
        """The guessed camera, a batch of one. It sees the head where the photo shows it, in whatever square."""
        camera = turned_camera(self.yaw, self.pitch, self.roll)
        if self.fitted is None:
            return camera
        # A place u in the square that was found is u · scale + shift in the one that is cut.
        scale = self.fitted.size / self.box.size
        shift = [(self.fitted.left - self.box.left) / self.box.size, (self.fitted.top - self.box.top) / self.box.size]
        change = torch.tensor([[scale, 0.0, shift[0]], [0.0, scale, shift[1]], [0.0, 0.0, 1.0]])
        return Camera(camera.cam2world, change @ camera.intrinsics)

    @property
    def sizes(self) -> tuple[int, int]:
        """The smallest and the largest square that may be cut, in pixels."""
        found = self.fitted or self.box
        return max(SMALLEST_BOX, round(SMALLER * found.size)), round(LARGER * found.size)

    def within(self, box: Box) -> FaceCrop:
        """The same face with another square to cut. `ImageError` for one that is far from the face, much smaller or much larger."""
        found = self.fitted or self.box
        middle = (box.left + box.size / 2 - found.left, box.top + box.size / 2 - found.top)
        smallest, largest = self.sizes
        if not smallest <= box.size <= largest or not all(0 <= place <= found.size for place in middle):
            raise ImageError("This square does not hold the face that was found in the photo: move it back, or make it larger or smaller.")
        return replace(self, box=box, fitted=found)


def find_face(image: Image.Image, metres_per_unit: float = METRES_PER_UNIT) -> FaceCrop:
    """The largest face in an upright RGB `image`, framed for generators whose world's unit has that many metres (`unit_of`).

    YuNet and its five points are used if its model is in the local Hub cache (`hf download opencv/face_detection_yunet`); else OpenCV's
    Haar cascade, which finds frontal faces only, and the points of our landmark network. That network also tells how the head is turned.
    Raises `FaceNotFoundError`: no face, two of one size, one that is too small or turned too far.
    """
    scale = min(1.0, DETECTION_SIDE / max(image.size))
    small = image.resize((max(1, round(image.width * scale)), max(1, round(image.height * scale))), Image.Resampling.BOX)
    shrunk, pixels = np.asarray(small.convert("RGB")), np.asarray(image.convert("RGB"))
    model = yunet_model()
    faces = haar(shrunk) if model is None else yunet(shrunk, model)
    _check_faces(faces, shrunk)
    points, fit = locate_head(pixels, _enlarged(faces[0], 1 / scale), metres_per_unit)
    if abs(fit.yaw) > FARTHEST_YAW:
        raise FaceNotFoundError(_side_view(f" (about {abs(fit.yaw):.0f}°)"))
    box = Box(round(fit.left), round(fit.top), round(fit.side))
    if box.size < SMALLEST_BOX:
        raise FaceNotFoundError(
            f"The face in this photo is too small: the head takes {box.size} pixels, and {SMALLEST_BOX} are needed. Use a larger picture, "
            "or one taken from closer."
        )
    note = "" if len(faces) == 1 else f"{len(faces)} faces were found and the largest is used: crop the photo to choose another. "
    if model is None:
        note += "The face was found by the simple fallback detector, which knows faces seen from the front only."
    five = tuple((float(x), float(y)) for x, y in points)
    return FaceCrop(
        box, (five[0], five[1]), fit.yaw, fit.pitch, fit.roll, "haar" if model is None else "yunet", len(faces), note.strip(), five
    )


def locate_head(
    pixels: np.ndarray, face: Detection, metres_per_unit: float = METRES_PER_UNIT, network: LandmarkNet | None = None
) -> tuple[np.ndarray, HeadFit]:
    """The five points `[5,2]` of a detected `face` in a photo (`pixels`, RGB uint8 `[H,W,3]`), and the camera and square that fit them.
    `network` replaces the bundled one."""
    seen = look(pixels, face.square, network)
    points = seen.points if face.points is None else np.concatenate([face.points, seen.points[FIVE:]])
    return points[:FIVE], fit_head(points, mean_head(metres_per_unit), seen.angles, FIVE)


def unit_of(generator: object) -> float:
    """Metres of one unit of a generator's world, as its config says; that of the rendered heads for one that does not say."""
    return float(getattr(generator, "config", {}).get("metres_per_unit", METRES_PER_UNIT))


def _check_faces(faces: list[Detection], pixels: np.ndarray) -> None:
    """`FaceNotFoundError` if none was found, or several so large that it is not clear which is meant."""
    if not faces and is_profile(pixels):
        raise FaceNotFoundError(_side_view(""))
    if not faces:
        raise FaceNotFoundError("No face was found: use a photo in which one face looks at the camera, upright, well lit and not covered.")
    rivals = sum(face.square.side > AS_LARGE * faces[0].square.side for face in faces)
    if rivals > 1:
        raise FaceNotFoundError(
            f"{rivals} faces of about the same size were found: crop the photo so that the one you mean is the largest."
        )


def _side_view(angle: str) -> str:
    limit = f"{FARTHEST_YAW:.0f}°"
    return f"The face is turned too far to the side{angle}: use a photo in which both eyes are seen, turned by at most {limit}."


def _enlarged(face: Detection, factor: float) -> Detection:
    """The same face in a photo `factor` times as large."""
    x, y = face.square.middle
    square = Square((x * factor, y * factor), face.square.side * factor, face.square.tilt)
    return Detection(square, None if face.points is None else face.points * factor)


def crop(image: Image.Image, box: Box, resolution: int = 256) -> Image.Image:
    """The `box` of an `image` at `resolution`² pixels; beyond the photo its border pixels are repeated."""
    # A large photo is shrunk first: padding one of fifty million pixels at full size would take a gigabyte.
    factor = max(1, box.size // (4 * resolution))
    if factor > 1:
        image = image.convert("RGB").reduce(factor)
        box = Box(round(box.left / factor), round(box.top / factor), round(box.size / factor))
    pixels = np.asarray(image.convert("RGB"))
    height, width = pixels.shape[:2]
    # At least one row and column of the photo stays inside, so that there is a border to repeat.
    left, right = np.clip([box.left, box.left + box.size], [0, 1], [width - 1, width])
    top, bottom = np.clip([box.top, box.top + box.size], [0, 1], [height - 1, height])
    beyond = [(top - box.top, box.top + box.size - bottom), (left - box.left, box.left + box.size - right), (0, 0)]
    square = np.pad(pixels[top:bottom, left:right], np.maximum(beyond, 0), mode="edge")
    return Image.fromarray(square).resize((resolution, resolution), Image.Resampling.LANCZOS)


def adjust_camera(camera: Camera, change: Tensor) -> Camera:
    """`camera` (batch 1) moved by `change [6]`, differentiably: yaw, pitch and roll in degrees, log of the focal length's factor, and
    shift of the picture to the right and down in shares of its side.

    Yaw and pitch go around `cameras.PIVOT`, yaw about the world's y axis and pitch about the camera's own x axis.
    """
    angles = torch.deg2rad(change[:3])
    rolled = roll_camera(camera, change[2:3]).cam2world
    axes = camera.cam2world[0, :3, :3]
    # About the camera's x axis (right) a positive angle carries what is behind the view axis down, so a camera that rises turns negatively.
    around = axis_rotation(angles[:1], axis=1)[0] @ axes @ axis_rotation(-angles[1:2], axis=0)[0] @ axes.T
    pivot = around.new_tensor(PIVOT)
    position = around @ (camera.cam2world[0, :3, 3] - pivot) + pivot
    moved = torch.cat([torch.cat([around @ rolled[0, :3, :3], position[:, None]], dim=1), rolled[0, 3:]], dim=0)
    scale = torch.cat([change[3:4].exp().expand(2), torch.ones_like(change[:1])])
    shift = torch.nn.functional.pad(change[4:6, None], (2, 0, 0, 1))
    focal = camera.intrinsics[0] * torch.stack([scale, scale, torch.ones_like(scale)], dim=1)
    return Camera(moved[None], (focal + shift)[None])
