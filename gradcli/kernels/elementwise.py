"""Elementwise work on large arrays, shared among the threads.

Arrays of one shape whose elements lie in memory without gaps and in the same order are cut into blocks of that
memory, whatever the order is. All others, and small ones, are left to plain NumPy.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from gradcli.kernels import memory
from gradcli.kernels.layout import Array
from gradcli.kernels.threads import parallel

BLOCK_ELEMENTS = 1 << 17
LARGE = 2 * BLOCK_ELEMENTS  # elements from which on it pays to wake a thread
MASKED_BY_BITS = 1 << 13  # elements from which on integers decide faster than a choice between two arrays

_INT8, _BOOL = np.dtype(np.int8), np.dtype(np.bool_)
_ONE = np.ones((), np.int8)
_INTEGERS = {size: np.dtype(f"i{size}") for size in (2, 4, 8)}  # by their size in bytes


def apply(function: Callable[..., Array], *operands: Array) -> Array:
    """function(*operands), for a function like NumPy's own (with `out`) whose result has the dtype of its operands.

    Operands may be broadcast, but only numbers (0-d) go with the fast way for large arrays. A new array has the memory
    order of the operands.
    """
    for operand in operands:
        if operand.size >= LARGE:
            return _apply_in_blocks(function, operands)
    return np.asarray(function(*operands))


def _apply_in_blocks(function: Callable[..., Array], operands: tuple[Array, ...]) -> Array:
    """`apply` for large arrays: shared among the threads, where their memory can be cut into blocks."""
    largest = max(operands, key=_size)
    order = _memory_order(largest)
    arrays = [array for array in operands if array.ndim]
    if not all(_is_like(array, largest, order) and array.dtype == largest.dtype for array in arrays):
        return np.asarray(function(*operands))
    result = _empty_like(largest, order)
    target = _flat(result, order)
    sources = [_flat(array, order) if array.ndim else array for array in operands]

    def block(number: int) -> None:
        part = slice(number * BLOCK_ELEMENTS, (number + 1) * BLOCK_ELEMENTS)
        function(*(source[part] if source.ndim else source for source in sources), out=target[part])

    parallel(block, -(-target.size // BLOCK_ELEMENTS))
    return result


def _size(array: Array) -> int:
    return array.size


def add(first: Array, second: Array) -> Array:
    """The sum of two arrays of one dtype."""
    return apply(np.add, first, second)


def rectify(x: Array) -> Array:
    """max(x, 0), the ReLU function; NaN stays."""
    return apply(np.maximum, x, np.zeros((), x.dtype))


def masked(grad: Array, out: Array) -> Array:
    """The gradient of ReLU with result `out`: `grad`, of its shape, where that is above zero or NaN, else zero."""
    order = _memory_order(out)
    eligible = grad.size >= MASKED_BY_BITS and grad.dtype.kind == "f" and _is_like(grad, out, order)
    if not eligible or not _is_like(out, out, order):
        return np.where(out <= 0, grad.dtype.type(0), grad)
    result = _empty_like(grad, order)
    target, source, values = _flat(result, order), _flat(grad, order), _flat(out, order)

    def block(number: int) -> None:
        part = slice(number * BLOCK_ELEMENTS, (number + 1) * BLOCK_ELEMENTS)
        mask_block(source[part], values[part], target[part])

    parallel(block, -(-grad.size // BLOCK_ELEMENTS))
    return result


def mask_block(source: Array, values: Array, out: Array) -> None:
    """Fill `out` with `source` where `values` are above zero or NaN, else with zeros; by the calling thread alone.

    All have one shape; `source` and `out`, floating point of one dtype, may be the same. The decision becomes an
    integer of all or no bits, which lets those of `source` through or not: products would make NaN of infinities, and
    a masked copy takes several times as long.
    """
    passed = memory.scratch("elementwise.passed", values.shape, _INT8)
    np.less_equal(values, 0, out=passed.view(_BOOL))
    np.subtract(passed, _ONE, out=passed)  # 0 where dropped, else -1: all bits, also after widening
    bits = _INTEGERS[out.dtype.itemsize]
    np.bitwise_and(source.view(bits), passed, out=out.view(bits))


# --------------------------------------------------------------------------------------------- memory order


def _memory_order(array: Array) -> tuple[int, ...]:
    """The axes from the largest stride to the smallest."""
    if array.flags.c_contiguous:
        return tuple(range(array.ndim))
    return tuple(sorted(range(array.ndim), key=lambda axis: -array.strides[axis]))


def _is_like(array: Array, other: Array, order: tuple[int, ...]) -> bool:
    """Whether `array` has the shape of `other`, and fills its memory without gaps with the axes in that order."""
    return array.shape == other.shape and bool(array.transpose(order).flags.c_contiguous)


def _flat(array: Array, order: tuple[int, ...]) -> Array:
    """The elements of an array that `_is_like` accepts, in memory order, as a view."""
    return array.transpose(order).reshape(-1)


def _empty_like(array: Array, order: tuple[int, ...]) -> Array:
    result = memory.empty(tuple(array.shape[axis] for axis in order), array.dtype)
    inverse: Any = np.argsort(order)
    return result.transpose(inverse)
