"""Division, exact or rounded, and its remainders, element by element.

Signs are those of floor division (`remainder`, `floor_divide`) or of the division that cuts the fraction off (`fmod`).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from gradcli.autograd.dtypes import Array
from gradcli.autograd.operation import op, tensor_method
from gradcli.autograd.tensor import Tensor
from gradcli.kernels import elementwise as kernels
from gradcli.ops.arguments import is_number, require_kind, require_tensors
from gradcli.ops.creation import zeros_like
from gradcli.ops.promotion import promote, promote_floating
from gradcli.ops.roots import reciprocal

__all__ = [
    "div",
    "divide",
    "floor_divide",
    "fmod",
    "remainder",
    "true_divide",
]


@op("DivBackward0", method=True, operators=("__truediv__",), in_place=True)
def true_divide(input: Array, other: Any) -> Array:
    """input / other, broadcast; integers are divided as float32. Division by zero gives inf or nan."""
    return kernels.apply(np.divide, *promote_floating(input, other))


true_divide.gradient(
    input=lambda grad, other: true_divide(grad, other),
    other=lambda grad, input, other: -grad * true_divide(true_divide(input, other), other),
)


@op("DivBackward2")
def div_rounded(input: Array, other: Any, rounding_mode: str) -> Array:
    """input / other, rounded towards zero ("trunc") or down ("floor"); integers stay integers."""
    if not isinstance(rounding_mode, str):
        raise TypeError(f"div(): argument 'rounding_mode' must be str, not {type(rounding_mode).__name__}")
    if rounding_mode not in ("trunc", "floor"):
        raise RuntimeError(
            f"div expected rounding_mode to be one of None, 'trunc', or 'floor' but found {rounding_mode!r}"
        )
    first, second = _promote_for_division(f"div_{rounding_mode}", input, other)
    if rounding_mode == "floor":
        return kernels.apply(np.floor_divide, first, second)
    if first.dtype.kind == "f":
        return np.trunc(np.divide(first, second))
    down = np.floor_divide(first, second)
    rounded_away = (down < 0) & (down * second != first)
    return np.asarray(np.add(down, rounded_away, dtype=down.dtype))


# Flat between its steps.
div_rounded.gradient(input=lambda grad: zeros_like(grad), other=lambda grad: zeros_like(grad))


@tensor_method(in_place=True)
def div(input: Any, other: Any, *, rounding_mode: str | None = None) -> Any:
    """input / other, broadcast: exact (integers as float32), or rounded towards zero ("trunc") or down ("floor")."""
    return true_divide(input, other) if rounding_mode is None else div_rounded(input, other, rounding_mode)


divide = tensor_method("divide", in_place=True)(div)


@tensor_method("__rtruediv__", "__rdiv__")
def _reflected_div(input: Tensor, other: Any) -> Any:
    """other / input."""
    return reciprocal(input) * other


@op("NotImplemented", method=True, operators=("__floordiv__",), in_place=True)
def floor_divide(input: Array, other: Any) -> Array:
    """input / other, broadcast and rounded down; integers stay integers."""
    return kernels.apply(np.floor_divide, *_promote_for_division("floor_divide", input, other))


def _refuse_gradient(grad: Any) -> Any:
    """PyTorch records such a division too, and refuses when a gradient would have to pass through it."""
    raise RuntimeError("derivative for floor_divide is not implemented; use div(..., rounding_mode='floor')")


floor_divide.gradient(input=_refuse_gradient, other=_refuse_gradient)


@tensor_method("__rfloordiv__")
def _reflected_floor_divide(input: Tensor, other: Any) -> Any:
    """other / input, rounded down."""
    return floor_divide(other, input)


# --- remainders -------------------------------------------------------------------------------------------------------


@op("RemainderBackward0")
def remainder_scalar(input: Array, other: float) -> Array:
    """The remainder of input / other rounded down, for a number `other`: it has the sign of `other`."""
    require_tensors("remainder", input=input)
    return kernels.apply(np.remainder, *_promote_for_division("remainder", input, other))


@op("RemainderBackward1")
def remainder_tensor(input: Any, other: Array) -> Array:
    """The remainder of input / other rounded down, broadcast: it has the sign of `other`."""
    require_tensors("remainder", other=other)
    return kernels.apply(np.remainder, *_promote_for_division("remainder", input, other))


@op("FmodBackward0")
def fmod_scalar(input: Array, other: float) -> Array:
    """The remainder of input / other rounded towards zero, for a number `other`: it has the sign of `input`."""
    require_tensors("fmod", input=input)
    return kernels.apply(np.fmod, *_promote_for_division("fmod", input, other))


@op("FmodBackward1")
def fmod_tensor(input: Array, other: Array) -> Array:
    """The remainder of input / other rounded towards zero, broadcast: it has the sign of `input`."""
    require_tensors("fmod", input=input, other=other)
    return kernels.apply(np.fmod, *_promote_for_division("fmod", input, other))


remainder_scalar.gradient(input=lambda grad: grad)
remainder_tensor.gradient(
    input=lambda grad: grad, other=lambda grad, input, other: -grad * div_rounded(input, other, "floor")
)
fmod_scalar.gradient(input=lambda grad: grad)
fmod_tensor.gradient(
    input=lambda grad: grad, other=lambda grad, input, other: -grad * div_rounded(input, other, "trunc")
)


@tensor_method("remainder", "__mod__", in_place=True)
def remainder(input: Any, other: Any) -> Any:
    """input - other * floor(input / other), broadcast: Python's modulus. Either may be a number."""
    return (remainder_scalar if is_number(other) else remainder_tensor)(input, other)


@tensor_method("__rmod__")
def _reflected_remainder(input: Tensor, other: Any) -> Any:
    """The remainder of other / input, rounded down."""
    return remainder(other, input)


@tensor_method(in_place=True)
def fmod(input: Any, other: Any) -> Any:
    """input - other * trunc(input / other), broadcast: C's fmod. `other` may be a number."""
    return (fmod_scalar if is_number(other) else fmod_tensor)(input, other)


def _promote_for_division(operation: str, input: Any, other: Any) -> tuple[Array, Array]:
    """Both of one type. RuntimeError for a division of integers by zero, NotImplementedError for bools."""
    first, second = promote(input, other)
    require_kind(operation, first, "iuf")
    if first.dtype.kind != "f" and not second.all():
        raise RuntimeError(f"ZeroDivisionError: {operation} of integers by zero")
    return first, second
