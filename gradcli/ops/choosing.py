"""Choosing element by element: by a mask, or the larger or smaller of two."""

from __future__ import annotations

from typing import Any

import numpy as np

from gradcli.autograd.dtypes import Array
from gradcli.autograd.operation import op, tensor_method
from gradcli.autograd.tensor import Tensor
from gradcli.kernels import elementwise as kernels
from gradcli.ops.arguments import is_number, require_tensors, values_of
from gradcli.ops.promotion import as_element, promote, require_broadcastable

__all__ = [
    "masked_fill",
    "maximum",
    "minimum",
    "where",
]


@op("WhereBackward0")
def where_elements(condition: Array, input: Any, other: Any) -> Array:
    """input where condition (bool) holds, else other; all three broadcast."""
    require_tensors("where", condition=condition)
    if condition.dtype != np.bool_:
        if condition.dtype != np.uint8:  # which were PyTorch's masks once
            raise RuntimeError(
                f"where expected condition to be a boolean tensor, but got a tensor of {condition.dtype.name}"
            )
        condition = condition != 0
    first, second = promote(input, other)
    if not condition.shape == first.shape == second.shape:
        require_broadcastable(condition.shape, np.broadcast_shapes(first.shape, second.shape))
    return np.where(condition, first, second)


where_elements.gradient(
    input=lambda grad, condition: where_elements(condition, grad, 0.0),
    other=lambda grad, condition: where_elements(condition, 0.0, grad),
)

_MISSING: Any = object()


def where(condition: Any, input: Any = _MISSING, other: Any = _MISSING) -> Any:
    """input where condition (bool) holds, else other; all three broadcast, and the latter two may be numbers.

    Given only a condition: where it is not zero, as one int64 tensor of indices for each dim.
    """
    if input is _MISSING and other is _MISSING:
        require_tensors("where", condition=condition)
        return tuple(Tensor(indices) for indices in np.nonzero(np.atleast_1d(values_of(condition))))
    if input is _MISSING or other is _MISSING:
        raise TypeError("where() takes a condition alone, or with both input and other")
    return where_elements(condition, input, other)


@tensor_method("where")
def _where(input: Tensor, condition: Any, other: Any) -> Any:
    """The tensor's element where condition (bool) holds, else that of other, broadcast."""
    return where_elements(condition, input, other)


# --- masks ------------------------------------------------------------------------------------------------------------


@op("MaskedFillBackward0")
def masked_fill_scalar(input: Array, mask: Array, value: float) -> Array:
    """input, but a number where mask (bool) holds; both broadcast."""
    return _filled(input, mask, as_element(value, input.dtype))


@op("MaskedFillBackward1")
def masked_fill_tensor(input: Array, mask: Array, value: Array) -> Array:
    """input, but the 0-d `value` where mask (bool) holds; input and mask broadcast."""
    require_tensors("masked_fill", value=value)
    if value.ndim:
        raise RuntimeError(
            f"masked_fill only supports a 0-dimensional value tensor, but got tensor with {value.ndim} dimension(s)."
        )
    return _filled(input, mask, value.astype(input.dtype))


def _filled(input: Array, mask: Array, value: Array) -> Array:
    require_tensors("masked_fill", input=input, mask=mask)
    if mask.dtype != np.bool_:
        raise RuntimeError(f"masked_fill only supports boolean masks, but got mask with dtype {mask.dtype}")
    require_broadcastable(input.shape, mask.shape)
    return np.where(mask, value, input)


masked_fill_scalar.gradient(input=lambda grad, mask: masked_fill_scalar(grad, mask, 0))
masked_fill_tensor.gradient(
    input=lambda grad, mask: masked_fill_scalar(grad, mask, 0),
    value=lambda grad, mask: where_elements(mask, grad, 0.0),
)


@tensor_method(in_place=True)
def masked_fill(input: Any, mask: Any, value: Any) -> Any:
    """input, but `value` (a number or a 0-d tensor, in input's type) where mask (bool) holds; both broadcast."""
    require_tensors("masked_fill", input=input, mask=mask)
    if isinstance(value, complex):
        raise RuntimeError(f"value cannot be converted to type {input.dtype} without overflow: {value}")
    return (masked_fill_scalar if is_number(value) else masked_fill_tensor)(input, mask, value)


# --- the larger and the smaller ---------------------------------------------------------------------------------------


@op("MaximumBackward0", method=True)
def maximum(input: Array, other: Array) -> Array:
    """The larger of input and other, broadcast; nan where either is. Equals share the gradient."""
    require_tensors("maximum", input=input, other=other)
    return kernels.apply(np.maximum, *promote(input, other))


@op("MinimumBackward0", method=True)
def minimum(input: Array, other: Array) -> Array:
    """The smaller of input and other, broadcast; nan where either is. Equals share the gradient."""
    require_tensors("minimum", input=input, other=other)
    return kernels.apply(np.minimum, *promote(input, other))


def _share(grad: Any, equal: Any, lost: Any) -> Any:
    """Half of the gradient where both are equal, none where this one was not chosen, else all of it."""
    return where_elements(lost, 0.0, where_elements(equal, grad * 0.5, grad))


maximum.gradient(
    input=lambda grad, input, other: _share(grad, input == other, input < other),
    other=lambda grad, input, other: _share(grad, input == other, input > other),
)
minimum.gradient(
    input=lambda grad, input, other: _share(grad, input == other, input > other),
    other=lambda grad, input, other: _share(grad, input == other, input < other),
)
