"""Named edits: moves of geometry z that change one trait of a head and stay inside the range the generator is trained on.

They give the true edited picture, labels and depth from any camera.
"""

from __future__ import annotations

from dataclasses import dataclass

from fface_hub.errors import FFaceError
from fface_hub.heads.head import Head

REACH = 2.3
"""No dimension is moved beyond ±2.3 standard deviations; a head that is already further out stays where it is."""


@dataclass(frozen=True)
class NamedEdit:
    """`moves`: dimension of geometry z → shift at amount 1 (for `switch` edits: → value at amount 1, its negative at −1).

    `classes` are the classes of FINE_24 that the edit is about; `opposite` says what a negative amount does, for people.
    """

    label: str
    opposite: str
    moves: dict[str, float]
    classes: tuple[str, ...]
    switch: bool = False


def _edit(label: str, opposite: str, classes: str, switch: bool = False, **moves: float) -> NamedEdit:
    return NamedEdit(label, opposite, moves, tuple(classes.split(", ")), switch)


NAMED_EDITS: dict[str, NamedEdit] = {
    "nasal_wing_width": _edit("wider nasal wings", "narrower nasal wings", "ala, nostril, nose", nasal_wings=1.8),
    "nose_length": _edit("longer nose", "shorter nose", "nose, nose tip, ala, nostril", nose_length=1.8),
    "nose_width": _edit("wider nose", "narrower nose", "nose, nose tip, ala", nose_width=1.8),
    "nose_hump": _edit("nose with a hump", "hollow bridge", "nose, nose tip", nose_hump=1.8),
    "nose_tip": _edit("tip of the nose up", "tip of the nose down", "nose tip, nose, nostril, ala", nose_tip_height=1.8),
    "nose_tip_size": _edit("broader tip of the nose", "finer tip of the nose", "nose tip, nose, ala", nose_tip_size=1.8),
    "eye_size": _edit("larger eyes", "smaller eyes", "eye, iris, pupil, eyelid", eye_size=1.8),
    "eye_distance": _edit("eyes further apart", "eyes closer together", "eye, iris, pupil, eyelid", eye_distance=1.8),
    "eye_slant": _edit("outer corners of the eyes up", "outer corners of the eyes down", "eye, eyelid, iris", eye_slant=1.8),
    "eye_closed": _edit("eyes closed", "eyes wide open", "eye, iris, pupil, eyelid", blink=2.3),
    "eyelid_fold": _edit("higher fold of the lids", "lower fold of the lids", "eyelid, eye", eyelid_fold=1.8),
    "pupil_size": _edit("larger pupils", "smaller pupils", "pupil, iris", pupil_size=1.8),
    "gaze": _edit("look to the person's left", "look to the person's right", "iris, pupil, eye", gaze_x=1.8),
    "gaze_up": _edit("look up", "look down", "iris, pupil, eye, eyelid", gaze_y=1.8),
    "brow_height": _edit("higher brows", "lower brows", "brow, eyelid", brow_height=1.8),
    "brow_angle": _edit("brows rising outwards", "brows falling outwards", "brow", brow_angle=1.8),
    "brow_thickness": _edit("thicker brows", "thinner brows", "brow", brow_thickness=1.8),
    "lip_volume": _edit("fuller lips", "thinner lips", "lips, mouth", lip_upper=1.8, lip_lower=1.8),
    "mouth_width": _edit("wider mouth", "narrower mouth", "lips, mouth, jaw", mouth_width=1.8),
    "mouth_open": _edit("open mouth", "closed mouth", "mouth, teeth, lips, chin, jaw", jaw_open=2.2),
    "smile": _edit("smile", "frown", "lips, mouth, teeth, jaw, chin, ala, nose", smile=1.8),
    "jaw_width": _edit("wider jaw", "narrower jaw", "jaw, chin, neck", jaw_width=1.8),
    "chin_length": _edit("longer chin", "shorter chin", "chin, jaw, neck", chin_length=1.8),
    "chin_width": _edit("wider chin", "narrower chin", "chin, jaw", chin_width=1.8),
    "cheek_volume": _edit("fuller cheeks", "hollow cheeks", "skin, jaw", cheek_volume=1.8),
    "ear_size": _edit("larger ears", "smaller ears", "ear, earring", ear_size=1.8),
    "ear_angle": _edit("ears standing out", "ears lying flat", "ear, earring", ear_angle=1.8),
    "hair_length": _edit("longer hair", "shorter hair", "hair, skin, ear, neck", hair_length=1.8),
    "hair_volume": _edit("more hair", "flatter hair", "hair", hair_volume=1.8),
    "hairline": _edit("receding hairline", "lower hairline", "hair, skin", hairline=1.8),
    "age": _edit("older", "younger", "skin, eyelid, jaw, neck", age=1.6),
    "weight": _edit("heavier", "lighter", "skin, jaw, neck, chin", weight=1.8),
    "glasses": _edit("glasses on", "glasses off", "glasses", switch=True, glasses=1.5),
    "hat": _edit("hat on", "hat off", "hat", switch=True, hat=2.0),
    "earrings": _edit("earrings on", "earrings off", "earring", switch=True, earrings=1.6),
    "necklace": _edit("necklace on", "necklace off", "necklace", switch=True, necklace=1.8),
}


def apply_edit(head: Head, name: str, amount: float = 1.0) -> Head:
    """`head` with one trait changed by `amount` (1: clearly, −1: as clearly the other way, 0: not at all); appearance is untouched.

    Raises `FFaceError` for an unknown name or an amount outside [-1, 1].
    """
    if name not in NAMED_EDITS:
        raise FFaceError(f"There is no edit called '{name}': choose one of {', '.join(NAMED_EDITS)}.")
    if not -1 <= amount <= 1:
        raise FFaceError(f"The amount of an edit lies between -1 and 1, and {amount} does not.")
    edit = NAMED_EDITS[name]
    values = {}
    for dimension, move in edit.moves.items():
        now = head.trait(dimension)
        if edit.switch:
            values[dimension] = now if amount == 0 else move * (1 if amount > 0 else -1)
        else:
            reach = max(REACH, abs(now))
            values[dimension] = min(max(now + move * amount, -reach), reach)
    return head.with_traits(**values)
