"""What a face may take from another, drawn or photographed: its colours, those of some classes, the shape of some, or a part of all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from fface_hub.adapters.adapter import Adapter
from fface_hub.cameras import Camera
from fface_hub.editing.edit import EditResult, EditSettings, edit
from fface_hub.errors import LayoutError, ModelError
from fface_hub.generators.base import Generator
from fface_hub.generators.checks import check_latents
from fface_hub.inversion.inversion import Inversion
from fface_hub.latents import Latents
from fface_hub.layouts import Layout
from fface_hub.progress import Callback
from fface_hub.rendering.renderer import render
from fface_hub.rendering.sampling import Sampling


def transfer(
    generator: Generator,
    face: Latents | Inversion,
    other: Latents | Inversion,
    appearance: float = 1.0,
    geometry: float = 0.0,
    classes: Sequence[str] | None = None,
    adapter: Adapter | None = None,
) -> Latents:
    """`face`, moved towards `other` by `appearance` and `geometry` in [0, 1]: 1 is the other's half of the latents, 0 its own.

    The appearance is the statistics of the feature planes (NeRFFaceEditing, section 3.1), so geometry and labels stay where only it moves.
    With `classes`, names in the adapter's layout or else the generator's, only they take the other appearance (with those that merge into
    them: ala with nose), and the result has one appearance per class: see `face_scene`, which makes its scene, for what is then unchanged.
    Without, the background goes along, where the generator has one per face. Call it again for classes of a third face.

    The scene is `face_scene(generator, latents)`, or for an inversion `face.scene(latents)`, with its tuning and backdrop; of an `other`
    that is an inversion only the latents are taken. `other` has as many faces as `face`, or one.

    Raises `LayoutError` for classes that the layout lacks, and the background; `ModelError` for latents of another generator;
    `ValueError` for batches that do not fit, and amounts out of range.
    """
    for name, amount in (("appearance", appearance), ("geometry", geometry)):
        if not 0 <= amount <= 1:
            raise ValueError(f"{name} must lie between 0 and 1, and is {amount}")
    own, lent = _latents(generator, face), _latents(generator, other)
    if len(lent) not in (1, len(own)):
        raise ValueError(f"{len(lent)} faces cannot lend to {len(own)}: give one, or as many")
    shape = own.lerp_geometry(lent, geometry)
    if classes is None:
        return replace(shape, appearance=_mixed(own.appearance, lent.appearance, appearance))
    if adapter is not None:
        adapter.check(generator)
    layout = generator.layout if adapter is None else adapter.layout
    chosen = class_ids(layout, classes)
    for each in (own, lent):
        if each.appearance.shape[1] not in (1, len(layout)):
            raise ModelError(
                f"A face with {each.appearance.shape[1]} appearances does not fit the {len(layout)} classes of '{layout.name}'."
            )
    colors = own.appearance.expand(-1, len(layout), -1, -1).clone()
    colors[:, chosen] = _mixed(own.appearance, lent.appearance, appearance).expand_as(colors)[:, chosen]
    return replace(shape, appearance=colors)


def transfer_geometry(
    generator: Generator,
    face: Latents | Inversion,
    other: Latents | Inversion,
    classes: Sequence[str],
    adapter: Adapter | None = None,
    camera: Camera | None = None,
    settings: EditSettings | None = None,
    callback: Callback | None = None,
) -> EditResult:
    """The shape of `classes` of `other` on `face`: an edit whose target is composed from both label maps (see `compose_labels`).

    Both are seen by `camera`, or else that of the inversion or the default; nothing is moved into place, since a generator's faces share
    a frame. It knows what labels know: the outline, not how far a nose stands out. One face each. Errors as `transfer` and `edit`.
    """
    if adapter is not None:
        adapter.check(generator)
    layout = generator.layout if adapter is None else adapter.layout
    chosen, settings = class_ids(layout, classes), settings or EditSettings()
    own, lent = _latents(generator, face), _latents(generator, other)
    if len(own) != 1 or len(lent) != 1:
        raise ValueError(f"one face takes the shape of one other, and these are {len(own)} and {len(lent)}")
    camera = camera or (face.camera if isinstance(face, Inversion) else generator.default_camera)
    # As inversions, since those show latents of any number of appearances.
    subjects = [each if isinstance(each, Inversion) else Inversion(each, camera, generator) for each in (face, other)]
    maps = []
    for subject in subjects:
        sampling = Sampling(settings.coarse, settings.fine)
        view = render(subject.scene(), camera, settings.resolution, sampling, adapter=adapter, finish=False)
        maps.append(view.labels[0])
    if not bool(torch.isin(maps[1], maps[1].new_tensor(chosen)).any()):
        raise LayoutError(f"The other face shows no {' and no '.join(classes)} from here: choose another class, face or camera.")
    target = compose_labels(maps[0], maps[1], chosen)
    return edit(generator, subjects[0], target, adapter, camera, settings, callback, original_labels=maps[0])


def compose_labels(labels: Tensor, other: Tensor, classes: Sequence[int]) -> Tensor:
    """`labels [h,h]` with the `classes` of `other [h,h]` in place of their own (int64).

    Pixels that had one of the classes and have none any more get what `other` shows there, if `labels` know that class elsewhere (a nose
    does not bring the glasses in front of it), and else the nearest of the other classes of `labels`.
    """
    wanted = labels.new_tensor(list(classes))
    arriving, leaving = torch.isin(other, wanted), torch.isin(labels, wanted)
    target = torch.where(arriving, other, labels)
    gap = leaving & ~arriving
    if not bool(gap.any()):
        return target
    known = labels[~leaving].unique()
    familiar = torch.isin(other, known)
    target = torch.where(gap & familiar, other, target)
    missing = (gap & ~familiar).nonzero().float()
    sources = (~leaving).nonzero()
    if len(missing) and len(sources):
        nearest = sources[torch.cdist(missing, sources.float()).argmin(dim=1)]
        target[gap & ~familiar] = labels[nearest[:, 0], nearest[:, 1]]
    return target


def class_ids(layout: Layout, classes: Sequence[str]) -> list[int]:
    """Ids of `classes` in `layout`, with those of its classes that merge into one of them; `LayoutError` for others, none, and class 0."""
    if isinstance(classes, str):
        raise LayoutError(f"The classes must be a list of names, and '{classes[:60]}' is a text: write [{classes[:60]!r}].")
    if not classes:
        raise LayoutError(f"Name at least one class of the layout '{layout.name}': {', '.join(layout.names[1:])}.")
    named = {layout.index(name): name for name in classes}
    if 0 in named:
        raise LayoutError(f"The class '{named[0]}' stands for what is behind the face and cannot be transferred: choose other classes.")
    return [i for i, item in enumerate(layout.classes) if i > 0 and set(layout.ancestors(item)) & set(classes)]


def _mixed(own: Tensor, lent: Tensor, amount: float) -> Tensor:
    """Appearances `[B,1 or K,L,D]` at `amount` of the way from one to the other, exactly the ends at 0 and 1."""
    if own.shape[1] != lent.shape[1] and 1 not in (own.shape[1], lent.shape[1]):
        raise ModelError(f"{own.shape[1]} appearances of one face and {lent.shape[1]} of the other are of different layouts.")
    own, lent = torch.broadcast_tensors(own, lent)
    return torch.lerp(own, lent, amount)


def _latents(generator: Generator, face: Latents | Inversion) -> Latents:
    """The latents of `face`; `ModelError` unless they can be the generator's."""
    if isinstance(face, Inversion):
        if face.generator.fingerprint != generator.fingerprint:
            raise ModelError("This face was inverted with another generator: load that one, or invert the picture again.")
        face = face.latents
    mean = generator.mean_latents()
    if face.geometry.shape[1:] != mean.geometry.shape[1:] or face.appearance.shape[2:] != mean.appearance.shape[2:]:
        raise ModelError(
            f"These latents have {list(face.geometry.shape[1:])} numbers and those of this generator {list(mean.geometry.shape[1:])}: use "
            "latents that were made with it."
        )
    check_latents(face)
    return face
