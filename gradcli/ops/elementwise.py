"""Copies, of the same type or another, and constants of the shape of a tensor."""

from __future__ import annotations

import numpy as np

from gradcli.autograd.dtypes import (
    Array,
    DType,
    as_numpy_dtype,
    bool_,
    float16,
    float32,
    float64,
    int32,
    int64,
)
from gradcli.autograd.operation import op, tensor_method
from gradcli.autograd.tensor import Tensor
from gradcli.ops.choosing import where as where  # taken from here by modules of before
from gradcli.ops.division import div as div

__all__ = [
    "clone",
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
