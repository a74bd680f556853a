"""Which element type an operation of mixed operands gives: PyTorch's rules, which are not NumPy's.

Types have a category (bool < integer < float). A tensor with dimensions decides over 0-d tensors, and those over
Python numbers, unless the weaker one's category is higher. An integer with a float gives that float type; a Python
float with integers gives float32. Source: PyTorch documentation, "Tensor Attributes", type promotion.

Here too: refusing what can't be combined, by shape or by type, with PyTorch's exceptions.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from gradcli.autograd.dtypes import Array
from gradcli.deferred import DeferredArray

_CATEGORY = {"b": 0, "i": 1, "u": 1, "f": 2}
_DEFAULT_FLOAT = np.dtype(np.float32)
_PYTHON_TYPES = {bool: np.dtype(np.bool_), int: np.dtype(np.int64), float: _DEFAULT_FLOAT}


def promote_types(first: np.dtype[Any], second: np.dtype[Any]) -> np.dtype[Any]:
    """The smallest type that holds both, where any float beats any integer."""
    if _CATEGORY[first.kind] != _CATEGORY[second.kind]:
        return max(first, second, key=lambda dtype: _CATEGORY[dtype.kind])
    return np.promote_types(first, second)


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
    if isinstance(first, np.ndarray) and isinstance(second, np.ndarray):
        if first.shape != second.shape:
            require_broadcastable(first.shape, second.shape)
        if first.dtype == second.dtype:
            return first, second
    dtype = result_type(first, second)
    # A Python integer that the type doesn't hold wraps around, as in PyTorch.
    return np.asarray(first).astype(dtype, copy=False), np.asarray(second).astype(dtype, copy=False)


def require_broadcastable(first: tuple[int, ...], second: tuple[int, ...]) -> None:
    """RuntimeError, in PyTorch's words, unless arrays of these shapes can be broadcast together."""
    for a, b, offset in zip(reversed(first), reversed(second), range(len(first) + len(second)), strict=False):
        if a != b and 1 not in (a, b):
            raise RuntimeError(
                f"The size of tensor a ({a}) must match the size of tensor b ({b}) "
                f"at non-singleton dimension {max(len(first), len(second)) - 1 - offset}"
            )


def require_kind(operation: str, array: Array | DeferredArray, kinds: str = "f") -> None:
    """NotImplementedError unless the element type is of one of `kinds`, by NumPy's letters: "f" for float and so on."""
    if array.dtype.kind not in kinds:
        raise NotImplementedError(f'"{operation}" not implemented for {array.dtype.name} tensors')


def as_floating(array: Array) -> Array:
    """`array`, or its float32 copy where it holds integers or bools."""
    return array if array.dtype.kind == "f" else array.astype(_DEFAULT_FLOAT)


def promote_floating(first: Any, second: Any) -> tuple[Array, Array]:
    """Both operands as arrays of their common type, which is a float type: integers become float32."""
    first, second = promote(first, second)
    return as_floating(first), as_floating(second)


def _python_type(value: Any) -> np.dtype[Any]:
    for python_type, dtype in _PYTHON_TYPES.items():
        if isinstance(value, python_type):
            return dtype
    raise TypeError(f"expected a tensor or a number, but got {type(value).__name__}")
