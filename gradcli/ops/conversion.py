"""Copies, of the same type or another, and which type operations on several give."""

from __future__ import annotations

from typing import Any

import numpy as np

from gradcli.autograd.dtypes import (
    Array,
    DType,
    as_numpy_dtype,
    bool_,
    float16,
    float32,
    float64,
    from_numpy_dtype,
    int32,
    int64,
)
from gradcli.autograd.dtypes import dtype as element_type
from gradcli.autograd.operation import op, tensor_method
from gradcli.autograd.tensor import Tensor
from gradcli.ops import promotion

__all__ = [
    "can_cast",
    "clone",
    "promote_types",
    "result_type",
]


@op("CloneBackward0", method=True)
def clone(input: Array) -> Array:
    """A copy in memory of its own, still part of the graph."""
    return np.array(input, order="K")


clone.gradient(input=lambda grad: grad)


@op("ToCopyBackward0")
def to_dtype(input: Array, dtype: DType) -> Array:
    """A copy with elements of another type."""
    return input.astype(as_numpy_dtype(dtype))


# The engine gives every gradient its input's own type.
to_dtype.gradient(input=lambda grad: grad)


@tensor_method("to", "type")
def to(input: Tensor, dtype: DType) -> Tensor:
    """The tensor in another element type; itself where it has that type."""
    return input if input.array.dtype == as_numpy_dtype(dtype) else to_dtype(input, dtype)


def _cast_method(name: str, dtype: DType) -> None:
    def cast(input: Tensor) -> Tensor:
        return to(input, dtype)

    cast.__name__ = name
    cast.__doc__ = f"The tensor as {as_numpy_dtype(dtype)}; itself where it is of that type."
    tensor_method(name)(cast)


for _name, _dtype in (
    ("half", float16),
    ("float", float32),
    ("double", float64),
    ("int", int32),
    ("long", int64),
    ("bool", bool_),
):
    _cast_method(_name, _dtype)


# --- types ------------------------------------------------------------------------------------------------------------


def result_type(tensor1: Any, tensor2: Any) -> element_type:
    """The type of a sum of two tensors or numbers."""
    operands = (value.array if isinstance(value, Tensor) else value for value in (tensor1, tensor2))
    return from_numpy_dtype(promotion.result_type(*operands))


def promote_types(type1: DType, type2: DType) -> element_type:
    """The smallest type that holds the values of both, where any float beats any integer."""
    return from_numpy_dtype(promotion.promote_types(as_numpy_dtype(type1), as_numpy_dtype(type2)))


def can_cast(from_: DType, to: DType) -> bool:
    """Whether a result of one type may be written into another in place: floats into floats, and bools take bools."""
    return promotion.can_cast(as_numpy_dtype(from_), as_numpy_dtype(to))
