"""The bare head: geometry z to skin, eyes, mouth, tongue and teeth as surfaces in world units, with landmarks for what is worn."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from fface_hub.heads.atlas import skin_masks
from fface_hub.heads.controls import Controls, controls
from fface_hub.heads.eyes import Eyeball, eyeball_surface, fit_eyeball
from fface_hub.heads.surface import Surface, smooth_normals
from fface_hub.heads.teeth import JAW_ANGLE, JAW_HINGE, teeth_surfaces
from fface_hub.heads.template import NECK_AXIS, NECK_RINGS, Template, load_template
from fface_hub.layouts import FINE_24

# Chin to crown of a middling head, and where its middle and its eyes come to lie: hair, chin and some neck are inside the frontal picture.
HEAD_HEIGHT = 0.488
HEAD_MIDDLE = 0.008
EYE_DEPTH = 0.245
# How much of a head's own size is kept: big heads would leave the picture.
SIZE_KEPT = 0.3
MEAN_HEIGHT = 0.556
# How far a closed upper lid comes down, in openings of the eye.
LID_OVERLAP = 1.09
# The model's tongue fills the place of the lower teeth.
TONGUE_SHIFT = (0.0, -0.009, -0.027)


@dataclass(frozen=True)
class HeadShape:
    """Surfaces of one head without hair and accessories, and named points `[3]` in world units.

    Landmarks: those of `template.MIDLINE` and `template.PAIRS` (with `_left`/`_right`), `crown`, `occiput`, `ear_top_*`, `ear_lobe_*`,
    `ear_back_*`, `eye_*` (eyeball centres), `pupil_*`, `neck_front`, `neck_back`, `neck_left`, `neck_right` (on the lower rim).
    `neck_ring [L,3]`: the closed loop, in order, around the neck where it leaves the head.
    `scale`: world units of this head per unit of the basis.
    """

    surfaces: list[Surface]
    landmarks: dict[str, np.ndarray]
    neck_ring: np.ndarray
    scale: float
    controls: Controls
    eyes: tuple[Eyeball, Eyeball] = field(repr=False)

    def surface(self, name: str) -> Surface:
        """The surface called `name`: skin, eye_left, eye_right, mouth, tongue, teeth_upper or teeth_lower."""
        return next(item for item in self.surfaces if item.name == name)


def head_shape(geometry_z: np.ndarray) -> HeadShape:
    """The head of `geometry_z [GEOMETRY_SIZE]`. Its place and size do not depend on the expression."""
    template = load_template()
    basis, control = template.basis, controls(geometry_z)
    plain = basis.evaluate(control.phenotypes, control.skull, {})
    calm = basis.evaluate(control.phenotypes, control.changes, {}) + template.sculpt
    moved = basis.evaluate(control.phenotypes, control.changes, _closing_lids(template, calm, control.actions)) + template.sculpt
    eyes = tuple(fit_eyeball(calm[source]) for source in template.eye_source)
    scale, shift = _placement(template, plain)
    calm, moved = calm * scale + shift, moved * scale + shift
    left, right = (Eyeball(eye.center * scale + shift, eye.radius * scale) for eye in eyes)
    landmarks = {name: moved[vertex].copy() for name, vertex in template.landmarks.items()}
    normals = smooth_normals(moved, basis.faces)
    skin = _skin(template, moved, normals, control.brow_border)
    surfaces = [skin]
    for side, eye in (("left", left), ("right", right)):
        surface = eyeball_surface(f"eye_{side}", eye, control.gaze, control.iris, control.pupil)
        surfaces.append(surface)
        landmarks[f"eye_{side}"] = eye.center
        landmarks[f"pupil_{side}"] = eye.center + eye.radius * surface.extra["gaze"]
    surfaces += _mouth(template, moved, normals)
    marks = template.landmarks
    seam = (calm[marks["lip_seam_upper"]] + calm[marks["lip_seam_lower"]]) / 2
    surfaces += teeth_surfaces(seam, scale, np.array(JAW_HINGE, np.float32) * scale + shift, JAW_ANGLE * control.jaw)
    ring = skin.vertices[template.neck_loop]
    ends = {"front": ring[:, 2].argmax(), "back": ring[:, 2].argmin(), "left": ring[:, 0].argmax(), "right": ring[:, 0].argmin()}
    landmarks |= {f"neck_{name}": ring[row].copy() for name, row in ends.items()}
    return HeadShape(surfaces, landmarks, ring, scale, control, (left, right))


def _closing_lids(template: Template, calm: np.ndarray, actions: dict[str, float]) -> dict[str, float]:
    """The actions with blinks scaled so that 1 just closes these lids, however wide the eyes are (the model's own closes middling ones)."""
    fitted, basis = dict(actions), template.basis
    for side, (upper, lower) in template.lid_rims.items():
        name = f"eyeBlink{side}"
        drop = basis.directions[basis.index[name]].reshape(-1, 3)[:, 1]
        fitted[name] *= LID_OVERLAP * float(((calm[upper, 1] - calm[lower, 1]) / (drop[lower] - drop[upper])).max())
    return fitted


def _placement(template: Template, vertices: np.ndarray) -> tuple[float, np.ndarray]:
    """Scale and shift that bring a head of the basis into the world, from its `vertices [V,3]` by phenotypes and skull alone: a longer
    chin then moves nothing but the chin."""
    crown, menton = vertices[template.landmarks["crown"]], vertices[template.landmarks["menton"]]
    height = float(crown[1] - menton[1])
    scale = HEAD_HEIGHT * (height / MEAN_HEIGHT) ** SIZE_KEPT / height
    middle = (crown[1] + menton[1]) / 2
    shift = np.array(
        [0.0, HEAD_MIDDLE - scale * middle, EYE_DEPTH - scale * vertices[np.concatenate(template.eye_source), 2].mean()], np.float32
    )
    return scale, shift


def _skin(template: Template, vertices: np.ndarray, mesh_normals: np.ndarray, brow_border: float) -> Surface:
    """The skin with its neck; normals run smoothly over the texture's seams and into the mouth.

    `extra`: the arrays of `atlas.skin_masks`; `face_fine [T]`: the class of triangles outside the atlas, else −1; `brow_border [1]`."""
    normals = mesh_normals[template.skin_source]
    points = vertices[template.skin_source]
    rim = points[template.neck_loop]
    centre = rim.mean(axis=0)
    rings = []
    for distance, wider, deeper in NECK_RINGS:
        along = centre + distance * np.array(NECK_AXIS)
        flat = (rim - centre) * np.array([wider, max(0.0, 1 - distance / 0.12), deeper])
        rings.append((along + flat).astype(np.float32))
    points = np.concatenate([points, *rings])
    joined = smooth_normals(points, template.skin_faces)
    # Keep the head's own normals except at the rim, where the neck's triangles have to count.
    joined[: len(normals)] = normals
    loop = template.neck_loop
    outward = rim - centre
    outward[:, 1] = 0.0
    joined[loop] = outward / np.linalg.norm(outward, axis=1, keepdims=True)
    face_fine = np.where(template.neck_mask, FINE_24.index("neck"), np.where(template.socket_mask, FINE_24.index("eyelid"), -1))
    extra = {**skin_masks(), "face_fine": face_fine, "brow_border": np.array([brow_border], np.float32)}
    return Surface("skin", points, template.skin_faces, joined, "skin", template.skin_uv, None, extra)


def _mouth(template: Template, moved: np.ndarray, normals: np.ndarray) -> list[Surface]:
    """Cavity and tongue."""
    inside = FINE_24.index("mouth")
    cavity, tongue = template.mouth_source, template.tongue_source
    shifted = moved[tongue] + np.array(TONGUE_SHIFT, np.float32)
    return [
        Surface("mouth", moved[cavity], template.mouth_faces, normals[cavity], "mouth", None, inside),
        Surface("tongue", shifted, template.tongue_faces, normals[tongue], "tongue", None, inside),
    ]
