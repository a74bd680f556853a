"""Trigonometric and hyperbolic functions and their inverses, element by element. Integers and bools count as float32.

The hyperbolic tangent stands among the activation functions.
"""

from __future__ import annotations

import math

import numpy as np

from gradcli.autograd.dtypes import Array
from gradcli.autograd.operation import op, tensor_method
from gradcli.kernels.elementwise import apply
from gradcli.ops.promotion import as_floating
from gradcli.ops.roots import rsqrt

__all__ = [
    "acos",
    "acosh",
    "arccos",
    "arccosh",
    "arcsin",
    "arcsinh",
    "arctan",
    "arctanh",
    "asin",
    "asinh",
    "atan",
    "atanh",
    "cos",
    "cosh",
    "deg2rad",
    "rad2deg",
    "sin",
    "sinh",
    "tan",
]


@op("SinBackward0", method=True, in_place=True)
def sin(input: Array) -> Array:
    """Sine of input in radians."""
    return apply(np.sin, as_floating(input))


@op("CosBackward0", method=True, in_place=True)
def cos(input: Array) -> Array:
    """Cosine of input in radians."""
    return apply(np.cos, as_floating(input))


sin.gradient(input=lambda grad, input: grad * cos(input))
cos.gradient(input=lambda grad, input: grad * -sin(input))


@op("TanBackward0", method=True, in_place=True)
def tan(input: Array) -> Array:
    """Tangent of input in radians."""
    return apply(np.tan, as_floating(input))


tan.gradient(input=lambda grad, out: grad * (1 + out * out))


@op("AsinBackward0", method=True, in_place=True)
def asin(input: Array) -> Array:
    """The angle in [-pi/2, pi/2] whose sine is input; nan beyond -1 and 1."""
    return apply(np.arcsin, as_floating(input))


asin.gradient(input=lambda grad, input: grad * rsqrt(1 - input * input))
arcsin = tensor_method("arcsin", in_place=True)(asin)


@op("AcosBackward0", method=True, in_place=True)
def acos(input: Array) -> Array:
    """The angle in [0, pi] whose cosine is input; nan beyond -1 and 1."""
    return apply(np.arccos, as_floating(input))


acos.gradient(input=lambda grad, input: grad * -rsqrt(1 - input * input))
arccos = tensor_method("arccos", in_place=True)(acos)


@op("AtanBackward0", method=True, in_place=True)
def atan(input: Array) -> Array:
    """The angle in [-pi/2, pi/2] whose tangent is input."""
    return apply(np.arctan, as_floating(input))


atan.gradient(input=lambda grad, input: grad / (input * input + 1))
arctan = tensor_method("arctan", in_place=True)(atan)


@op("SinhBackward0", method=True, in_place=True)
def sinh(input: Array) -> Array:
    """Hyperbolic sine."""
    return apply(np.sinh, as_floating(input))


@op("CoshBackward0", method=True, in_place=True)
def cosh(input: Array) -> Array:
    """Hyperbolic cosine."""
    return apply(np.cosh, as_floating(input))


sinh.gradient(input=lambda grad, input: grad * cosh(input))
cosh.gradient(input=lambda grad, input: grad * sinh(input))


@op("AsinhBackward0", method=True, in_place=True)
def asinh(input: Array) -> Array:
    """The number whose hyperbolic sine is input."""
    return apply(np.arcsinh, as_floating(input))


asinh.gradient(input=lambda grad, input: grad * rsqrt(input * input + 1))
arcsinh = tensor_method("arcsinh", in_place=True)(asinh)


@op("AcoshBackward0", method=True, in_place=True)
def acosh(input: Array) -> Array:
    """The number, not below 0, whose hyperbolic cosine is input; nan below 1."""
    return apply(np.arccosh, as_floating(input))


acosh.gradient(input=lambda grad, input: grad * rsqrt(input * input - 1))
arccosh = tensor_method("arccosh", in_place=True)(acosh)


@op("AtanhBackward0", method=True, in_place=True)
def atanh(input: Array) -> Array:
    """The number whose hyperbolic tangent is input; nan beyond -1 and 1, which give infinities."""
    return apply(np.arctanh, as_floating(input))


atanh.gradient(input=lambda grad, input: grad / (1 - input * input))
arctanh = tensor_method("arctanh", in_place=True)(atanh)


@op("Deg2RadBackward0", method=True, in_place=True)
def deg2rad(input: Array) -> Array:
    """Degrees as radians."""
    return as_floating(input) * (math.pi / 180)


deg2rad.gradient(input=lambda grad: grad * (math.pi / 180))


@op("Rad2DegBackward0", method=True, in_place=True)
def rad2deg(input: Array) -> Array:
    """Radians as degrees."""
    return as_floating(input) * (180 / math.pi)


rad2deg.gradient(input=lambda grad: grad * (180 / math.pi))
