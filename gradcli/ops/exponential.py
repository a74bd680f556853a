"""Exponentials and logarithms, element by element. Integers and bools count as float32."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from gradcli.autograd.dtypes import Array
from gradcli.autograd.operation import op
from gradcli.kernels.elementwise import apply
from gradcli.ops.choosing import where
from gradcli.ops.promotion import as_floating

__all__ = [
    "exp",
    "exp2",
    "expm1",
    "log",
    "log1p",
    "log2",
    "log10",
    "logit",
]


@op("ExpBackward0", method=True, in_place=True)
def exp(input: Array) -> Array:
    """e to the power of input."""
    return apply(np.exp, as_floating(input))


exp.gradient(input=lambda grad, out: grad * out)


@op("Exp2Backward0", method=True, in_place=True)
def exp2(input: Array) -> Array:
    """2 to the power of input."""
    return apply(np.exp2, as_floating(input))


exp2.gradient(input=lambda grad, out: grad * (out * math.log(2)))


@op("Expm1Backward0", method=True, in_place=True)
def expm1(input: Array) -> Array:
    """e to the power of input, minus 1, to full precision near zero too."""
    return apply(np.expm1, as_floating(input))


expm1.gradient(input=lambda grad, out: grad * (out + 1))


@op("LogBackward0", method=True, in_place=True)
def log(input: Array) -> Array:
    """Natural logarithm; nan below zero, -inf at zero."""
    return apply(np.log, as_floating(input))


log.gradient(input=lambda grad, input: grad / input)


@op("Log10Backward0", method=True, in_place=True)
def log10(input: Array) -> Array:
    """Logarithm to base 10; nan below zero, -inf at zero."""
    return apply(np.log10, as_floating(input))


log10.gradient(input=lambda grad, input: grad / (input * math.log(10)))


@op("Log1PBackward0", method=True, in_place=True)
def log1p(input: Array) -> Array:
    """Natural logarithm of 1 + input, to full precision near zero too; nan below -1, -inf at -1."""
    return apply(np.log1p, as_floating(input))


log1p.gradient(input=lambda grad, input: grad / (input + 1))


@op("Log2Backward0", method=True, in_place=True)
def log2(input: Array) -> Array:
    """Logarithm to base 2; nan below zero, -inf at zero."""
    return apply(np.log2, as_floating(input))


log2.gradient(input=lambda grad, input: grad / (input * math.log(2)))


@op("LogitBackward0", method=True, in_place=True)
def logit(input: Array, eps: float | None = None) -> Array:
    """log(input / (1 - input)), the inverse of sigmoid: nan outside of [0, 1], unless clamped to [eps, 1 - eps]."""
    values = as_floating(input)
    if eps is not None and eps >= 0:
        low, high = values.dtype.type(eps), values.dtype.type(1 - eps)
        # In this order, so that an eps above 1/2 means what it does in PyTorch.
        values = np.where(values < low, low, np.where(values > high, high, values))
    return np.asarray(np.log(values / (1 - values)))


@logit.gradients("input")
def _logit_gradient(grad: Any, input: Any, eps: float | None) -> tuple[Any]:
    low, outside = (0.0, math.nan) if eps is None or eps < 0 else (eps, 0.0)
    beyond = (input < low) | (input > 1 - low)
    inside = where(beyond, 0.5, input)  # so that what is left out has no infinite gradient of its own
    return (where(beyond, outside, grad / (inside * (1 - inside))),)
