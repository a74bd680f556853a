"""Trigonometric functions, element by element."""

from __future__ import annotations

import numpy as np

from gradcli.autograd.dtypes import Array
from gradcli.autograd.operation import op
from gradcli.ops.promotion import as_floating

__all__ = [
    "cos",
    "sin",
]


@op("SinBackward0", method=True)
def sin(input: Array) -> Array:
    """Sine of input in radians."""
    return np.sin(as_floating(input))


@op("CosBackward0", method=True)
def cos(input: Array) -> Array:
    """Cosine of input in radians."""
    return np.cos(as_floating(input))


sin.gradient(input=lambda grad, input: grad * cos(input))
cos.gradient(input=lambda grad, input: grad * -sin(input))
