"""From a photograph to the framing that the generators know: find the face, cut a square around it, guess the camera.

Framing: the default camera sees about 27 cm across, with the eyes of an average head at `EYES` of the picture. The crop is axis-parallel;
a tilted head becomes a rolled camera. The inversion refines whatever is guessed here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from huggingface_hub import try_to_load_from_cache
from PIL import Image
from torch import Tensor

from fface_hub.cameras import PIVOT, Camera, look_at
from fface_hub.errors import FaceNotFoundError

YUNET = ("opencv/face_detection_yunet", "face_detection_yunet_2023mar.onnx")
HAAR = "haarcascade_frontalface_alt2.xml"
DETECTION_SIDE = 1024
"""Faces are looked for in the photo shrunk to this longest side: larger ones only take longer."""
SMALLEST_EYE_DISTANCE = 10.0
"""In pixels of the photo. Below it a crop has less detail than the 64 rays across that an inversion looks at."""

EYES = (0.5, 0.46)
"""Where the middle between the eyes lies in the default camera's picture of an average head (x right, y down, shares of the side)."""
EYE_DISTANCE = 0.236
"""Distance between the pupils in that picture."""
# A Haar box holds brows to chin; over frontal faces the pupils lie here in it (shares of its side).
HAAR_EYES = (0.5, 0.38)
HAAR_EYE_DISTANCE = 0.44

# The middle of an average rendered head, (y up, z ahead) from the middle between the pupils, in halves of the pupil distance.
NOSE_TIP = (-1.37, 0.90)
MOUTH = (-2.37, -0.03)


@dataclass(frozen=True)
class Box:
    """A square of a photo in pixels, from the left top corner; it may reach beyond the photo."""

    left: int
    top: int
    size: int


@dataclass(frozen=True)
class FaceCrop:
    """Where the face is and how it is turned: `box` to cut; `eyes`, both pupils `(x, y)` in photo pixels, image-left first; the camera's
    `yaw`, `pitch`, `roll` in degrees; `detector` "yunet" or "haar"; `faces`, how many were found; `note`, what the user should know."""

    box: Box
    eyes: tuple[tuple[float, float], tuple[float, float]]
    yaw: float
    pitch: float
    roll: float
    detector: str
    faces: int
    note: str

    @property
    def camera(self) -> Camera:
        """The guessed camera, a batch of one."""
        return roll_camera(look_at(self.yaw, self.pitch), torch.tensor([self.roll]))


@dataclass(frozen=True)
class _Found:
    """One detected face: its width in pixels, pupils (image-left first), and nose tip and mouth middle where the detector gives them."""

    width: float
    eyes: np.ndarray
    nose: np.ndarray | None = None
    mouth: np.ndarray | None = None


def find_face(image: Image.Image) -> FaceCrop:
    """The largest face in an upright RGB `image`.

    YuNet is used if its model is in the local Hub cache (`hf download opencv/face_detection_yunet`); else OpenCV's Haar cascades, which
    find frontal faces only and give no turn of the head; `detector` and `note` say which it was. Raises `FaceNotFoundError`.
    """
    scale = min(1.0, DETECTION_SIDE / max(image.size))
    small = image.resize((max(1, round(image.width * scale)), max(1, round(image.height * scale))), Image.Resampling.BOX)
    pixels = np.asarray(small.convert("RGB"))
    model = try_to_load_from_cache(*YUNET)
    detector = "yunet" if isinstance(model, str) else "haar"
    faces = _yunet(pixels, Path(model)) if isinstance(model, str) else _haar(pixels)
    if not faces:
        raise FaceNotFoundError("No face was found: use a photo in which one face looks at the camera, upright, well lit and not covered.")
    face = max(faces, key=lambda found: found.width)
    eyes = face.eyes / scale
    distance = float(np.linalg.norm(eyes[1] - eyes[0]))
    if distance < SMALLEST_EYE_DISTANCE:
        raise FaceNotFoundError("The face in this photo is too small: use a larger picture, or one taken from closer.")
    yaw, pitch, roll = _turn(face)
    note = "" if len(faces) == 1 else f"{len(faces)} faces were found and the largest is used: crop the photo to choose another. "
    if detector == "haar":
        note += "The face was found by the simple fallback detector, which cannot tell how the head is turned."
    points = tuple((float(x), float(y)) for x, y in eyes)
    box = frame(eyes, yaw)
    return FaceCrop(box, (points[0], points[1]), yaw, pitch, roll, detector, len(faces), note.strip())


def frame(eyes: np.ndarray, yaw: float = 0.0) -> Box:
    """The square in which pupils `eyes [2,2]` (photo pixels) lie where the default camera shows those of an average head.

    A head turned by `yaw` degrees shows its eyes closer together by the cosine, which the size makes up for.
    """
    distance = float(np.linalg.norm(eyes[1] - eyes[0])) / max(math.cos(math.radians(yaw)), 0.5)
    size = round(distance / EYE_DISTANCE)
    middle = eyes.mean(axis=0)
    return Box(round(middle[0] - EYES[0] * size), round(middle[1] - EYES[1] * size), size)


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


def roll_camera(camera: Camera, roll: Tensor) -> Camera:
    """`camera` turned about its view axis by `roll [B]` degrees: what it sees turns anticlockwise in the picture as `roll` grows."""
    turn = torch.eye(4, dtype=camera.cam2world.dtype, device=camera.cam2world.device).repeat(len(roll), 1, 1)
    turn[:, :3, :3] = _rotation(torch.deg2rad(roll), axis=2)
    return Camera(camera.cam2world @ turn, camera.intrinsics)


def adjust_camera(camera: Camera, change: Tensor) -> Camera:
    """`camera` (batch 1) moved by `change [6]`, differentiably: yaw, pitch and roll in degrees, log of the focal length's factor, and
    shift of the picture to the right and down in shares of its side.

    Yaw and pitch go around `cameras.PIVOT`, yaw about the world's y axis and pitch about the camera's own x axis.
    """
    angles = torch.deg2rad(change[:3])
    rolled = roll_camera(camera, change[2:3]).cam2world
    axes = camera.cam2world[0, :3, :3]
    # About the camera's x axis (right) a positive angle carries what is behind the view axis down, so a camera that rises turns negatively.
    around = _rotation(angles[:1], axis=1)[0] @ axes @ _rotation(-angles[1:2], axis=0)[0] @ axes.T
    pivot = around.new_tensor(PIVOT)
    position = around @ (camera.cam2world[0, :3, 3] - pivot) + pivot
    moved = torch.cat([torch.cat([around @ rolled[0, :3, :3], position[:, None]], dim=1), rolled[0, 3:]], dim=0)
    scale = torch.cat([change[3:4].exp().expand(2), torch.ones_like(change[:1])])
    shift = torch.nn.functional.pad(change[4:6, None], (2, 0, 0, 1))
    focal = camera.intrinsics[0] * torch.stack([scale, scale, torch.ones_like(scale)], dim=1)
    return Camera(moved[None], (focal + shift)[None])


def _rotation(angle: Tensor, axis: int) -> Tensor:
    """Right-handed rotations `[B,3,3]` by `angle [B]` (radians) about coordinate `axis` (0 x, 1 y, 2 z)."""
    first, second = (axis + 1) % 3, (axis + 2) % 3
    matrix = torch.zeros(len(angle), 3, 3, dtype=angle.dtype, device=angle.device)
    matrix[:, axis, axis] = 1
    matrix[:, first, first] = matrix[:, second, second] = angle.cos()
    matrix[:, first, second], matrix[:, second, first] = -angle.sin(), angle.sin()
    return matrix


def _turn(face: _Found) -> tuple[float, float, float]:
    """Camera yaw, pitch and roll in degrees; without nose and mouth (0, 0) and the slope of the eye line.

    With them the four points of an average head are laid onto the found ones by the best affine map (weak perspective). Its two rows, made
    orthonormal, are the camera's right and down axes in the head's own.
    """
    along = face.eyes[1] - face.eyes[0]
    if face.nose is None or face.mouth is None:
        return 0.0, 0.0, -math.degrees(math.atan2(along[1], along[0]))
    head = np.array([[-1.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.0, *NOSE_TIP], [0.0, *MOUTH]])
    seen = np.stack([*face.eyes, face.nose, face.mouth])
    affine = np.linalg.lstsq(head - head.mean(axis=0), seen - seen.mean(axis=0), rcond=None)[0].T
    left, _, right_hand = np.linalg.svd(affine, full_matrices=False)
    right, down = left @ right_hand
    forward = np.cross(right, down)
    yaw, pitch = math.atan2(-forward[0], -forward[2]), math.asin(float(np.clip(-forward[1], -1, 1)))
    level = np.array([math.cos(yaw), 0.0, -math.sin(yaw)])
    roll = math.atan2(right @ np.cross(forward, level), right @ level)
    return float(np.clip(math.degrees(yaw), -45, 45)), float(np.clip(math.degrees(pitch), -25, 25)), math.degrees(roll)


def _yunet(pixels: np.ndarray, model: Path) -> list[_Found]:
    """Faces by YuNet, whose rows are box (4), right eye, left eye, nose tip, mouth corners (2 each) and score."""
    detector = cv2.FaceDetectorYN.create(str(model), "", (pixels.shape[1], pixels.shape[0]), score_threshold=0.7)
    _, rows = detector.detect(cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR))
    return [] if rows is None else [_from_yunet(row) for row in rows]


def _from_yunet(row: np.ndarray) -> _Found:
    """One face from a YuNet row of 15 numbers. The person's right eye comes first: it is the one on the image's left."""
    points = row[4:14].reshape(5, 2).astype(np.float64)
    return _Found(float(row[2]), points[:2], points[2], points[3:5].mean(axis=0))


def _haar(pixels: np.ndarray) -> list[_Found]:
    """Frontal faces by Haar cascades: boxes, then eyes in them where two plausible ones are found."""
    grey = cv2.equalizeHist(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY))
    smallest = max(24, min(grey.shape) // 16)
    boxes, _, scores = _cascade(HAAR).detectMultiScale3(grey, 1.05, 5, minSize=(smallest, smallest), outputRejectLevels=True)
    if len(boxes) == 0:
        return []
    # Textures now and then pass for a face, with far less support than a face has.
    sure = np.asarray(scores).reshape(-1) >= 0.4 * np.max(scores)
    return [_Found(float(box[2]), _haar_eyes(grey, box)) for box in np.asarray(boxes)[sure]]


def _haar_eyes(grey: np.ndarray, box: np.ndarray) -> np.ndarray:
    """Pupils `[2,2]` in a Haar face box: detected ones if they lie near where pupils are in such a box, else those places themselves."""
    left, top, side = (int(value) for value in box[:3])
    usual = np.array([[HAAR_EYES[0] + sign * HAAR_EYE_DISTANCE / 2, HAAR_EYES[1]] for sign in (-1, 1)]) * side + (left, top)
    half = side // 2
    pupils = []
    for index, start in enumerate((left, left + half)):
        part = grey[top + side // 8 : top + half + side // 8, start : start + half]
        found = _cascade("haarcascade_eye.xml").detectMultiScale(part, 1.05, 4, minSize=(side // 8, side // 8))
        centres = [np.array([start + x + w / 2, top + side // 8 + y + h / 2]) for x, y, w, h in found]
        near = [centre for centre in centres if np.linalg.norm(centre - usual[index]) < 0.12 * side]
        if not near:
            return usual
        pupils.append(min(near, key=lambda centre, place=usual[index]: float(np.linalg.norm(centre - place))))
    return np.stack(pupils)


def _cascade(name: str) -> cv2.CascadeClassifier:
    return cv2.CascadeClassifier(str(Path(cv2.__file__).parent / "data" / name))
