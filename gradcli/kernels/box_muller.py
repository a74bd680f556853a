"""Normal numbers from uniform ones, as PyTorch computes them on a CPU: the Box-Muller transform, to the last bit.

Of 16 uniform numbers the first 8 give the radii sqrt(-2 log(1 - u)), the others the angles 2 pi v, and radius times
cosine and sine become the 16 normal numbers.

In float32 PyTorch takes logarithm, sine and cosine from polynomials of the Cephes library (Stephen Moshier, logf.c,
sinf.c), with fused multiply-add, on processors with AVX2. The same steps here are done in double precision and
rounded to single after each one: a product of two float32 numbers is exact in float64, so that product and sum
together round once. In float64 PyTorch calls the C library; so do Python's `math.log` and NumPy's complex exponential.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from gradcli.kernels.layout import Array
from gradcli.kernels.threads import parallel

BLOCK = 16  # numbers that are transformed together; PyTorch draws shorter arrays one by one
PIECE = 1 << 13  # numbers at a time, whose buffers stay in the second-level cache

_F = np.float32


def _singles(*values: float) -> list[float]:
    """Numbers rounded to float32, as Python floats."""
    return [float(_F(value)) for value in values]


# Source: Cephes, single precision: polynomials of log(1 + x), cos and sin, pi / 4 in three parts, log 2 in two parts.
_LOG_COEFFICIENTS = _singles(
    7.0376836292e-2,
    -1.1514610310e-1,
    1.1676998740e-1,
    -1.2420140846e-1,
    1.4249322787e-1,
    -1.6668057665e-1,
    2.0000714765e-1,
    -2.4999993993e-1,
    3.3333331174e-1,
)
_LOG_2 = _singles(-2.12194440e-4, 0.693359375)
_SQRT_HALF = _F(0.707106781186547524)
_COSINE_COEFFICIENTS = _singles(2.443315711809948e-5, -1.388731625493765e-3, 4.166664568298827e-2)
_SINE_COEFFICIENTS = _singles(-1.9515295891e-4, 8.3321608736e-3, -1.6666654611e-1)
_QUARTER_PI = _singles(-0.78515625, -2.4187564849853515625e-4, -3.77489497744594108e-8)
_FOUR_OVER_PI = _F(1.27323954473516)


def normal_blocks(values: Array) -> None:
    """Turn uniform numbers in [0, 1), flat and a multiple of 16 of them, into normal ones, in place."""
    transform = _single_blocks if values.dtype == np.float32 else _double_blocks

    def piece(number: int) -> None:
        transform(values[number * PIECE : (number + 1) * PIECE].reshape(-1, 2, BLOCK // 2))

    parallel(piece, -(-values.size // PIECE))


def _double_blocks(blocks: Array) -> None:
    """The transform of (blocks, radius or angle, 8) in float64."""
    rest = np.subtract(1, blocks[:, 0]).ravel().tolist()
    radius = np.fromiter(map(math.log, rest), np.float64, len(rest))
    radius *= -2
    np.sqrt(radius, out=radius)
    angle = np.zeros((len(blocks), BLOCK // 2), np.complex128)
    np.multiply(blocks[:, 1], 2 * math.pi, out=angle.imag)
    turn = np.exp(angle)  # cosine and sine at once
    radius = radius.reshape(angle.shape)
    np.multiply(turn.real, radius, out=blocks[:, 0])
    np.multiply(turn.imag, radius, out=blocks[:, 1])


def _single_blocks(blocks: Array) -> None:
    """The same in float32."""
    radius = np.sqrt(_F(-2) * _log(np.subtract(_F(1), blocks[:, 0])))
    sine, cosine = _sine_and_cosine(blocks[:, 1] * _F(2 * math.pi))
    np.multiply(cosine, radius, out=blocks[:, 0])
    np.multiply(sine, radius, out=blocks[:, 1])


class _Rounding:
    """Arithmetic on float64 arrays that hold float32 numbers: results are rounded to float32, in place."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self._single = np.empty(shape, _F)

    def round(self, values: Array) -> Array:
        np.copyto(self._single, values, casting="same_kind")
        np.copyto(values, self._single)
        return values

    def multiply(self, values: Array, factor: Any) -> Array:
        """values * factor."""
        return self.round(np.multiply(values, factor, out=values))

    def multiply_add(self, values: Array, factor: Any, summand: Any) -> Array:
        """values * factor + summand, rounded once."""
        return self.round(np.add(np.multiply(values, factor, out=values), summand, out=values))

    def polynomial(self, coefficients: list[float], x: Array) -> Array:
        """The value at x of the polynomial with these coefficients, the highest power's first."""
        values = np.full(x.shape, coefficients[0])
        for coefficient in coefficients[1:]:
            self.multiply_add(values, x, coefficient)
        return values


def _log(x: Array) -> Array:
    """Natural logarithm of float32 numbers in (0, 1]."""
    rounding = _Rounding(x.shape)
    bits = x.view(np.int32)
    exponent = (bits >> 23) - 126
    mantissa = ((bits & 0x7FFFFF) | 0x3F000000).view(_F)  # in [0.5, 1)
    small = mantissa < _SQRT_HALF
    exponent -= small
    m = mantissa.astype(np.float64)
    np.add(m, m, out=m, where=small)
    m -= 1  # mantissa - 1 in [sqrt(1/2) - 1, sqrt(2) - 1], exact
    square = rounding.round(m * m)
    total = rounding.multiply(rounding.polynomial(_LOG_COEFFICIENTS, m), m)
    rounding.multiply_add(total, square, rounding.round(exponent * _LOG_2[0]))
    square *= 0.5
    rounding.round(np.subtract(total, square, out=total))
    rounding.round(np.add(m, total, out=m))
    result: Array = np.add(m, exponent * _LOG_2[1]).astype(_F)
    return result


def _sine_and_cosine(angle: Array) -> tuple[Array, Array]:
    """Sine and cosine of float32 numbers in [0, 2 pi]."""
    rounding = _Rounding(angle.shape)
    octant = (angle * _FOUR_OVER_PI).astype(np.int32)
    octant += 1
    octant &= ~1  # the nearest multiple of pi / 2, in units of pi / 4
    x = angle.astype(np.float64)
    for part in _QUARTER_PI:
        rounding.round(np.add(x, octant * part, out=x))
    square = rounding.round(x * x)
    cosine = rounding.multiply(rounding.polynomial(_COSINE_COEFFICIENTS, square), square)
    rounding.multiply_add(cosine, square, square * -0.5)
    rounding.round(np.add(cosine, 1, out=cosine))
    sine = rounding.multiply(rounding.polynomial(_SINE_COEFFICIENTS, square), square)
    rounding.multiply_add(sine, x, x)
    turned = (octant & 2) != 0
    first, second = np.where(turned, cosine, sine), np.where(turned, sine, cosine)
    np.negative(first, out=first, where=(octant & 4) != 0)
    np.negative(second, out=second, where=((octant + 2) & 4) != 0)
    return first.astype(_F), second.astype(_F)
