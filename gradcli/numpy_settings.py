"""NumPy's settings while gradcli computes: no warnings, and short buffers.

Overflow gives inf and an invalid operation nan without a word, as in PyTorch.
"""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ParamSpec, TypeVar

import numpy as np

P = ParamSpec("P")
R = TypeVar("R")

# NumPy takes operands that are strided or broadcast through buffers. With its own 8192 elements, those of three
# operands exceed the first-level cache: scaling images by a factor per channel takes half as long again.
BUFFER_ELEMENTS = 1024


class _Thread(threading.local):
    """Whether this thread is within `quietly` already, and what NumPy's settings were before a network's forward.

    NumPy keeps its settings in a context variable: `context` is one of our own that has those of gradcli.
    """

    def __init__(self) -> None:
        self.quiet = False
        self.warnings_outside: Mapping[str, Any] = {}
        self.buffers_outside = BUFFER_ELEMENTS
        self.context = contextvars.Context()
        self.context.run(np.seterr, all="ignore")
        self.context.run(np.setbufsize, BUFFER_ELEMENTS)


_thread = _Thread()


class short_buffers:  # noqa: N801 - used like contextlib's functions, which take several times as long
    """NumPy's buffers are of BUFFER_ELEMENTS for the length of a `with` block, afterwards as long as before.

    Within `quietly` and its like they are so already.
    """

    def __enter__(self) -> None:
        self._before = None if _thread.quiet else np.setbufsize(BUFFER_ELEMENTS)

    def __exit__(self, *_: object) -> None:
        if self._before is not None:
            np.setbufsize(self._before)


def quietly(function: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
    """Call `function` without NumPy's warnings about floating point numbers, and with short buffers.

    Only the outermost of nested calls has to see to that: to change NumPy's settings and back takes longer than many
    an operation, of which a training step has hundreds.
    """
    if _thread.quiet:
        return function(*args, **kwargs)
    with np.errstate(all="ignore"), short_buffers():
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
    # Those of the network whose hook calls this one, if there is any.
    warnings, buffers = _thread.warnings_outside, _thread.buffers_outside
    try:
        _thread.warnings_outside, _thread.buffers_outside = np.geterr(), np.getbufsize()
        return quietly(function, *args, **kwargs)
    finally:
        _thread.warnings_outside, _thread.buffers_outside = warnings, buffers


def aloud(function: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
    """Call `function`, which is the user's, with NumPy's settings as they were before `network_quietly`."""
    if not _thread.quiet:
        return function(*args, **kwargs)
    with np.errstate(**_thread.warnings_outside):
        try:
            np.setbufsize(_thread.buffers_outside)
            _thread.quiet = False
            return function(*args, **kwargs)
        finally:
            _thread.quiet = True
            np.setbufsize(BUFFER_ELEMENTS)
