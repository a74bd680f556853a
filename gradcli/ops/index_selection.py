"""Slices by a list of positions along a dim, elements by position or mask, and the positions of what isn't zero."""

from __future__ import annotations

from typing import Any

import numpy as np

from gradcli.autograd.dtypes import Array
from gradcli.autograd.operation import op, tensor_method
from gradcli.autograd.tensor import Tensor
from gradcli.ops.arguments import Indices, require_index, require_tensors, require_within, values_of
from gradcli.ops.arithmetic import scaled
from gradcli.ops.dims import canonical_dim
from gradcli.ops.indexing import embed
from gradcli.ops.promotion import require_broadcastable
from gradcli.ops.shape import view

__all__ = [
    "argwhere",
    "index_add",
    "index_select",
    "masked_select",
    "nonzero",
    "take",
]


@op("IndexSelectBackward0", method=True)
def index_select(input: Array, dim: int, index: Indices) -> Array:
    """The slices of `dim` at the positions in a vector, in its order."""
    axis = canonical_dim(dim, input.ndim)
    positions = _positions("index_select", index)
    if not input.ndim and positions.size != 1:
        raise RuntimeError(f"index_select(): Index to scalar can have only 1 value, got {positions.size} value(s)")
    size = input.shape[axis] if input.ndim else 1
    if positions.size and (positions.min() < 0 or positions.max() >= size):
        raise IndexError("index out of range in self")
    return np.take(input, positions, axis) if input.ndim else input.copy()


@op("IndexAddBackward0", method=True, in_place=True)
def index_add(input: Array, dim: int, index: Indices, source: Array, *, alpha: float = 1) -> Array:
    """input with alpha times the slices of source added at the positions in a vector; repeated ones add up."""
    axis = canonical_dim(dim, input.ndim)
    positions = _positions("index_add_", index)
    if input.dtype != source.dtype:
        raise RuntimeError(
            f"index_add_(): self ({input.dtype}) and source ({source.dtype}) must have the same scalar type"
        )
    if _without(input.shape, axis) != _without(source.shape, axis) or input.ndim != source.ndim:
        raise RuntimeError(
            "source tensor shape must match self tensor shape, excluding the specified dimension. "
            f"Got self.shape = {list(input.shape)} source.shape = {list(source.shape)}"
        )
    count = source.shape[axis] if source.ndim else 1
    if positions.size != count:
        raise RuntimeError(
            f"index_add_(): Number of indices ({positions.size}) should be equal to source.size(dim): ({count}), "
            f"for dim: {axis}"
        )
    size = input.shape[axis] if input.ndim else 1
    if positions.size and (positions.min() < 0 or positions.max() >= size):
        if input.ndim <= 1:
            raise IndexError("index out of range in self")
        require_within(positions, axis, size)
    result = np.array(input)
    added = source if alpha == 1 else source * source.dtype.type(alpha)
    # The chosen dim in front: (..., n, ...) -> (n, ...)
    np.add.at(
        np.moveaxis(result, axis, 0) if result.ndim else result.reshape(1),
        positions,
        np.moveaxis(added, axis, 0) if added.ndim else added.reshape(1),
    )
    return result


index_select.gradient(
    input=lambda grad, dim, index, input_shape: index_add(
        np.zeros(input_shape, values_of(grad).dtype), dim, index, grad
    )
)
index_add.gradient(
    input=lambda grad: grad,
    source=lambda grad, dim, index, alpha: scaled(index_select(grad, dim, index), alpha),
)


def _positions(operation: str, index: Array) -> Array:
    """The positions as a vector of integers."""
    if index.ndim > 1:
        raise IndexError(f"{operation}(): Index is supposed to be a vector, but has the shape {list(index.shape)}")
    require_index(operation, index)
    return index.reshape(-1)


def _without(shape: tuple[int, ...], axis: int) -> tuple[int, ...]:
    return shape[:axis] + shape[axis + 1 :]


@op("TakeBackward0", method=True)
def take(input: Array, index: Indices) -> Array:
    """The elements at positions of the flattened input, in the shape of the index; below zero from the end."""
    if index.dtype != np.int64:
        raise RuntimeError(f"take(): Expected a long tensor for index, but got {index.dtype.name}")
    if index.size and not input.size:
        raise IndexError("take(): tried to take from an empty tensor")
    try:
        return np.asarray(np.take(input, index))
    except IndexError as error:
        raise IndexError(f"out of range: {error}".replace("axis 0 with size", "a tensor of")) from None


take.gradient(
    input=lambda grad, index, input_shape: view(
        embed(view(grad, (-1,)), (int(np.prod(input_shape)),), (values_of(index).reshape(-1),)), input_shape
    )
)


@op("MaskedSelectBackward0", method=True)
def masked_select(input: Array, mask: Indices) -> Array:
    """The elements where mask, broadcast, is true: a vector."""
    if mask.dtype != np.bool_:
        raise RuntimeError("masked_select: expected BoolTensor for mask")
    require_broadcastable(input.shape, mask.shape)
    values, chosen = np.broadcast_arrays(input, mask)
    return np.asarray(values[chosen])


@masked_select.gradients("input")
def _masked_select_gradient(grad: Any, mask: Indices, input_shape: tuple[int, ...]) -> tuple[Any]:
    mask = values_of(mask)
    shape = np.broadcast_shapes(mask.shape, input_shape)
    chosen = np.nonzero(np.broadcast_to(mask, shape)) if shape else (np.zeros(int(mask), np.int64),)
    spread = embed(grad, shape or (1,), chosen)
    return (spread if shape else view(spread, ()),)


@tensor_method()
def nonzero(input: Tensor, *, as_tuple: bool = False) -> Any:
    """The positions of the elements that aren't zero: an int64 matrix of a row for each, or with `as_tuple` a vector
    for each dim (a 0-d tensor then counts as 1-d)."""
    require_tensors("nonzero", input=input)
    array = input.array
    if as_tuple:
        return tuple(map(Tensor, np.nonzero(array if array.ndim else array.reshape(1))))
    return argwhere(input)


@tensor_method()
def argwhere(input: Tensor) -> Tensor:
    """The positions of the elements that aren't zero, as an int64 matrix of a row for each."""
    require_tensors("argwhere", input=input)
    return Tensor(np.argwhere(input.array).astype(np.int64, copy=False))
