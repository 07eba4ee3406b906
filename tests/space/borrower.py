"""Work that is lent a GPU, beside the same work done here: `python -m tests.space.lender tests.space.borrower GENERATOR FOLDER` prints what
came of it as JSON, with the tiny generator in the first folder and files in the second; with `refused` after them, what is told to who gets
no GPU, and with `numbers`, which ones are computed in here and there."""

from __future__ import annotations

import json
import os
import sys
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from fface_hub.adapters.adapter import Adapter
from fface_hub.adapters.mixing import Mixing
from fface_hub.adapters.plan import FitSettings
from fface_hub.adapters.samples import Sample, SampleSet
from fface_hub.cameras import look_at
from fface_hub.errors import CancelledError, ModelError
from fface_hub.inversion.backdrop import Backdrop
from fface_hub.inversion.inversion import Inversion, round_differences
from fface_hub.inversion.objective import InvertSettings
from fface_hub.inversion.retouch import Retouch
from fface_hub.progress import Callback, Step
from fface_hub.rendering.mesh import extract_mesh
from space import fitting, handlers, layout_results, models, views
from space.lent import lent, packed, unpacked
from space.state import Edit, Session
from tests.space.visit import small


def quiet(step: Step) -> None:
    """Tell nobody."""


def where(report: Callback) -> int:
    """The process that this is done in."""
    return os.getpid()


def numbers(report: Callback) -> str:
    """What this process computes in, by its choice and by its model."""
    model: Any = models.generator()
    return f"{models.compute().dtype} {model.precision}"


def refuse(report: Callback) -> None:
    raise ModelError("There is no such thing: choose another.")


def stumble(report: Callback) -> None:
    raise ValueError("a fault of ours")


def count(file: str, report: Callback) -> None:
    """Steps for a minute, each written to `file`."""
    for index in range(1, 601):
        Path(file).write_text(str(index))
        report(Step(index, 600, {"loss": index / 2}))
        time.sleep(0.1)


def told(work: Any) -> list[str]:
    """The error that a piece of work ends with."""
    try:
        lent(1, quiet, work)
    except Exception as error:
        return [type(error).__name__, str(error)]
    return []


def cancelled(folder: Path) -> dict[str, Any]:
    """What comes of work that is stopped at its third step."""
    seen: list[float] = []

    def stop(step: Step) -> None:
        seen.append(step.losses["loss"])
        if len(seen) == 3:
            raise CancelledError("Stopped.")

    file = folder / "count"
    try:
        lent(1, stop, count, str(file))
    except CancelledError as error:
        message = str(error)
    last = file.read_text()
    time.sleep(0.5)
    return {"seen": len(seen), "told": message, "goes on": file.read_text() != last, "steps": int(last)}


def photographed() -> Session:
    """A face with all that an inversion may bring, in a layout of its own."""
    model: Any = models.generator()
    tuned = model.tuned_copy().requires_grad_(False)
    random = torch.Generator().manual_seed(3)
    for parameter in tuned.parameters():
        parameter.add_(0.01 * torch.randn(parameter.shape, generator=random))
    round_differences(model, tuned)
    backdrop = Backdrop(torch.rand((3, 8, 8), generator=random), look_at(0.0))
    retouch = Retouch(0.1 * torch.rand((3, 3, 8, 8), generator=random), 0.5)
    face = Inversion(model.sample(1, 3), look_at(5.0), tuned, backdrop, retouch=retouch)
    channels = {"feature_channels": model.config["plane_channels"], "geometry_channels": 1 + len(model.layout)}
    adapter = Adapter(model.layout.to_dict(), "", model.fingerprint, **channels).eval().requires_grad_(False)
    adapter.initialise(random)
    session = Session(tuned, face.camera, [Edit(face.latents)], face, adapter)
    handlers.show(session)
    return session


def edits() -> dict[str, Any]:
    """An edit of that face, there and here."""
    session, steps = photographed(), []
    target = torch.roll(session.labels, 3, 1)
    settings = handlers.edit_settings(overlap=True)
    here = handlers.edit_job(session, target, settings, quiet)
    there = handlers.edited(session, target, settings, steps.append)
    kept = (found.latents.kept for found in (here, there))
    return {
        "moved": not torch.equal(here.latents.geometry, session.latents.geometry),
        "latents": torch.equal(here.latents.geometry, there.latents.geometry),
        "kept": len({None if one is None else one.maps.numpy().tobytes() for one in kept}) == 1,
        "picture": torch.equal(here.after.image, there.after.image),
        "losses": here.losses == there.losses,
        "steps": max(step.index for step in steps) == settings.steps,
        "previews": any(step.preview is not None for step in steps),
    }


def inversions() -> dict[str, Any]:
    """A photo inverted with tuning of the weights, there and here."""
    photo: Any = torch.rand((1, 3, 32, 32), generator=torch.Generator().manual_seed(1)) * 2 - 1
    settings = InvertSettings(resolution=16, rays=64, coarse=4, fine=4, w_steps=2, free_steps=2, tuning="weights", tuning_steps=2)
    here, there = handlers._inverted(photo, settings, None, quiet), handlers.inverted(photo, settings, None, quiet)
    pictures = [views.five_views(found.scene(), 16, None, handlers.SAMPLING).image for found in (here, there)]
    own = replace(here, generator=models.generator())
    return {
        "latents": torch.equal(here.latents.geometry, there.latents.geometry),
        "pictures": torch.equal(*pictures),
        "tuned": not torch.equal(pictures[0], views.five_views(own.scene(), 16, None, handlers.SAMPLING).image),
    }


def fits() -> dict[str, Any]:
    """A layout fitted on three faces, there and here."""
    model, settings = (
        models.generator(),
        FitSettings(steps=4, batch=2, rays=64, coarse=4, fine=4, mixing=Mixing(mixes=1), distillation=None),
    )
    fitting.fit_settings = lambda: settings
    labels = torch.randint(len(model.layout), (16, 16), generator=torch.Generator().manual_seed(0))
    samples = SampleSet(model.layout, tuple(Sample(torch.zeros(3, 8, 8), labels, look_at(0.0), model.sample(1, seed)) for seed in range(3)))
    both = [work(samples, samples, (0, 1, 2)) for work in (here_fitted, there_fitted)]
    states = [found.adapter.state_dict() for found in both]
    return {
        "adapter": all(torch.equal(states[0][key], states[1][key]) for key in states[0]),
        "scores": torch.equal(both[0].scores.nan_to_num(-1), both[1].scores.nan_to_num(-1)),
        "fits": both[1].adapter.check(model) is None,
    }


def here_fitted(*args: Any) -> Any:
    return layout_results._fitted_on(*args, quiet)


def there_fitted(*args: Any) -> Any:
    return lent(1, quiet, layout_results._fitted_on, *args)


def files(folder: Path) -> dict[str, Any]:
    """Film and mesh of a face, there and here."""
    model = models.generator()
    face = Inversion(model.sample(1, 1), model.default_camera, model)
    for place, lends in (("there", True), ("here", False)):
        models.LENDS = lends
        views.save_film(face, 2, folder / f"{place}.mp4", quiet)
        views.save_mesh(face, folder / f"{place}.glb", quiet)
    return {name: (folder / f"there.{name}").read_bytes() == (folder / f"here.{name}").read_bytes() for name in ("mp4", "glb")}


def main(generator: Path, folder: Path, only: str) -> None:
    """Do all of it, or one thing `only`."""
    with pytest.MonkeyPatch.context() as patch, torch.no_grad():
        small(patch, generator)
        settings = FitSettings(steps=4, batch=2, rays=64, coarse=4, fine=4, mixing=Mixing(mixes=1), distillation=None)
        patch.setattr(fitting, "fit_settings", lambda: settings)
        patch.setattr(views, "extract_mesh", partial(extract_mesh, resolution=16, level=0.8))
        models.load_all()  # now, or the process that is forked first would not know of it
        torch.set_num_threads(1)
        if only:
            print(json.dumps(told(where)[1] if only == "refused" else [numbers(quiet), lent(1, quiet, numbers)]))
            return
        found: dict[str, Any] = {
            "lends": models.LENDS,
            "elsewhere": len({lent(1, quiet, where), os.getpid()}),
            "own": unpacked(packed(models.generator())) is models.generator(),
            "refused": told(refuse),
            "broken": told(stumble),
            "cancelled": cancelled(folder),
        }
        with torch.enable_grad():
            found |= {"edit": edits(), "invert": inversions(), "fit": fits(), "files": files(folder)}
    print(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3] if len(sys.argv) > 3 else "")
