"""Powers, element by element: of tensors and numbers, to tensors and numbers."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from gradcli.autograd.dtypes import Array
from gradcli.autograd.operation import op, tensor_method
from gradcli.autograd.tensor import Tensor
from gradcli.kernels import elementwise as kernels
from gradcli.ops.arguments import is_number, require_kind, require_tensors
from gradcli.ops.choosing import where
from gradcli.ops.creation import zeros_like
from gradcli.ops.exponential import log
from gradcli.ops.promotion import promote

__all__ = [
    "pow",
]


@op("PowBackward0")
def pow_scalar(input: Array, exponent: float) -> Array:
    """input to the power of a number."""
    require_tensors("pow", input=input)
    base, power = promote(input, exponent)
    if exponent == 2 and base.dtype.kind != "b":
        return kernels.apply(np.multiply, base, base)
    if exponent == 1:
        return base.copy() if base is input else base
    if exponent == 0:
        return np.ones_like(base)
    require_kind("pow", base, "iuf")
    if base.dtype.kind == "f":
        return _float_power(base, power, exponent)
    if exponent < 0:
        raise RuntimeError("Integers to negative integer powers are not allowed.")
    return kernels.apply(np.power, base, power)


def _float_power(base: Array, power: Array, exponent: float) -> Array:
    """The powers that PyTorch computes by other functions, some of which tell -0 from 0, and all others."""
    if exponent == 3:
        return kernels.apply(np.multiply, kernels.apply(np.multiply, base, base), base)
    if exponent == 0.5:
        return kernels.apply(np.sqrt, base)
    if exponent == -0.5:
        return kernels.apply(np.reciprocal, kernels.apply(np.sqrt, base))
    if exponent == -1:
        return kernels.apply(np.reciprocal, base)
    if exponent == -2:
        return kernels.apply(np.reciprocal, kernels.apply(np.multiply, base, base))
    return kernels.apply(np.power, base, power)


@pow_scalar.gradients("input")
def _pow_scalar_gradient(grad: Any, input: Any, exponent: float) -> tuple[Any]:
    if exponent == 0:  # not exponent * input ** -1, which is nan at zero
        return (zeros_like(grad),)
    if exponent == 2:
        return (grad * (2 * input),)
    return (grad * (exponent * pow_scalar(input, exponent - 1)),)


@op("PowBackward1")
def pow_tensor(input: Array, exponent: Array) -> Array:
    """input to the power of exponent, broadcast."""
    require_tensors("pow", input=input, exponent=exponent)
    return _power(*promote(input, exponent))


@op("PowBackward2")
def pow_of_scalar(input: float, exponent: Array) -> Array:
    """A number to the power of exponent."""
    require_tensors("pow", exponent=exponent)
    return _power(*promote(input, exponent))


def _power(base: Array, power: Array) -> Array:
    require_kind("pow", base, "iuf")
    if base.dtype.kind == "i" and (power < 0).any():
        # The true results are fractions, rounded towards zero: 0 except for the bases 1 and -1.
        sign_of_one = np.where(power % 2 == 0, 1, base)
        fractions = np.where(np.abs(base) == 1, sign_of_one, 0)
        return np.where(power < 0, fractions, np.power(base, np.maximum(power, 0))).astype(base.dtype)
    return kernels.apply(np.power, base, power)


pow_tensor.gradient(
    input=lambda grad, input, exponent: where(exponent == 0, 0.0, grad * (exponent * pow(input, exponent - 1))),
    exponent=lambda grad, input, exponent, out: where((input == 0) & (exponent >= 0), 0.0, grad * (out * log(input))),
)


@pow_of_scalar.gradients("exponent")
def _pow_of_scalar_gradient(grad: Any, input: float, exponent: Any, out: Any) -> tuple[Any]:
    if input == 0:
        return (where(exponent >= 0, 0.0, grad * (out * -math.inf)),)
    return (grad * (out * (math.log(input) if input > 0 else math.nan)),)


@tensor_method("pow", "__pow__", in_place=True)
def pow(input: Any, exponent: Any) -> Any:
    """input to the power of exponent, broadcast; either may be a number."""
    if is_number(exponent):
        return pow_scalar(input, exponent)
    return (pow_of_scalar if is_number(input) else pow_tensor)(input, exponent)


@tensor_method("__rpow__")
def _reflected_pow(input: Tensor, other: Any) -> Any:
    """other to the power of input."""
    return pow(other, input)
