"""Square roots and reciprocals, element by element."""

from __future__ import annotations

import numpy as np

from gradcli.autograd.dtypes import Array
from gradcli.autograd.operation import op
from gradcli.ops.promotion import as_floating

__all__ = [
    "reciprocal",
    "sqrt",
]


@op("ReciprocalBackward0", method=True)
def reciprocal(input: Array) -> Array:
    """1 / input."""
    return np.reciprocal(as_floating(input))


reciprocal.gradient(input=lambda grad, out: -grad * out * out)


@op("SqrtBackward0", method=True)
def sqrt(input: Array) -> Array:
    """Square root; nan below zero."""
    return np.sqrt(as_floating(input))


sqrt.gradient(input=lambda grad, out: grad / (2 * out))
