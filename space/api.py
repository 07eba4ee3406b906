"""What programs call: the page's work as named endpoints. They remember nothing: a face goes out and comes back as a file
(`fface_hub.inversion.face_file`), and files of a call are gone within about two hours, as all of the page's.

The same limits, queue and readers as on the page; what is wrong is one plain sentence.
"""

# No `from __future__ import annotations` here: gradio reads these signatures, and would find text in place of types.

import uuid
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, TypedDict, TypeVar

import gradio as gr
import torch
from gradio import FileData
from gradio.events import api as endpoint

from fface_hub import render
from fface_hub.adapters.adapter import Adapter
from fface_hub.doors import read_image, read_label_map, save_label_map
from fface_hub.editing.edit import EditResult, EditSession, EditSettings
from fface_hub.errors import FFaceError
from fface_hub.generators.base import Rendering
from fface_hub.inversion.face_file import load_face_file, save_face_file
from fface_hub.inversion.inversion import Inversion
from fface_hub.progress import Callback
from fface_hub.rendering.export import save_png
from fface_hub.rendering.views import five_views
from space import handlers, models, storage
from space.jobs import running
from space.lent import lent
from space.toasts import plainly
from space.views import save_film, save_mesh
from space.wiring import LONG, SHORT

Result = TypeVar("Result")
FRAMES = range(2, 97)
"""How many an orbit may have."""
KINDS: dict[type, str] = {int: "a whole number", str: "text", bool: "true or false"}


class LabelClass(TypedDict):
    """One class of a layout."""

    name: str
    color: list[int]


class LayoutInfo(TypedDict):
    """A layout as the other endpoints take it by its name, and its classes in the order of their ids."""

    layout: str
    classes: list[LabelClass]


# ── the endpoints ─────────────────────────────────────────────────────────────────────────────────────────────────────────────────────


@plainly
def layouts() -> list[LayoutInfo]:
    """The layouts of this page, by the names that `layout` takes elsewhere (org/name of one on the Hub does, too, and "" is the generator's
    own), each with the names and RGB colours of its classes: those of a label PNG, whose palette index is the class id."""
    known = [(name, models.layout_of(models.find_adapter(name))) for name in models.layout_choices()]
    return [{"layout": name, "classes": [{"name": one.name, "color": list(one.color)} for one in layout.classes]} for name, layout in known]


@plainly
def draw(seed: int = 7, layout: str = "") -> tuple[FileData, FileData, FileData]:
    """A face from a seed (0 to 2147483647): its picture (PNG), its labels in the layout (palette PNG) and the face itself (a file for the
    other endpoints)."""
    number = handlers.checked_seed(_of(int, seed, "seed"))
    adapter, generator = _adapter(layout), models.generator()
    face = Inversion(models.latents_of(number), generator.default_camera, generator)
    return _shown(face, adapter)


@plainly
def invert_photo(
    request: gr.Request, photo: FileData, consent: bool = False, layout: str = "", parse: bool = False
) -> tuple[FileData, FileData, FileData]:
    """A portrait photo becomes a 3-D face: picture, labels and face as in /face. `consent` must be true, which says that the person in the
    photo has agreed. `parse` holds the face to the parts that a parser sees in the photo."""
    if not _of(bool, consent, "consent"):
        raise FFaceError("Set consent to true, which says that the person in the photo has agreed.")
    settings = handlers.invert_settings(_of(bool, parse, "parse"))
    adapter, image = _adapter(layout), read_image(_uploaded(photo, "photo"))
    face = _work(request, lambda report: handlers.inverted(image, settings, None, report))
    return _shown(face, adapter)


@plainly
def edit(request: gr.Request, face: FileData, painted: FileData, layout: str = "") -> tuple[FileData, FileData, FileData, float]:
    """Move a face until it has the labels that were painted: `painted` is its label PNG of the same layout, painted over in exact colours,
    without smoothing. Gives picture, labels and face as in /face, and the share of the edited region that has the label asked for."""
    adapter, before = _adapter(layout), _face(face)
    labels = _seen(before, adapter).labels[0]
    target = read_label_map(_uploaded(painted, "painted"), models.layout_of(adapter), (labels.shape[0], labels.shape[1]))
    if torch.equal(target, labels.cpu()):
        raise FFaceError("Nothing is painted: the label map is the one that the face has already.")

    settings = handlers.edit_settings(overlap=True)
    seconds = handlers.edit_seconds(settings)
    result = _work(request, lambda report: lent(seconds, report, _edited, before, adapter, target, labels, settings))
    return *_shown(replace(before, latents=result.latents), adapter), round(result.matched, 4)


@plainly
def views(request: gr.Request, face: FileData, layout: str = "") -> tuple[list[FileData], list[FileData]]:
    """A face from yaw −30°, −15°, 0°, 15° and 30°: five pictures and their five label PNGs."""
    adapter, known = _adapter(layout), _face(face)
    seen = _work(request, lambda report: five_views(known.scene(), handlers.RESOLUTION, adapter, handlers.SAMPLING, report))
    both = [_pictures(seen, number, adapter) for number in range(len(seen.image))]
    return [picture for picture, _ in both], [labels for _, labels in both]


@plainly
def orbit(request: gr.Request, face: FileData, frames: int = 24) -> FileData:
    """A short film (MP4) of a face that turns, of 2 to 96 frames, 12 a second; its end goes on with its beginning."""
    if _of(int, frames, "frames") not in FRAMES:
        raise FFaceError(f"An orbit has from {FRAMES[0]} to {FRAMES[-1]} frames: choose a number between them.")
    known, path = _face(face), storage.outgoing("orbit.mp4")
    _work(request, lambda report: save_film(known, frames, path, report))
    return _file(path)


@plainly
def mesh(request: gr.Request, face: FileData) -> FileData:
    """The surface of a face with its colours (GLB)."""
    known, path = _face(face), storage.outgoing("face.glb")
    _work(request, lambda report: save_mesh(known, path, report))
    return _file(path)


def _edited(
    face: Inversion, adapter: Adapter | None, target: torch.Tensor, labels: torch.Tensor, settings: EditSettings, report: Callback
) -> EditResult:
    session = EditSession(models.generator(), face, adapter, editor=models.find_editor())
    return session.apply(target, settings, report, original_labels=labels)


# ── how they are offered ──────────────────────────────────────────────────────────────────────────────────────────────────────────────

SHOWN = ("picture", "labels", "face")
ENDPOINTS: dict[str, tuple[Callable[..., Any], tuple[str, ...], dict[str, Any]]] = {
    "layouts": (layouts, ("layouts",), SHORT),
    "face": (draw, SHOWN, SHORT),
    "invert": (invert_photo, SHOWN, LONG),
    "edit": (edit, (*SHOWN, "reached"), LONG),
    "views": (views, ("pictures", "labels"), SHORT),
    "orbit": (orbit, ("video",), LONG),
    "mesh": (mesh, ("mesh",), LONG),
}
"""Name of an endpoint → its function, what the values that it returns are called, and whose turn it waits for."""


def connect(page: gr.Blocks) -> None:
    """Offer the endpoints. What the page's own controls call stays callable, but is not documented: it changes with the page."""
    for event in page.fns.values():
        if event.api_visibility == "public":
            event.api_visibility = "undocumented"
    for name, (function, returned, turn) in ENDPOINTS.items():
        event = endpoint(function, api_name=name, **turn)
        for component, label in zip(page.fns[event["id"]].outputs, returned, strict=True):
            component.label = label  # type: ignore[attr-defined]


# ── what comes in and goes out ────────────────────────────────────────────────────────────────────────────────────────────────────────


def _of(kind: type[Result], value: Any, name: str) -> Result:
    """`value`, as a program sent it; an error unless it is of that `kind`."""
    if type(value) is not kind:
        raise FFaceError(f"'{name}' must be {KINDS[kind]}.")
    return value


def _uploaded(payload: Any, name: str) -> Path:
    """Where an uploaded file lies. gradio has checked that whatever calls itself a file was uploaded, and nothing else is taken."""
    try:
        return Path(FileData.model_validate(payload, context={"validate_meta": True}).path)
    except ValueError:
        raise FFaceError(f"'{name}' must be a file: with gradio_client, pass it as handle_file(path).") from None


def _face(payload: Any) -> Inversion:
    return load_face_file(_uploaded(payload, "face"), models.generator())


def _adapter(layout: Any) -> Adapter | None:
    return models.find_adapter(_of(str, layout, "layout"))


def _work(request: gr.Request, work: Callable[[Callback], Result]) -> Result:
    """The result of `work`, which stops when the client goes away; of one client, several may run beside each other."""
    with running(request, work, f"api {uuid.uuid4().hex}") as job:
        return job.result()


def _seen(face: Inversion, adapter: Adapter | None) -> Rendering:
    """A face as its own camera sees it: the same pixels in each call, so that labels can be compared."""
    with torch.no_grad():
        return render(face.scene(), face.camera, handlers.RESOLUTION, handlers.SAMPLING, adapter)


def _shown(face: Inversion, adapter: Adapter | None) -> tuple[FileData, FileData, FileData]:
    """Picture, labels and the face itself, as files."""
    path = storage.outgoing("face.safetensors")
    save_face_file(face, models.generator(), path)
    return *_pictures(_seen(face, adapter), 0, adapter), _file(path)


def _pictures(seen: Rendering, number: int, adapter: Adapter | None) -> tuple[FileData, FileData]:
    """The picture and the labels of one view, as files."""
    picture, labels = storage.outgoing("picture.png"), storage.outgoing("labels.png")
    save_png(seen.image[number], picture)
    save_label_map(seen.labels[number], models.layout_of(adapter), labels)
    return _file(picture), _file(labels)


def _file(path: Path) -> FileData:
    return FileData(path=str(path), orig_name=path.name)
