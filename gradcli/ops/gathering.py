"""Elements by their positions along a dim: gathering them, and scattering values back to such places."""

from __future__ import annotations

from typing import Any

import numpy as np

from gradcli.autograd.dtypes import Array
from gradcli.autograd.operation import op, tensor_method
from gradcli.autograd.tensor import Tensor
from gradcli.ops.arguments import Indices, is_number, require_index, require_tensors, require_within, values_of
from gradcli.ops.dims import canonical_dim
from gradcli.ops.expansion import expand
from gradcli.ops.indexing import embed
from gradcli.ops.promotion import as_element, require_broadcastable
from gradcli.ops.shape import view

__all__ = [
    "gather",
    "scatter",
    "scatter_add",
    "take_along_dim",
]


@op("GatherBackward0", method=True)
def gather(input: Array, dim: int, index: Indices, *, sparse_grad: bool = False) -> Array:
    """out[..., i, ...] = input[..., index[..., i, ...], ...] along dim; index may be smaller along the others.

    `sparse_grad` is taken as PyTorch's, but gradients are dense.
    """
    axis = canonical_dim(dim, input.ndim)
    if isinstance(index, np.ndarray) and index.size == 0:
        return np.empty(index.shape, input.dtype)
    _check_index("gather", index, input, axis)
    for other in range(input.ndim):
        if other != axis and index.shape[other] > input.shape[other]:
            raise RuntimeError(
                f"Size does not match at dimension {other} expected index {list(index.shape)} to be no larger than "
                f"self {list(input.shape)} apart from dimension {axis}"
            )
    return np.asarray(_line(input)[_places(index, axis)]).reshape(index.shape)


@op("ScatterAddBackward0", method=True, in_place=True)
def scatter_add(input: Array, dim: int, index: Indices, src: Array) -> Array:
    """input with src[..., i, ...] added at index[..., i, ...] along dim; what several elements go to adds up."""
    axis = _check_scatter("scatter_add", input, dim, index, src)
    result = np.array(input)
    if index.size:
        np.add.at(_line(result), _places(index, axis), _line(src)[_window(index)])
    return result


gather.gradient(
    input=lambda grad, input_shape, dim, index: scatter_add(
        np.zeros(input_shape, values_of(grad).dtype), dim, index, grad
    )
)
scatter_add.gradient(
    input=lambda grad: grad, src=lambda grad, dim, index, src_shape: _taken(grad, dim, index, src_shape)
)


@op("ScatterBackward0")
def scatter_source(input: Array, dim: int, index: Indices, src: Array) -> Array:
    """input with src[..., i, ...] put at index[..., i, ...] along dim."""
    axis = _check_scatter("scatter", input, dim, index, src)
    result = np.array(input)
    if index.size:
        _line(result)[_places(index, axis)] = _line(src)[_window(index)]
    return result


@op("ScatterBackward1")
def scatter_number(input: Array, dim: int, index: Indices, value: float) -> Array:
    """input with one number at index[..., i, ...] along dim."""
    axis = _check_scatter("scatter", input, dim, index, value)
    result = np.array(input)
    if index.size:
        _line(result)[_places(index, axis)] = as_element(value, input.dtype)
    return result


scatter_source.gradient(
    input=lambda grad, dim, index: scatter_number(grad, dim, index, 0),
    src=lambda grad, dim, index, src_shape: _taken(grad, dim, index, src_shape),
)
scatter_number.gradient(input=lambda grad, dim, index: scatter_number(grad, dim, index, 0))


@tensor_method(in_place=True)
def scatter(input: Any, dim: int, index: Any, src: Any = None, *, value: float | None = None) -> Any:
    """input with src[..., i, ...], or the number given as src or value, put at index[..., i, ...] along dim.

    Of several elements for one place the last one stays, but all of them get its gradient, as in PyTorch.
    """
    if isinstance(src, Tensor | np.ndarray):
        return scatter_source(input, dim, index, src)
    return scatter_number(input, dim, index, src if value is None else value)


def _taken(grad: Any, dim: int, index: Indices, src_shape: tuple[int, ...]) -> Any:
    """The gradient at the places that `src` went to, zero where it is larger than the index."""
    values = gather(grad, dim, index)
    if tuple(index.shape) == src_shape:
        return values
    return embed(values, src_shape, tuple(slice(size) for size in index.shape))


def _check_index(operation: str, index: Array, input: Array, axis: int) -> None:
    """RuntimeError unless the index has integers within the dim, and as many dims as the input."""
    require_index(operation, index)
    if max(index.ndim, 1) != max(input.ndim, 1):
        raise RuntimeError(
            f"Index tensor must have the same number of dimensions as self tensor, but got {index.ndim} and "
            f"{input.ndim}"
        )
    require_within(index, axis, _line(input).shape[axis])


def _check_scatter(operation: str, input: Array, dim: int, index: Array, src: Any) -> int:
    """The axis; RuntimeError unless index and src fit the input."""
    axis = canonical_dim(dim, input.ndim)
    if not is_number(src) or operation == "scatter_add":
        require_tensors(operation, src=src)
    if isinstance(src, np.ndarray) and src.dtype != input.dtype:
        raise RuntimeError(
            f"{operation}(): Expected self.dtype to be equal to src.dtype, but got {input.dtype} and {src.dtype}"
        )
    if isinstance(index, np.ndarray) and index.size == 0:
        return axis
    _check_index(operation, index, input, axis)
    if isinstance(src, np.ndarray) and max(index.ndim, 1) != max(src.ndim, 1):
        raise RuntimeError(
            f"Index tensor must have the same number of dimensions as src tensor, but got {index.ndim} and {src.ndim}"
        )
    own, given = _line(input).shape, _line(src).shape if isinstance(src, np.ndarray) else _line(index).shape
    for other, size in enumerate(_line(index).shape):
        if (other != axis and size > own[other]) or size > given[other]:
            raise RuntimeError(
                f"Expected index {list(index.shape)} to be no larger than self {list(input.shape)} apart from "
                f"dimension {axis} and to be no larger size than src {list(given)}"
            )
    return axis


def _line(array: Array) -> Array:
    """A 0-d array as one of a single element; PyTorch counts its dims like that here."""
    return array if array.ndim else array.reshape(1)


def _places(index: Array, axis: int) -> tuple[Any, ...]:
    """The NumPy key of the elements that `index` points to along an axis."""
    index = _line(index)
    grid: list[Any] = list(np.ogrid[tuple(slice(size) for size in index.shape)])
    grid[axis] = index
    return tuple(grid)


def _window(index: Array) -> tuple[slice, ...]:
    """The key of the part of a source that has an index."""
    return tuple(slice(size) for size in _line(index).shape)


@tensor_method()
def take_along_dim(input: Any, indices: Any, dim: int | None = None) -> Any:
    """Like `gather`, with input and indices broadcast against each other but for dim; of all elements without dim.

    Indices below zero count from the end.
    """
    require_tensors("take_along_dim", input=input, indices=indices)
    positions = values_of(indices)
    if positions.dtype != np.int64:
        raise RuntimeError(f"torch.take_along_dim(): dtype of indices should be Long but got {positions.dtype.name}")
    if dim is None:
        input, positions, dim = view(input, (-1,)), positions.reshape(-1), 0
    if input.ndim != positions.ndim:
        raise RuntimeError(
            "torch.take_along_dim(): input and indices should have the same number of dimensions, but got "
            f"{input.ndim} dimensions for input, and {positions.ndim} dimensions for indices"
        )
    axis = canonical_dim(dim, input.ndim)
    if not input.ndim:
        return gather(input, axis, positions)
    own, wanted = list(input.shape), list(positions.shape)
    own[axis] = wanted[axis] = 1
    require_broadcastable(tuple(own), tuple(wanted))
    common = list(np.broadcast_shapes(own, wanted))
    own, wanted = list(common), list(common)
    own[axis], wanted[axis] = input.shape[axis], positions.shape[axis]
    if positions.size and positions.min() < 0:
        positions = np.where(positions < 0, positions + own[axis], positions)
    return gather(expand(input, tuple(own)), axis, np.broadcast_to(positions, wanted))
