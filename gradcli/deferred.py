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

from gradcli.numpy_settings import aloud, network_quietly, quietly

P = ParamSpec("P")
R = TypeVar("R")


class _Thread(threading.local):
    """What a thread has put off: each looks after its own."""

    def __init__(self) -> None:
        # Each reference takes itself out when its array goes away: what a WeakSet does, without its Python code.
        self.put_off: set[weakref.ref[DeferredArray]] = set()
        self.within_forward = False

    def still_in_use(self) -> list[DeferredArray]:
        """What was put off and has not gone away, computed or not."""
        return [deferred for reference in list(self.put_off) if (deferred := reference()) is not None]


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
        if reads_others:
            put_off = _thread.put_off
            put_off.add(weakref.ref(self, put_off.discard))

    @property
    def ndim(self) -> int:
        return len(self.shape)

    def array(self) -> np.ndarray[Any, Any]:
        """The array itself; if not `exclusive`, others may see the same memory: it is not to be changed."""
        if self._array is None:
            # One thread computes and the others wait for the lock, which is whose `setdefault` was first.
            with self.__dict__.setdefault("_computing", threading.RLock()):
                if self._array is None:
                    self._keep(quietly(self._compute))
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


ARRAYS = (np.ndarray, DeferredArray)
"""What an operation computes on: for `isinstance`, where a union built anew at each call takes time."""


def settle_deferred() -> None:
    """Compute what this thread put off, is still in use, and reads others' memory, which may change after this.

    For whoever is about to write into an array, or hands one out that others may write into.
    """
    for deferred in _thread.still_in_use():
        deferred.array()


def settled(value: Any) -> Any:
    """The array of a deferred one; anything else as it is."""
    return value.array() if isinstance(value, DeferredArray) else value


def computed(value: Any) -> Any:
    """As `settled`, but None for a deferred array that nobody has computed yet."""
    return value._array if isinstance(value, DeferredArray) else value


def may_put_off() -> bool:
    """Whether work on the arguments of a call may be put off here: within a `forward` that `puts_off`."""
    return _thread.within_forward


def puts_off(forward: Callable[P, R]) -> Callable[P, R]:
    """Decorates the `forward` of a network that changes no array between its layers.

    When the outermost one ends, its result is computed, and whatever else still reads the caller's arrays; after an
    exception too, as a hook may have kept what it was given. NumPy's warnings are off from its beginning, not only
    from that of each operation.
    """

    @functools.wraps(forward)
    def putting_off(*args: P.args, **kwargs: P.kwargs) -> R:
        if _thread.within_forward:
            return forward(*args, **kwargs)
        return network_quietly(settling, *args, **kwargs)

    def settling(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            _thread.within_forward = True
            result = forward(*args, **kwargs)
            getattr(result, "array", None)  # of a tensor: computes it
            return result
        finally:
            _thread.within_forward = False
            for deferred in _thread.still_in_use():
                if deferred.reads_arguments:
                    deferred.array()

    return putting_off


def call_users_code(function: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
    """Call `function`, which may change any array, as if outside of the networks in whose `forward` it is called.

    No convolution that it asks for is put off, and NumPy warns as it did before.
    """
    if not _thread.within_forward:
        return aloud(function, *args, **kwargs)
    try:
        _thread.within_forward = False
        return aloud(function, *args, **kwargs)
    finally:
        _thread.within_forward = True
