"""Overflow gives inf and an invalid operation nan without a word, as in PyTorch: NumPy's warnings of them are off."""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ParamSpec, TypeVar

import numpy as np

P = ParamSpec("P")
R = TypeVar("R")


class _Thread(threading.local):
    """Whether this thread is within `quietly` already, and what NumPy's settings were before a network's forward.

    NumPy keeps its settings in a context variable: `context` is one of our own in which warnings are off.
    """

    def __init__(self) -> None:
        self.quiet = False
        self.outside: Mapping[str, Any] = {}
        self.context = contextvars.Context()
        self.context.run(np.seterr, all="ignore")


_thread = _Thread()


def quietly(function: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
    """Call `function` without NumPy's warnings about floating point numbers.

    Only the outermost of nested calls has to see to that: to change NumPy's settings and back takes longer than many
    an operation, of which a training step has hundreds.
    """
    if _thread.quiet:
        return function(*args, **kwargs)
    with np.errstate(all="ignore"):
        try:
            _thread.quiet = True
            return function(*args, **kwargs)
        finally:
            _thread.quiet = False


def compute(function: Callable[..., R], args: Sequence[Any], options: Mapping[str, Any]) -> R:
    """As `quietly`, in a tenth of the time, for what calls no code of a user's, who may have context variables."""
    thread = _thread
    if thread.quiet:
        return function(*args, **options)
    thread.quiet = True
    try:
        return thread.context.run(function, *args, **options)
    finally:
        thread.quiet = False


def network_quietly(function: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
    """As `quietly`, for what may call a user's code, by `aloud`."""
    if _thread.quiet:
        return function(*args, **kwargs)
    outside = _thread.outside  # of the network whose hook calls this one, if there is any
    try:
        _thread.outside = np.geterr()
        return quietly(function, *args, **kwargs)
    finally:
        _thread.outside = outside


def aloud(function: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
    """Call `function`, which is the user's, with NumPy's settings as they were before `network_quietly`."""
    if not _thread.quiet:
        return function(*args, **kwargs)
    with np.errstate(**_thread.outside):
        try:
            _thread.quiet = False
            return function(*args, **kwargs)
        finally:
            _thread.quiet = True
