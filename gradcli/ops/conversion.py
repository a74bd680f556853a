"""Copies, of the same type or another, and which type operations on several give."""

from __future__ import annotations

from typing import Any

import numpy as np

from gradcli.autograd.dtypes import (
    TYPE_NAMES,
    Array,
    DType,
    as_numpy_dtype,
    bool_,
    float16,
    float32,
    float64,
    from_numpy_dtype,
    int16,
    int32,
    int64,
)
from gradcli.autograd.dtypes import dtype as element_type
from gradcli.autograd.operation import op, tensor_method
from gradcli.autograd.tensor import Tensor
from gradcli.ops import promotion
from gradcli.ops.arguments import require_tensors
from gradcli.ops.attributes import device as device_type
from gradcli.ops.creation import check_placement

__all__ = [
    "can_cast",
    "clone",
    "promote_types",
    "result_type",
]


@op("CloneBackward0", method=True)
def clone(input: Array) -> Array:
    """A copy in memory of its own, still part of the graph."""
    require_tensors("clone", input=input)
    return np.array(input, order="K")


clone.gradient(input=lambda grad: grad)


@op("ToCopyBackward0")
def to_dtype(input: Array, dtype: DType) -> Array:
    """A copy with elements of another type."""
    return input.astype(as_numpy_dtype(dtype))


# The engine gives every gradient its input's own type.
to_dtype.gradient(input=lambda grad: grad)


def converted(input: Tensor, dtype: DType) -> Tensor:
    """The tensor in another element type; itself where it has that type."""
    return input if input.array.dtype == as_numpy_dtype(dtype) else to_dtype(input, dtype)


@tensor_method()
def to(
    input: Tensor,
    *target: Any,
    dtype: DType | None = None,
    device: Any = None,
    tensor: Tensor | None = None,
    non_blocking: bool = False,
    copy: bool = False,
    memory_format: Any = None,
) -> Tensor:
    """The tensor in another element type: `to(dtype)`, `to(device, dtype)`, or `to(tensor)` for that of another.

    Behind these may stand non_blocking and copy. Itself where it has that type, unless `copy` is asked for.
    """
    given = arguments_of_to(target)
    dtype, device = given.get("dtype", dtype), given.get("device", device)
    tensor, copy = given.get("tensor", tensor), given.get("copy", copy)
    check_placement("to", {"device": device})
    if tensor is not None:
        dtype = tensor.dtype
    if copy:
        result: Tensor = to_dtype(input, input.dtype if dtype is None else dtype)
        return result
    return input if dtype is None else converted(input, dtype)


def arguments_of_to(target: tuple[Any, ...]) -> dict[str, Any]:
    """The arguments of `to` that were given by position, by name; TypeError for too many, or of other types."""
    if not target:
        return {}
    names = (*_named_by(target[0]), "non_blocking", "copy")
    if len(target) > len(names):
        raise TypeError(f"to() takes at most {len(names)} positional arguments, but got {len(target)}")
    return dict(zip(names, target, strict=False))


def _named_by(target: Any) -> tuple[str, ...]:
    """The parameters that `to` begins with, by its first argument."""
    if isinstance(target, Tensor):
        return ("tensor",)
    if isinstance(target, element_type | np.dtype | type):
        return ("dtype",)
    if target is None or isinstance(target, str | int | device_type):
        return ("device", "dtype")
    raise TypeError(f"to() takes a type, a device or a tensor, but got {type(target).__name__}")


@tensor_method()
def type_as(input: Tensor, other: Tensor) -> Tensor:
    """The tensor in the element type of another."""
    return converted(input, other.dtype)


@tensor_method("type")
def _type(input: Tensor, dtype: DType | None = None, non_blocking: bool = False) -> Any:
    """The tensor in another element type; without one, the name of its own, as `torch.FloatTensor`."""
    return f"torch.{TYPE_NAMES[input.dtype.name]}Tensor" if dtype is None else converted(input, dtype)


def _cast_method(name: str, dtype: DType) -> None:
    def cast(input: Tensor) -> Tensor:
        return converted(input, dtype)

    cast.__name__ = name
    cast.__doc__ = f"The tensor as {as_numpy_dtype(dtype)}; itself where it is of that type."
    tensor_method(name)(cast)


for _name, _dtype in (
    ("half", float16),
    ("float", float32),
    ("double", float64),
    ("short", int16),
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
