"""The closed schema of a model's config: its constructor's arguments, of the annotated types, and nothing that points outside."""

from __future__ import annotations

import inspect
import math
import re
import types
from collections.abc import Mapping
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from fface_hub.errors import FFaceError, ModelError

OUTSIDE_REFERENCE = re.compile(r"://|\\|\.\.|^[/~]|^[A-Za-z]:")
_PRIVATE_KEYS = {"_class_name", "_diffusers_version", "_release"}
RELEASES = ("eg3d", "nerffaceediting", "ffacenerf")
"""Published releases that weights may have been converted or learnt from, which decides on their licence (see `fface_hub.hub.releases`)."""


def check_arguments(cls: Any, config: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments for the constructor of the model class `cls`, out of a config read from anywhere.

    `ModelError` for unknown, missing or mistyped ones, for references to anything outside, and for what `cls.check_config` refuses.
    """
    parameters = {name: p for name, p in inspect.signature(cls.__init__).parameters.items() if name != "self"}
    arguments = {key: value for key, value in config.items() if key not in _PRIVATE_KEYS and key != "_use_default_values"}
    if unknown := sorted(set(arguments) - set(parameters)):
        raise ModelError(f"The config has a setting that {cls.__name__} does not know: {str(unknown[0])[:60]!r}.")
    if missing := [name for name, p in parameters.items() if p.default is inspect.Parameter.empty and name not in arguments]:
        raise ModelError(f"The config lacks the setting {missing[0]!r} of {cls.__name__}.")
    if config.get("_class_name", cls.__name__) != cls.__name__:
        raise ModelError(f"The config is for the class {str(config['_class_name'])[:60]!r}, not {cls.__name__}.")
    if config.get("_release") not in (None, *RELEASES):
        raise ModelError(f"The config's '_release' must be one of {', '.join(RELEASES)}.")
    for key in ("_diffusers_version", "_use_default_values"):  # read by nothing here, but a config points nowhere
        _check_value(config.get(key), key.lstrip("_"))
    hints = get_type_hints(cls.__init__)
    for key, value in arguments.items():
        _check_value(value, key)
        if key in hints and not _fits(value, hints[key]):
            raise ModelError(f"The setting {key!r} of {cls.__name__} has a value of the wrong type: {str(value)[:60]!r}.")
    try:
        cls.check_config(dict(arguments))
    except FFaceError:
        raise
    except (ValueError, TypeError, LookupError) as error:
        raise ModelError(f"The config does not fit {cls.__name__}: {str(error)[:160]}.") from error
    return arguments


def _check_value(value: Any, where: str) -> None:
    """Bounds that hold for every setting of every class, however deep: sizes, finite numbers, and nothing that points outside."""
    fault = None
    if isinstance(value, Mapping | list | tuple):
        items = list(value.items()) if isinstance(value, Mapping) else [(where, item) for item in value]
        if len(items) > 4096:
            fault = "has too many entries"
        for key, item in items:
            if not isinstance(key, str) or key.startswith("_") or not key.isidentifier():
                raise ModelError(f"The setting {where!r} has an entry that is not allowed: {str(key)[:60]!r}.")
            _check_value(item, key)
    elif isinstance(value, str):
        if len(value) > 100 or not value.isprintable():
            fault = "is longer than 100 characters or not printable"
        elif OUTSIDE_REFERENCE.search(value):
            fault = "looks like a path or URL, which a config must not hold"
    elif isinstance(value, int | float):
        fault = None if math.isfinite(value) and abs(value) <= 2**24 else "is not a number of sensible size"
    elif value is not None:
        fault = "is not a JSON value"
    if fault:
        raise ModelError(f"The setting {where!r} {fault}.")


def _fits(value: Any, hint: Any) -> bool:
    """Whether a JSON value has the annotated type. A list stands for a tuple; a whole number for a float; a bool for nothing else."""
    origin, inner = get_origin(hint), get_args(hint)
    if hint is Any:
        return True
    if origin in (Union, types.UnionType):
        return any(_fits(value, option) for option in inner)
    if origin is Literal:
        return any(type(value) is type(option) and value == option for option in inner)
    if origin is tuple and inner and inner[-1] is not Ellipsis:
        return isinstance(value, list | tuple) and len(value) == len(inner) and all(map(_fits, value, inner))
    if origin in (list, tuple) or hint in (list, tuple):
        return isinstance(value, list | tuple) and all(_fits(item, inner[0]) for item in value if inner)
    if origin is dict or hint is dict:
        return isinstance(value, Mapping)
    if hint is float:
        return type(value) in (int, float)
    return type(value) is (type(None) if hint is None else hint)
