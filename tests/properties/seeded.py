"""Prints the SHA-256 of everything that follows from a seed, as JSON by name: `python -m tests.properties.seeded`."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterator

import torch
from torch import Tensor

from fface_hub.adapters.adapter import Adapter
from fface_hub.adapters.fit import fit
from fface_hub.adapters.mixing import Mixing
from fface_hub.adapters.plan import FitSettings
from fface_hub.adapters.samples import Sample, SampleSet
from fface_hub.cameras import look_at
from fface_hub.doors import save_label_map, to_image
from fface_hub.editing.edit import EditSettings, edit
from fface_hub.heads.head import head_latents
from fface_hub.inversion.invert import invert
from fface_hub.inversion.objective import InvertSettings
from fface_hub.layouts import NASAL_WING_17
from fface_hub.rendering.renderer import render
from fface_hub.rendering.sampling import Sampling
from tests.tiny import new_solid_generator

SIZE = 16


def results() -> Iterator[tuple[str, bytes]]:
    """Name and bytes of each."""
    generator = new_solid_generator()
    faces = generator.sample(3, 5, 1.0)
    yield "weights", b"".join(raw(value) for _, value in sorted(generator.state_dict().items()))
    yield "latents", raw(faces.geometry) + raw(faces.appearance)
    head = head_latents(7)
    yield "heads", head.geometry_z.tobytes() + head.appearance_z.tobytes()
    jitter = Sampling(8, 8, torch.Generator().manual_seed(1))
    for name, sampling in (("render", Sampling(8, 8)), ("jittered render", jitter)):
        view = render(generator.scene(faces), look_at(10.0), SIZE, sampling)
        yield name, b"".join(raw(x) for x in (view.image, view.logits, view.labels, view.depth, view.opacity))
    labels, picture = io.BytesIO(), io.BytesIO()
    save_label_map(view.labels[0], generator.layout, labels)
    to_image(view.image[0]).save(picture, format="PNG")
    yield "files", labels.getvalue() + picture.getvalue()
    samples = [Sample(view.image[i], view.labels[i], look_at(10.0), faces[i]) for i in range(3)]
    settings = FitSettings(steps=3, batch=2, rays=32, coarse=6, fine=6, mixing=Mixing(mixes=2), seed=3)
    adapter = fit(generator, SampleSet(generator.layout, tuple(samples)), NASAL_WING_17, settings)
    assert isinstance(adapter, Adapter)
    yield "adapter", b"".join(raw(value) for _, value in sorted(adapter.state_dict().items()))
    few = InvertSettings(SIZE, rays=64, coarse=6, fine=6, w_steps=2, free_steps=2, tuning_steps=2, seed=3)
    inversion = invert(generator, view.image[:1], look_at(10.0), few)
    yield "inversion", raw(inversion.latents.geometry) + raw(inversion.camera.to_vector())
    target = view.labels[0].clone()
    target[6:9, 6:9] = 7
    yield (
        "edit",
        raw(edit(generator, faces[:1], target, camera=look_at(10.0), settings=EditSettings(steps=2, resolution=SIZE)).latents.geometry),
    )


def raw(values: Tensor) -> bytes:
    return values.detach().contiguous().numpy().tobytes()


if __name__ == "__main__":
    print(json.dumps({name: hashlib.sha256(data).hexdigest() for name, data in results()}))
