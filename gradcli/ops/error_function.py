"""The error function and its complement, element by element. Integers and bools count as float32."""

from __future__ import annotations

import math

from gradcli.autograd.dtypes import Array
from gradcli.autograd.operation import op
from gradcli.kernels import error_function as kernels
from gradcli.ops.exponential import exp
from gradcli.ops.promotion import as_floating

__all__ = ["erf", "erfc"]


@op("ErfBackward0", method=True, in_place=True)
def erf(input: Array) -> Array:
    """2 / sqrt(pi) times the integral of exp(-t^2) for t from 0 to input."""
    return kernels.erf(as_floating(input))


@op("ErfcBackward0", method=True, in_place=True)
def erfc(input: Array) -> Array:
    """1 - erf(input), to full precision where that is nearly zero."""
    return kernels.erfc(as_floating(input))


erf.gradient(input=lambda grad, input: grad * (2 / math.sqrt(math.pi) * exp(-(input * input))))
erfc.gradient(input=lambda grad, input: grad * (-2 / math.sqrt(math.pi) * exp(-(input * input))))
