"""Exponentials and logarithms, element by element."""

from __future__ import annotations

import numpy as np

from gradcli.autograd.dtypes import Array
from gradcli.autograd.operation import op
from gradcli.ops.promotion import as_floating

__all__ = [
    "exp",
    "log",
]


@op("ExpBackward0", method=True)
def exp(input: Array) -> Array:
    """e to the power of input."""
    return np.exp(as_floating(input))


exp.gradient(input=lambda grad, out: grad * out)


@op("LogBackward0", method=True)
def log(input: Array) -> Array:
    """Natural logarithm; nan below zero, -inf at zero."""
    return np.log(as_floating(input))


log.gradient(input=lambda grad, input: grad / input)
