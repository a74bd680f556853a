"""Normal numbers from uniform ones, as PyTorch computes them on a CPU: the Box-Muller transform, to the last bit.

Of 16 uniform numbers the first 8 give the radii sqrt(-2 log(1 - u)), the others the angles 2 pi v, and radius times
cosine and sine become the 16 normal numbers.

In float32 PyTorch takes logarithm, sine and cosine from polynomials of the Cephes library (Stephen Moshier, logf.c,
sinf.c), with fused multiply-add, on processors with AVX2. Here a fused multiply-add is done in double precision, where
the product of two float32 numbers is exact, and then rounded to single; what needs none is done in single precision.
A uniform float32 number has 24 bits, so what is made of it can be compared with PyTorch for each of them. Every step
writes into memory used before.

In float64 PyTorch calls the C library; so do Python's `math.log` and NumPy's complex exponential.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from gradcli.kernels.layout import Array
from gradcli.kernels.memory import scratch

BLOCK = 16  # numbers that are transformed together; PyTorch draws shorter arrays one by one
BITS = 24  # of a random word that make a uniform float32 number

_F = np.float32
_I = np.int32


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
_LOG_2_LOW, _LOG_2_HIGH = _F(-2.12194440e-4), _F(0.693359375)
_COSINE_COEFFICIENTS = _singles(2.443315711809948e-5, -1.388731625493765e-3, 4.166664568298827e-2)
_SINE_COEFFICIENTS = _singles(-1.9515295891e-4, 8.3321608736e-3, -1.6666654611e-1)
_HALF_PI = 2 * sum(_singles(0.78515625, 2.4187564849853515625e-4, 3.77489497744594108e-8))

_FRACTION = _I((1 << BITS) - 1)
_ONE = _I(1 << BITS)  # as a multiple of the smallest uniform number
_EIGHTH = _I(1 << (BITS - 3))
_STEP_OF_ANGLE = _F(_F(2 * math.pi) * 2.0**-BITS)
_SQRT_HALF_BITS = _F(0.707106781186547524).view(_I)
_MANTISSA = _I((1 << 23) - 1)
_SIGN = _I(-(2**31))


def single_blocks(words: Array, out: Array) -> None:
    """Normal float32 numbers of the low 24 bits of the uint32 `words`, as many, flat, a multiple of 16."""
    pairs = out.size // 2
    # Eight numbers, half a block, are two complex ones of 16 bytes: the largest items that NumPy copies one by one.
    halves = scratch("box-muller halves", (2, pairs), _I)
    fours, blocks = halves.view(np.complex128), words.view(np.complex128).reshape(-1, 4)
    for column in range(4):
        np.copyto(fours[column // 2, column % 2 :: 2], blocks[:, column])
    radius = _radius(halves[0])
    cosine, sine = _cosine_and_sine(halves[1])
    np.multiply(cosine, radius, out=cosine)
    np.multiply(sine, radius, out=sine)
    blocks = out.view(np.complex128).reshape(-1, 4)
    for column in range(4):
        np.copyto(blocks[:, column], (cosine, sine)[column // 2].view(np.complex128)[column % 2 :: 2])


def double_blocks(values: Array) -> None:
    """Turn uniform float64 numbers in [0, 1), flat and a multiple of 16 of them, into normal ones, in place."""
    blocks = values.reshape(-1, 2, BLOCK // 2)
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


def _converted(values: Array, out: Array) -> Array:
    """`out` with these values in its own dtype."""
    np.copyto(out, values, casting="same_kind")
    return out


def _scratch(name: str, size: int, dtype: Any) -> Array:
    return scratch(f"box-muller {name}", (size,), dtype)


def _radius(words: Array) -> Array:
    """sqrt(-2 log(1 - u)) in float32, for u the low 24 bits of int32 words, which are overwritten.

    The result is valid until the next call.
    """
    size = words.size
    m, total, exponent = _scratch("x", size, _F), _scratch("square", size, _F), _scratch("radius", size, _F)
    bits = m.view(_I)
    wide, sum_ = _scratch("wide", size, np.float64), _scratch("sum", size, np.float64)
    np.bitwise_and(words, _FRACTION, out=words)
    np.copyto(m, np.subtract(_ONE, words, out=words), casting="same_kind")  # 2**24 (1 - u), exact
    # m 2**exponent with m in [sqrt(1/2), sqrt(2)): counted from the bits of sqrt(1/2), exponents end there.
    np.subtract(bits, _SQRT_HALF_BITS, out=bits)
    np.right_shift(bits, 23, out=words)
    _converted(np.subtract(words, BITS, out=words), exponent)
    np.bitwise_and(bits, _MANTISSA, out=bits)
    np.add(bits, _SQRT_HALF_BITS, out=bits)
    np.subtract(m, _F(1), out=m)
    _converted(m, wide)
    np.multiply(wide, _LOG_COEFFICIENTS[0], out=sum_)
    np.add(sum_, _LOG_COEFFICIENTS[1], out=sum_)
    for coefficient in _LOG_COEFFICIENTS[2:]:
        _converted(sum_, total)
        _converted(total, sum_)
        np.multiply(sum_, wide, out=sum_)
        np.add(sum_, coefficient, out=sum_)
    _converted(sum_, total)
    np.multiply(total, m, out=total)
    # total m**2 + exponent log(2)'s low part, rounded once
    square = np.multiply(m, m, out=words.view(_F))
    _converted(total, sum_)
    np.multiply(sum_, _converted(square, wide), out=sum_)
    _converted(np.multiply(exponent, _LOG_2_LOW, out=total), wide)
    _converted(np.add(sum_, wide, out=sum_), total)
    np.subtract(total, np.multiply(square, _F(0.5), out=square), out=total)
    np.add(total, m, out=total)
    np.add(total, np.multiply(exponent, _LOG_2_HIGH, out=exponent), out=total)  # an exact product
    return np.sqrt(np.multiply(total, _F(-2), out=total), out=exponent)


def _cosine_and_sine(words: Array) -> tuple[Array, Array]:
    """Cosine and sine of 2 pi v in float32, for v the low 24 bits of int32 words, which are overwritten.

    The results are valid until the next call of this function.
    """
    size = words.size
    x, square = _scratch("x", size, _F), _scratch("square", size, _F)
    cosine, sine = _scratch("cosine", size, _F), _scratch("sine", size, _F)
    wide, sum_ = _scratch("wide", size, np.float64), _scratch("sum", size, np.float64)
    np.bitwise_and(words, _FRACTION, out=words)
    angle = np.multiply(_converted(words, square), _STEP_OF_ANGLE, out=square)
    _converted(angle, wide)
    # The angle is brought into [-pi/4, pi/4]. That the quarter turns are counted by the bits of v and not by the
    # rounded angle, and taken off in one step, changes no bit of any of the 2**24 results.
    np.add(words, _EIGHTH, out=words)
    quarters = np.right_shift(words, BITS - 2, out=sine.view(_I))
    np.multiply(_converted(quarters, sum_), _HALF_PI, out=sum_)
    _converted(np.subtract(wide, sum_, out=wide), x)
    _converted(np.multiply(x, x, out=square), wide)
    _two_steps(_COSINE_COEFFICIENTS, wide, sum_)
    _converted(sum_, cosine)
    _converted(np.multiply(cosine, square, out=cosine), sum_)
    np.multiply(np.subtract(sum_, 0.5, out=sum_), wide, out=sum_)
    _converted(sum_, cosine)
    np.add(cosine, _F(1), out=cosine)
    _two_steps(_SINE_COEFFICIENTS, wide, sum_)
    _converted(sum_, sine)
    _converted(np.multiply(sine, square, out=sine), sum_)
    _converted(x, wide)
    np.multiply(np.add(sum_, 1, out=sum_), wide, out=sum_)
    _converted(sum_, sine)
    _turn(cosine.view(_I), sine.view(_I), words, x.view(_I), square.view(_I))
    return cosine, sine


def _two_steps(coefficients: list[float], x: Array, out: Array) -> None:
    """(a x + b) x + c in float64 with x in [0, 0.62], each step rounded to float32.

    b and c are so large that each sum lies between the same two powers of two as they do. So it is rounded by adding
    a number whose last bit is worth what theirs is in float32.
    """
    first, *others = coefficients
    np.multiply(x, first, out=out)
    for coefficient in others[:-1]:
        _round_after_adding(coefficient, out)
        np.multiply(out, x, out=out)
    _round_after_adding(others[-1], out)


def _round_after_adding(summand: float, out: Array) -> None:
    last_bit = math.ldexp(1.0, math.frexp(summand)[1] - 24)
    shift = 1.5 * 2.0**52 * last_bit
    np.add(out, summand + shift, out=out)  # an exact sum of constants
    np.subtract(out, shift, out=out)


def _turn(cosine: Array, sine: Array, eighths: Array, swap: Array, work: Array) -> None:
    """Turns points, given as the bits of float32 numbers, by the quarters that bits 23 and 22 of `eighths` count.

    An odd number of quarters exchanges cosine and sine; bit 23 is the sine's sign, its difference from bit 22 the
    cosine's.
    """
    np.left_shift(eighths, 9, out=swap)
    np.right_shift(swap, 31, out=swap)  # all bits are bit 22
    np.bitwise_and(np.bitwise_xor(cosine, sine, out=work), swap, out=work)
    np.bitwise_xor(cosine, work, out=cosine)
    np.bitwise_xor(sine, work, out=sine)
    np.left_shift(eighths, 8, out=work)
    np.bitwise_and(work, _SIGN, out=work)
    np.bitwise_xor(sine, work, out=sine)
    np.bitwise_and(swap, _SIGN, out=swap)
    np.bitwise_xor(work, swap, out=work)
    np.bitwise_xor(cosine, work, out=cosine)
