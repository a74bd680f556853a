"""Holds BLAS to one thread while gradcli's own threads share the work.

A BLAS library has threads of its own, which wait for the next product by spinning: beside another busy process, or
beside our own threads, they take each other's cores. The setting belongs to the process, so a host program that
imports gradcli finds it as it left it.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import threading
from collections.abc import Callable

from numpy.linalg import _umath_linalg

_SETTERS = (
    ("scipy_openblas_get_num_threads64_", "scipy_openblas_set_num_threads64_"),
    ("scipy_openblas_get_num_threads", "scipy_openblas_set_num_threads"),
    ("openblas_get_num_threads64_", "openblas_set_num_threads64_"),
    ("openblas_get_num_threads", "openblas_set_num_threads"),
    ("MKL_Get_Max_Threads", "MKL_Set_Num_Threads"),
)


def _find_thread_functions() -> tuple[Callable[[], int], Callable[[int], None]] | None:
    """The functions that read and set the number of threads of NumPy's BLAS; None where it is an unknown one."""
    try:
        # Symbols are looked up in NumPy's own extension module and in the libraries that it was linked to.
        library = ctypes.CDLL(_umath_linalg.__file__)
    except OSError:
        return None
    for getter_name, setter_name in _SETTERS:
        with contextlib.suppress(AttributeError):
            getter, setter = getattr(library, getter_name), getattr(library, setter_name)
            getter.argtypes, getter.restype = (), ctypes.c_int
            setter.argtypes, setter.restype = (ctypes.c_int,), None
            return getter, setter
    return None


_thread_functions = _find_thread_functions()
_lock = threading.Lock()
_holders = 0
_threads_before = 1


class single_threaded_blas:  # noqa: N801 - used like contextlib's functions
    """One BLAS thread for the length of a `with` block, afterwards as many as before. Blocks may nest and overlap.

    Where BLAS is none that we know to set (Accelerate, say), nothing happens.
    """

    def __enter__(self) -> None:
        global _holders, _threads_before
        if _thread_functions is None:
            return
        get_threads, set_threads = _thread_functions
        with _lock:
            if _holders == 0:
                _threads_before = get_threads()
                if _threads_before != 1:
                    set_threads(1)
            _holders += 1

    def __exit__(self, *_: object) -> None:
        global _holders
        if _thread_functions is None:
            return
        set_threads = _thread_functions[1]
        with _lock:
            _holders -= 1
            if _holders == 0 and _threads_before != 1:
                set_threads(_threads_before)


def _forget_other_threads() -> None:
    """In a forked child: whoever held BLAS, or the lock, in another thread of the parent doesn't exist."""
    global _lock, _holders
    _lock = threading.Lock()
    if _holders and _thread_functions is not None and _threads_before != 1:
        _thread_functions[1](_threads_before)
    _holders = 0


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_other_threads)
