"""New values for parts of a tensor: `tensor[...] = value`, and `index_put`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from gradcli.autograd.dtypes import Array
from gradcli.autograd.operation import op, tensor_method
from gradcli.autograd.tensor import Tensor
from gradcli.ops.arguments import is_number, values_of
from gradcli.ops.creation import tensor
from gradcli.ops.index_keys import gather_key
from gradcli.ops.indexing import basic_view, gather_at
from gradcli.ops.promotion import as_element
from gradcli.ops.shape import view

__all__ = [
    "index_put",
]


@op("IndexPutBackward0", method=True, in_place=True)
def index_put(input: Array, indices: Sequence[Any], values: Array, accumulate: bool = False) -> Array:
    """`input` with `values`, broadcast, in the places where the index tensors point, added there to `accumulate`.

    `indices` are tensors of integers or truth values for the first dims (None for a whole dim). Of several values for
    one place the last one stays.
    """
    if not isinstance(indices, tuple | list):
        raise TypeError(f"index_put(): argument 'indices' must be tuple of Tensors, not {type(indices).__name__}")
    if values.dtype != input.dtype:
        raise RuntimeError(
            f"Index put requires the source and destination dtypes match, got {input.dtype} for the destination and "
            f"{values.dtype} for the source."
        )
    key = gather_key(indices, input.shape)
    result = np.array(input)
    if values.shape != (place := _shape_at(input, key)):
        try:
            values = np.broadcast_to(values, place)
        except ValueError:
            raise RuntimeError(
                f"shape mismatch: value tensor of shape {list(values.shape)} cannot be broadcast to indexing result "
                f"of shape {list(place)}"
            ) from None
    if accumulate:
        np.add.at(result, key, values)
    else:
        result[key] = values
    return result


def _shape_at(input: Array, key: tuple[Any, ...]) -> tuple[int, ...]:
    """The shape of `input[key]`; IndexError for indices that can't be broadcast together or lie outside."""
    stand_in = np.broadcast_to(np.zeros((), np.bool_), input.shape)
    try:
        return tuple(np.shape(stand_in[key]))
    except IndexError as error:
        raise IndexError(str(error).replace("axis", "dimension")) from None


index_put.gradient(
    input=lambda grad, indices, accumulate: grad if accumulate else _without(grad, indices),
    values=lambda grad, indices: gather_at(grad, gather_key(indices, tuple(grad.shape))),
)


def _without(grad: Any, indices: Sequence[Any]) -> Any:
    """The gradient with zeros at the places that were overwritten."""
    return index_put(grad, indices, np.zeros((), values_of(grad).dtype))


@tensor_method("__setitem__")
def setitem(input: Tensor, index: Any, value: Any) -> None:
    """Give part of a tensor new values: a number, an array or a tensor, broadcast and brought to the tensor's type.

    A tensor for an index that gathers must have that type already.

    Where that is recorded, the tensor's history becomes CopySlices, or IndexPutBackward0 for an index that gathers from
    the whole of it. A gather index that names a place more than once leaves the last value there.
    """
    if not isinstance(value, Tensor | np.ndarray | np.generic) and not is_number(value):
        raise TypeError(f"can't assign a {type(value).__name__} to a {input.type()}")
    part, gather = basic_view(input, index)
    values = value
    if is_number(value):
        values = Tensor(as_element(value, input.array.dtype))
    elif not isinstance(value, Tensor):
        values = tensor(value, dtype=input.dtype)
    if gather is None:
        if part.ndim and not values.ndim:
            part.fill_(values)
        else:
            part.copy_(_fitted(values, tuple(part.shape)))
        return
    indices = [None if isinstance(along, slice) else Tensor(along) for along in gather]
    shape = _shape_at(part.array, gather)
    part.index_put_(indices, _fitted(values, shape))


def _fitted(values: Any, shape: tuple[int, ...]) -> Any:
    """The values of an assignment without leading dims of size 1, which PyTorch ignores."""
    extra = values.ndim - len(shape)
    if extra > 0 and all(size == 1 for size in values.shape[:extra]):
        return view(values, tuple(values.shape[extra:]))
    return values
