"""Long work on a GPU that is lent for a call, as a Space on ZeroGPU has it; everywhere else it is done here.

Such a GPU belongs to a process that is forked for the call (or for an earlier one): it has copies of what was there when it began, and
only what it says comes back. So visitors, their faces and their running work stay in the process of the page, whose models are on its
CPUs; short work, such as drawing a view, is done there, too, and costs nobody's share of the GPU. What long work needs is sent along, and
the models of the page by their names.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import fields, replace
from typing import IO, Any, TypeVar, cast

import numpy as np
import spaces
import torch
from torch import Tensor

from fface_hub.adapters.adapter import Adapter
from fface_hub.cameras import Camera
from fface_hub.errors import FFaceError
from fface_hub.generators.base import Generator, Rendering
from fface_hub.inversion.backdrop import Backdrop
from fface_hub.inversion.inversion import Inversion, differences, with_differences
from fface_hub.inversion.retouch import Retouch
from fface_hub.kept import Kept
from fface_hub.latents import Latents
from fface_hub.progress import Callback, Step
from space import models
from space.jobs import Job
from space.state import Edit, Session

Result = TypeVar("Result")
PLACED = (Backdrop, Camera, Inversion, Kept, Latents, Rendering, Retouch)
"""What is where the models are: its tensors are put on their device wherever it arrives."""


def lent(seconds: float, report: Callback, work: Callable[..., Result], *args: Any) -> Result:
    """`work(*args, report)`, by a GPU that is lent for so many `seconds` where the page has such.

    `work` is a function of a module, to which `args` may be sent and whose result may be sent back. It is stopped by what `report` raises,
    at the next step, and raises here what it raises there, if that is a `FFaceError`.
    """
    if not models.LENDS:
        return work(*args, report)
    results: list[Result] = []
    with closing(cast(Any, _on_gpu(seconds, packed((work, args))))) as messages:
        for message in messages:
            said = unpacked(message)
            if isinstance(said, Step):
                report(said)
            elif isinstance(said, FFaceError):
                raise said
            else:
                results += said
    return results[0]


def _asked(seconds: float, sent: bytes) -> int:
    return round(seconds)


@spaces.GPU(duration=_asked)
def _on_gpu(seconds: float, sent: bytes) -> Iterator[bytes]:
    """In the process that has the GPU: the steps of the work that was sent, then its result in a tuple, or the error that it ended with."""
    models.move_to_lent_gpu()
    work, args = unpacked(sent)
    job = Job(lambda report: work(*args, report))
    try:
        for step in job:
            yield packed(replace(step, best=None))
        yield packed((job.result(),))
    except FFaceError as error:
        yield packed(error)
    finally:  # nobody waits any more, or it is over
        job.end()


# ── what is sent ──────────────────────────────────────────────────────────────────────────────────────────────────────────────────────


def packed(value: Any) -> bytes:
    """`value` for the other process."""
    file = io.BytesIO()
    _Pickler(file, protocol=5).dump(value)
    return file.getvalue()


def unpacked(data: bytes) -> Any:
    """What the other process has packed: the same program, forked from this one or the one that this was forked from. Never for anything
    that comes from elsewhere."""
    return _Unpickler(io.BytesIO(data)).load()


class _Pickler(pickle.Pickler):
    """Models of the page go by their name, tensors as their numbers, whatever they are on."""

    def __init__(self, file: IO[bytes], protocol: int) -> None:
        super().__init__(file, protocol)
        self.names = {id(model): name for name, model in models.shared().items()}

    def persistent_id(self, obj: Any) -> str | None:
        """The name of a model of the page; None for anything else, which is sent itself."""
        return self.names.get(id(obj))

    def reducer_override(self, obj: Any) -> Any:
        """How what is sent is made again there: a function and its arguments; the usual way for all that is not named here."""
        if isinstance(obj, Tensor):
            return _tensor, (obj.detach().cpu().contiguous().numpy(),)
        if isinstance(obj, PLACED):
            return _placed, (type(obj), {field.name: getattr(obj, field.name) for field in fields(obj)})
        if isinstance(obj, Adapter):
            return _adapter, (obj.arguments, dict(obj.state_dict()), obj.model_id, obj.release)
        if isinstance(obj, Generator):  # no model of the page, so tuned to a photo
            return _tuned, (differences(models.generator(), obj),)
        if isinstance(obj, Session):
            return _session, (obj.face(), obj.adapter, obj.camera, obj.rendering)
        return NotImplemented


class _Unpickler(pickle.Unpickler):
    def persistent_load(self, pid: str) -> Any:
        """The model of that name in this process."""
        return models.shared()[pid]


def _tensor(values: np.ndarray) -> Tensor:
    return torch.from_numpy(values)


def _placed(cls: type[Any], values: Mapping[str, Any]) -> Any:
    device = models.compute().device
    return cls(**{name: value.to(device) if isinstance(value, Tensor) else value for name, value in values.items()})


def _adapter(arguments: Mapping[str, Any], state: Mapping[str, Tensor], model_id: str | None, release: str | None) -> Adapter:
    adapter = Adapter.from_config(arguments)
    adapter.load_state_dict(state)
    adapter.model_id, adapter.release = model_id, release
    return adapter.to(models.compute().device).eval().requires_grad_(False)


def _tuned(changes: Mapping[str, Tensor]) -> Generator:
    return with_differences(models.generator(), changes)


def _session(face: Inversion, adapter: Adapter | None, camera: Camera, rendering: Rendering | None) -> Session:
    """What long work needs of a visitor's face: how it is now."""
    return Session(face.generator, camera, [Edit(face.latents)], face, adapter, rendering)
