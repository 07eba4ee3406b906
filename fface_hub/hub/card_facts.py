"""What model cards tell of each kind of model: how it is used, what it is, how it was made, what it cannot do."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from string import Template

from fface_hub.adapters.adapter import Adapter
from fface_hub.generators.base import Generator
from fface_hub.inversion.encoder import CanonicalEditor, Encoder
from fface_hub.inversion.landmarks import POINTS, LandmarkNet
from fface_hub.layouts import Layout
from fface_hub.models import Model
from fface_hub.sources import bundled_names, is_bundled_name, is_hub_id
from fface_hub.trunks import ParserNet

KINDS: dict[type[Model], tuple[str, str]] = {
    Adapter: ("image-segmentation", "fface-adapter"),
    LandmarkNet: ("keypoint-detection", "fface-landmarks"),
    ParserNet: ("image-segmentation", "fface-parser"),
    Encoder: ("image-feature-extraction", "fface-encoder"),
    CanonicalEditor: ("image-to-image", "fface-editor"),
}
"""Task of the Hub and tag by class; all others are generators."""
GENERATOR = ("unconditional-image-generation", "fface-generator")
OF_A_GENERATOR = (Adapter, Encoder, CanonicalEditor)
"""Kinds that belong to one generator."""

RENDERED = (
    "Trained by volume rendering on rendered heads, whose pictures, labels and depths are known exactly; no photograph of a person was "
    "used. Identities with seeds from 1,000,000 were never trained on.",
    "- Faces look like the rendered heads it learnt from: studio light, plain background, few hair styles.",
)
UNTOLD = (
    "By volume rendering, on what whoever published it knows: ask, if this line stands here unchanged. `fface-hub train` takes rendered "
    "heads, and no photograph of a person.",
    "- It shows what it learnt from, with its gaps and biases.",
)
"""How generators were made, and their limits: of the bundled one, and of others, whose weights do not tell."""

GENERATOR_USAGE = """\
from fface_hub import Generator, orbit, render

generator = Generator.from_pretrained("$id")
views = render(generator.scene(generator.sample(1, seed=3)), orbit(5), resolution=64)
views.image  # [5,3,$side,$side] in [-1, 1]; views.labels, views.depth and views.opacity belong to it"""
ADAPTER_USAGE = """\
from fface_hub import Adapter, Generator, orbit, render

generator = Generator.from_pretrained("$generator")
adapter = Adapter.from_pretrained("$id")
views = render(generator.scene(generator.sample(1, seed=3)), orbit(5), resolution=64, adapter=adapter)
views.labels  # [5,64,64], ids of the classes below"""

LANDMARKS_USAGE = """\
import numpy as np

from fface_hub.doors import read_image
from fface_hub.inversion.align import find_face
from fface_hub.inversion.landmarks import LandmarkNet, Square, look

photo = read_image("examples/photos/astronaut.jpg")
face = find_face(photo)  # detector, this network and the fit of the mean head; face.points, face.yaw, face.pitch, face.roll
network = LandmarkNet.from_pretrained("$id")
found = look(np.asarray(photo), Square(middle=(224, 118), side=150), network)  # the network alone, on a square around a face
found.points, found.angles  # 25 points in photo pixels; yaw, pitch and roll of the camera in degrees"""


PARSER_USAGE = """\
import torch

from fface_hub import Generator, look_at, render
from fface_hub.perceptual import load_perceptual
from fface_hub.trunks import ParserNet

generator = Generator.from_pretrained("heads-triplane")
faces = render(generator.scene(generator.sample(2, seed=3)), look_at(0.0)).image  # [2,3,128,128] in [-1, 1]
labels = ParserNet.from_pretrained("$id")(faces).argmax(1)  # [2,128,128], ids of the classes below
distance = load_perceptual("$id").distances(faces[:1], faces[1:])  # [1], 0 for equal pictures"""

ENCODER_USAGE = """\
from fface_hub import Generator, look_at, render
from fface_hub.inversion.encoder import Encoder

generator = Generator.from_pretrained("$generator")
encoder = Encoder.from_pretrained("$id")
picture = render(generator.scene(generator.sample(1, seed=3)), look_at(20.0)).image  # [1,3,128,128] in [-1, 1]
latents, camera = encoder.encode(picture)
again = render(generator.scene(latents), camera).image"""
EDITOR_USAGE = """\
from fface_hub import Generator, edit, look_at, render
from fface_hub.editing.edit import EditSettings
from fface_hub.inversion.encoder import CanonicalEditor

generator = Generator.from_pretrained("$generator")
editor = CanonicalEditor.from_pretrained("$id")
face = generator.sample(1, seed=3)
labels = render(generator.scene(face), look_at(0.0)).labels[0]
painted = labels.clone()
painted[60:64][labels[60:64] == generator.layout.index("skin")] = generator.layout.index("nose")
result = edit(generator, face, painted, settings=EditSettings.preview(), original_labels=labels, editor=editor)"""


def facts_of(model: Model, id: str) -> dict[str, str]:
    """The sections of the card of `model`, called `id`: summary, usage, details, made, limits."""
    tellers = {
        Adapter: _adapter_facts,
        LandmarkNet: _landmark_facts,
        ParserNet: _parser_facts,
        Encoder: _encoder_facts,
        CanonicalEditor: _editor_facts,
    }
    return next((tell for kind, tell in tellers.items() if isinstance(model, kind)), _model_facts)(model, id)


def markdown_table(heads: list[str], rows: list[str]) -> str:
    return "\n".join([f"| {' | '.join(heads)} |", "|" + " --- |" * len(heads), *rows])


def layout_table(layout: Layout, further: Mapping[str, Sequence[str]] | None = None) -> str:
    """The classes of a layout as a Markdown table: id, name, colour, parent, and the `further` columns by their heads (a text for each
    class). Names are shown as text, whatever they contain."""
    further = further or {}
    rows = []
    for number, item in enumerate(layout.classes):
        cells = [str(number), escape(item.name), "#" + bytes(item.color).hex(), escape(item.parent or "–")]
        rows.append(f"| {' | '.join([*cells, *(column[number] for column in further.values())])} |")
    return markdown_table(["id", "class", "colour", "merges into", *further], rows)


def escape(text: str) -> str:
    """`text` as Markdown that shows it literally: HTML entities for everything that Markdown or HTML would read."""
    return re.sub(r"[&<>\"\\`*_{}\[\]|~]", lambda match: f"&#{ord(match[0])};", text)


def shown_id(id: str) -> str:
    """An id that may stand in metadata and code as it is; anything that has not the form of one is replaced."""
    return id if is_bundled_name(id) or is_hub_id(id) else "unknown-generator"


def _encoder_facts(model: Encoder, id: str) -> dict[str, str]:
    generator = shown_id(model.config["generator_id"])
    return {
        "summary": f"A face encoder: it tells at once which face of the generator `{generator}` a picture shows, and from where.",
        "usage": Template(ENCODER_USAGE).substitute(id=id, generator=generator),
        "details": f"{_size(model)} parameters. A residual network with equalised learning rates reads a picture of 128² pixels, framed as "
        f"the default camera frames a head, and optionally its labels in {model.classes.name}, and gives coordinates on the principal axes "
        f"of the generator's latents, and the camera's yaw and pitch. It fits only the generator with the fingerprint "
        f"`{model.config['generator_fingerprint']}`.",
        "made": "Trained on rendered heads from all sides up to 63°, under random lights and colours, whose latents are known: squared "
        "errors of the coordinates, weighed by what they change in pictures and labels, and agreement between views of one head "
        "(`fface-hub train --config heads-encoder --minutes N`). No photograph of a person was used, and no identity with a seed from "
        "1,000,000 on.",
        "limits": "- It never saw a real face, and a likeness is a first guess: `invert` goes on from there.\n"
        "- It does not tell whether there is a face in the picture.",
    }


def _editor_facts(model: CanonicalEditor, id: str) -> dict[str, str]:
    generator = shown_id(model.config["generator_id"])
    return {
        "summary": f"A canonical editor: it guesses how a face of the generator `{generator}` moves when its labels are painted on.",
        "usage": Template(EDITOR_USAGE).substitute(id=id, generator=generator),
        "details": f"{_size(model)} parameters. A residual network with equalised learning rates reads the front view of a face at 128² "
        "pixels, its labels and those that are wanted, by the names of the finest layout, and gives a move of the geometry's latents; no "
        f"change is no move. It fits only the generator with the fingerprint `{model.config['generator_fingerprint']}`.",
        "made": "Trained on rendered heads of which up to three traits were moved at random, with their labels before and after in "
        "different layouts (`fface-hub train --config heads-canonical-editor --minutes N`). No photograph of a person was used, and no "
        "identity with a seed from 1,000,000 on.",
        "limits": "- It knows what rendered heads can do. What is painted that no head has gets a poor guess: `edit` goes on from there.\n"
        "- It looks from the front only.",
    }


def _size(model: Model) -> str:
    """How many numbers it has learnt."""
    return f"{sum(parameter.numel() for parameter in model.parameters()):,}"


def _adapter_facts(model: Adapter, id: str) -> dict[str, str]:
    generator = shown_id(model.config["generator_id"])
    return {
        "summary": f"A face adapter: it labels every face of the generator `{generator}` with the {len(model.layout)} classes of the "
        f"layout *{escape(model.layout.name)}*.",
        "usage": Template(ADAPTER_USAGE).substitute(id=id, generator=generator),
        "details": f"A network of {_size(model)} numbers that reads the generator's features, density and labels at points in space and "
        f"gives logits of its own classes; pictures and shapes stay the generator's. It fits only the generator with the fingerprint "
        f"`{model.config['generator_fingerprint']}` and is refused on others.\n\n{layout_table(model.layout)}",
        "made": "Fitted on a few painted faces, after FFaceNeRF: cross-entropy and overlap loss, with the late style rows mixed at random "
        "so that labels do not lean on colour; on faces that nobody painted, its classes are held to those of the generator.",
        "limits": "- Small or rare classes are the least certain, and labels far from the frontal view are extrapolated.",
    }


def _landmark_facts(model: LandmarkNet, id: str) -> dict[str, str]:
    names = ", ".join(name.replace("_", " ") for name in POINTS)
    return {
        "summary": f"A small network that finds {len(POINTS)} landmarks of a face and tells how the head is turned.",
        "usage": Template(LANDMARKS_USAGE).substitute(id=id),
        "details": f"{_size(model)} parameters: a convolutional network on squares of {model.config['side']}² pixels, whose points are "
        f"means of heat maps and whose angles are read from its smallest maps. The points: {names}.",
        "made": "Trained on rendered heads, whose landmarks and cameras are known exactly, from all sides and distances, under light from "
        "anywhere, and with their proportions, colours, sharpness, noise, background and framing changed at random (`fface-hub train "
        "--config heads-landmarks --minutes 24`; 1,928 steps on 9,216 portraits of 4,608 heads, on one core that others used, too). No "
        "photograph of a person was used, and no identity with a seed from 1,000,000 on.",
        "limits": "- It never saw a real face. The landmarks of rendered heads are not quite those that people mark. "
        "The tip of the nose is put too low on short noses, and the pitch is then some degrees too high.\n"
        "- It looks at a square that a detector found: it does not tell whether there is a face in it.\n"
        "- Beyond 60° of yaw its points are guesses.",
    }


def _parser_facts(model: ParserNet, id: str) -> dict[str, str]:
    return {
        "summary": "A small network that labels pictures of rendered heads, and whose features tell how different two pictures look.",
        "usage": Template(PARSER_USAGE).substitute(id=id),
        "details": f"{_size(model)} parameters: a convolutional network of {len(model.config['channels'])} stages; labels are read from "
        "all of them. `fface_hub.perceptual` takes the stages as a trunk for LPIPS; figures on other trunks do not compare with it.\n\n"
        + layout_table(model.layout),
        "made": "Trained on rendered heads, whose labels are known exactly, from all sides, under light from anywhere, and with their "
        "colours, sharpness, noise, background and framing changed at random (`fface-hub train --config heads-parser --minutes 42`). "
        "No photograph of a person was used. Identities with seeds from 1,000,000 were never trained on.",
        "limits": "- It never saw a real face, and its distances were not fitted to what people find alike.\n"
        "- It expects one head that fills most of the picture.",
    }


def _model_facts(model: Model, id: str) -> dict[str, str]:
    layout = getattr(model, "layout", None)
    kind = "generator of 3-D faces with class labels" if isinstance(model, Generator) else "model"
    settings = [f"| `{name}` | {escape(str(value))} |" for name, value in model.arguments.items()]
    classes = f"\n\n{layout_table(layout)}" if isinstance(layout, Layout) else ""
    made, limits = RENDERED if _is_bundled(model) else UNTOLD
    return {
        "summary": f"A {kind} of the family `{type(model).__name__}`.",
        "usage": Template(GENERATOR_USAGE).substitute(id=id, side=512 if model.arguments.get("superresolution") else 64),
        "details": f"{_size(model)} parameters.\n\n" + markdown_table(["setting", "value"], settings) + classes,
        "made": made,
        "limits": limits,
    }


def _is_bundled(model: Model) -> bool:
    """Whether it has the weights of the bundled model that it was loaded as."""
    name = model.model_id
    return name in bundled_names() and Model.from_pretrained(name).fingerprint == model.fingerprint
