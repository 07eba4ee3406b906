"""Class labels for a generator that has none, as EG3D's: a labelling is fitted as an adapter, and then becomes part of the decoder.

NeRFFaceEditing splits EG3D's decoder in the same way, copying its rows, and then trains all of the generator. Here all that makes pictures
stays as it is.
"""

from __future__ import annotations

from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from fface_hub.adapters.adapter import Adapter
from fface_hub.adapters.fit import fit
from fface_hub.adapters.learner import Form
from fface_hub.adapters.mixing import Mixing
from fface_hub.adapters.plan import FitSettings
from fface_hub.adapters.samples import SampleSet
from fface_hub.adapters.samples_new import draw
from fface_hub.editing.regions import resize_labels
from fface_hub.errors import ModelError
from fface_hub.generators.decoders import LabelledDecoder
from fface_hub.generators.stylegan import FullyConnected
from fface_hub.generators.triplane import UNLABELLED, TriplaneGenerator
from fface_hub.layouts import BASE_15
from fface_hub.models import build
from fface_hub.parsing import Parser
from fface_hub.progress import Callback

RESOLUTION = 128
SETTINGS = FitSettings(
    steps=3000,
    kept=2048,
    mixing=Mixing(mixes=1),
    form=Form("open", warm_start=False, view_direction=False),
    distillation=None,
    learning_rate=0.03,
)
"""Many faces need no mixing, and there is nothing yet to start from."""


def parsed_samples(
    generator: TriplaneGenerator, parser: Parser, count: int = 64, seed: int = 0, callback: Callback | None = None
) -> SampleSet:
    """`count` faces of `generator` that differ as much as possible, from the front, left and right in turn, as `parser` labels them."""
    drawn = draw(generator, BASE_15, count, seed, RESOLUTION, callback=callback)
    parsed = [replace(face, labels=resize_labels(parser(face.image[None])[0], RESOLUTION)) for face in drawn.samples]
    return SampleSet(BASE_15, tuple(parsed))


def fit_labels(
    generator: TriplaneGenerator,
    samples: SampleSet,
    settings: FitSettings = SETTINGS,
    callback: Callback | None = None,
) -> TriplaneGenerator:
    """A copy of an unlabelled `generator` that labels every face in base-15, after `samples` of it; its pictures and depths are the same.

    Raises `ModelError` for a generator that has labels already, and what `fit` raises.
    """
    if generator.layout != UNLABELLED:
        raise ModelError(f"This generator has labels already ('{generator.layout.name}'): use it as it is, or fit an adapter.")
    return with_labels(generator, fit(generator, samples, BASE_15, settings, callback))


@torch.no_grad()
def with_labels(generator: TriplaneGenerator, adapter: Adapter) -> TriplaneGenerator:
    """The generator whose own labels are those of an `adapter` for base-15 that was fitted on it and looks at no view.

    Of what the adapter reads, the one logit of an unlabelled generator is 0 and the direction does not matter: both go into the bias.
    """
    adapter.check(generator)
    first, last = (layer for layer in adapter.net if isinstance(layer, FullyConnected))
    kept = generator.config["plane_channels"] + 1
    if first.weight[:, -3:].any() or adapter.layout != BASE_15:
        raise ModelError("Only an adapter for base-15 that was fitted without the viewing direction can become a generator's labels.")
    arguments = {**generator.arguments, "decoder": "labelled", "layout": BASE_15.name}
    labelled = build(TriplaneGenerator, arguments)
    decoder = labelled.decoder
    assert isinstance(decoder, LabelledDecoder)
    inner, outer = (layer for layer in decoder.label_net if isinstance(layer, FullyConnected))
    constant = F.softplus(first.weight.new_zeros(first.weight.shape[1] - 3 - kept))
    state: dict[str, Tensor] = dict(generator.state_dict())
    state |= {
        "decoder.label_net.0.weight": first.weight[:, :kept] * (first.gain / inner.gain),
        "decoder.label_net.0.bias": first.bias + first.gain * first.weight[:, kept:-3] @ constant,
        "decoder.label_net.2.weight": last.weight * (last.gain / outer.gain),
        "decoder.label_net.2.bias": last.bias,
    }
    labelled.load_state_dict(state, strict=True)
    labelled.release = generator.release
    return labelled.to(generator.device).eval()
