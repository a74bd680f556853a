"""Indexing: `tensor[...]` is taken apart into selecting, slicing, inserting dims and gathering, as PyTorch does."""

from __future__ import annotations

from typing import Any

import numpy as np

from gradcli.autograd.dtypes import Array
from gradcli.autograd.operation import op, tensor_method
from gradcli.autograd.tensor import Tensor
from gradcli.ops.dims import canonical_dim
from gradcli.ops.index_keys import GatherKey, normal_slice, split_key
from gradcli.ops.shape import unsqueeze

__all__ = [
    "select",
]


@op("SelectBackward0", method=True, view=True)
def select(input: Array, dim: int, index: int) -> Array:
    """The slice at `index` of `dim`, without that dim."""
    if input.ndim == 0:
        raise IndexError("select() cannot be applied to a 0-dim tensor.")
    axis = canonical_dim(dim, input.ndim)
    size = input.shape[axis]
    if not -size <= index < size:
        raise IndexError(f"index {index} is out of bounds for dimension {dim} with size {size}")
    return input[(*_at(axis, index), ...)]  # with `...` NumPy gives a view of a single element too


@op("SliceBackward0", view=True)
def slice_dim(input: Array, dim: int, start: int | None = None, end: int | None = None, step: int = 1) -> Array:
    """Every `step`-th slice of `dim` from `start` up to `end`."""
    if step < 1:
        raise ValueError("step must be greater than zero")
    return np.asarray(input[_at(canonical_dim(dim, input.ndim), slice(start, end, step))])


@op("AliasBackward0", view=True)
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


def basic_view(input: Any, key: Any) -> tuple[Any, GatherKey | None]:
    """What the parts of a key that make views select, and the key that gathers from it, None where that is all.

    `tensor[key]` gathers from the view, and an assignment writes into it. The view is `input` itself where the key
    selects nothing less.
    """
    view_key, gather = split_key(key, tuple(input.shape))
    dim = 0
    for part in view_key:
        if isinstance(part, int):
            input = select(input, dim, part)
            continue
        if part is None:
            input = unsqueeze(input, dim)
        elif part != slice(None):
            input = slice_dim(input, dim, part.start, part.stop, 1 if part.step is None else part.step)
        dim += 1
    return input, gather


@tensor_method("__getitem__")
def getitem(input: Tensor, index: Any) -> Tensor:
    """Part of a tensor: by integers, slices, None, `...`, and integer or bool tensors."""
    result: Tensor
    # Short ways for the usual keys: the general one takes twice as long for a small tensor.
    if type(index) is int:
        result = select(input, 0, index)
        return result
    if type(index) is tuple and len(index) <= input.ndim and set(map(type, index)) == {int}:
        try:
            result = input
            for part in index:
                result = select(result, 0, part)
            return result
        except IndexError:
            pass  # the general way says which dim it is
    if input.ndim and type(index) is slice:
        part = normal_slice(index)
        result = slice_dim(input, 0, part.start, part.stop, 1 if part.step is None else part.step)
        return result
    if input.ndim and type(index) is Tensor and index.ndim and index.array.dtype == np.int64:
        result = gather_at(input, (index.array,))
        return result
    result, gather = basic_view(input, index)
    if gather is not None:
        result = gather_at(result, gather)
    elif result is input:
        result = slice_dim(input, 0) if isinstance(index, slice) else alias(input)
    return result


def _at(axis: int, part: Any) -> tuple[Any, ...]:
    """The NumPy index that takes `part` of one axis and all of those before it."""
    return (*(slice(None),) * axis, part)
