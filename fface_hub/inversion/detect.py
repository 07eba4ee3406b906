"""Where faces are in a photo: YuNet if its model is in the local Hub cache, else OpenCV's Haar cascades. Both give a square to look at."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from huggingface_hub import try_to_load_from_cache

from fface_hub.inversion.landmarks import FACE_SIDE, FIVE, Square, mean_head
from fface_hub.inversion.pose import place_square, turned_camera

YUNET = ("opencv/face_detection_yunet", "face_detection_yunet_2023mar.onnx")
HAAR, PROFILE = "haarcascade_frontalface_alt2.xml", "haarcascade_profileface.xml"
HAAR_SIDE = 1.43
"""Side of the square that the landmark network looks at, in sides of a Haar box, which holds brows to chin."""
HAAR_LOWER = 0.03
"""How much lower than the box's the middle of the face lies, in sides of the box."""
SURE = 0.4
"""Textures now and then pass for a face, with less support than this share of the surest one's."""


@dataclass(frozen=True)
class Detection:
    """One face: the `square` to look for landmarks in, and the detector's own `points [5,2]` (pupils, nose tip, mouth corners, from the
    image's left; photo pixels), or None if it gives none."""

    square: Square
    points: np.ndarray | None = None


def yunet_model() -> Path | None:
    """The file of YuNet (`hf download opencv/face_detection_yunet`), or None if it was not downloaded."""
    path = try_to_load_from_cache(*YUNET)
    return Path(path) if isinstance(path, str) else None


def yunet(pixels: np.ndarray, model: Path) -> list[Detection]:
    """Faces in `pixels` (RGB, uint8 `[H,W,3]`) by YuNet, largest first."""
    detector = cv2.FaceDetectorYN.create(str(model), "", (pixels.shape[1], pixels.shape[0]), score_threshold=0.7)
    _, rows = detector.detect(cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR))
    return _largest_first([] if rows is None else [from_yunet(row) for row in rows])


def from_yunet(row: np.ndarray) -> Detection:
    """One face from a YuNet row of 15 numbers: box (4), right eye, left eye, nose tip, right and left corner of the mouth (2 each), score.

    The person's right eye comes first: it is the one on the image's left.
    """
    points = row[4:14].reshape(5, 2).astype(np.float64)
    _, _, side = place_square(points, mean_head()[:FIVE], turned_camera(0, 0, 0))
    # A head turned to the side shows its points closer together than the frontal one; then the box knows its size better.
    middle = points.mean(axis=0)
    return Detection(Square((float(middle[0]), float(middle[1])), max(FACE_SIDE * side, 1.1 * float(row[3]))), points)


def haar(pixels: np.ndarray) -> list[Detection]:
    """Frontal faces in `pixels` (RGB, uint8 `[H,W,3]`) by a Haar cascade, largest first."""
    grey = _grey(pixels)
    boxes, _, scores = _cascade(HAAR).detectMultiScale3(grey, 1.05, 5, minSize=_smallest(grey), outputRejectLevels=True)
    if len(boxes) == 0:
        return []
    sure = np.asarray(scores).reshape(-1) >= SURE * np.max(scores)
    return _largest_first([_from_haar(box) for box in np.asarray(boxes)[sure]])


def is_profile(pixels: np.ndarray) -> bool:
    """Whether the Haar cascade for faces seen from the side finds one, turned either way."""
    grey = _grey(pixels)
    cascade = _cascade(PROFILE)
    return any(len(cascade.detectMultiScale(picture, 1.05, 6, minSize=_smallest(grey))) > 0 for picture in (grey, cv2.flip(grey, 1)))


def _from_haar(box: np.ndarray) -> Detection:
    left, top, side = (float(value) for value in box[:3])
    return Detection(Square((left + side / 2, top + (0.5 + HAAR_LOWER) * side), HAAR_SIDE * side))


def _largest_first(found: list[Detection]) -> list[Detection]:
    return sorted(found, key=lambda face: -face.square.side)


def _grey(pixels: np.ndarray) -> np.ndarray:
    return cv2.equalizeHist(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY))


def _smallest(grey: np.ndarray) -> tuple[int, int]:
    side = max(24, min(grey.shape) // 16)
    return side, side


def _cascade(name: str) -> cv2.CascadeClassifier:
    return cv2.CascadeClassifier(str(Path(cv2.__file__).parent / "data" / name))
