"""Errors as the visitor sees them: one plain sentence in a toast, never a stack trace."""

from __future__ import annotations

import errno
import functools
import html
import logging
from collections.abc import Callable, Iterator
from typing import ParamSpec, TypeVar

import gradio as gr

from fface_hub.errors import FFaceError

Arguments = ParamSpec("Arguments")
Value = TypeVar("Value")
logger = logging.getLogger(__name__)


def toast(error: Exception) -> gr.Error:
    """`error` as the one sentence that the visitor sees; what is no user's mistake goes to the log in full.

    Toasts are read as HTML, and a sentence may quote what somebody else has written, such as the name of a layout: it is escaped.
    """
    if isinstance(error, gr.Error):  # such as a spent GPU quota, told by `spaces`
        return error
    if isinstance(error, FFaceError):
        return gr.Error(html.escape(str(error), quote=False), print_exception=False)
    logger.error("A handler of the page failed.", exc_info=error)
    if isinstance(error, MemoryError) or "out of memory" in str(error):
        return gr.Error("The server has not enough memory left for this: wait a minute and try again.", print_exception=False)
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return gr.Error("The server's disk is full: wait a while and try again. Your face is as it was.", print_exception=False)
    return gr.Error("This went wrong inside the program, not by your doing: your face is as it was. Try again.", print_exception=False)


def plainly(handler: Callable[Arguments, Value]) -> Callable[Arguments, Value]:
    """Errors written for users become a toast; anything else is a fault of ours, logged and shown as one plain sentence."""

    @functools.wraps(handler)
    def wrapped(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Value:
        try:
            return handler(*args, **kwargs)
        except Exception as error:
            raise toast(error) from error

    return wrapped


def plainly_streaming(handler: Callable[Arguments, Iterator[Value]]) -> Callable[Arguments, Iterator[Value]]:
    """`plainly` for handlers that yield."""

    @functools.wraps(handler)
    def wrapped(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Iterator[Value]:
        try:
            yield from handler(*args, **kwargs)
        except Exception as error:
            raise toast(error) from error

    return wrapped
