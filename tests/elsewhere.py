"""A device that this machine does not have: its tensors compute on the CPU, but refuse all that such a device would refuse.

Tensors of two devices do not mix (numbers, and indices of the CPU's, do), and Apple's devices know no float64. So a forgotten `.to(device)`
is found where there is no GPU at hand.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map
from torch.utils.backend_registration import _setup_privateuseone_for_python_backend


class _Backend:
    """What torch asks the module of a device for."""

    def is_initialized(self) -> bool:
        return True

    def is_available(self) -> bool:
        return True

    def current_device(self) -> int:
        return 0

    def _is_in_bad_fork(self) -> bool:
        return False

    def manual_seed_all(self, seed: int) -> None:
        """It has no random numbers of its own."""

    def get_amp_supported_dtype(self) -> list[torch.dtype]:
        return [torch.bfloat16, torch.float16]


_setup_privateuseone_for_python_backend("away", _Backend())
AWAY = torch.device("away:0")
MOVES = {"aten::_to_copy", "aten::copy_", "aten::_local_scalar_dense", "aten::set_"}
INDEXED = {"aten::index", "aten::index_put_", "aten::index_put", "aten::_unsafe_index", "aten::_index_put_impl_"}


class Away(torch.Tensor):
    """A tensor of the device `AWAY`; its values are those of `here`."""

    here: torch.Tensor

    @staticmethod
    def __new__(cls, here: torch.Tensor) -> Away:
        made = torch.Tensor._make_wrapper_subclass(  # pyright: ignore[reportAttributeAccessIssue]
            cls, here.shape, strides=here.stride(), storage_offset=here.storage_offset(), dtype=here.dtype, device=AWAY
        )
        made.here = here
        return made

    def __repr__(self) -> str:  # pyright: ignore[reportIncompatibleMethodOverride]
        return f"Away({self.here})"

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        with Elsewhere():
            return func(*args, **(kwargs or {}))


class Elsewhere(TorchDispatchMode):
    """Within the block the device exists."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        name = func._schema.name
        given = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, torch.Tensor)]
        away = [leaf for leaf in given if isinstance(leaf, Away)]
        wanted = kwargs.get("device")
        to_away = torch.device(wanted).type == AWAY.type if wanted is not None else bool(away)
        if name not in MOVES and away:
            strangers = [leaf for leaf in given if not isinstance(leaf, Away) and leaf.ndim > 0]
            if strangers and name not in INDEXED:
                raise RuntimeError(f"{name}: Expected all tensors to be on the same device, but found at least two, {AWAY} and cpu")
        if wanted is not None and to_away:
            kwargs["device"] = torch.device("cpu")
        if name == "aten::copy_" and away:
            _here(args[0]).copy_(_here(args[1]))
            return args[0]
        out = func(*tree_map(_here, args), **tree_map(_here, kwargs))
        known = {id(leaf.here): leaf for leaf in away}

        def back(leaf: Any) -> Any:
            if not isinstance(leaf, torch.Tensor) or not to_away:
                return leaf
            return known[id(leaf)] if id(leaf) in known else _send(leaf, name)

        return tree_map(back, out)


def _by_hand(func: Any, args: Any, kwargs: Any) -> Any:
    """What torch does without asking a dispatch mode, such as making tensors from Python's numbers."""
    kwargs = dict(kwargs or {})
    if func in (torch.tensor, torch.as_tensor, torch.Tensor.new_tensor):
        device = kwargs.pop("device", args[0].device if func is torch.Tensor.new_tensor else None)
        if func is torch.Tensor.new_tensor:
            kwargs.setdefault("dtype", args[0].dtype)
            func, args = torch.tensor, args[1:]
        if device is not None and torch.device(device).type == AWAY.type:
            return func(*args, **kwargs, device="cpu").to(AWAY)
        kwargs = kwargs if device is None else {**kwargs, "device": device}
    if func in (torch.matmul, torch.Tensor.matmul, torch.Tensor.__matmul__) and isinstance(args[0], Away) and args[0].ndim == 1:
        return (args[0].unsqueeze(0) @ args[1]).squeeze(0)  # torch squeezes in place here, which a stand-in cannot follow
    if func is torch.Tensor.tolist and isinstance(args[0], Away):
        return args[0].here.tolist()
    if func in (torch.Tensor.__getitem__, torch.Tensor.__setitem__) and isinstance(args[0], Away):
        parts = args[1] if isinstance(args[1], tuple) else (args[1],)
        args = (args[0], tuple(torch.tensor(part) if isinstance(part, list) else part for part in parts), *args[2:])
        if func is torch.Tensor.__setitem__ and not isinstance(args[2], torch.Tensor):
            args = (*args[:2], torch.tensor(args[2], dtype=args[0].dtype))
    return func(*args, **kwargs)


class _ByHand(TorchFunctionMode):
    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _by_hand(func, args, kwargs)


@contextmanager
def elsewhere() -> Iterator[torch.device]:
    """The block in which the device, which it gives, exists."""
    with _ByHand(), Elsewhere():
        yield AWAY


def _here(value: Any) -> Any:
    return value.here if isinstance(value, Away) else value


def _send(tensor: torch.Tensor, name: str) -> torch.Tensor:
    if tensor.dtype == torch.float64:
        raise TypeError(f"{name}: Cannot make a tensor of float64 on {AWAY}: the framework doesn't support it")
    return Away(tensor)
