"""Arithmetic, choosing, copying and powers, element by element. Simple rules first."""

from __future__ import annotations

import math
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
    int32,
    int64,
)
from gradcli.autograd.operation import op, tensor_method
from gradcli.autograd.tensor import Tensor
from gradcli.deferred import ARRAYS, DeferredArray, may_put_off, settled
from gradcli.kernels import elementwise as kernels
from gradcli.ops.exponential import log
from gradcli.ops.promotion import promote, promote_floating, require_broadcastable, require_kind
from gradcli.ops.roots import reciprocal

__all__ = [
    "add",
    "clone",
    "div",
    "mul",
    "neg",
    "ones_like",
    "pow",
    "sub",
    "where",
    "zeros_like",
]

# --- sums and products ------------------------------------------------------------------------------------------------


@op("AddBackward0", method=True, operators=("__add__", "__radd__"), deferred=True)
def add(input: Array | DeferredArray, other: Any, *, alpha: float = 1) -> Array | DeferredArray:
    """input + alpha * other, broadcast."""
    if alpha == 1 and _one_is_put_off(input, other):
        total: DeferredArray = input + other
        return total
    input, other = settled(input), settled(other)
    first, second = promote(input, other)
    return kernels.add(first, _times_alpha(second, alpha))


def _one_is_put_off(first: Any, second: Any) -> bool:
    """Whether the sum can be put off too: one of the two isn't computed yet, and the other is just like it.

    Not outside of a network, where the other may be an array that the caller changes afterwards.
    """
    return (
        may_put_off()
        and (_is_put_off(first) or _is_put_off(second))
        and isinstance(first, ARRAYS)
        and isinstance(second, ARRAYS)
        and first.shape == second.shape
        and first.dtype == second.dtype
    )


def _is_put_off(value: Any) -> bool:
    return isinstance(value, DeferredArray) and not value.is_computed


def _times_alpha(values: Array, alpha: float) -> Array:
    if values.dtype.kind != "f" and isinstance(alpha, float):
        raise RuntimeError("For integral input tensors, argument alpha must not be a floating point number.")
    return values if alpha == 1 else values * values.dtype.type(alpha)


add.gradient(input=lambda grad: grad, other=lambda grad, alpha: grad if alpha == 1 else settled(grad) * alpha)


@op("SubBackward0", method=True, operators=("__sub__",))
def sub(input: Array, other: Any, *, alpha: float = 1) -> Array:
    """input - alpha * other, broadcast."""
    _refuse_bools("Subtraction", input, other)
    first, second = promote(input, other)
    return kernels.apply(np.subtract, first, _times_alpha(second, alpha))


def _refuse_bools(operation: str, *operands: Any) -> None:
    for operand in operands:
        if isinstance(operand, bool) or (isinstance(operand, np.ndarray | np.generic) and operand.dtype == np.bool_):
            raise RuntimeError(
                f"{operation}, the `-` operator, with a bool tensor is not supported; the `~` operator inverts a mask."
            )


sub.gradient(input=lambda grad: grad, other=lambda grad, alpha: grad * -alpha)


@op("RsubBackward1")
def rsub(input: Array, other: Any) -> Array:
    """other - input, for a number `other`."""
    _refuse_bools("Subtraction", input, other)
    first, second = promote(other, input)
    return kernels.apply(np.subtract, first, second)


rsub.gradient(input=lambda grad: -grad)


@tensor_method("__rsub__")
def _reflected_sub(input: Tensor, other: Any) -> Tensor:
    """other - input."""
    result: Tensor = rsub(input, other)
    return result


@op("MulBackward0", method=True, operators=("__mul__", "__rmul__"))
def mul(input: Array, other: Any) -> Array:
    """input * other, broadcast."""
    return kernels.apply(np.multiply, *promote(input, other))


mul.gradient(input=lambda grad, other: grad * other, other=lambda grad, input: grad * input)


@op("DivBackward0", method=True, operators=("__truediv__",))
def div(input: Array, other: Any) -> Array:
    """input / other, broadcast; integers are divided as float32. Division by zero gives inf or nan."""
    first, second = promote_floating(input, other)
    return kernels.apply(np.divide, first, second)


div.gradient(input=lambda grad, other: div(grad, other), other=lambda grad, other, out: div(-grad * out, other))


@tensor_method("__rtruediv__")
def _reflected_div(input: Tensor, other: Any) -> Tensor:
    """other / input."""
    result: Tensor = reciprocal(input) * other
    return result


@op("NegBackward0", method=True, operators=("__neg__",))
def neg(input: Array) -> Array:
    """-input."""
    _refuse_bools("Negation", input)
    return kernels.apply(np.negative, input)


neg.gradient(input=lambda grad: -grad)


@tensor_method("__iadd__", "__isub__", "__imul__", "__itruediv__", "__ipow__")
def _refused_in_place(input: Tensor, other: Any) -> Tensor:
    """Refuse `x += y` and its kin: Python would rebind the name `x` and leave the tensor as it was, unnoticed."""
    raise NotImplementedError(
        "a tensor can't be changed in place here; write x = x + y for a new one, or x.data = x.data + y to give "
        "this one new values without recording that"
    )


# --- choosing and copying ---------------------------------------------------------------------------------------------


@op("WhereBackward0")
def where(condition: Array, input: Any, other: Any) -> Array:
    """input where condition (bool) holds, else other; all three broadcast."""
    if condition.dtype != np.bool_:
        raise RuntimeError(
            f"where expected condition to be a boolean tensor, but got a tensor of {condition.dtype.name}"
        )
    first, second = promote(input, other)
    require_broadcastable(condition.shape, np.broadcast_shapes(first.shape, second.shape))
    return np.where(condition, first, second)


where.gradient(
    input=lambda grad, condition: where(condition, grad, 0.0),
    other=lambda grad, condition: where(condition, 0.0, grad),
)


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


@op(differentiable=False)
def zeros_like(input: Array) -> Array:
    """Zeros of the shape and type of input."""
    return np.zeros_like(input)


@op(differentiable=False)
def ones_like(input: Array) -> Array:
    """Ones of the shape and type of input."""
    return np.ones_like(input)


# --- powers -----------------------------------------------------------------------------------------------------------


@op("PowBackward0")
def pow_scalar(input: Array, exponent: float) -> Array:
    """input to the power of a number."""
    base, power = promote(input, exponent)
    require_kind("pow", base, "iuf")
    if base.dtype.kind in "iu" and exponent < 0:
        raise RuntimeError("Integers to negative integer powers are not allowed.")
    if exponent == 2:
        return np.multiply(base, base)
    return np.power(base, power)


@pow_scalar.gradients("input")
def _pow_scalar_gradient(grad: Any, input: Any, exponent: float) -> tuple[Any]:
    if exponent == 0:  # not exponent * input ** -1, which is nan at zero
        return (zeros_like(grad),)
    return (grad * (exponent * pow(input, exponent - 1)),)


@op("PowBackward1")
def pow_tensor(input: Array, exponent: Array) -> Array:
    """input to the power of exponent, broadcast."""
    return _power(*promote(input, exponent))


@op("PowBackward2")
def pow_of_scalar(input: float, exponent: Array) -> Array:
    """A number to the power of exponent."""
    return _power(*promote(input, exponent))


def _power(base: Array, power: Array) -> Array:
    require_kind("pow", base, "iuf")
    if base.dtype.kind == "i" and (power < 0).any():
        # The true results are fractions, rounded towards zero: 0 except for the bases 1 and -1.
        sign_of_one = np.where(power % 2 == 0, 1, base)
        fractions = np.where(np.abs(base) == 1, sign_of_one, 0)
        return np.where(power < 0, fractions, np.power(base, np.maximum(power, 0))).astype(base.dtype)
    return np.power(base, power)


@pow_of_scalar.gradients("exponent")
def _pow_of_scalar_gradient(grad: Any, input: float, exponent: Any, out: Any) -> tuple[Any]:
    if input == 0:
        return (where(exponent >= 0, 0.0, grad * (out * -math.inf)),)
    return (grad * out * (math.log(input) if input > 0 else math.nan),)


@tensor_method("pow", "__pow__")
def pow(input: Any, exponent: Any) -> Any:
    """input to the power of exponent; either may be a number."""
    if isinstance(exponent, bool | int | float):
        return pow_scalar(input, exponent)
    if isinstance(input, bool | int | float):
        return pow_of_scalar(input, exponent)
    return pow_tensor(input, exponent)


pow_tensor.gradient(
    input=lambda grad, input, exponent: where(exponent == 0, 0.0, grad * exponent * pow(input, exponent - 1)),
    exponent=lambda grad, input, exponent, out: where((input == 0) & (exponent >= 0), 0.0, grad * mul(out, log(input))),
)


@tensor_method("__rpow__")
def _reflected_pow(input: Tensor, other: Any) -> Any:
    """other to the power of input."""
    return pow(other, input)
