"""The edit: latents move until the rendered labels match what the user painted, while colours and the unpainted picture are held.

FFaceNeRF's optimisation (and NeRFFaceEditing's before it; `reference.edit_reference` is it as coded) made fast by doing less: no
super-resolution, which no loss reads; rays where they matter; few coordinates, along which the generator's own faces differ, before free
rows; a first guess from the canonical editor or from the last stroke; and an end when nothing gets better. What lies away from what
was painted does not change at all: the result is composed of the face before and the one after (`kept`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from fface_hub.adapters.adapter import Adapter
from fface_hub.cameras import Camera
from fface_hub.editing.composite import face_scene
from fface_hub.editing.hidden import from_sides
from fface_hub.editing.kept import keep, seen_by
from fface_hub.editing.regions import edited_region, resize_labels
from fface_hub.editing.steps import Edited, EditSettings, Face, Moves, Offset, Task, optimise
from fface_hub.editing.windows import Window
from fface_hub.errors import LayoutError, ModelError
from fface_hub.generators.base import Generator, Rendering, Scene
from fface_hub.generators.checks import check_latents
from fface_hub.inversion.encoder import CanonicalEditor
from fface_hub.kept import LAYERS, Kept
from fface_hub.latents import Latents
from fface_hub.layouts import Layout
from fface_hub.memory import with_less_memory
from fface_hub.progress import Callback, Step, between, frozen
from fface_hub.rendering.renderer import render
from fface_hub.rendering.sampling import Sampling

if TYPE_CHECKING:
    from fface_hub.inversion.inversion import Inversion

__all__ = ["EditResult", "EditSession", "EditSettings", "edit"]


@dataclass(frozen=True)
class EditResult:
    """What an edit gives: `latents` (geometry moved, appearance held); `region [h,h]` bool and `target [h,h]` int64 that it worked on;
    `losses` of every step by name; `before`, `after` at the resolution of the edit, without super-resolution.
    """

    latents: Latents
    region: Tensor
    target: Tensor
    losses: list[dict[str, float]]
    before: Rendering
    after: Rendering

    @property
    def matched(self) -> float:
        """Share of the region whose pixels have the target's label now; 1 if the region is empty."""
        region = self.region
        return float((self.after.labels[0] == self.target)[region].float().mean()) if bool(region.any()) else 1.0


class EditSession:
    """One face that is painted on again and again: what does not change from stroke to stroke is computed once.

    Each `apply` is an edit of the face that was given, not of the last result; with `EditSettings.warm` it may begin where the last one
    ended (painting goes on, stroke by stroke).
    """

    def __init__(
        self,
        generator: Generator,
        face: Latents | Inversion,
        adapter: Adapter | None = None,
        camera: Camera | None = None,
        editor: CanonicalEditor | None = None,
    ) -> None:
        """An inversion brings its own camera and tuned generator. `editor` gives first guesses; it must fit the generator. Raises
        `ModelError` for an adapter, an editor or an inversion of another generator, and for latents that are not finite; `TypeError` for
        the name of a model."""
        for given, kind in ((adapter, Adapter), (editor, CanonicalEditor)):
            if isinstance(given, str):
                raise TypeError(f"an edit takes a model, and this is the name of one: give {kind.__name__}.from_pretrained({given!r})")
        unpacked = _unpack(generator, face, camera)
        self.given, self.adapter, self.editor = unpacked.latents, adapter, editor
        self.face = replace(unpacked, latents=_with_room(self.given))
        if adapter is not None:
            adapter.check(generator)
        if editor is not None:
            editor.check(generator)
        self.layout = generator.layout if adapter is None else adapter.layout
        self.moves = Moves.of(self.face, None if editor is None else editor.basis)
        self._before: tuple[tuple[int, int, int], Rendering] | None = None
        self._last: Offset | None = None

    def before(self, settings: EditSettings | None = None, callback: Callback | None = None) -> Rendering:
        """The face as it was given at the resolution of the edit, rendered when it is first asked for."""
        settings = settings or EditSettings()
        size = settings.resolution, settings.coarse, settings.fine
        if self._before is None or self._before[0] != size:
            self._before = size, self._show(self.face.latents, settings, callback)
        return self._before[1]

    def apply(
        self,
        target_labels: Tensor,
        settings: EditSettings | None = None,
        callback: Callback | None = None,
        original_labels: Tensor | None = None,
    ) -> EditResult:
        """See `edit`."""
        settings = settings or EditSettings()
        _check_labels(target_labels, original_labels, self.layout)
        with frozen(self.face.generator, self.adapter, self.editor):
            scene = self._scene(self.face.latents)
            before = self.before(settings, callback)
            target, region = _target(target_labels, original_labels, before.labels[0], settings)
            if not region.any():
                return EditResult(self.given, region, target, [], before, before)
            if callback is not None:
                callback(Step(0, settings.steps, {}, best=self.given))
            tell = between(callback, 0, settings.steps) or (lambda: None)
            edited = Edited(self.face, self.adapter, self.moves)
            task = with_less_memory(lambda: Task(edited, settings, scene, before, region, target))
            starts = self._guesses(task.start, before, target, settings)
            if settings.warm and self._last is not None:
                starts.append(self._last)
            tell()
            window = self._window(region, settings)
            best, history = optimise(task, starts, lambda found: self._show(found, settings, callback, window=window).raw[0, :3], callback)
            self._last, latents = best, task.latents(best)
            if latents.kept is not None:  # now that it can be seen how wide and how deep the edit goes
                after = self._scene(replace(latents, kept=None))
                views = before, self._picture(after, settings, callback, settings.steps, window)
                look = partial(self._look, settings=settings, callback=callback, index=settings.steps)
                beside = from_sides((scene, after), views, self.face.camera, region, look) if settings.all_around else None
                latents = replace(latents, kept=keep(self.face.latents, self.face.camera, region, after, views, beside))
            shown = self._show(latents, settings, callback, settings.steps, window)
        return EditResult(latents, region, target, history, before, shown)

    def _guesses(self, start: Offset, before: Rendering, target: Tensor, settings: EditSettings) -> list[Offset]:
        """Where the canonical editor says that the face goes, and half way there."""
        if self.editor is None or not settings.guess:
            return []
        coordinates = self.editor.guess(before.image, before.labels[0], target, self.layout)
        return [replace(start, coordinates=share * coordinates) for share in (1.0, 0.5)]

    def _window(self, region: Tensor, settings: EditSettings) -> Window | None:
        """What an edit of `region [h,h]` can change of the picture; None: all of it."""
        return Window.around(region, seen_by(settings.resolution)) if settings.keep else None

    def _show(
        self, latents: Latents, settings: EditSettings, callback: Callback | None = None, index: int = 0, window: Window | None = None
    ) -> Rendering:
        """The face of `latents` as `_picture` gives it."""
        return self._picture(self._scene(latents), settings, callback, index, window)

    @torch.no_grad()
    def _scene(self, latents: Latents) -> Scene:
        """The face of `latents`. Whoever has it spares the next who asks for it its planes."""
        return self.face.scene(latents)

    def _picture(
        self, scene: Scene, settings: EditSettings, callback: Callback | None, index: int, window: Window | None = None
    ) -> Rendering:
        """A scene at the resolution of the edit, without gradients and super-resolution; outside the `window` the face as it was."""
        camera, size = self.face.camera, settings.resolution
        if window is not None:
            camera, size = window.camera(camera), window.side
        picture = self._look(scene, camera, size, settings, callback, index)
        return picture if window is None else window.put(picture, self.before(settings))

    def _look(self, scene: Scene, camera: Camera, side: int, settings: EditSettings, callback: Callback | None, index: int) -> Rendering:
        """What `camera` sees of a scene in `side`² pixels after step `index`, without gradients and super-resolution."""
        sampling, report = Sampling(settings.coarse, settings.fine), between(callback, index, settings.steps)
        return render(scene, camera, side, sampling, adapter=self.adapter, finish=False, callback=report)


def edit(
    generator: Generator,
    face: Latents | Inversion,
    target_labels: Tensor,
    adapter: Adapter | None = None,
    camera: Camera | None = None,
    settings: EditSettings | None = None,
    callback: Callback | None = None,
    original_labels: Tensor | None = None,
    editor: CanonicalEditor | None = None,
) -> EditResult:
    """Move `face` until its labels seen from `camera` are `target_labels [h,w]` (int64, in the adapter's layout, else the generator's).

    Loss: cross-entropy over the picture and in and around the region r where labels differ, how far what changes there is from what was to
    change, and squared (and perceptual) differences of colours outside r; see `EditSettings`. Style rows of the geometry move; plane
    statistics are those of the face's appearance. With `original_labels`, the map that the user painted over, only pixels that differ from
    it are targets; without, all of the map is, so that errors of the labelling count as painted too, as in the reference. An inversion
    brings its own camera and tuned generator. `editor` gives the first guess. The scene of the result is
    `face_scene(generator, latents)`, or of an inversion `inversion.scene(latents)`: away from r the face before (`EditSettings.keep`).

    `callback` gets a `Step` of index 0 when the picture before is there, then one per step whose `best` are the best latents so far; raise
    `CancelledError` in it to stop. Raises `LayoutError` for labels that do not fit, `ModelError` for an adapter, editor or inversion of
    another generator and for latents that are not finite, `OptimisationError` (with `best`) for non-finite numbers on the way,
    `TypeError` for the name of an adapter or editor instead of it.
    """
    return EditSession(generator, face, adapter, camera, editor).apply(target_labels, settings, callback, original_labels)


def _unpack(generator: Generator, face: Latents | Inversion, camera: Camera | None) -> Face:
    """What to edit; an inversion brings its own camera, tuned generator and backdrop."""
    scene, latents = partial(face_scene, generator), face
    if not isinstance(latents, Latents):
        inversion = latents
        if inversion.generator.fingerprint != generator.fingerprint:
            raise ModelError("This face was inverted with another generator: load that one, or invert the picture again.")
        generator, scene, latents, camera = inversion.generator, inversion.scene, inversion.latents, camera or inversion.camera
    if len(latents) != 1:
        raise ValueError(f"an edit is of one face, and these are latents of {len(latents)}")
    check_latents(latents)
    camera = (camera or generator.default_camera).to(latents.geometry.device)
    if len(camera) != 1:
        raise ValueError(f"an edit is seen by one camera, and these are {len(camera)}")
    return Face(generator, scene, latents.detach(), camera)


def _with_room(latents: Latents) -> Latents:
    """The same face with room for one more edit: where it has as many as there can be, two are one already (`Kept.stacked`), so that all
    but the region looks the same before and after."""
    return latents if latents.kept is None else replace(latents, kept=Kept.stacked(latents.kept.layers, LAYERS - 1))


def _check_labels(target: Tensor, original: Tensor | None, layout: Layout) -> None:
    for labels in (target,) if original is None else (target, original):
        if not isinstance(labels, Tensor):
            raise LayoutError(f"The painted label map must be a tensor, and this is a {type(labels).__name__}: use torch.as_tensor.")
        if labels.ndim != 2 or labels.shape[0] != labels.shape[1] or labels.numel() == 0:
            raise LayoutError(f"The painted label map must be square, and this one is {' × '.join(map(str, labels.shape[::-1]))}.")
        if labels.dtype != torch.int64:
            raise LayoutError(f"The painted label map must hold class ids as int64, and this one is {labels.dtype}: convert it.")
        lowest, highest = int(labels.min()), int(labels.max())
        if lowest < 0 or highest >= len(layout):
            raise LayoutError(
                f"The painted label map has class ids from {lowest} to {highest}, and those of layout '{layout.name}' are 0 to "
                f"{len(layout) - 1}: paint with these."
            )
    if original is not None and original.shape != target.shape:
        sizes = " and ".join(" × ".join(map(str, labels.shape[::-1])) for labels in (target, original))
        raise LayoutError(f"The painted label map and the one painted over differ in size ({sizes}): paint on the map as it was given.")


def _target(target: Tensor, original: Tensor | None, current: Tensor, settings: EditSettings) -> tuple[Tensor, Tensor]:
    """Target labels and region, both `[h,h]` at the edit's resolution, where the generator shows `current [h,h]`."""
    target = target.to(current.device)
    resized = resize_labels(target, settings.resolution)
    if original is not None:
        painted = edited_region(original.to(current.device), target)
        small = resize_labels(painted, settings.resolution)
        if painted.any() and not small.any():
            raise LayoutError(
                "The painted change is too small to be seen by the edit: paint a larger stroke, or edit at a higher resolution."
            )
        resized = torch.where(small, resized, current)
    return resized, edited_region(current, resized)
