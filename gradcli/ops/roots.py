"""Square roots, squares and reciprocals, element by element."""

from __future__ import annotations

from typing import Any

import numpy as np

from gradcli.autograd.dtypes import Array
from gradcli.autograd.operation import op, tensor_method
from gradcli.kernels.elementwise import apply
from gradcli.ops.arguments import require_tensors
from gradcli.ops.promotion import as_floating

__all__ = [
    "reciprocal",
    "rsqrt",
    "sqrt",
    "square",
]


@op("ReciprocalBackward0", method=True, in_place=True)
def reciprocal(input: Array) -> Array:
    """1 / input; integers and bools count as float32."""
    return apply(np.reciprocal, as_floating(input))


reciprocal.gradient(input=lambda grad, out: -grad * (out * out))


@op("RsqrtBackward0", method=True, in_place=True)
def rsqrt(input: Array) -> Array:
    """1 / sqrt(input); nan below zero. Integers and bools count as float32."""
    root = apply(np.sqrt, as_floating(input))
    return np.reciprocal(root, out=root)


rsqrt.gradient(input=lambda grad, out: -0.5 * grad * (out * out * out))


@op("SqrtBackward0", method=True, in_place=True)
def sqrt(input: Array) -> Array:
    """Square root; nan below zero. Integers and bools count as float32."""
    return apply(np.sqrt, as_floating(input))


sqrt.gradient(input=lambda grad, out: grad / (2 * out))


@tensor_method(in_place=True)
def square(input: Any) -> Any:
    """input to the power of 2; bools count as integers."""
    require_tensors("square", input=input)
    return input**2
