"""Running sums and products along a dim, and products of everything but one element."""

from __future__ import annotations

from typing import Any

import numpy as np

from gradcli.autograd.dtypes import Array, DType
from gradcli.autograd.operation import op, tensor_method
from gradcli.ops.arguments import values_of
from gradcli.ops.dims import canonical_dim
from gradcli.ops.reduction import require_float_gradient, sum_dtype

__all__ = [
    "cumprod",
    "cumsum",
]


@op("CumsumBackward0")
def cumsum_along(input: Array, dim: int, dtype: DType | None = None) -> Array:
    """Sums along dim of all elements up to each, itself included."""
    return _running_sum(input, dim, dtype)


@op("CumsumBackward0")
def reversed_cumsum(input: Array, dim: int) -> Array:
    """Sums along dim of all elements from each on, itself included: the adjoint of `cumsum_along`."""
    axis = canonical_dim(dim, input.ndim)
    return np.flip(_running_sum(np.flip(input, axis), dim, None), axis) if input.ndim else input


cumsum_along.gradient(input=lambda grad, dim: reversed_cumsum(grad, dim))
reversed_cumsum.gradient(input=lambda grad, dim: cumsum_along(grad, dim))


@tensor_method(in_place=True)
def cumsum(input: Any, dim: int, *, dtype: DType | None = None) -> Any:
    """Sums along dim of all elements up to each, itself included. Integers and bools are summed as int64."""
    require_float_gradient(input, dtype)
    return cumsum_along(input, dim, dtype)


def _running_sum(input: Array, dim: int, dtype: DType | None) -> Array:
    axis = canonical_dim(dim, input.ndim)
    target = sum_dtype(input, dtype)
    _refuse_bool("cumsum", target)
    values = input.astype(target, copy=False)
    if not input.ndim:
        return values.copy()
    if target.kind != "f":
        return np.cumsum(values, axis, target)
    return np.cumsum(values, axis, np.float64).astype(target, copy=False)  # long float32 sums come out exact


@op("CumprodBackward0")
def cumprod_along(input: Array, dim: int, dtype: DType | None = None) -> Array:
    """Products along dim of all elements up to each, itself included."""
    axis = canonical_dim(dim, input.ndim)
    values = input.astype(sum_dtype(input, dtype), copy=False)
    _refuse_bool("cumprod", values.dtype)
    return np.cumprod(values, axis, values.dtype) if input.ndim else values.copy()


cumprod_along.gradient(input=lambda grad, input, out, dim: _cumprod_gradient(grad, input, out, dim))


def _cumprod_gradient(grad: Any, input: Any, out: Any, dim: int) -> Any:
    """By division where no element is zero.

    Elsewhere the share of element i is the product of those before it, times s_i = grad_i + input_{i+1} s_{i+1}. That
    recurrence is solved by doubling: after step k, s_i takes account of the 2^k next elements.
    """
    if not input.ndim:
        return grad
    if not has_zeros(input):
        return reversed_cumsum(out * grad, dim) / input
    axis = canonical_dim(dim, input.ndim)
    factors, sums = shift(input, axis, -1), grad
    distance = 1
    while distance < input.shape[axis]:
        sums = sums + factors * shift(sums, axis, -distance)
        factors = factors * shift(factors, axis, -distance)
        distance *= 2
    return _products_of_earlier(input, axis, 1) * sums


@tensor_method(in_place=True)
def cumprod(input: Any, dim: int, *, dtype: DType | None = None) -> Any:
    """Products along dim of all elements up to each, itself included. Integers and bools are multiplied as int64."""
    require_float_gradient(input, dtype)
    return cumprod_along(input, dim, dtype)


def _refuse_bool(name: str, dtype: np.dtype[Any]) -> None:
    if dtype == np.bool_:
        raise NotImplementedError(f"{name}() of bools is an integer: dtype can't be bool")


def has_zeros(values: Any) -> bool:
    """Whether some element of an array or tensor is zero."""
    return not np.all(values_of(values))


def products_of_others(input: Any, dim: int) -> Any:
    """For each element the product of all others along dim, of which any may be zero: differentiable at any order."""
    return _products_of_earlier(input, dim, 1) * _products_of_earlier(input, dim, -1)


def _products_of_earlier(input: Any, axis: int, direction: int) -> Any:
    """For each element the product of all before it along axis, or behind it for direction -1, by doubling."""
    products = _shifted_with_ones(input, axis, direction)
    distance = 1
    while distance < input.shape[axis]:
        products = products * _shifted_with_ones(products, axis, direction * distance)
        distance *= 2
    return products


def _shifted_with_ones(values: Any, axis: int, distance: int) -> Any:
    """As `shift`, but ones come in: what multiplies nothing."""
    shifted = shift(values, axis, distance)
    ones = np.zeros(shifted.shape, values_of(shifted).dtype)
    first = 0 if distance > 0 else max(values.shape[axis] + distance, 0)
    ones[(slice(None),) * axis + (slice(first, first + abs(distance)),)] = 1
    return shifted + ones


@op("ConstantPadNdBackward0")
def shift(input: Array, dim: int, distance: int) -> Array:
    """Elements moved along dim, back where `distance` is negative, with zeros for those that come in."""
    result = np.zeros_like(input)
    before = (slice(None),) * dim
    if distance >= 0:
        result[(*before, slice(distance, None))] = input[(*before, slice(0, max(input.shape[dim] - distance, 0)))]
    else:
        result[(*before, slice(0, distance))] = input[(*before, slice(-distance, None))]
    return result


shift.gradient(input=lambda grad, dim, distance: shift(grad, dim, -distance))
