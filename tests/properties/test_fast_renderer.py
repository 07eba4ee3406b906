"""The fast renderer draws what the general one draws: any tri-plane face, from anywhere, in any size, with any number of samples."""

from __future__ import annotations

from functools import cache

import pytest
import torch
from hypothesis.strategies import booleans, floats, integers, none, one_of, sampled_from

from fface_hub.adapters.adapter import Adapter
from fface_hub.cameras import look_at
from fface_hub.generators.base import Rendering
from fface_hub.generators.triplane import TriplaneGenerator
from fface_hub.latents import Latents
from fface_hub.layouts import EYES_19
from fface_hub.metrics import psnr
from fface_hub.rendering.renderer import render
from fface_hub.rendering.sampling import Sampling
from tests.properties.holding import FEW, SEEDS, hold
from tests.tiny import PAIR, new_solid_generator, random_generator, solid_generator

KINDS = ("fog", "solid", "sharp")
VIEWS = {"yaw": floats(-60, 60), "pitch": floats(-20, 20)}


@cache
def generator(kind: str) -> TriplaneGenerator:
    """Fog, where nothing can be left out; a soft head; and one as dense as the bundled ones are."""
    if kind == "fog":
        return random_generator(**PAIR, noise=False)
    return solid_generator() if kind == "solid" else new_solid_generator(density=400.0, bias=-40.0)


@cache
def adapter(kind: str) -> Adapter:
    """Of the generator of this `kind`."""
    made = Adapter(EYES_19.to_dict(), "a", generator(kind).fingerprint, 8)
    made.initialise(torch.Generator().manual_seed(2))
    return made


def differ(quick: Rendering, slow: Rendering) -> dict[str, float]:
    """The largest difference of each output, the lowest PSNR of a picture, and the share of other labels among pixels that are clear."""
    lead = slow.logits.topk(2, dim=1).values.diff(dim=1)[:, 0].abs()
    other = (quick.labels != slow.labels) & (lead > 1e-2)
    outputs = {name: getattr(quick, name) - getattr(slow, name) for name in ("raw", "logits", "depth", "opacity")}
    figures = {name: float(values.abs().max()) for name, values in outputs.items()}
    return {**figures, "psnr": float(psnr(quick.raw, slow.raw).min()), "labels": float(other.float().mean())}


def pictures_agree(
    seed: int, kind: str, yaw: float, pitch: float, side: int, coarse: int, fine: int, chunk: int | None, relabelled: bool
) -> None:
    """In fog up to rounding; on heads as far as faint and hidden samples go, which the renderer leaves out (rendering/fast.py)."""
    latents = generator(kind).sample(2, seed, 1.0)
    scene = generator(kind).scene(Latents(latents.geometry, latents.appearance.roll(1, 0)))
    camera, sampling = look_at(torch.tensor([yaw, -yaw]), torch.tensor([pitch, 0.0])), Sampling(coarse, fine)
    options = {"adapter": adapter(kind) if relabelled else None, "finish": False}
    with torch.no_grad():
        quick = render(scene, camera, side, sampling, chunk=chunk, **options)
        slow = render(scene, camera, side, sampling, exact=True, **options)
    found = differ(quick, slow)
    assert found["labels"] == 0 if kind == "fog" else found["labels"] <= 0.001, found
    if kind == "fog":
        assert max(found[name] for name in ("raw", "logits", "depth", "opacity")) <= 1e-4, found
    else:
        assert found["psnr"] >= 60 and found["opacity"] <= 5e-3 and found["raw"] <= 2e-2, found


@pytest.mark.parametrize("examples", FEW)
def test_pictures(examples: int) -> None:
    sizes = {"side": one_of(integers(1, 24), sampled_from([48, 64, 96])), "coarse": integers(6, 32), "fine": integers(0, 24)}
    options = {"chunk": one_of(none(), integers(20, 4000)), "relabelled": booleans(), "kind": sampled_from(KINDS)}
    hold(pictures_agree, examples, seed=SEEDS, **VIEWS, **sizes, **options)
