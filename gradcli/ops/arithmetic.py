"""Sums, differences, products and weighted means, element by element. Simple rules first."""

from __future__ import annotations

from typing import Any

import numpy as np

from gradcli.autograd.dtypes import Array
from gradcli.autograd.operation import op, tensor_method
from gradcli.autograd.tensor import Tensor
from gradcli.deferred import ARRAYS, DeferredArray, may_put_off, settled
from gradcli.kernels import elementwise as kernels
from gradcli.ops.arguments import is_number, require_kind, require_tensors
from gradcli.ops.promotion import promote, require_broadcastable

__all__ = [
    "add",
    "lerp",
    "mul",
    "multiply",
    "neg",
    "negative",
    "positive",
    "rsub",
    "sub",
    "subtract",
]


@op("AddBackward0", method=True, operators=("__add__", "__radd__"), in_place=True, deferred=True)
def add(input: Array | DeferredArray, other: Any, *, alpha: float = 1) -> Array | DeferredArray:
    """input + alpha * other, broadcast."""
    if alpha == 1 and _one_is_put_off(input, other):
        total: DeferredArray = input + other
        return total
    first, second = promote(settled(input), settled(other))
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
    if type(alpha) is int and alpha == 1:
        return values
    if not isinstance(alpha, int | float | np.ndarray):
        raise TypeError(f"argument 'alpha' must be Number, not {type(alpha).__name__}")
    if isinstance(alpha, bool) and values.dtype != np.bool_:
        raise RuntimeError("Boolean alpha only supported for Boolean results.")
    if isinstance(alpha, float) and values.dtype.kind != "f":
        raise RuntimeError("For integral input tensors, argument alpha must not be a floating point number.")
    return np.asarray(values * values.dtype.type(alpha))


add.gradient(input=lambda grad: grad, other=lambda grad, alpha: scaled(grad, alpha))


def scaled(grad: Any, factor: float) -> Any:
    """A gradient times a number, itself for 1."""
    return grad if factor == 1 else settled(grad) * factor


@op("SubBackward0", method=True, operators=("__sub__",), in_place=True)
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


sub.gradient(input=lambda grad: grad, other=lambda grad, alpha: scaled(-grad, alpha))


@op("RsubBackward0")
def rsub_tensor(input: Array, other: Array, *, alpha: float = 1) -> Array:
    """other - alpha * input, broadcast."""
    return _reflected_difference(input, other, alpha)


@op("RsubBackward1")
def rsub_scalar(input: Array, other: float, *, alpha: float = 1) -> Array:
    """other - alpha * input, for a number `other`."""
    return _reflected_difference(input, other, alpha)


def _reflected_difference(input: Array, other: Any, alpha: float) -> Array:
    require_tensors("rsub", input=input)
    _refuse_bools("Subtraction", input, other)
    first, second = promote(input, other)
    return kernels.apply(np.subtract, second, _times_alpha(first, alpha))


rsub_tensor.gradient(input=lambda grad, alpha: scaled(-grad, alpha), other=lambda grad: grad)
rsub_scalar.gradient(input=lambda grad, alpha: scaled(-grad, alpha))


@tensor_method("__rsub__")
def rsub(input: Any, other: Any, *, alpha: float = 1) -> Any:
    """other - alpha * input, broadcast; `other` may be a number."""
    return (rsub_scalar if is_number(other) else rsub_tensor)(input, other, alpha=alpha)


@op("MulBackward0", method=True, operators=("__mul__", "__rmul__"), in_place=True)
def mul(input: Array, other: Any) -> Array:
    """input * other, broadcast."""
    return kernels.apply(np.multiply, *promote(input, other))


mul.gradient(input=lambda grad, other: grad * other, other=lambda grad, input: grad * input)


@op("NegBackward0", method=True, operators=("__neg__",), in_place=True)
def neg(input: Array) -> Array:
    """-input."""
    _refuse_bools("Negation", input)
    return kernels.apply(np.negative, input)


neg.gradient(input=lambda grad: -grad)


@tensor_method("positive", "__pos__")
def positive(input: Tensor) -> Tensor:
    """The tensor itself, unless it holds bools."""
    require_tensors("positive", input=input)
    if input.array.dtype == np.bool_:
        raise RuntimeError("The `+` operator, on a bool tensor is not supported.")
    return input


multiply = tensor_method("multiply", in_place=True)(mul)
negative = tensor_method("negative", in_place=True)(neg)
subtract = tensor_method("subtract", in_place=True)(sub)


# --- weighted means ---------------------------------------------------------------------------------------------------


@op("LerpBackward0")
def lerp_scalar(input: Array, end: Array, weight: float) -> Array:
    """input + weight * (end - input) for a number `weight`."""
    _require_one_type(input, end=end)
    promote(input, end)  # refuses shapes that don't go together
    difference = end - input
    return np.asarray(input + weight * difference if abs(weight) < 0.5 else end - difference * (1 - weight))


@op("LerpBackward1")
def lerp_tensor(input: Array, end: Array, weight: Array) -> Array:
    """input + weight * (end - input), broadcast."""
    require_tensors("lerp", weight=weight)
    _require_one_type(input, end=end, **({"weight": weight} if weight.ndim else {}))
    first, last = promote(input, end)
    require_broadcastable(np.broadcast_shapes(first.shape, last.shape), weight.shape)
    weight = weight.astype(first.dtype, copy=False)
    difference = last - first
    # From the nearer end, so that both are met exactly.
    from_start, from_end = first + weight * difference, last - difference * (1 - weight)
    return np.asarray(np.where(np.abs(weight) < 0.5, from_start, from_end))


def _require_one_type(input: Array, **others: Array) -> None:
    require_tensors("lerp", input=input, **others)
    for name, other in others.items():
        if other.dtype != input.dtype:
            raise RuntimeError(f"expected dtype {input.dtype} for `{name}` but got dtype {other.dtype}")
    require_kind("lerp", input)


lerp_scalar.gradient(
    input=lambda grad, weight: grad * (1 - weight),
    end=lambda grad, weight: grad * weight,
)
lerp_tensor.gradient(
    input=lambda grad, weight: grad * (1 - weight),
    end=lambda grad, weight: grad * weight,
    weight=lambda grad, input, end: grad * (end - input),
)


@tensor_method(in_place=True)
def lerp(input: Any, end: Any, weight: Any) -> Any:
    """The point between input and end, at `weight` of the way (a number, or a tensor): input + weight * (end - input).

    Computed from the nearer end, as in PyTorch. All have one type, but for a 0-d weight.
    """
    return (lerp_scalar if is_number(weight) else lerp_tensor)(input, end, weight)
