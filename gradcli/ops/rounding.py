"""Absolute values, signs and rounding, element by element: all but `abs` and `frac` are flat between their steps."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from gradcli.autograd.dtypes import Array
from gradcli.autograd.operation import op, tensor_method
from gradcli.kernels.elementwise import apply
from gradcli.ops.arguments import require_kind
from gradcli.ops.creation import zeros_like

__all__ = [
    "abs",
    "absolute",
    "ceil",
    "fix",
    "floor",
    "frac",
    "round",
    "sgn",
    "sign",
    "signbit",
    "trunc",
]


@op("AbsBackward0", method=True, in_place=True, operators=("__abs__",))
def abs(input: Array) -> Array:
    """Absolute value; its gradient at zero is zero."""
    require_kind("abs", input, "iuf")
    return apply(np.absolute, input)


@op("SignBackward0", method=True, in_place=True)
def sign(input: Array) -> Array:
    """-1, 0 or 1; 0 for nan, as in PyTorch. Bools stay as they are."""
    return _sign(input)


@op("SgnBackward0", method=True, in_place=True)
def sgn(input: Array) -> Array:
    """The same as `sign`, for real numbers."""
    return _sign(input)


def _sign(input: Array) -> Array:
    if input.dtype == np.bool_:
        return input.copy()
    return np.subtract(input > 0, input < 0, dtype=input.dtype)


abs.gradient(input=lambda grad, input: grad * sgn(input))
absolute = tensor_method("absolute", in_place=True)(abs)
sign.gradient(input=lambda grad: zeros_like(grad))
sgn.gradient(input=lambda grad: zeros_like(grad))


@op(method=True, differentiable=False)
def signbit(input: Array) -> Array:
    """Whether the sign is minus, that of -0.0 too."""
    return np.signbit(input) if input.dtype.kind == "f" else np.less(input, 0)


@op("CeilBackward0", method=True, in_place=True)
def ceil(input: Array) -> Array:
    """The smallest integer that isn't less than input."""
    return _rounded("ceil", np.ceil, input)


@op("FloorBackward0", method=True, in_place=True)
def floor(input: Array) -> Array:
    """The largest integer that isn't greater than input."""
    return _rounded("floor", np.floor, input)


@op("TruncBackward0", method=True, in_place=True)
def trunc(input: Array) -> Array:
    """The integer part of input: rounded towards zero."""
    return _rounded("trunc", np.trunc, input)


fix = tensor_method("fix", in_place=True)(trunc)


@op("RoundBackward0")
def round_to_integer(input: Array) -> Array:
    """The nearest integer, the even one of two."""
    return _rounded("round", np.rint, input)


@op("RoundBackward1")
def round_to_decimals(input: Array, decimals: int) -> Array:
    """The nearest multiple of 10^-decimals, for floats; the scaled input overflows where that is too large."""
    require_kind("round", input)
    values = input.astype(np.float32) if input.dtype == np.float16 else input
    if decimals:
        scale = values.dtype.type(np.power(10.0, np.abs(operator.index(decimals))))
        values = np.rint(values * scale) / scale if decimals > 0 else np.rint(values / scale) * scale
    else:
        values = np.rint(values)
    return values.astype(input.dtype, copy=False)


@tensor_method(in_place=True)
def round(input: Any, *, decimals: int | None = None) -> Any:
    """input to so many decimals, to the even one of two that are equally near.

    Without `decimals`, to integers, which stay as they are; with it, even 0, integers are refused.
    """
    return round_to_integer(input) if decimals is None else round_to_decimals(input, decimals)


def _rounded(name: str, function: np.ufunc, input: Array) -> Array:
    """function(input); a copy of integers, which are round already. NotImplementedError for bools."""
    require_kind(name, input, "iuf")
    return apply(function, input) if input.dtype.kind == "f" else input.copy()


ceil.gradient(input=lambda grad: zeros_like(grad))
floor.gradient(input=lambda grad: zeros_like(grad))
trunc.gradient(input=lambda grad: zeros_like(grad))
round_to_integer.gradient(input=lambda grad: zeros_like(grad))
round_to_decimals.gradient(input=lambda grad: zeros_like(grad))


@op("FracBackward0", method=True, in_place=True)
def frac(input: Array) -> Array:
    """What is left of floats without their integer part, with their sign."""
    require_kind("frac", input)
    whole = apply(np.trunc, input)
    return apply(np.subtract, input, whole)


frac.gradient(input=lambda grad: grad)
