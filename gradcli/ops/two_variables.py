"""Elementary functions of two variables, element by element."""

from __future__ import annotations

from typing import Any

import numpy as np

from gradcli.autograd.dtypes import Array
from gradcli.autograd.operation import op, tensor_method
from gradcli.kernels import elementwise as kernels
from gradcli.ops.activation import sigmoid
from gradcli.ops.arguments import require_kind, require_tensors
from gradcli.ops.choosing import where_elements
from gradcli.ops.promotion import promote, promote_floating
from gradcli.ops.roots import reciprocal

__all__ = [
    "arctan2",
    "atan2",
    "logaddexp",
]


@op("Atan2Backward0", method=True, in_place=True)
def atan2(input: Array, other: Array) -> Array:
    """The angle of the point (other, input) in radians, from -pi to pi, broadcast; its gradient at (0, 0) is zero."""
    require_tensors("atan2", input=input, other=other)
    return kernels.apply(np.arctan2, *promote_floating(input, other))


atan2.gradient(
    input=lambda grad, input, other: grad * (other * _inverse_square_of_distance(input, other)),
    other=lambda grad, input, other: grad * (-input * _inverse_square_of_distance(input, other)),
)


def _inverse_square_of_distance(input: Any, other: Any) -> Any:
    """1 / (input^2 + other^2), or 0 at the origin."""
    square = input * input + other * other
    at_origin = square == 0
    return where_elements(at_origin, 0.0, reciprocal(where_elements(at_origin, 1.0, square)))


arctan2 = tensor_method("arctan2", in_place=True)(atan2)


@op("LogaddexpBackward0", method=True)
def logaddexp(input: Array, other: Array) -> Array:
    """log(exp(input) + exp(other)), broadcast, without overflow."""
    require_tensors("logaddexp", input=input, other=other)
    first, second = promote(input, other)
    require_kind("logaddexp", first)
    return kernels.apply(np.logaddexp, first, second)


logaddexp.gradient(
    input=lambda grad, input, other: grad * sigmoid(input - other),
    other=lambda grad, input, other: grad * sigmoid(other - input),
)
