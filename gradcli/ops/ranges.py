"""Rows of numbers at equal distances or ratios."""

from __future__ import annotations

import math
import operator
from typing import Any

import numpy as np

from gradcli.autograd.dtypes import Array, DType, as_numpy_dtype
from gradcli.autograd.tensor import Tensor
from gradcli.ops.creation import check_placement
from gradcli.ops.promotion import as_element

__all__ = [
    "arange",
    "linspace",
    "logspace",
]


def arange(*bounds: Any, dtype: DType | None = None, requires_grad: bool = False, **options: Any) -> Tensor:
    """The numbers from `start` up to, not including, `end`: `arange(end)`, `arange(start, end, step=1)`.

    All are numbers or 0-d tensors; only integers give int64, else float32. For an integer `dtype` they are cut off
    to integers first.
    """
    start, end, step = _range(bounds, options)
    check_placement("arange", options)
    integral = all(isinstance(value, int) for value in (start, end, step))
    wanted = as_numpy_dtype(dtype) if dtype is not None else np.dtype(np.int64 if integral else np.float32)
    if wanted.kind == "b":
        raise NotImplementedError('"arange" not implemented for bool tensors')
    if not math.isfinite(start) or not math.isfinite(end):
        raise RuntimeError(f"unsupported range: {start} -> {end}")
    if step == 0:
        raise RuntimeError("step must be nonzero")
    if (end - start) * step < 0:
        raise RuntimeError("upper bound and lower bound inconsistent with step sign")
    if wanted.kind in "iu":
        if int(step) == 0:
            raise ValueError("step must be nonzero")
        return Tensor(np.arange(int(start), int(end), int(step), dtype=np.int64).astype(wanted), requires_grad)
    count = math.ceil((end - start) / step)
    return Tensor((start + np.arange(count) * float(step)).astype(wanted), requires_grad)


def _range(bounds: tuple[Any, ...], options: dict[str, Any]) -> tuple[Any, Any, Any]:
    """start, end and step of a call of arange; those given by name are taken out of the options."""
    names = ("end",) if len(bounds) == 1 and "end" not in options else ("start", "end", "step")
    if len(bounds) > 3:
        raise TypeError(f"arange() takes at most 3 positional arguments, but got {len(bounds)}")
    given = dict(zip(names, bounds, strict=False))
    for name in ("start", "end", "step"):
        if name in options:
            if name in given:
                raise TypeError(f"arange() got multiple values for argument {name!r}")
            given[name] = options.pop(name)
    if "end" not in given:
        raise TypeError("arange() missing 1 required positional argument: 'end'")
    start, end, step = (_number("arange", name, given.get(name, default)) for name, default in _DEFAULTS.items())
    return start, end, step


_DEFAULTS = {"start": 0, "end": None, "step": 1}


def linspace(
    start: Any,
    end: Any,
    steps: int,
    *,
    dtype: DType | None = None,
    requires_grad: bool = False,
    **placement: Any,
) -> Tensor:
    """`steps` numbers at equal distances from `start` to `end`, both included.

    The second half is counted from the end, as in PyTorch. For an integer `dtype` both ends are cut off to integers
    first, and then each number.
    """
    check_placement("linspace", placement)
    exponents, wanted = _spaced("linspace", start, end, steps, dtype)
    return Tensor(exponents.astype(wanted), requires_grad)


def logspace(
    start: Any,
    end: Any,
    steps: int,
    base: float = 10.0,
    *,
    dtype: DType | None = None,
    requires_grad: bool = False,
    **placement: Any,
) -> Tensor:
    """`steps` powers of `base` with exponents at equal distances from `start` to `end`, both included."""
    check_placement("logspace", placement)
    exponents, wanted = _spaced("logspace", start, end, steps, dtype)
    with np.errstate(all="ignore"):
        return Tensor(np.power(exponents.dtype.type(base), exponents).astype(wanted), requires_grad)


def _spaced(function: str, start: Any, end: Any, steps: Any, dtype: DType | None) -> tuple[Array, np.dtype[Any]]:
    """Numbers at equal distances, in double precision for integers, and the type that the result gets."""
    first, last = _number(function, "start", start), _number(function, "end", end)
    if isinstance(steps, bool | float):
        raise TypeError(f"{function}(): argument 'steps' (position 3) must be int, not {type(steps).__name__}")
    count = operator.index(steps)
    if count < 0:
        raise RuntimeError("number of steps must be non-negative")
    wanted = np.dtype(np.float32) if dtype is None else as_numpy_dtype(dtype)
    if wanted.kind == "b":
        raise NotImplementedError(f'"{function}" not implemented for bool tensors')
    first, last = (as_element(value, wanted).item() for value in (first, last))
    working: Any = wanted.type if wanted.kind == "f" else np.float64
    with np.errstate(all="ignore"):  # infinite ends give NaN, as in PyTorch
        low, high = working(first), working(last)
        positions = np.arange(count).astype(working)
        if count == 1:
            return np.full(1, low, working), wanted
        step = (high - low) / working(count - 1)
        half = count // 2
        values = np.empty(count, working)
        values[:half] = low + step * positions[:half]
        values[half:] = high - step * positions[: count - half][::-1]
    return values, wanted


def _number(function: str, name: str, value: Any) -> Any:
    """A Python number given as one or as a 0-d tensor."""
    if isinstance(value, Tensor):
        if value.ndim:
            raise RuntimeError(
                f"{function} only supports 0-dimensional start and end tensors, but got a {value.ndim}D one"
            )
        return value.item()
    if isinstance(value, np.generic):
        return value.item()
    if not isinstance(value, int | float):
        raise TypeError(f"{function}(): argument {name!r} must be Number, not {type(value).__name__}")
    return value
