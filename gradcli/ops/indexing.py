"""Indexing: `tensor[...]` is taken apart into selecting, slicing, inserting dims and gathering, as PyTorch does."""

from __future__ import annotations

import operator
from collections.abc import Iterator
from typing import Any

import numpy as np

from gradcli.autograd.dtypes import Array, bool_
from gradcli.autograd.operation import op, tensor_method
from gradcli.autograd.tensor import Tensor
from gradcli.ops.dims import canonical_dim
from gradcli.ops.shape import unsqueeze

__all__ = [
    "select",
]

_BOOLS = (bool_, np.dtype(np.bool_))


@op("SelectBackward0", method=True)
def select(input: Array, dim: int, index: int) -> Array:
    """The slice at `index` of `dim`, without that dim."""
    if input.ndim == 0:
        raise IndexError("select() cannot be applied to a 0-dim tensor.")
    axis = canonical_dim(dim, input.ndim)
    size = input.shape[axis]
    if not -size <= index < size:
        raise IndexError(f"index {index} is out of bounds for dimension {dim} with size {size}")
    return np.asarray(input[_at(axis, index)])


@op("SliceBackward0")
def slice_dim(input: Array, dim: int, start: int | None = None, end: int | None = None, step: int = 1) -> Array:
    """Every `step`-th slice of `dim` from `start` up to `end`."""
    if step < 1:
        raise ValueError("step must be greater than zero")
    return np.asarray(input[_at(canonical_dim(dim, input.ndim), slice(start, end, step))])


@op("AliasBackward0")
def alias(input: Array) -> Array:
    """The whole, as a tensor of its own that shares memory."""
    return input.view()


alias.gradient(input=lambda grad: grad)


@op("IndexBackward0")
def gather_at(input: Array, key: tuple[Any, ...]) -> Array:
    """The elements at integer or bool index arrays, NumPy's and PyTorch's advanced indexing."""
    try:
        return np.asarray(input[key])
    except IndexError as error:
        raise IndexError(str(error).replace("axis", "dimension")) from None


@op("EmbedBackward0")
def embed(values: Array, shape: tuple[int, ...], key: Any) -> Array:
    """Zeros of `shape` with `values` added at `key`: the adjoint of indexing. Repeated places add up."""
    result = np.zeros(shape, values.dtype)
    if any(isinstance(part, np.ndarray) for part in key):
        np.add.at(result, key, values)
    else:
        result[key] = values
    return result


select.gradient(
    input=lambda grad, input_shape, dim, index: embed(
        grad, input_shape, _at(canonical_dim(dim, len(input_shape)), index)
    )
)
slice_dim.gradient(
    input=lambda grad, input_shape, dim, start, end, step: embed(
        grad, input_shape, _at(canonical_dim(dim, len(input_shape)), slice(start, end, step))
    )
)
gather_at.gradient(input=lambda grad, input_shape, key: embed(grad, input_shape, key))
embed.gradient(values=lambda grad, key: gather_at(grad, key))


@tensor_method("__getitem__")
def getitem(input: Tensor, index: Any) -> Tensor:
    """Part of a tensor: by integers, slices, None, `...`, and integer or bool tensors."""
    whole = input
    dim = 0
    gathers: dict[int, Array] = {}
    for part in _without_ellipsis(index if isinstance(index, tuple) else (index,), input.ndim):
        if part is None:
            input = unsqueeze(input, dim)
            dim += 1
        elif isinstance(part, slice):
            if part != slice(None):
                input = slice_dim(input, dim, *_bounds(part))
            dim += 1
        elif _is_bool(part):
            input = unsqueeze(input, dim)
            gathers[dim] = np.zeros(int(part), np.int64)
            dim += 1
        elif _is_integer(part):
            input = select(input, dim, int(part))
        else:
            for positions in _index_arrays(part, tuple(input.shape[dim:])):
                gathers[dim] = positions
                dim += 1
    if dim > input.ndim:
        raise IndexError(f"too many indices for tensor of dimension {whole.ndim}")
    if gathers:
        input = gather_at(input, tuple(gathers.get(axis, slice(None)) for axis in range(max(gathers) + 1)))
    if input is not whole:
        return input
    result: Tensor = slice_dim(input, 0) if isinstance(index, slice) else alias(input)
    return result


@tensor_method("__iter__")
def _iterate(input: Tensor) -> Iterator[Tensor]:
    """The slices of the first dim, one by one."""
    if input.ndim == 0:
        raise TypeError("iteration over a 0-d tensor")
    return iter([select(input, 0, index) for index in range(len(input))])


def _at(axis: int, part: Any) -> tuple[Any, ...]:
    """The NumPy index that takes `part` of one axis and all of those before it."""
    return (*(slice(None),) * axis, part)


def _without_ellipsis(parts: tuple[Any, ...], ndim: int) -> list[Any]:
    """The parts with `...` written out as full slices."""
    ellipses = [position for position, part in enumerate(parts) if part is Ellipsis]
    if not ellipses:
        return list(parts)
    if len(ellipses) > 1:
        raise IndexError("an index can only have a single ellipsis ('...')")
    used = 0
    for part in parts:
        if part is None or part is Ellipsis or _is_bool(part):
            continue
        used += part.ndim if isinstance(part, Tensor | np.ndarray) and part.dtype in _BOOLS else 1
    at = ellipses[0]
    return [*parts[:at], *(slice(None),) * (ndim - used), *parts[at + 1 :]]


def _is_bool(part: Any) -> bool:
    """A single truth value: it keeps everything or nothing, along a new dim."""
    return isinstance(part, bool | np.bool_) or (
        isinstance(part, Tensor | np.ndarray) and part.ndim == 0 and part.dtype in _BOOLS
    )


def _is_integer(part: Any) -> bool:
    if isinstance(part, Tensor):
        return part.ndim == 0 and part.array.dtype.kind in "iu"
    return isinstance(part, int | np.integer)


def _bounds(part: slice) -> tuple[int | None, int | None, int]:
    bounds = (part.start, part.stop, part.step)
    start, stop, step = (None if bound is None else operator.index(bound) for bound in bounds)
    return start, stop, 1 if step is None else step


def _index_arrays(part: Any, covered: tuple[int, ...]) -> tuple[Array, ...]:
    """The integer index arrays that a tensor or list stands for; a bool mask gives one for each of its dims."""
    array = part.array if isinstance(part, Tensor) else np.asarray(part)
    if array.size == 0 and not isinstance(part, Tensor):
        array = array.astype(np.int64)
    if array.dtype == np.bool_:
        if array.shape != covered[: array.ndim]:
            raise IndexError(
                f"The shape of the mask {list(array.shape)} does not match the shape of the indexed tensor "
                f"{list(covered)}"
            )
        return np.nonzero(array)
    if array.dtype not in (np.int64, np.int32):
        raise IndexError(f"tensors used as indices must be int64, int32 or bool, but got {array.dtype.name}")
    return (array,)
