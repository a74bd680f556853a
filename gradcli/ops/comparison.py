"""Comparisons and logic: element by element, giving bool tensors that never require gradients."""

from __future__ import annotations

from typing import Any

import numpy as np

from gradcli.autograd.dtypes import Array
from gradcli.autograd.operation import op, tensor_method
from gradcli.autograd.tensor import Tensor
from gradcli.ops.arguments import is_number, require_kind, require_tensors
from gradcli.ops.promotion import promote

__all__ = [
    "allclose",
    "bitwise_and",
    "bitwise_not",
    "bitwise_or",
    "eq",
    "equal",
    "ge",
    "greater",
    "greater_equal",
    "gt",
    "isclose",
    "isfinite",
    "isnan",
    "le",
    "less",
    "less_equal",
    "lt",
    "ne",
    "not_equal",
]


@op(method=True, in_place=True, differentiable=False)
def eq(input: Array, other: Any) -> Array:
    """input == other."""
    return _compared(np.equal, "eq", input, other)


@op(method=True, in_place=True, differentiable=False)
def ne(input: Array, other: Any) -> Array:
    """input != other."""
    return _compared(np.not_equal, "ne", input, other)


@op(method=True, operators=("__lt__",), in_place=True, differentiable=False)
def lt(input: Array, other: Any) -> Array:
    """input < other."""
    return _compared(np.less, "lt", input, other)


@op(method=True, operators=("__le__",), in_place=True, differentiable=False)
def le(input: Array, other: Any) -> Array:
    """input <= other."""
    return _compared(np.less_equal, "le", input, other)


@op(method=True, operators=("__gt__",), in_place=True, differentiable=False)
def gt(input: Array, other: Any) -> Array:
    """input > other."""
    return _compared(np.greater, "gt", input, other)


@op(method=True, operators=("__ge__",), in_place=True, differentiable=False)
def ge(input: Array, other: Any) -> Array:
    """input >= other."""
    return _compared(np.greater_equal, "ge", input, other)


def _compared(function: np.ufunc, operation: str, input: Array, other: Any) -> Array:
    require_tensors(operation, input=input)
    return np.asarray(function(*promote(input, other)))


greater = tensor_method("greater", in_place=True)(gt)
greater_equal = tensor_method("greater_equal", in_place=True)(ge)
less = tensor_method("less", in_place=True)(lt)
less_equal = tensor_method("less_equal", in_place=True)(le)
not_equal = tensor_method("not_equal", in_place=True)(ne)


@tensor_method("__eq__")
def _equal(input: Tensor, other: object) -> Any:
    """input == other; False for what is no tensor or number, so that a tensor can be looked for in a list."""
    return eq(input, other) if _is_operand(other) else NotImplemented


@tensor_method("__ne__")
def _not_equal(input: Tensor, other: object) -> Any:
    """input != other."""
    return ne(input, other) if _is_operand(other) else NotImplemented


@op(method=True, operators=("__and__", "__rand__"), in_place=True, differentiable=False)
def bitwise_and(input: Array, other: Any) -> Array:
    """input & other: logical for bools, bit by bit for integers."""
    return np.bitwise_and(*_promote_bits("bitwise_and", input, other))


@op(method=True, operators=("__or__", "__ror__"), in_place=True, differentiable=False)
def bitwise_or(input: Array, other: Any) -> Array:
    """input | other: logical for bools, bit by bit for integers."""
    return np.bitwise_or(*_promote_bits("bitwise_or", input, other))


@op(method=True, operators=("__invert__",), in_place=True, differentiable=False)
def bitwise_not(input: Array) -> Array:
    """~input: logical for bools, bit by bit for integers."""
    require_kind("bitwise_not", input, "iub")
    return np.invert(input)


@op(method=True, differentiable=False)
def isnan(input: Array) -> Array:
    """True where input is not a number."""
    require_tensors("isnan", input=input)
    return np.isnan(input)


@op(method=True, differentiable=False)
def isfinite(input: Array) -> Array:
    """True where input is neither infinite nor nan."""
    require_tensors("isfinite", input=input)
    return np.isfinite(input)


@tensor_method()
def equal(input: Tensor, other: Tensor) -> bool:
    """True where both have the same shape and elements."""
    require_tensors("equal", input=input, other=other)
    return input.shape == other.shape and bool(eq(input, other).array.all())


@op(method=True, differentiable=False)
def isclose(input: Array, other: Array, rtol: float = 1e-05, atol: float = 1e-08, equal_nan: bool = False) -> Array:
    """True where |input - other| <= atol + rtol * |other|, for tensors of one type, broadcast; equals are close."""
    require_tensors("isclose", input=input, other=other)
    if input.dtype != other.dtype:
        raise RuntimeError(f"{input.dtype} did not match {other.dtype}")
    for name, tolerance in (("rtol", rtol), ("atol", atol)):
        if not tolerance >= 0:
            raise RuntimeError(f"{name} must be greater than or equal to zero, but got {tolerance}")
    first, second = promote(input, other)
    close = first == second
    if first.dtype.kind == "f":
        if equal_nan:
            close |= np.isnan(first) & np.isnan(second)
    else:
        first, second = first.astype(np.float64), second.astype(np.float64)
    difference = np.abs(first - second)
    return np.asarray(close | (np.isfinite(difference) & (difference <= atol + np.abs(rtol * second))))


@tensor_method()
def allclose(input: Tensor, other: Tensor, rtol: float = 1e-05, atol: float = 1e-08, equal_nan: bool = False) -> bool:
    """True where |input - other| <= atol + rtol * |other| everywhere, for tensors of one type."""
    return bool(isclose(input, other, rtol, atol, equal_nan).array.all())


def _promote_bits(operation: str, input: Array, other: Any) -> tuple[Array, Array]:
    if is_number(input):  # of two, one is a tensor
        require_tensors(operation, other=other)
    first, second = promote(input, other)
    require_kind(operation, first, "iub")
    return first, second


def _is_operand(value: object) -> bool:
    return isinstance(value, Tensor | np.ndarray | np.generic | bool | int | float)
