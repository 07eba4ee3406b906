"""The label atlas: the classes of `regions.py` painted into the skin's texture, and the fast lookup of a hit's class."""

from __future__ import annotations

import functools
import hashlib
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file
from scipy.ndimage import map_coordinates
from scipy.spatial import KDTree

from fface_hub.heads.basis import BASIS_VERSION, MASK_WINDOW, Basis, cache_folder, write_atomically
from fface_hub.heads.regions import BROW, EYELID, ID, LIPS, classify, outline_field, soft_masks
from fface_hub.heads.surface import Surface
from fface_hub.heads.template import Template, load_template

SIZE = 2048
FIELDS = ("brow", "lips", "lids")
FIELD_SCALE = 3000.0


@dataclass(frozen=True)
class Atlas:
    """`labels [SIZE,SIZE]` uint8 and `fields [SIZE,SIZE,3]` uint8: row = v · SIZE, column = u · SIZE.

    A field is a signed distance to the border of brow, lips or lids, positive inside, stored as 128 + distance · 3000 (basis units).
    """

    labels: np.ndarray
    fields: np.ndarray


def fine_labels(surface: Surface, triangles: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Classes of FINE_24, int64 `[R]`, of points on `surface`: triangle indices `[R]` and barycentric weights `[R,3]` of its corners."""
    if surface.fine is not None:
        return np.full(len(triangles), surface.fine, dtype=np.int64)
    if surface.material == "eye":
        return _eye_labels(surface, triangles, weights)
    atlas = load_atlas()
    row, column = _texels(surface, triangles, weights)
    labels = atlas.labels[row, column].astype(np.int64)
    # The atlas draws a middling brow; this head's may be thicker or thinner.
    threshold = 128 + FIELD_SCALE * float(surface.extra["brow_border"][0])
    brow = atlas.fields[row, column, 0] > threshold
    labels = np.where(brow & (labels == ID["skin"]), ID["brow"], np.where(~brow & (labels == ID["brow"]), ID["skin"], labels))
    fixed = surface.extra["face_fine"][triangles]
    return np.where(fixed >= 0, fixed, labels)


def border_fields(surface: Surface, triangles: np.ndarray, weights: np.ndarray) -> dict[str, np.ndarray]:
    """Signed distances `[R]` (basis units, within ±0.042, positive inside) to the borders of `brow`, `lips` and `lids` for soft colours.

    The brow's already counts the head's own thickness.
    """
    row, column = _texels(surface, triangles, weights)
    values = (load_atlas().fields[row, column].astype(np.float32) - 128) / FIELD_SCALE
    values[surface.extra["face_fine"][triangles] >= 0] = -0.042
    values[:, 0] -= surface.extra["brow_border"][0]
    return {name: values[:, index] for index, name in enumerate(FIELDS)}


def _texels(surface: Surface, triangles: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    if surface.uv is None:
        raise ValueError(f"the surface '{surface.name}' has no texture coordinates")
    uv = (surface.uv[surface.faces[triangles]] * weights[:, :, None]).sum(axis=1)
    cell = np.clip((uv * SIZE).astype(np.int64), 0, SIZE - 1)
    return cell[:, 1], cell[:, 0]


def _eye_labels(surface: Surface, triangles: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Pupil, iris or white by the angle from the gaze axis."""
    points = (surface.vertices[surface.faces[triangles]] * weights[:, :, None]).sum(axis=1) - surface.extra["center"]
    cosine = points @ surface.extra["gaze"] / np.maximum(np.linalg.norm(points, axis=1), 1e-9)
    iris, pupil = np.cos(np.radians(surface.extra["radii"]))
    return np.where(cosine > pupil, ID["pupil"], np.where(cosine > iris, ID["iris"], ID["eye"]))


@functools.lru_cache(maxsize=1)
def load_atlas() -> Atlas:
    """The atlas from the cache folder; painted there (some seconds) when the drawing or the basis is new."""
    drawn = b"".join(Path(__file__).with_name(name).read_bytes() for name in ("atlas.py", "regions.py", "template.py"))
    key = hashlib.sha256(BASIS_VERSION.encode() + drawn).hexdigest()[:12]
    path = cache_folder() / f"heads-atlas-{key}.safetensors"
    try:
        stored = load_file(path)
        return Atlas(stored["labels"], stored["fields"])
    except (OSError, KeyError, SafetensorError):
        atlas = paint_atlas()
        write_atomically(path, {"labels": atlas.labels, "fields": atlas.fields}, {})
        return atlas


def paint_atlas() -> Atlas:
    """Classify every texel of the skin by its place on the mean head."""
    template = load_template()
    basis = template.basis
    count = template.skin_count
    points = basis.mean[template.skin_source]
    ears = ear_mask(template)
    inside = ~(template.neck_mask | template.socket_mask)
    texel, values = rasterise(template.skin_faces[inside], template.skin_uv[:count], np.concatenate([points, ears[:, None]], axis=1))
    points, ears = values[:, :3], values[:, 3]
    fields = {
        "brow": outline_field(points, BROW, 0.0),
        "lips": outline_field(points, LIPS, 0.05),
        "lids": outline_field(points, EYELID, 0.0),
    }
    labels = np.full(SIZE * SIZE, ID["skin"], np.uint8)
    labels[texel] = classify(points, ears, fields)
    stored = np.zeros((SIZE * SIZE, len(FIELDS)), np.uint8)
    for index, name in enumerate(FIELDS):
        stored[texel, index] = np.clip(np.round(128 + FIELD_SCALE * fields[name]), 0, 255)
    return Atlas(labels.reshape(SIZE, SIZE), stored.reshape(SIZE, SIZE, -1))


@functools.lru_cache(maxsize=1)
def skin_masks() -> dict[str, np.ndarray]:
    """Per-vertex arrays of the skin surface that all heads share: `template [V,3]` (its place on the mean head, basis units) and the
    weights of `regions.soft_masks` and `ears`, `[V]`; on the neck below the head they end smoothly at 0."""
    template = load_template()
    points = template.basis.mean[template.skin_source]
    below = len(template.skin_uv) - template.skin_count
    masks = soft_masks(points) | {"ears": ear_mask(template).astype(np.float32)}
    full = {name: np.concatenate([value, np.full(below, -1.0 if name == "scalp" else 0.0, np.float32)]) for name, value in masks.items()}
    rim = points[template.neck_loop]
    repeated = np.concatenate([rim] * (below // len(rim))) - np.repeat(np.arange(1, below // len(rim) + 1), len(rim))[:, None] * [
        0,
        0.05,
        0,
    ]
    return full | {"template": np.concatenate([points, repeated]).astype(np.float32)}


def ear_mask(template: Template) -> np.ndarray:
    """The model's painted ear mask at each split vertex `[S]` in [0, 1], made symmetric."""
    basis = template.basis
    per_vertex = np.zeros(len(basis.mean))
    head = (basis.part[basis.faces] == 0).all(axis=1)
    per_vertex[basis.faces[head].reshape(-1)] = sample_mask(basis, "ears", basis.corner_uv[head].reshape(-1, 2))
    points = basis.mean[template.skin_source]
    own = per_vertex[template.skin_source]
    return np.maximum(own, own[mirror(points)])


def mirror(points: np.ndarray) -> np.ndarray:
    """For each point `[P,3]` the index of the one that mirrors it (x → −x) best."""
    return np.asarray(KDTree(points).query(points * np.array([-1, 1, 1], points.dtype))[1])


def sample_mask(basis: Basis, name: str, uv: np.ndarray) -> np.ndarray:
    """A painted mask at Anny's texture coordinates `[P,2]`, bilinear, in [0, 1]; 0 outside its window."""
    picture = basis.masks[name] / 255.0
    left, bottom, right, top = MASK_WINDOW
    x = (uv[:, 0] - left) / (right - left) * picture.shape[1] - 0.5
    y = (top - uv[:, 1]) / (top - bottom) * picture.shape[0] - 0.5
    return map_coordinates(picture, [y, x], order=1, cval=0.0)


def rasterise(faces: np.ndarray, uv: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Texels a mesh covers in the atlas: flat indices `[P]`, and the per-vertex `values [V,C]` interpolated there `[P,C]`.

    Two texels beyond the mesh are covered too, so that lookups at a seam find their class.
    """
    owner = np.zeros((SIZE, SIZE), np.float32)  # triangle index + 1; exact, for there are fewer than 2^24
    fixed = np.round((uv[faces] * SIZE - 0.5) * 256).astype(np.int32)
    for index, corners in enumerate(fixed):
        cv2.fillConvexPoly(owner, corners, float(index + 1), shift=8)
    grown = cv2.dilate(owner, np.ones((5, 5), np.uint8))
    owner = np.where(owner > 0, owner, grown).reshape(-1).astype(np.int64) - 1
    texel = np.flatnonzero(owner >= 0)
    corners = (uv[faces] * SIZE).astype(np.float64)[owner[texel]]
    first, second = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    area = first[:, 0] * second[:, 1] - first[:, 1] * second[:, 0]
    area = np.where(np.abs(area) < 1e-9, 1e-9, area)
    x, y = texel % SIZE + 0.5 - corners[:, 0, 0], texel // SIZE + 0.5 - corners[:, 0, 1]
    b = np.clip((x * second[:, 1] - y * second[:, 0]) / area, 0, 1)
    c = np.clip((first[:, 0] * y - first[:, 1] * x) / area, 0, 1 - b)
    weights = np.stack([1 - b - c, b, c], axis=1)
    return texel, np.einsum("pk,pkc->pc", weights, values[faces[owner[texel]]])
