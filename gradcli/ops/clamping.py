"""Keeping elements within bounds, which are numbers or tensors. An element on a bound keeps its gradient."""

from __future__ import annotations

from typing import Any

import numpy as np

from gradcli.autograd.dtypes import Array
from gradcli.autograd.operation import op, tensor_method
from gradcli.kernels import elementwise as kernels
from gradcli.ops.arguments import is_number, require_tensors
from gradcli.ops.choosing import where_elements
from gradcli.ops.promotion import as_element, require_broadcastable, result_type

__all__ = [
    "clamp",
    "clamp_max",
    "clamp_min",
    "clip",
]


@op("ClampBackward1")
def clamp_scalar(input: Array, min: float | None = None, max: float | None = None) -> Array:
    """min(max(input, lower bound), upper bound) for bounds that are numbers, of which one may be None."""
    return _clamped("clamp", input, min, max)


@op("ClampBackward0")
def clamp_tensor(input: Array, min: Array | None = None, max: Array | None = None) -> Array:
    """min(max(input, lower bound), upper bound) for bounds that are tensors, broadcast; one may be None."""
    require_tensors("clamp", **{name: bound for name, bound in (("min", min), ("max", max)) if bound is not None})
    return _clamped("clamp", input, min, max)


@op("ClampMinBackward0")
def clamp_min_scalar(input: Array, min: float) -> Array:
    """max(input, bound) for a number."""
    return _clamped("clamp_min", input, min, None)


@op("ClampMinBackward1")
def clamp_min_tensor(input: Array, min: Array) -> Array:
    """max(input, bound), broadcast."""
    require_tensors("clamp_min", min=min)
    return _clamped("clamp_min", input, min, None)


@op("ClampMaxBackward0")
def clamp_max_scalar(input: Array, max: float) -> Array:
    """min(input, bound) for a number."""
    return _clamped("clamp_max", input, None, max)


@op("ClampMaxBackward1")
def clamp_max_tensor(input: Array, max: Array) -> Array:
    """min(input, bound), broadcast."""
    require_tensors("clamp_max", max=max)
    return _clamped("clamp_max", input, None, max)


def _clamped(operation: str, input: Array, min: Any, max: Any) -> Array:
    """The elements within the bounds, in the common type of all; where the bounds cross, the upper one."""
    require_tensors(operation, input=input)
    with_numbers = is_number(min) or is_number(max)
    if with_numbers and input.dtype.kind == "f":
        dtype = input.dtype
    else:
        dtype = result_type(*(operand for operand in (input, min, max) if operand is not None))
    if with_numbers and dtype.kind == "b":
        raise NotImplementedError(f'"{operation}" not implemented for bool tensors with numbers as bounds')
    result = input.astype(dtype, copy=False)
    for function, bound in ((np.maximum, min), (np.minimum, max)):
        if bound is not None:
            values = as_element(bound, dtype) if is_number(bound) else bound.astype(dtype, copy=False)
            require_broadcastable(result.shape, values.shape)
            result = kernels.apply(function, result, values)
    return result


def _within(input: Any, min: Any, max: Any) -> Any:
    """Where input lies between the bounds, or on one."""
    if max is None:
        return input >= min
    return input <= max if min is None else (input >= min) & (input <= max)


def _below(input: Any, min: Any, max: Any) -> Any:
    """Where the lower bound was taken."""
    return input < min if max is None else (input < min) & (min < max)


def _above(input: Any, min: Any, max: Any) -> Any:
    """Where the upper bound was taken."""
    return input > max if min is None else (input > max) | (max < min)


clamp_scalar.gradient(input=lambda grad, input, min, max: where_elements(_within(input, min, max), grad, 0.0))
clamp_tensor.gradient(
    input=lambda grad, input, min, max: where_elements(_within(input, min, max), grad, 0.0),
    min=lambda grad, input, min, max: where_elements(_below(input, min, max), grad, 0.0),
    max=lambda grad, input, min, max: where_elements(_above(input, min, max), grad, 0.0),
)
clamp_min_scalar.gradient(input=lambda grad, input, min: where_elements(input >= min, grad, 0.0))
clamp_min_tensor.gradient(
    input=lambda grad, input, min: where_elements(input >= min, grad, 0.0),
    min=lambda grad, input, min: where_elements(input < min, grad, 0.0),
)
clamp_max_scalar.gradient(input=lambda grad, input, max: where_elements(input <= max, grad, 0.0))
clamp_max_tensor.gradient(
    input=lambda grad, input, max: where_elements(input <= max, grad, 0.0),
    max=lambda grad, input, max: where_elements(input > max, grad, 0.0),
)


@tensor_method(in_place=True)
def clamp(input: Any, min: Any = None, max: Any = None) -> Any:
    """The elements within the bounds (both numbers, or both tensors that broadcast; at most one left out).

    nan stays, and a nan bound gives nan. Where the lower bound is above the upper one, the upper one counts.
    """
    if min is None and max is None:
        raise RuntimeError("torch.clamp: At least one of 'min' or 'max' must not be None")
    numbers = all(bound is None or is_number(bound) for bound in (min, max))
    return (clamp_scalar if numbers else clamp_tensor)(input, min, max)


clip = tensor_method("clip", in_place=True)(clamp)


@tensor_method(in_place=True)
def clamp_min(input: Any, min: Any) -> Any:
    """The elements, but not below the bound: a number, or a tensor that broadcasts."""
    return (clamp_min_scalar if is_number(min) else clamp_min_tensor)(input, min)


@tensor_method(in_place=True)
def clamp_max(input: Any, max: Any) -> Any:
    """The elements, but not above the bound: a number, or a tensor that broadcasts."""
    return (clamp_max_scalar if is_number(max) else clamp_max_tensor)(input, max)
