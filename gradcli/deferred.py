"""Arrays that are computed when somebody looks, so that their consumer may compute them along with its own work.

Batch norm, addition and ReLU in a row, say, are one pass over memory this way and not three, with the same graph and
the same values for everyone who asks. Autograd carries such values without knowing what they are; kernels define them.

A convolution reads arrays that its caller may change afterwards, so it is put off only within the `forward` of a
network that is known not to (`puts_off`), and what that returns is computed.
"""

from __future__ import annotations

import functools
import threading
import weakref
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

import numpy as np

P = ParamSpec("P")
R = TypeVar("R")


class _Thread(threading.local):
    """What a thread has put off: each looks after its own."""

    def __init__(self) -> None:
        self.put_off: weakref.WeakSet[DeferredArray] = weakref.WeakSet()
        self.forward_depth = 0


_thread = _Thread()


class DeferredArray:
    """Stands for an array of known shape and dtype; `array()` computes it once and keeps it.

    `reads_others` says that it is computed from arrays that are not its own, and so before those may change.
    """

    exclusive = False
    """Whether whoever is given it is the only one: the array may then be kept, and changed."""

    reads_arguments = False
    """Whether it is computed from the arguments of a call, which the caller may change as soon as it returns."""

    # NumPy arrays on the left of `+` leave the work to `__radd__`.
    __array_ufunc__: None = None

    def __init__(self, shape: tuple[int, ...], dtype: np.dtype[Any], *, reads_others: bool = True) -> None:
        self.shape = shape
        self.dtype = dtype
        self._array: np.ndarray[Any, Any] | None = None
        self._computing = threading.RLock()
        if reads_others:
            _thread.put_off.add(self)

    @property
    def ndim(self) -> int:
        return len(self.shape)

    def array(self) -> np.ndarray[Any, Any]:
        """The array itself; if not `exclusive`, others may see the same memory: it is not to be changed."""
        if self._array is None:
            # One thread computes and the others wait. Overflow gives inf and nan without a word, as in an operation.
            with self._computing, np.errstate(all="ignore"):
                if self._array is None:
                    self._keep(self._compute())
        assert self._array is not None
        return self._array

    @property
    def is_computed(self) -> bool:
        """Whether the array is there already."""
        return self._array is not None

    def _keep(self, array: np.ndarray[Any, Any]) -> None:
        """From now on this is the array; what it is computed from may be forgotten."""
        self._array = array

    def _compute(self) -> np.ndarray[Any, Any]:
        """Compute the array."""
        raise NotImplementedError

    def __add__(self, other: Any) -> Any:
        """The sum with an array or another deferred one of the same shape."""
        return self.array() + settled(other)

    def __radd__(self, other: Any) -> Any:
        return self + other


def settle_deferred() -> None:
    """Compute what this thread put off, is still in use, and reads others' memory, which may change after this.

    For whoever is about to write into an array, or hands one out that others may write into.
    """
    for deferred in list(_thread.put_off):
        deferred.array()


def settled(value: Any) -> Any:
    """The array of a deferred one; anything else as it is."""
    return value.array() if isinstance(value, DeferredArray) else value


def computed(value: Any) -> Any:
    """As `settled`, but None for a deferred array that nobody has computed yet."""
    return value._array if isinstance(value, DeferredArray) else value


def may_put_off() -> bool:
    """Whether work on the arguments of a call may be put off here: within a `forward` that `puts_off`."""
    return _thread.forward_depth > 0


def puts_off(forward: Callable[P, R]) -> Callable[P, R]:
    """Decorates the `forward` of a network that changes no array between its layers.

    When the outermost one ends, its result is computed, and whatever else still reads the caller's arrays; after an
    exception too, as a hook may have kept what it was given.
    """

    @functools.wraps(forward)
    def settling(*args: P.args, **kwargs: P.kwargs) -> R:
        _thread.forward_depth += 1
        try:
            result = forward(*args, **kwargs)
            if _thread.forward_depth == 1:
                getattr(result, "array", None)  # of a tensor: computes it
            return result
        finally:
            _thread.forward_depth -= 1
            if _thread.forward_depth == 0:
                for deferred in list(_thread.put_off):
                    if deferred.reads_arguments:
                        deferred.array()

    return settling
