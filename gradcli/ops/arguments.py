"""What operations are given: tensors, arrays or numbers, and of which kind of elements; refusals in PyTorch's words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from gradcli.autograd.dtypes import Array
from gradcli.autograd.tensor import Tensor
from gradcli.deferred import DeferredArray

Indices = Any
"""An integer or bool array, or a tensor of them: positions have no gradient."""

_NUMBERS = (bool, int, float)
_TENSORS = (Tensor, np.ndarray, np.generic, DeferredArray)


def is_number(value: Any) -> bool:
    """Whether `value` is a Python number, and not a tensor or an array."""
    return isinstance(value, _NUMBERS)


def values_of(tensor: Any) -> Array:
    """The values of a tensor or array, for what has no gradient of its own."""
    array: Array = tensor.array if isinstance(tensor, Tensor) else tensor
    return array


def require_tensors(function: str, **arguments: Any) -> None:
    """TypeError unless all of these arguments, given by name, are tensors or arrays."""
    for name, value in arguments.items():
        if not isinstance(value, _TENSORS):
            raise TypeError(f"{function}(): argument {name!r} must be Tensor, not {type(value).__name__}")


def require_tensor_elements(elements: Sequence[Any], argument: int) -> None:
    """TypeError unless all elements of a sequence, the argument at this position, are tensors or arrays."""
    for position, element in enumerate(elements):
        if not isinstance(element, _TENSORS):
            raise TypeError(
                f"expected Tensor as element {position} in argument {argument}, but got {type(element).__name__}"
            )


def require_kind(operation: str, array: Array | DeferredArray, kinds: str = "f") -> None:
    """NotImplementedError unless the element type is of one of `kinds`, by NumPy's letters: "f" for float and so on."""
    if array.dtype.kind not in kinds:
        raise NotImplementedError(f'"{operation}" not implemented for {array.dtype.name} tensors')


def require_index(function: str, index: Array) -> None:
    """RuntimeError unless an index has elements of the types that positions may have."""
    if index.dtype not in (np.int64, np.int32):
        raise RuntimeError(f"{function}(): Expected dtype int32/int64 for index, but got {index.dtype.name}")


def require_within(index: Array, dim: int, size: int) -> None:
    """RuntimeError for positions that lie outside of a dim of this size."""
    if index.size and (index.min() < 0 or index.max() >= size):
        wrong = index[(index < 0) | (index >= size)].flat[0]
        raise RuntimeError(f"index {wrong} is out of bounds for dimension {dim} with size {size}")
