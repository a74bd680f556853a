"""Comparisons and logic: element by element, giving bool tensors that never require gradients."""

from __future__ import annotations

from typing import Any

import numpy as np

from gradcli.autograd.dtypes import Array
from gradcli.autograd.operation import op, tensor_method
from gradcli.autograd.tensor import Tensor
from gradcli.ops.promotion import promote


@op(method=True, differentiable=False)
def eq(input: Array, other: Any) -> Array:
    """input == other."""
    return np.equal(*promote(input, other))


@op(method=True, differentiable=False)
def ne(input: Array, other: Any) -> Array:
    """input != other."""
    return np.not_equal(*promote(input, other))


@op(method=True, operators=("__lt__",), differentiable=False)
def lt(input: Array, other: Any) -> Array:
    """input < other."""
    return np.less(*promote(input, other))


@op(method=True, operators=("__le__",), differentiable=False)
def le(input: Array, other: Any) -> Array:
    """input <= other."""
    return np.less_equal(*promote(input, other))


@op(method=True, operators=("__gt__",), differentiable=False)
def gt(input: Array, other: Any) -> Array:
    """input > other."""
    return np.greater(*promote(input, other))


@op(method=True, operators=("__ge__",), differentiable=False)
def ge(input: Array, other: Any) -> Array:
    """input >= other."""
    return np.greater_equal(*promote(input, other))


@tensor_method("__eq__")
def _equal(input: Tensor, other: object) -> Any:
    """input == other; False for what is no tensor or number, so that a tensor can be looked for in a list."""
    return eq(input, other) if _is_operand(other) else NotImplemented


@tensor_method("__ne__")
def _not_equal(input: Tensor, other: object) -> Any:
    """input != other."""
    return ne(input, other) if _is_operand(other) else NotImplemented


@op(method=True, operators=("__and__", "__rand__"), differentiable=False)
def bitwise_and(input: Array, other: Any) -> Array:
    """input & other: logical for bools, bit by bit for integers."""
    return np.bitwise_and(*promote(input, other))


@op(method=True, operators=("__or__", "__ror__"), differentiable=False)
def bitwise_or(input: Array, other: Any) -> Array:
    """input | other: logical for bools, bit by bit for integers."""
    return np.bitwise_or(*promote(input, other))


@op(method=True, operators=("__invert__",), differentiable=False)
def bitwise_not(input: Array) -> Array:
    """~input: logical for bools, bit by bit for integers."""
    return np.invert(input)


@op(method=True, differentiable=False)
def isnan(input: Array) -> Array:
    """True where input is not a number."""
    return np.isnan(input)


@op(method=True, differentiable=False)
def isfinite(input: Array) -> Array:
    """True where input is neither infinite nor nan."""
    return np.isfinite(input)


@op(method=True, differentiable=False)
def all(input: Array, dim: int | None = None, keepdim: bool = False) -> Array:
    """Whether all elements, or all along a dim, are true."""
    return np.asarray(np.all(input, axis=dim, keepdims=keepdim))


@op(method=True, differentiable=False)
def any(input: Array, dim: int | None = None, keepdim: bool = False) -> Array:
    """Whether any element, or any along a dim, is true."""
    return np.asarray(np.any(input, axis=dim, keepdims=keepdim))


@op(method=True, differentiable=False)
def argmax(input: Array, dim: int | None = None, keepdim: bool = False) -> Array:
    """Index of the largest element (the first of equals), of the flattened tensor or along a dim, as int64."""
    return np.asarray(np.argmax(input, axis=dim, keepdims=keepdim))


def equal(input: Tensor, other: Tensor) -> bool:
    """True where both have the same shape and elements."""
    return input.shape == other.shape and bool(np.array_equal(input.array, other.array))


def allclose(input: Tensor, other: Tensor, rtol: float = 1e-05, atol: float = 1e-08, equal_nan: bool = False) -> bool:
    """True where |input - other| <= atol + rtol * |other| everywhere."""
    return bool(np.allclose(input.array, other.array, rtol=rtol, atol=atol, equal_nan=equal_nan))


def _is_operand(value: object) -> bool:
    return isinstance(value, Tensor | np.ndarray | np.generic | bool | int | float)
