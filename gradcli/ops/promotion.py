"""Which element type an operation of mixed operands gives: PyTorch's rules, which are not NumPy's.

Types have a category (bool < integer < float). A tensor with dimensions decides over 0-d tensors, and those over
Python numbers, unless the weaker one's category is higher. An integer with a float gives that float type; a Python
float with integers gives float32. Source: PyTorch documentation, "Tensor Attributes", type promotion.

Here too: refusing shapes that can't be combined, with PyTorch's exceptions.
"""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np

from gradcli.autograd.dtypes import Array

_CATEGORY = {"b": 0, "i": 1, "u": 1, "f": 2}
_DEFAULT_FLOAT = np.dtype(np.float32)
_PYTHON_TYPES = {bool: np.dtype(np.bool_), int: np.dtype(np.int64), float: _DEFAULT_FLOAT}


def promote_types(first: np.dtype[Any], second: np.dtype[Any]) -> np.dtype[Any]:
    """The smallest type that holds both, where any float beats any integer."""
    if _CATEGORY[first.kind] != _CATEGORY[second.kind]:
        return max(first, second, key=lambda dtype: _CATEGORY[dtype.kind])
    return np.promote_types(first, second)


def can_cast(source: np.dtype[Any], target: np.dtype[Any]) -> bool:
    """Whether values of one type may be written into another in place: into none of a lower category."""
    return _CATEGORY[source.kind] <= _CATEGORY[target.kind]


def result_type(*operands: Any) -> np.dtype[Any]:
    """The element type of an operation on arrays and Python numbers."""
    by_strength: dict[int, np.dtype[Any]] = {}
    for operand in operands:
        if isinstance(operand, np.ndarray | np.generic):
            strength, dtype = (2 if operand.ndim else 1), operand.dtype
        else:
            strength, dtype = 0, _python_type(operand)
        by_strength[strength] = promote_types(by_strength[strength], dtype) if strength in by_strength else dtype
    strongest, *weaker = (by_strength[strength] for strength in sorted(by_strength, reverse=True))
    for dtype in weaker:
        if _CATEGORY[dtype.kind] > _CATEGORY[strongest.kind]:
            strongest = promote_types(strongest, dtype)
    return strongest


def promote(first: Any, second: Any) -> tuple[Array, Array]:
    """Both operands as arrays of their common type; RuntimeError where their shapes can't be broadcast together."""
    if type(first) is np.ndarray:
        if type(second) is np.ndarray:
            if first.shape != second.shape:
                require_broadcastable(first.shape, second.shape)
            if first.dtype == second.dtype:
                return first, second
        elif _is_of_any_float_type(second) and first.dtype.kind == "f":
            return first, np.array(second, first.dtype)
    elif type(second) is np.ndarray and second.dtype.kind == "f" and _is_of_any_float_type(first):
        return np.array(first, second.dtype), second
    dtype = result_type(first, second)
    # A Python integer that the type doesn't hold wraps around, as in PyTorch.
    return np.asarray(first).astype(dtype, copy=False), np.asarray(second).astype(dtype, copy=False)


def _is_of_any_float_type(value: Any) -> bool:
    """Whether this is a Python number that takes the type of every float tensor it meets."""
    return type(value) is float or (type(value) is int and -(2**63) <= value < 2**63)


def as_element(number: float, dtype: np.dtype[Any]) -> np.ndarray[Any, Any]:
    """A Python number as a 0-d array of that type; RuntimeError where the type doesn't reach that far.

    Negative numbers wrap around in unsigned types, and fractions are cut off in integer types, as in PyTorch.
    """
    _python_type(number)  # refuses what has more than 64 bits
    require_reach(number, dtype)
    return np.array(number if dtype.kind in "fb" else int(number)).astype(dtype)


def require_reach(number: float, dtype: np.dtype[Any]) -> None:
    """RuntimeError for a number that is beyond all elements of a type; any may become a bool."""
    smallest, largest = _limits(dtype)
    if not (smallest <= number <= largest or (dtype.kind in "fb" and not math.isfinite(number))):
        raise RuntimeError(f"value cannot be converted to type {dtype.name} without overflow: {number}")


@functools.cache
def _limits(dtype: np.dtype[Any]) -> tuple[float, float]:
    """The smallest and largest number that may be converted to a type; any may become a bool."""
    if dtype.kind == "f":
        largest = float(np.finfo(dtype).max)
        return -largest, largest
    if dtype.kind == "b":
        return -math.inf, math.inf
    limits = np.iinfo(dtype)
    return (-limits.max if dtype.kind == "u" else limits.min), limits.max


def require_broadcastable(first: tuple[int, ...], second: tuple[int, ...]) -> None:
    """RuntimeError, in PyTorch's words, unless arrays of these shapes can be broadcast together."""
    for a, b, offset in zip(reversed(first), reversed(second), range(len(first) + len(second)), strict=False):
        if a != b and 1 not in (a, b):
            raise RuntimeError(
                f"The size of tensor a ({a}) must match the size of tensor b ({b}) "
                f"at non-singleton dimension {max(len(first), len(second)) - 1 - offset}"
            )


def as_floating(array: Array) -> Array:
    """`array`, or its float32 copy where it holds integers or bools."""
    return array if array.dtype.kind == "f" else array.astype(_DEFAULT_FLOAT)


def promote_floating(first: Any, second: Any) -> tuple[Array, Array]:
    """Both operands as arrays of their common type, which is a float type: float32 where both hold integers."""
    if type(first) is np.ndarray and first.dtype.kind == "f":
        return promote(first, second)  # which has a short way for the usual operands
    if isinstance(first, np.ndarray) and isinstance(second, np.ndarray):
        require_broadcastable(first.shape, second.shape)
    common = result_type(first, second)
    dtype = common if common.kind == "f" else _DEFAULT_FLOAT
    return np.asarray(first).astype(dtype, copy=False), np.asarray(second).astype(dtype, copy=False)


def _python_type(value: Any) -> np.dtype[Any]:
    if isinstance(value, int) and not -(2**63) <= value < 2**64:
        raise OverflowError(f"int too big to convert: {value} has more than 64 bits")
    for python_type, dtype in _PYTHON_TYPES.items():
        if isinstance(value, python_type):
            return dtype
    raise TypeError(f"expected a tensor or a number, but got {type(value).__name__}")
