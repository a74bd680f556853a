"""Absolute values, signs and rounding, element by element."""

from __future__ import annotations

from typing import Any

import numpy as np

from gradcli.autograd.dtypes import Array
from gradcli.autograd.operation import op
from gradcli.autograd.tensor import Tensor
from gradcli.ops.promotion import require_kind

__all__ = [
    "abs",
    "sign",
]


@op("AbsBackward0", method=True, operators=("__abs__",))
def abs(input: Array) -> Array:
    """Absolute value; its gradient at zero is zero."""
    require_kind("abs", input, "iuf")
    return np.abs(input)


@op("SignBackward0", method=True)
def sign(input: Array) -> Array:
    """-1, 0 or 1; 0 for nan, as in PyTorch."""
    if input.dtype == np.bool_:
        return input.copy()
    return np.subtract(input > 0, input < 0, dtype=input.dtype)


abs.gradient(input=lambda grad, input: grad * sign(input))
sign.gradient(input=lambda grad: _zeros_like(grad))


def _zeros_like(grad: Any) -> Any:
    """The gradient of a step function, which is flat wherever it is continuous."""
    return Tensor(np.zeros_like(grad.array)) if isinstance(grad, Tensor) else np.zeros_like(grad)
