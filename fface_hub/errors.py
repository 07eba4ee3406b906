"""Every error a user may meet, each one plain sentence: what was wrong, and what to do.

The page shows them as a toast and the command line prints them on stderr with exit code 2; neither ever shows a stack trace.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


class FFaceError(Exception):
    """Base of all errors whose message is written for the user."""


class ImageError(FFaceError):
    """A picture that cannot be read, or is not what was asked for (size, kind, truncated)."""


class FaceNotFoundError(FFaceError):
    """No face, or no unambiguous face, in a photograph."""


class LayoutError(FFaceError):
    """A class layout that breaks the rules, or a label map that does not fit its layout."""


class ModelError(FFaceError):
    """A model that cannot be found, read or trusted, or does not fit the other models in use."""


class OptimisationError(FFaceError):
    """An optimisation that left the finite numbers; `best` is what it had reached before, or None."""

    best: object | None = None


class CancelledError(FFaceError):
    """The user asked to stop; what was reached so far is kept by the caller."""


@contextmanager
def naming(name: str) -> Iterator[None]:
    """Put the name of the file that is read within the block in front of what is wrong with it, unless that names it already."""
    try:
        yield
    except (ImageError, FaceNotFoundError, LayoutError, ModelError, OptimisationError) as error:
        raise error if f"'{name}'" in str(error) else type(error)(f"'{name}': {error}") from error
